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
from camscope.metrics.cells_of_maps import grid_of
from camscope.metrics.explains import Explains
from camscope.results import Explanation, Key
from camscope.targets import PerImage
from camscope.trust.method_candidates import OF_MODEL
from camscope.trust.probes import probes_on

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


class MapCall(NamedTuple):
    """A call that gives maps.

    Attributes:
        methods: of the call.
        layers: likewise.
        spaces: the size of each of its maps, by the key.
    """

    methods: tuple[Any, ...]
    layers: Any
    spaces: Mapping[Key, tuple[int, ...]]


@dataclass(frozen=True)
class CandidateMaps:
    """All candidates of a choice.

    Attributes:
        explainer: of the model.
        calls: those that give their maps.
        ways: the candidates.
        input_size: of a photo as the model takes it.
    """

    explainer: Explains
    calls: tuple[MapCall, ...]
    ways: tuple[Way, ...]
    input_size: tuple[int, ...]

    @property
    def keys(self) -> list[Key]:
        """The keys of all maps that are needed: the candidates' and the baselines'."""
        return list(dict.fromkeys(key for way in self.ways for key in (way.key, *way.beside.values())))

    def probes(self, each: int | None) -> int:
        """How many altered copies of a photo the fidelity of all its maps takes.

        Args:
            each: for each grid; None: by its size.
        """
        grids = [
            dict.fromkeys(grid_of(space, self.input_size) for space in call.spaces.values())
            for call in self.calls
        ]
        return sum(each or probes_on(grid) for own in grids for grid in own)

    def of_inputs(
        self, given: Any, classes: Sequence[Sequence[int]], seed: int
    ) -> dict[Key, Float[np.ndarray, "batch target *space"]]:
        """The maps of some inputs, each of its own classes.

        Args:
            given: the inputs.
            classes: of each, those that are explained.
            seed: of methods that draw.
        """
        maps: dict[Key, Any] = {}
        targets = PerImage([list(map(int, own)) for own in classes])
        for methods, layers, _ in self.calls:
            found = self.explainer(given, methods=list(methods), layers=layers, targets=targets, seed=seed)
            maps |= {key: np.asarray(to_numpy(raw), np.float64) for key, raw in found.raw.items()}
        return {key: maps[key] for key in self.keys}


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
    how = found.provenance["layers"]
    calls = [_call([*wanted, *baselines], layers, found)]
    if layers is None:
        at = (how["choice"], *how["runners_up"])
        single = [one for one in wanted if (one.name, at[0]) in found.raw]
        whole = [one for one in wanted if one not in single]
        plan: list[tuple[list[Any], Any]] = [([*single, *baselines], at), *([(whole, None)] if whole else [])]
        calls = [_call(*one, explainer(photo, methods=one[0], layers=one[1], seed=seed)) for one in plan]
    keys = [key for call in calls for key in call.spaces]
    beside_at = list(dict.fromkeys(layer for method, layer in keys if method in baselines))
    named = None if layers is None else tuple(how["layers"])
    ways = [_way(key, beside_at, baselines, named) for key in keys if key[0] not in baselines]
    return CandidateMaps(explainer, tuple(calls), tuple(ways), tuple(found.input_size))


def _call(methods: Sequence[Any], layers: Any, found: Explanation) -> MapCall:
    """A call, by what it gave of one photo."""
    return MapCall(tuple(methods), layers, {key: tuple(raw.shape[2:]) for key, raw in found.raw.items()})


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


def _way(key: Key, beside_at: Sequence[str], baselines: Sequence[str], named: tuple[str, ...] | None) -> Way:
    """A candidate by the key of its maps.

    Args:
        key: its own.
        beside_at: the layers that there are baselines at; a map of no single layer is compared with those at the first.
        baselines: their names.
        named: the layers as they were named, which a fusion takes; None for the automatic ones.
    """
    method, layer = key
    alone = layer in beside_at
    layers = (layer,) if alone else None if layer == OF_MODEL else named
    at = layer if alone else beside_at[0]
    return Way(method, layers, key, {name: (name, at) for name in baselines})
