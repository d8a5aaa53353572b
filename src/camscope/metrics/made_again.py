"""The maps of an explanation made once more: of another model, of altered inputs, of other targets."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float

from camscope.arrays import to_numpy
from camscope.errors import CamscopeWarning, InputError, TargetError, nearest
from camscope.inputs import Inputs
from camscope.inputs.input_images import images_of_batch
from camscope.methods import list_methods
from camscope.metrics.answers import check_explains, check_same
from camscope.metrics.explains import Explains
from camscope.metrics.measured_maps import check_images, explained_names
from camscope.results import Explanation
from camscope.results.spans import positions
from camscope.targets import Class, Instance, PerImage, Target, TargetInfo, TargetsLike

OfImages: TypeAlias = "list[Float[np.ndarray, '_ ...']]"
"""The maps of each image, at their own resolution; those of texts without their padding."""

OfMaps: TypeAlias = Callable[[Float[np.ndarray, "*space"], Float[np.ndarray, "*space"]], float]
"""From a map as it is and the same made again to a number."""


@dataclass(frozen=True, eq=False)
class Again:
    """How the maps of an explanation are made again: by the same methods at the same layers, of the same targets.

    Attributes:
        explained: the explanation.
        inputs: as they were prepared, once.
        targets: its own, so that each image keeps its classes whatever is altered.
        maps: its maps by name, those of the baselines after them.
        baselines: the names of these.
        calls: methods and layers that are explained together.
        names: of the maps, by method and layer.
        seed: of random draws of the methods.
    """

    explained: Explanation
    inputs: Inputs
    targets: TargetsLike
    maps: Mapping[str, OfImages]
    baselines: tuple[str, ...]
    calls: tuple[tuple[list[str], list[str] | None], ...]
    names: Mapping[tuple[str, str], str]
    seed: int

    def made(
        self, explainer: Explains, *, inputs: Inputs | None = None, targets: TargetsLike = None
    ) -> tuple[dict[str, OfImages], Explanation]:
        """The maps made again, by the same names, and an explanation that tells what the model says.

        Args:
            explainer: of the model, or of another one with the same layers.
            inputs: in place of the same ones, and as many.
            targets: in place of the same ones.

        Raises:
            InputError: if the other model chooses other layers.
        """
        given = self.inputs if inputs is None else inputs
        wanted = self.targets if targets is None else targets
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CamscopeWarning)  # these were said of the maps as they are
            found = [
                explainer(given, methods=methods, layers=layers, targets=wanted, seed=self.seed)
                for methods, layers in self.calls
            ]
        maps = {self.names[key]: own for e in found for key, own in _maps(e).items() if key in self.names}
        if missing := [name for name in self.maps if name not in maps]:
            raise InputError(
                f"{missing[0]}: no such map comes out again, since other layers are chosen. Explain with layers=[…]."
            )
        return maps, found[0]

    def compared(
        self,
        explainer: Explains,
        measure: OfMaps,
        *,
        inputs: Inputs | None = None,
        targets: TargetsLike = None,
    ) -> dict[str, Float[np.ndarray, "batch target"]]:
        """A number for each map and what it becomes; NaN of instances that are not found again.

        Args:
            explainer: see `made`.
            measure: gets both.
            inputs: see `made`.
            targets: see `made`.
        """
        try:
            made, _ = self.made(explainer, inputs=inputs, targets=targets)
        except TargetError:
            if not self.of_instances:
                raise
            return {name: np.full((1, len(self.explained.targets[0])), np.nan) for name in self.maps}
        return self.measured(made, measure)

    def measured(
        self, made: Mapping[str, OfImages], measure: OfMaps
    ) -> dict[str, Float[np.ndarray, "batch target"]]:
        """A number for each map and what it has become.

        Args:
            made: of `made`.
            measure: gets both.
        """
        return {
            name: np.array(
                [
                    [measure(a, b) for a, b in zip(*both, strict=True)]
                    for both in zip(own, made[name], strict=True)
                ]
            )
            for name, own in self.maps.items()
        }

    @property
    def of_instances(self) -> bool:
        """Whether something detected is explained, which another model or input may not show."""
        return any(info.box is not None for row in self.explained.targets for info in row)

    @property
    def parts(self) -> list[Again]:
        """What is made again together: the batch, or each image alone where one may lack its instance."""
        if not self.of_instances or len(self.explained) == 1:
            return [self]
        targets = self.targets.targets if isinstance(self.targets, PerImage) else None
        return [
            dataclasses.replace(
                self,
                explained=self.explained[i],
                inputs=dataclasses.replace(
                    self.inputs,
                    batch=self.inputs.batch.images(slice(i, i + 1)),
                    input_images=self.inputs.input_images.only([i]),
                ),
                targets=self.targets if targets is None else PerImage([targets[i]]),
                maps={name: own[i : i + 1] for name, own in self.maps.items()},
            )
            for i in range(len(self.explained))
        ]


def joined(parts: Iterable[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The numbers of all images from those of the parts.

    Args:
        parts: of `Again.parts`, in their order.
    """
    listed = list(parts)
    return {name: np.concatenate([part[name] for part in listed]) for name in listed[0]}


