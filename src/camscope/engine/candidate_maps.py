"""The candidates of a choice, methods at layers, and their maps of some inputs beside those of the baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from camscope.arrays import to_numpy
from camscope.composition import parse
from camscope.errors import MethodError, either
from camscope.evidence import Need
from camscope.methods import list_methods
from camscope.metrics.explains import Explains
from camscope.results import Explanation, Key
from camscope.targets import PerImage
from camscope.trust.candidates import OF_MODEL

_CHEAP = frozenset({Need.ACTIVATIONS, Need.GRADIENTS, Need.DIRECTIONS})


class Way(NamedTuple):
    """A candidate.

    Attributes:
        method: its name.
        layers: as a call takes them; None for the automatic choice.
        key: of its maps in an explanation.
        beside: of the baselines' maps that it is compared with, by their names.
    """

    method: str
    layers: tuple[str, ...] | None
    key: Key
    beside: Mapping[str, Key]


class Seen(NamedTuple):
    """Maps of some inputs.

    Attributes:
        maps: by key.
        notes: what a reader of them should know.
    """

    maps: dict[Key, Float[np.ndarray, "batch target *space"]]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class CandidateMaps:
    """All candidates of a choice.

    Attributes:
        explainer: of the model.
        calls: the methods and layers of each call that gives their maps.
        ways: the candidates.
        of: the explanation of one photo that they were found on.
    """

    explainer: Explains
    calls: tuple[tuple[tuple[Any, ...], tuple[str, ...] | None], ...]
    ways: tuple[Way, ...]
    of: Explanation

    @property
    def keys(self) -> list[Key]:
        """The keys of all maps that are needed: the candidates' and the baselines'."""
        return list(dict.fromkeys(key for way in self.ways for key in (way.key, *way.beside.values())))

    def of_inputs(self, given: Any, classes: Sequence[Sequence[int]], seed: int) -> Seen:
        """The maps of some inputs, each of its own classes.

        Args:
            given: the inputs.
            classes: of each, those that are explained.
            seed: of methods that draw.
        """
        maps: dict[Key, Any] = {}
        notes: list[str] = []
        targets = PerImage([list(map(int, own)) for own in classes])
        for methods, layers in self.calls:
            found = self.explainer(given, methods=list(methods), layers=layers, targets=targets, seed=seed)
            notes += found.notes
            maps |= {key: np.asarray(to_numpy(raw), np.float64) for key, raw in found.raw.items()}
        return Seen({key: maps[key] for key in self.keys}, tuple(notes))


def find_candidates(
    explainer: Explains, photo: Any, methods: Any, layers: Any, offers: frozenset[Need], seed: int
) -> CandidateMaps:
    """Find the candidates, by trying all of them on one photo: what cannot be had is refused before any long work.

    Args:
        explainer: of the model.
        photo: one photo.
        methods: as a call takes them; None for those of one layer that cost a forward and a short backward at most.
        layers: likewise; None for the automatic choice and its runners-up.
        offers: the needs that the model can meet.
        seed: of methods that draw.

    Raises:
        LayerError, MethodError: if there is no such method or layer, or no method is left.
    """
    baselines = tuple(m.name for m in list_methods() if m.baseline)
    asked = usual_methods(offers) if methods is None else methods
    listed = [parse(one) for one in (asked if isinstance(asked, (list, tuple)) else [asked])]
    wanted = tuple(one for one in listed if one.name not in baselines)
    if not wanted:
        raise MethodError(
            f"{either('methods=', '--methods')} names no method but baselines ({', '.join(baselines)}), which "
            "all candidates are compared with anyway. Name one to choose, or leave it out."
        )
    found = explainer(photo, methods=[*wanted, *baselines], layers=layers, seed=seed)
    names = {one.name for one in wanted}
    how = found.provenance["layers"]
    beside_at = {layer for method, layer in found.raw if method in baselines}
    if layers is not None:
        given = tuple(how["layers"])
        calls: tuple[Any, ...] = (((*wanted, *baselines), given),)
        keys = [key for key in found.raw if key[0] in names]
        first = next(iter(beside_at), "")
        ways = [_way(key, beside_at, baselines, first, given) for key in keys]
        return CandidateMaps(explainer, calls, tuple(ways), found)
    at = (how["choice"], *how["runners_up"])
    single = tuple(one for one in wanted if (one.name, at[0]) in found.raw)
    whole = tuple(one for one in wanted if one not in single)
    calls = (((*single, *baselines), at), *(((whole, None),) if whole else ()))
    keys = [(one.name, layer) for layer in at for one in single]
    keys += [key for key in found.raw if key[0] in {one.name for one in whole}]
    ways = [_way(key, set(at), baselines, at[0], None) for key in keys]
    return CandidateMaps(explainer, calls, tuple(ways), found)


def usual_methods(offers: frozenset[Need]) -> list[str]:
    """The methods that are candidates where none is named: of one layer, of a class, and cheap; no variants of one.

    Args:
        offers: the needs that the model can meet.
    """
    found: dict[str, str] = {}
    for m in list_methods():
        needs = m.needs_from(offers)
        cheap = needs <= _CHEAP & offers and m.scope == "layer" and m.method is m
        if cheap and m.class_specific and not m.baseline and not m.warning:
            found.setdefault(m.name.partition("-")[0], m.name)
    return list(found.values())


def probabilities_of(found: Explanation) -> Float[np.ndarray, "batch class"]:
    """The probabilities of all classes; empty where there are none."""
    if found.probabilities is None:
        return np.zeros((len(found), 0))
    return np.asarray(to_numpy(found.probabilities), np.float64)


def _way(
    key: Key,
    beside_at: set[str],
    baselines: Sequence[str],
    otherwise: str,
    given: tuple[str, ...] | None,
) -> Way:
    """A candidate by the key of its maps.

    Args:
        key: its own.
        beside_at: the layers that there are baselines at.
        baselines: their names.
        otherwise: the layer of the baselines that a map of no single layer is compared with.
        given: the layers as they were named, which a fusion takes; None for the automatic ones.
    """
    method, layer = key
    layers = (layer,) if layer in beside_at else None if layer == OF_MODEL else given
    at = layer if layer in beside_at else otherwise
    return Way(method, layers, key, {name: (name, at) for name in baselines})
