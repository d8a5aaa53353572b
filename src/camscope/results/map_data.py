"""The data of a result: raw signed maps by method and layer, what goes with them, and parts of both."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self, TypeAlias

import numpy as np
from array_api_compat import array_namespace
from jaxtyping import Bool, Float, Int

from camscope.arrays import Array, to_numpy
from camscope.composition import parse
from camscope.errors import InputError, MethodError, nearest
from camscope.inputs import InputImages
from camscope.results.spans import Span, positions
from camscope.signals import Signal
from camscope.targets import TargetInfo, short_names, titles
from camscope.text import Text

Key: TypeAlias = tuple[str, str]
"""A method and a layer."""


@dataclass(frozen=True)
class MethodFacts:
    """What a reader of a map needs to know about its method.

    Attributes:
        paper: where the method is defined.
        rectified: whether negative values mean evidence against, and are zero in a heatmap.
        class_specific: whether the map depends on the target.
    """

    paper: str
    rectified: bool
    class_specific: bool


@dataclass(frozen=True, eq=False)
class Channels:
    """The channels of a layer that contribute most to the score, strongest first.

    Attributes:
        index: the numbers of the channels.
        weights: each channel's mean gradient, which is the weight that Grad-CAM gives it.
        contributions: Σ_ij g_ij^k A_ij^k. Behind a linear head the contributions of all channels, plus the bias, sum to
            the logit.
        activations: the channels' activations.
    """

    index: Int[Array, "batch target top"]
    weights: Float[Array, "batch target top"]
    contributions: Float[Array, "batch target top"]
    activations: Float[Array, "batch target top *space"]


@dataclass(frozen=True, eq=False)
class MapData:
    """The maps of a batch, and all that is needed to read them. Immutable.

    Arrays are of the model's framework and on its device.

    Attributes:
        raw: the raw signed maps at layer resolution, `batch target *space`, by (method, layer).
        scores: the explained score of each target.
        logits: the model's output, one per class.
        probabilities: the probability of each class; None for a regression.
        targets: what was explained, by image and target.
        input_size: the size of the model's input along each axis of space, in pixels (or tokens).
        facts: what to know about each method, by its name.
        class_names: the names of all classes; None if they are not known.
        input_images: what a person looks at: the pictures, the signals, or the texts.
        provenance: model, weights digest, layers, methods, preprocessing, versions, seed.
        notes: what a careful reader should be told.
        channels: the strongest channels by layer, if they were asked for.
        gradient_free: which maps are zero because the score does not depend on the layer, by (method, layer).
        spans: the start and end of each text on the last axis of a map, by (method, layer), if texts have several
            lengths; beyond them the map is zero. Empty otherwise.
    """

    raw: Mapping[Key, Float[Array, "batch target *space"]]
    scores: Float[Array, "batch target"]
    logits: Float[Array, "batch class"]
    probabilities: Float[Array, "batch class"] | None
    targets: tuple[tuple[TargetInfo, ...], ...]
    input_size: tuple[int, ...]
    facts: Mapping[str, MethodFacts]
    class_names: Sequence[str] | None = field(repr=False)
    input_images: InputImages = field(repr=False)
    provenance: Mapping[str, Any] = field(repr=False)
    notes: tuple[str, ...] = ()
    channels: Mapping[str, Channels] = field(default_factory=dict, repr=False)
    gradient_free: Mapping[Key, Bool[np.ndarray, "batch target"]] = field(default_factory=dict, repr=False)
    spans: Mapping[Key, Span] = field(default_factory=dict, repr=False)

    # ------------------------------------------------------------------ what is there

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods, in the order asked for."""
        return tuple(dict.fromkeys(method for method, _ in self.raw))

    @property
    def layers(self) -> tuple[str, ...]:
        """The target layers, in the order asked for."""
        return tuple(dict.fromkeys(layer for _, layer in self.raw))

    @property
    def labels(self) -> list[Any] | None:
        """What each image is labelled as, where labels came with the images (`Explainer.over`): names, or `class 3`."""
        return self.provenance.get("labels")

    @property
    def layer_titles(self) -> Mapping[str, str]:
        """What each layer is called above its maps: its name; of a detector also what the maps there show."""
        shows = self.provenance.get("layers", {}).get("shows", {})
        return {name: f"{shows[name]} ({name})" if name in shows else name for name in self.layers}

    @property
    def of_texts(self) -> bool:
        """Whether the inputs are texts; otherwise they are pictures, or tensors of anything else."""
        return bool(self.input_images.texts)

    @property
    def of_signals(self) -> bool:
        """Whether the inputs are signals: sounds, or tensors of one axis of space."""
        return self.input_images.of_signals

    @property
    def untrained(self) -> bool:
        """Whether the model's weights are known to be random, so that the maps say nothing of any input."""
        return bool(self.provenance.get("untrained"))

    @property
    def noun(self) -> str:
        """What one of the inputs is called."""
        if self.of_signals:
            return "signal"
        return "text" if self.of_texts else "image"

    @cached_property
    def titles(self) -> tuple[tuple[str, ...], ...]:
        """What each target is called in figures and file names, by image and target; see `camscope.targets.titles`."""
        return tuple(titles(targets, self.short_names) for targets in self.targets)

    @cached_property
    def short_names(self) -> Mapping[str, str]:
        """The short name of each class, by its name; see `camscope.targets.short_names`. Captions stay whole."""
        return {} if self.provenance.get("classes") == "captions" else short_names(self.class_names)

    def __len__(self) -> int:
        return len(self.targets)

    def number(self, image: Any) -> int:
        """The number of an image, from 0; a negative one counts from the end.

        Raises:
            TypeError: if it is no number.
            IndexError: if the batch has no such image.
        """
        if isinstance(image, (bool, np.bool_)) or not isinstance(image, (int, np.integer)):
            raise TypeError(
                f"{image!r} is no {self.noun}'s number, such as 0 or -1. Some {self.noun}s are e[2:5] or e[[0, 5]]."
            )
        if not -len(self) <= image < len(self):
            raise IndexError(f"There is no {self.noun} {image}: the batch has {len(self)}.")
        return int(image) % len(self)

    def __getitem__(self, which: Any) -> Self:
        """Some of the maps, as an explanation of their own.

            e[0], e[-1]                one image as a batch of one
            e[2:5], e[[0, 5]]          some images
            e[predicted != labels]     those for which an array says True
            e["gradcam"]               one method
            e["gradcam", "layer4"]     one method at one layer

        Args:
            which: the number of an image, a slice or a list of them, an array of numbers or of truth values; a method,
                or a method and a layer.

        Raises:
            TypeError: if it is none of these.
            IndexError: if the batch has no such image.
            InputError: if a name is not among those explained.
        """
        if isinstance(which, str):
            return self._of_method(which, None)
        if isinstance(which, tuple) and len(which) == 2 and all(isinstance(name, str) for name in which):
            return self._of_method(*which)
        if isinstance(which, slice):
            some = range(len(self))[which]
            if not some:
                raise IndexError(f"There is no {self.noun} in {which}: the batch has {len(self)}.")
            return self._of_images(list(some))
        if isinstance(which, tuple):
            raise TypeError(
                f"{which!r}: a method and a layer are two names, e['gradcam', 'layer4']; some {self.noun}s are a list, "
                "e[[0, 5]]."
            )
        return self._of_images(self._numbers(which))

    def _numbers(self, which: Any) -> list[int]:
        """The numbers of the images that are meant by a number, a list of them, or an array."""
        if isinstance(which, (bool, int, np.integer)) or not (
            isinstance(which, list) or hasattr(which, "shape")
        ):
            return [self.number(which)]
        array = np.asarray(to_numpy(which) if hasattr(which, "shape") else which)
        if array.dtype == bool and array.shape != (len(self),):
            raise IndexError(
                f"{array.size} truth values were given for {len(self)} {self.noun}s; expected one for each."
            )
        numbers = np.flatnonzero(array) if array.dtype == bool else array
        if numbers.ndim > 1:
            raise TypeError(
                f"An array of shape {numbers.shape}: expected numbers of {self.noun}s in one row."
            )
        if not numbers.size:
            raise IndexError(f"No {self.noun} is meant: the list is empty, or nothing in it is True.")
        return [self.number(number) for number in numbers.reshape(-1).tolist()]

    def __iter__(self) -> Iterator[Self]:
        """Each image by itself, as a batch of one."""
        return (self[image] for image in range(len(self)))

    def _of_method(self, method: str, layer: str | None) -> Self:
        """The maps of a method, at a layer or at all of its layers."""
        named = pick(self.written(method), self.methods, "method")
        at = [at for by, at in self.raw if by == named]
        kept = at if layer is None else [pick(self._put_out(layer), at, "layer")]
        keys = [(named, one) for one in kept]
        return dataclasses.replace(
            self,
            raw={key: self.raw[key] for key in keys},
            facts={named: self.facts[named]},
            gradient_free={key: self.gradient_free[key] for key in keys if key in self.gradient_free},
            spans={key: self.spans[key] for key in keys if key in self.spans},
            channels={one: channels for one, channels in self.channels.items() if one in kept},
        )

    def _of_images(self, some: Sequence[int]) -> Self:
        """The maps of some images, as a batch. One text alone loses its padding."""
        unpadded = some[0] if self.spans and len(some) == 1 else None

        def cut(rows: Array) -> Array:
            if len(some) == 1:
                return rows[some[0] : some[0] + 1]
            return array_namespace(rows).stack([rows[image] for image in some])

        def cut_maps(key: Key, maps: Array) -> Array:
            return cut(maps) if unpadded is None else cut(maps)[..., positions(self.spans.get(key), unpadded)]

        def cut_channels(channels: Channels) -> Channels:
            return Channels(*(cut(getattr(channels, f.name)) for f in dataclasses.fields(Channels)))

        return dataclasses.replace(
            self,
            raw={key: cut_maps(key, maps) for key, maps in self.raw.items()},
            input_size=self.input_size if unpadded is None else (len(self.text(unpadded)),),
            spans={} if unpadded is not None else {key: span[list(some)] for key, span in self.spans.items()},
            scores=cut(self.scores),
            logits=cut(self.logits),
            probabilities=None if self.probabilities is None else cut(self.probabilities),
            targets=tuple(self.targets[image] for image in some),
            provenance=_of_images(self.provenance, some),
            input_images=self.input_images.only(some),
            channels={layer: cut_channels(channels) for layer, channels in self.channels.items()},
            gradient_free={key: flags[list(some)] for key, flags in self.gradient_free.items()},
        )

    def __repr__(self) -> str:
        targets = ", ".join(target.label for target in self.targets[0][:3])
        more = f" and {len(self.targets[0]) - 3} more" if len(self.targets[0]) > 3 else ""
        what = self.noun
        return (
            f"{type(self).__name__}({len(self)} {what}{'s' if len(self) > 1 else ''}, methods {list(self.methods)}, "
            f"layers {list(self.layers)}, targets {targets}{more})"
        )

    def key(self, method: str | None = None, layer: str | None = None) -> Key:
        """The method and the layer that are meant.

        Args:
            method: may be left out if there is one.
            layer: may be left out if there is one, or if none was named in the call: then it is the first, which of a
                detector is the detection's own level.

        Raises:
            InputError: if a name is not among those explained, or is left out where there are several.
        """
        method = pick(self.written(method), self.methods, "method")
        at = [at for by, at in self.raw if by == method]
        automatic = self.provenance.get("layers", {}).get("chosen") == "automatic"
        return method, pick(at[0] if layer is None and automatic else self._put_out(layer), at, "layer")

    def _put_out(self, layer: str | None) -> str | None:
        """The layer whose output is meant by `layer4:input`, if that was explained."""
        inputs = self.provenance.get("layers", {}).get("inputs", {})
        return inputs.get(layer, layer) if isinstance(layer, str) else layer

    def written(self, method: str | None) -> str | None:
        """A method's name here, if it may be written in another way, such as `fuse(gradcam, mean)`."""
        if not isinstance(method, str) or method in self.methods:
            return method
        with contextlib.suppress(MethodError):  # a name that means nothing is refused where it is looked up
            return parse(method).name
        return method

    def signal(self, image: int = 0) -> Signal:
        """One signal: its values `channel time`, its rate, and where its times lie in the model's input.

        Raises:
            InputError: if the input is no signal.
        """
        return self.input_images.signal(self.number(image))

    def text(self, image: int = 0) -> Text:
        """The tokens and words of one text.

        Raises:
            InputError: if the input is no text.
        """
        if not self.input_images.texts:
            raise InputError("This input is no text, so it has no words; use heatmaps() or overlay().")
        return self.input_images.texts[self.number(image)]