def again(
    explainer: Explains, inputs: Any, maps: Any, targets: TargetsLike = None, baselines: Iterable[str] = ()
) -> Again:
    """How the maps are made again.

    Args:
        explainer: of the model.
        inputs: those that the maps are of.
        maps: an explanation.
        targets: those that the maps are of.
        baselines: the names of baselines, explained beside the maps at the first of their layers.

    Raises:
        InputError: if the maps are no explanation, or one of other inputs, or a name is no baseline's.
    """
    check_explains(explainer)
    if not isinstance(maps, Explanation):
        raise InputError(
            f"The maps are of the type {type(maps).__name__}, and must be made again by the same method: pass the "
            "explanation itself, e = explainer(x, methods=[…])."
        )
    given = explainer.prepare(inputs)
    check_images("Inputs", len(given.batch), len(maps))
    if any(info.box is not None for row in maps.targets for info in row):
        # boxes are said in pixels of the input, and not of a photo
        given = dataclasses.replace(given, input_images=images_of_batch(given.batch.x, None))
    pinned = pinned_targets(maps, targets)
    with explainer.altering(given, targets=pinned) as seen:
        check_same(maps, seen)
    seed = int(maps.provenance.get("seed", 0))
    names, calls, own = explained_names(maps), calls_of(maps), _maps(maps)
    beside = _baselines(baselines, maps)
    if beside:
        e = explainer(given, methods=beside, layers=calls[0][1], targets=pinned, seed=seed)
        first = {name: e[name, e.layers[0]] for name in beside}
        names = {**names, **{(name, e.layers[0]): name for name in first}}
        calls = (*calls, (beside, calls[0][1]))
        own = {**own, **{key: one for e_ in first.values() for key, one in _maps(e_).items()}}
    by_name = {name: own[key] for key, name in names.items()}
    return Again(maps, given, pinned, by_name, tuple(beside), calls, names, seed)


def pinned_targets(e: Explanation, targets: TargetsLike) -> TargetsLike:
    """Targets that stay the classes that they are, also where another class comes first.

    Args:
        e: explained.
        targets: as the user gave them, which are taken where they are no single classes.
    """
    if e.provenance.get("classes") == "captions":
        return targets
    rows = [[_pinned(info, e.input_size) for info in row] for row in e.targets]
    if any(one is None for row in rows for one in row):
        return targets
    return PerImage([[one for one in row if one is not None] for row in rows])


def _pinned(info: TargetInfo, size: Sequence[int]) -> Target | None:
    """The class, or the instance at its box; None for all else."""
    if info.box is not None:
        return instance_at(info.box, size, info)
    if info.index is None or info.of is None or info.against:
        return None
    return Class(info.index, of=info.of, sign=info.sign)


def instance_at(box: Sequence[float], size: Sequence[int], info: TargetInfo) -> Instance:
    """What is detected at a box.

    Args:
        box: x0, y0, x1, y1 in shares of the input.
        size: of the input.
        info: what it was.
    """
    height, width = size
    x0, y0, x1, y1 = box
    of = "logit" if info.of is None else info.of
    return Instance((x0 * width, y0 * height, x1 * width, y1 * height), of=of, sign=info.sign)


def _maps(e: Explanation) -> dict[tuple[str, str], OfImages]:
    return {
        key: [
            np.asarray(one[..., positions(e.spans.get(key), image)], np.float64)
            for image, one in enumerate(to_numpy(raw))
        ]
        for key, raw in e.raw.items()
    }


def calls_of(e: Explanation) -> tuple[tuple[list[str], list[str] | None], ...]:
    """Methods and layers of the calls that give these maps: a chosen layer is named, a fusion chooses its own again."""
    how = e.provenance.get("layers", {})
    if how.get("chosen") != "automatic":
        given = {put_out: name for name, put_out in how.get("inputs", {}).items()}
        named = [given.get(name, name) for name in how.get("layers", {})]
        return ((list(e.methods), named or None),)
    single = [method for method, layer in e.raw if layer == how.get("choice")]
    others = [method for method in e.methods if method not in single]
    parts: Sequence[tuple[list[str], list[str] | None]] = ((single, [how.get("choice", "")]), (others, None))
    return tuple(part for part in parts if part[0])


def _baselines(given: Iterable[str], e: Explanation) -> list[str]:
    known = [m.name for m in list_methods() if m.baseline]
    names = [given] if isinstance(given, str) else list(given)
    for name in names:
        if name not in known:
            raise InputError(
                f"baselines={name!r}: it must be made again, so say it by its name.{nearest(str(name), known)} There "
                f"are {', '.join(known)}."
            )
        if name in e.methods:
            raise InputError(f"{name}: the name of a map and of a baseline. Leave it out of one.")
    return names
