"""Runs one call: from a batch to its explanation."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from jaxtyping import Int

from camscope.arrays import Array, trimmed
from camscope.composition import Setting
from camscope.engine.building import build
from camscope.engine.call import Call, check_tokens
from camscope.engine.layer_choice import (
    Chosen,
    check_reach,
    check_token_layers,
    choose_layers,
    note_blank_layers,
)
from camscope.engine.length_buckets import (
    Rows,
    images_of_bucket,
    length_buckets,
    targets_of_bucket,
    whole_batch,
)
from camscope.engine.model import Model
from camscope.engine.notes import Notes
from camscope.engine.planner import Planner, joined
from camscope.engine.requests import Request
from camscope.inputs import Inputs
from camscope.models.adapter import Observation
from camscope.models.batch import Batch
from camscope.models.layer import Layer
from camscope.outputs import Frames, Outputs
from camscope.results import Explanation, MethodFacts
from camscope.targets import Targets, TargetsLike, refuse_masked, resolve


@dataclass(frozen=True)
class Explaining:
    """Runs one call.

    Attributes:
        model: the model that is explained.
        call: what is asked for.
        captions: the captions that are the model's classes; none for other models.
        notes: collects what a reader of the maps should know.
    """

    model: Model
    call: Call
    captions: tuple[str, ...]
    notes: Notes

    def pictures(self, batch: Batch, given: Inputs, targets: TargetsLike) -> Explanation:
        """Explain inputs that are all of one size.

        Args:
            batch: the inputs, on the model's device.
            given: the inputs as they were prepared.
            targets: the targets as the user gave them.
        """
        adapter, call = self.model.adapter, self.call
        adapter.check(batch, call.needs)
        chosen, how = choose_layers(
            adapter, batch, call.layers, call.expressions, call.channels, self.model.grid
        )
        return self.at(batch, given, targets, chosen, how)

    def texts(self, batch: Batch, given: Inputs, targets: TargetsLike) -> Explanation:
        """Explain texts, each length bucket by itself. The layers are chosen on the longest texts.

        Args:
            batch: all texts, in rows of one length.
            given: the inputs as they were prepared.
            targets: the targets as the user gave them.
        """
        adapter, call = self.model.adapter, self.call
        for name, e in call.plain.items():
            check_tokens(name, e)
        texts = given.input_images.texts
        parts: list[tuple[Rows, Explanation]] = []
        chosen: Chosen | None = None
        how: dict[str, Any] = {}
        for rows, part in length_buckets(batch, texts):
            adapter.check(part, call.needs)
            if chosen is None:
                chosen, how = choose_layers(
                    adapter, part, call.layers, call.expressions, call.channels, self.model.grid
                )
                check_token_layers(adapter, part, call.layers, call.expressions, chosen)
            here = dataclasses.replace(given, batch=part, input_images=images_of_bucket(texts, rows))
            theirs = targets_of_bucket(targets, rows, len(texts))
            at = chosen.at(functools.partial(adapter.layer, part))
            parts.append((rows, self.at(part, here, theirs, at, how)))
        for note in given.notes:
            self.notes.add(note)
        whole = whole_batch(parts, given.input_images, batch.space[0])
        return dataclasses.replace(whole, notes=self.notes.all)

    def at(
        self,
        batch: Batch,
        given: Inputs,
        targets: TargetsLike,
        chosen: Chosen,
        how: Mapping[str, Any],
        observed: Observation | None = None,
    ) -> Explanation:
        """Explain inputs of one size at the chosen layers.

        Args:
            batch: the inputs, on the model's device.
            given: the inputs as they were prepared.
            targets: the targets as the user gave them.
            chosen: the layers.
            how: how they were chosen, for the provenance.
            observed: the forward of this batch, if it was made before.
        """
        call, adapter = self.call, self.model.adapter
        planner = Planner(adapter, Setting(call.seed, self.model.black(given)), self.notes)
        requests = [Request(e, chosen.of(e)) for e in call.expressions]
        found = planner.run(
            batch, requests, asking(given, targets, self._names), call.channels, chosen.single, observed
        )
        check_reach(adapter, batch, call.layers, chosen, found.flat)
        note_blank_layers(adapter, batch, chosen, found.flat, self.notes)
        reach = _reach(found.gathered.extents(), found.resolved.fpn_levels, chosen.fpn_levels)
        self.notes.of_reach(reach, chosen.fpn_levels, chosen.backbone, batch.space)
        for note in (*found.notes, *given.notes, self.model.info.note if given.preprocessing else ""):
            self.notes.add(note)
        resolved, class_names = found.resolved, self._names(found.resolved.outputs)
        count = len(resolved.targets)
        return build(
            self.model,
            batch,
            given,
            resolved.outputs,
            raw={
                (name, layer): _for_each_target(_of_input(maps, batch, found.covered), count)
                for name, e in call.named
                for layer, maps in found.maps[e].items()
            },
            scores=found.scores,
            targets=resolved.targets.infos(class_names),
            class_names=class_names,
            facts={
                name: MethodFacts(e.paper, e.rectified, e.class_specific) for name, e in call.wanted.items()
            },
            layers={
                **how,
                **_fpn_level_of_target(resolved.fpn_levels, chosen.fpn_levels),
                **_shown_by(chosen, found.resolved.fpn_levels is not None),
                **({"reach": reach} if reach else {}),
            },
            notes=self.notes.all,
            seed=call.seed,
            compositions={name: e.name for name, e in call.plain.items() if e.name != name},
            channels=found.gathered.channels(),
            gradient_free={
                (name, layer): flags
                for name, e in call.named
                for layer, flags in found.gathered.gradient_free(e).items()
                if layer in found.maps[e]
            },
        )

    def _names(self, outputs: Outputs) -> Sequence[str] | None:
        return self.captions or self.model.names(outputs.logits.shape[1], self.notes)


def asking(
    given: Inputs, targets: TargetsLike, names: Callable[[Outputs], Sequence[str] | None]
) -> Callable[[Outputs], Targets]:
    """What resolves targets in the model's outputs.

    Args:
        given: the inputs as they were prepared.
        targets: the targets as the user gave them.
        names: from the outputs to the names of all classes, if they are known.
    """
    frames = frames_of(given)

    def ask(outputs: Outputs) -> Targets:
        if frames is not None and outputs.predictions is not None:
            outputs = dataclasses.replace(outputs, predictions=outputs.predictions.on_photos(frames))
        asked = resolve(targets, outputs, names(outputs))
        refuse_masked(asked, outputs, names(outputs))
        return asked

    return ask


def frames_of(given: Inputs) -> Frames | None:
    """Where photos lie in the inputs that were made from them; None for tensors.

    Args:
        given: the inputs as they were prepared.
    """
    images = given.input_images
    if images.of_tensors or not all(map(images.has, range(len(images)))):
        return None
    geometries = [images.geometry(image) for image in range(len(images))]

    def pairs(name: str) -> np.ndarray:
        return np.asarray([getattr(geometry, name)[::-1] for geometry in geometries])

    return Frames(pairs("scale"), pairs("offset"), pairs("photo_size"))


def _of_input(maps: Array, batch: Batch, covered: tuple[float, ...] | None) -> Array:
    """Maps at a layer's resolution, without the part that belongs to the padding of the input."""
    return maps if covered is None or tuple(maps.shape[2:]) == batch.space else trimmed(maps, covered)