def _of_images(provenance: Mapping[str, Any], some: Sequence[int]) -> Mapping[str, Any]:
    """The provenance of some images: what it holds for each image is cut to those."""
    if "labels" in provenance:
        provenance = {**provenance, "labels": [provenance["labels"][image] for image in some]}
    layers = provenance.get("layers", {})
    if "fpn_level_of_target" not in layers:
        return provenance
    levels = [layers["fpn_level_of_target"][image] for image in some]
    return {**provenance, "layers": {**layers, "fpn_level_of_target": levels}}


def pick(name: str | None, valid: Sequence[str], what: str) -> str:
    """The name, or the only valid one if none is given.

    Args:
        name: what was given; None if it was left out.
        valid: the names there are.
        what: what the names are of, for messages: `method` or `layer`.

    Raises:
        InputError: if the name is not valid, or is left out where there are several.
    """
    if name is None:
        if len(valid) == 1:
            return valid[0]
        raise InputError(f"Several {what}s were explained, so say which: {what}= one of {', '.join(valid)}.")
    if not isinstance(name, str):
        raise InputError(f"{what}={name!r}: expected the name of one {what}, of {', '.join(valid)}.")
    if name not in valid:
        raise InputError(
            f"The {what} {name!r} was not explained; {', '.join(valid)} was.{nearest(name, valid)}"
        )
    return name
