"""The maps that are measured: by name, on the host; and the baselines that every one of them must beat."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float

from camscope.arrays import Array, is_flat, to_numpy, with_array_api
from camscope.errors import InputError
from camscope.evidence import Evidence
from camscope.methods import list_methods
from camscope.metrics.explains import Explains
from camscope.results import Explanation

Maps: TypeAlias = "Array | Mapping[str, Array] | Explanation"
"""Raw signed maps `batch target *space` at any resolution, where a target axis of 1 stands for all targets; several of
them by name; or an explanation, of which all maps are measured."""

_ONLY = "map"
"""The name of a single map."""


@dataclass(frozen=True)
class Named:
    """Maps on the host, by name.

    Attributes:
        maps: the maps first, the baselines after them.
        baselines: the names of the baselines.
    """

    maps: Mapping[str, Float[np.ndarray, "_ _ ..."]]
    baselines: tuple[str, ...]

    @property
    def batch(self) -> int:
        """How many images they are of."""
        return len(next(iter(self.maps.values())))

    def measured(
        self, measure: Callable[[Float[np.ndarray, "*space"], int], float]
    ) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
        """What is measured of each single map, NaN where it cannot be judged; and the names of the baselines.

        Args:
            measure: gets a map that is neither flat nor broken, and the number of its image.
        """
        values = {
            name: np.array(
                [
                    [measure(one, image) if can_be_judged(one) else np.nan for one in targets]
                    for image, targets in enumerate(maps)
                ]
            )
            for name, maps in self.maps.items()
        }
        return values, self.baselines


def named_maps(maps: Maps, baselines: Mapping[str, Array] | None = None) -> Named:
    """Maps by name, in double precision on the host.

    Args:
        maps: see `Maps`. Those of an explanation are named by their method, and by the layer too where it has several.
        baselines: by name, `batch target *space` with a target axis that may have size 1.

    Raises:
        InputError: if one is no `batch target *space`, they are of different batches, or a name stands twice.
    """
    if isinstance(maps, Explanation):
        given: Mapping[str, Any] = {name: maps.raw[key] for key, name in explained_names(maps).items()}
    else:
        given = maps if isinstance(maps, Mapping) else {_ONLY: maps}
    if not isinstance(baselines, (Mapping, NoneType)):
        raise InputError(
            f"baselines={baselines!r}: expected maps by name, as metrics.baseline_maps(explainer, inputs) or "
            "metrics.baseline_maps(activations) gives them."
        )
    more = baselines or {}
    if twice := given.keys() & more.keys():
        raise InputError(
            f"{', '.join(sorted(twice))}: the name of a map and of a baseline. Leave it out of one."
        )
    found = {name: _on_host(name, one) for name, one in {**given, **more}.items()}
    if not found:
        raise InputError("There is no map to measure.")
    if len({len(one) for one in found.values()}) > 1:
        counts = ", ".join(f"{name}: {len(one)}" for name, one in found.items())
        raise InputError(f"These maps are of different numbers of images ({counts}).")
    return Named(found, tuple(more))


def explained_names(e: Explanation) -> dict[tuple[str, str], str]:
    """The names of an explanation's maps, by method and layer: the method's, and the layer's where it has several.

    Args:
        e: the explanation.
    """
    several = len(e.layers) > 1
    return {(method, layer): f"{method} at {layer}" if several else method for method, layer in e.raw}


def _on_host(name: str, given: Any) -> Float[np.ndarray, "_ _ ..."]:
    one = to_numpy(with_array_api(given))
    if one.dtype.kind not in "fiub":
        raise InputError(
            f"The map {name!r} is {given!r}: expected an array, batch, target and space, as e.maps() gives it, several "
            "by name, or an explanation; explainer(x, methods=[…]) makes one."
        )
    if one.ndim < 3 or not one.size:
        raise InputError(
            f"The map {name!r} has the shape {one.shape}: expected batch, target and space, as e.maps() gives them. "
            "Of one map it is maps[None, None]."
        )
    return np.asarray(one, np.float64)


def can_be_judged(one: Float[np.ndarray, "*space"]) -> bool:
    """Whether a map is finite and not the same everywhere: else it orders nothing."""
    return bool(np.isfinite(one).all()) and not bool(is_flat(one.min(), one.max()))


def check_images(what: str, count: int, images: int) -> None:
    """Refuse what is not there once for each image.

    Args:
        what: it is, in words.
        count: how many there are.
        images: how many images the maps are of.

    Raises:
        InputError: saying both numbers.
    """
    if count != images:
        raise InputError(
            f"{what} for {count} images, and maps of {images}: expected one entry for each image."
        )


def baseline_maps(
    source: Explains | Float[Array, "batch channel *space"],
    inputs: Any = None,
    *,
    layers: Any = None,
    seed: int = 0,
) -> dict[str, Array]:
    """The maps that know nothing of the class, to be passed as `baselines=`: the centre, the mean activation, chance.

    Args:
        source: an explainer, whose layer's activations are taken; or the activations themselves.
        inputs: what the explainer is given; not beside activations.
        layers: the layer, see `camscope.Explainer.__call__`; None for the automatic choice.
        seed: of the random map.

    Raises:
        InputError: if an explainer gets no inputs, or activations get some.
    """
    methods = [m for m in list_methods() if m.baseline]
    if isinstance(source, Explains) == (inputs is None):
        raise InputError(
            "metrics.baseline_maps(explainer, inputs) or metrics.baseline_maps(activations): an explainer "
            "needs the inputs, and activations need none."
        )
    if isinstance(source, Explains):
        explained = source(inputs, methods=[m.name for m in methods], layers=layers, seed=seed)
        return dict(named_maps(explained).maps)
    return {m.name: m(Evidence(with_array_api(source), seed=seed)) for m in methods}