def _fpn_level_of_target(
    levels: Int[np.ndarray, "batch target"] | None, layers: Sequence[Layer]
) -> dict[str, Any]:
    """The name of the layer that is each target's FPN level, for the provenance."""
    if levels is None or not layers:
        return {}
    names = [[layers[level].name if level >= 0 else None for level in row] for row in levels.tolist()]
    return {"fpn_level_of_target": names}


def _reach(
    extents: Mapping[str, Int[np.ndarray, "batch target axis"]],
    levels: Int[np.ndarray, "batch target"] | None,
    layers: Sequence[Layer],
) -> dict[str, list[int]]:
    """How many positions of its own level, along each axis, the score of a target depends on at most, by the level."""
    found: dict[str, list[int]] = {}
    for number, layer in enumerate(layers):
        own = extents[layer.name][levels == number] if levels is not None and layer.name in extents else []
        if len(own):
            found[layer.name] = [int(most) for most in np.max(own, axis=0)]
    return found


def _shown_by(chosen: Chosen, own_levels: bool) -> dict[str, Any]:
    """What the maps of a detector's pyramid and of its backbone show, in words, for the provenance.

    Args:
        chosen: the layers that were looked at.
        own_levels: whether targets come from a level each, and not from the whole pyramid.
    """
    if not chosen.backbone:
        return {}
    at_level = "where it is" if own_levels else "at the pyramid"
    return {"shows": {joined(chosen.fpn_levels): at_level, joined(chosen.backbone): "what was used"}}


def _for_each_target(maps: Array, targets: int) -> Array:
    if maps.shape[1] == targets:
        return maps
    return array_namespace(maps).broadcast_to(maps, (maps.shape[0], targets, *maps.shape[2:]))
