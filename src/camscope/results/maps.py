"""The data of a result, and what one asks of it: raw signed maps, heatmaps, masks, boxes, words, statuses."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self, TypeAlias

import numpy as np
from array_api_compat import array_namespace
from jaxtyping import Bool, Float, Int

from camscope.arrays import (
    Array,
    Box,
    Components,
    Scale,
    boxes_of,
    mask_of,
    place,
    relu,
    resize,
    scaled,
    to_numpy,
)
from camscope.composition import parse
from camscope.errors import InputError, MethodError, nearest
from camscope.inputs import InputImage, InputImages
from camscope.results.spans import Span, positions, token_by_token
from camscope.results.status import Status, ends_of, statuses_of
from camscope.targets import TargetInfo, class_name, short_names, titles
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
class Maps:
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
        input_images: what a person looks at: the pictures, or the texts.
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
    def of_texts(self) -> bool:
        """Whether the inputs are texts; otherwise they are pictures, or tensors of anything else."""
        return bool(self.input_images.texts)

    @property
    def untrained(self) -> bool:
        """Whether the model's weights are known to be random, so that the maps say nothing of any input."""
        return bool(self.provenance.get("untrained"))

    @property
    def noun(self) -> str:
        """What one of the inputs is called."""
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

    def number(self, image: int) -> int:
        """The number of an image, from 0; a negative one counts from the end.

        Raises:
            TypeError: if it is no number.
            IndexError: if the batch has no such image.
        """
        if not isinstance(image, (int, np.integer)):
            raise TypeError(
                f"{image!r} is no {self.noun}'s number. One {self.noun} at a time is taken: e[0], e[-1]."
            )
        if not -len(self) <= image < len(self):
            raise IndexError(f"There is no {self.noun} {image}: the batch has {len(self)}.")
        return int(image) % len(self)

    def __getitem__(self, image: int) -> Self:
        """The maps of one image, as a batch of one."""
        image = self.number(image)
        here = slice(image, image + 1)

        def cut(channels: Channels) -> Channels:
            fields = {f.name: getattr(channels, f.name)[here] for f in dataclasses.fields(Channels)}
            return Channels(**fields)

        return dataclasses.replace(
            self,
            raw={
                key: maps[here, ..., positions(self.spans.get(key), image)] for key, maps in self.raw.items()
            },
            # where texts have several lengths, one text alone has no padding
            input_size=(len(self.text(image)),) if self.spans else self.input_size,
            spans={},
            scores=self.scores[here],
            logits=self.logits[here],
            probabilities=None if self.probabilities is None else self.probabilities[here],
            targets=self.targets[here],
            provenance=_of_image(self.provenance, image),
            input_images=self.input_images.only(image),
            channels={layer: cut(channels) for layer, channels in self.channels.items()},
            gradient_free={key: flags[here] for key, flags in self.gradient_free.items()},
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
            layer: may be left out if there is one.

        Raises:
            InputError: if a name is not among those explained, or is left out where there are several.
        """
        method = pick(self.written(method), self.methods, "method")
        return method, pick(layer, [at for by, at in self.raw if by == method], "layer")

    def written(self, method: str | None) -> str | None:
        """A method's name here, if it may be written in another way, such as `fuse(gradcam, mean)`."""
        if method is None or method in self.methods:
            return method
        with contextlib.suppress(MethodError):  # a name that means nothing is refused where it is looked up
            return parse(method).name
        return method

    # ------------------------------------------------------------------ maps

    def maps(
        self, method: str | None = None, layer: str | None = None
    ) -> Float[Array, "batch target *space"]:
        """The raw signed maps at layer resolution, on the model's device.

        Args:
            method: may be left out if there is one.
            layer: may be left out if there is one.

        Raises:
            InputError: if a name is not among those explained, or is left out where there are several.
        """
        return self.raw[self.key(method, layer)]

    def heatmaps(
        self,
        method: str | None = None,
        layer: str | None = None,
        *,
        scale: Scale = "map",
        rectify: bool | None = None,
        order: int = 1,
    ) -> Float[Array, "batch target *input_size"]:
        """Heatmaps in [0, 1] at the size of the model's input.

        The raw maps are rectified (if the method says so), resized (half-pixel) and then scaled.

        Args:
            method: may be left out if there is one.
            layer: may be left out if there is one.
            scale: `map`, `image`, `batch`, `signed` or (low, high); see `camscope.arrays.normalise.Scale`.
            rectify: whether evidence against is set to zero; None does what the method says. CAM's paper, for one,
                shows the signed map: `rectify=False`.
            order: of the spline through the cells of the map: 0 keeps the cells as squares, 1 is linear, 2 to 5 are
                smoother, and clipped to the range of the map where they overshoot it.

        Raises:
            InputError: if it is not a scale or an order, or a name is not among those explained.
        """
        key = self.key(method, layer)
        maps = self._displayed(key, self.raw[key], rectify, scale)
        if key not in self.spans:
            return scaled(resize(maps, self.input_size, order), scale)
        texts = self.input_images.texts
        heat = scaled(token_by_token(maps, self.spans[key], texts, self.input_size[0], order), scale)
        xp = array_namespace(heat)
        return xp.where(xp.isnan(heat), 0.5 if scale == "signed" else 0.0, heat)

    def photo_heatmaps(
        self,
        image: int = 0,
        method: str | None = None,
        layer: str | None = None,
        *,
        scale: Scale = "map",
        rectify: bool | None = None,
        order: int = 1,
    ) -> Float[np.ndarray, "target height width"]:
        """Heatmaps of one image on its photo as the person has it: resize and crop undone, NaN outside the crop.

        Args:
            image: the number of the image in the batch.
            method: may be left out if there is one.
            layer: may be left out if there is one.
            scale: see `heatmaps`.
            rectify: see `heatmaps`.
            order: see `heatmaps`.

        Raises:
            InputError: if the input is not a picture, it is not a scale or an order, or a name is not among those explained.
        """
        image, key = self.number(image), self.key(method, layer)
        g = self.input_images[image].geometry
        maps = self.raw[key] if scale == "batch" else self.raw[key][image : image + 1]
        shown = self._displayed(key, maps, rectify, scale)
        placed = place(shown, g.photo_size, g.scale, g.offset, g.input_size, order)
        heat = to_numpy(scaled(placed, scale))
        return np.asarray(heat[image if scale == "batch" else 0])

    def masks(
        self,
        method: str | None = None,
        layer: str | None = None,
        *,
        threshold: float = 0.2,
        components: Components = "all",
        on_photo: bool = False,
    ) -> list[list[Bool[np.ndarray, "*space"]]]:
        """Where each heatmap is at least `threshold` of its maximum, by image and target.

        Args:
            method: may be left out if there is one.
            layer: may be left out if there is one.
            threshold: share of the map's own maximum (20 % in Zhou et al., CVPR 2016).
            components: `all`, or only the `largest` connected one.
            on_photo: whether masks are at the photo's size, and not at the size of the model's input.

        Raises:
            InputError: if an option is not valid, or a name is not among those explained.
        """
        if on_photo:
            heat = [self.photo_heatmaps(i, method, layer) for i in range(len(self))]
        else:
            heat = list(to_numpy(self.heatmaps(method, layer)))
        return [[mask_of(h, threshold, components) for h in targets] for targets in heat]

    def boxes(
        self,
        method: str | None = None,
        layer: str | None = None,
        *,
        threshold: float = 0.2,
        components: Components = "largest",
        on_photo: bool = False,
    ) -> list[list[list[Box]]]:
        """Bounding boxes (top, left, bottom, right) of the masks' components, by image and target, largest first.

        Args:
            method: may be left out if there is one.
            layer: may be left out if there is one.
            threshold: see `masks`.
            components: see `masks`.
            on_photo: see `masks`; boxes are in pixels of the photo then, else of the model's input.

        Raises:
            InputError: see `masks`.
        """
        masks = self.masks(method, layer, threshold=threshold, components=components, on_photo=on_photo)
        return [[boxes_of(mask) for mask in targets] for targets in masks]

    @cached_property
    def status(self) -> Mapping[Key, tuple[tuple[Status, ...], ...]]:
        """The status of every map, by (method, layer): image and target."""
        return {key: self._statuses(key, to_numpy(maps)) for key, maps in self.raw.items()}

    @property
    def ranges(self) -> Mapping[Key, Float[np.ndarray, "batch target 2"]]:
        """Lowest and highest raw value of every map, by (method, layer)."""

        def ends(key: Key, maps: np.ndarray) -> Float[np.ndarray, "batch target 2"]:
            own = (maps[b, ..., positions(self.spans.get(key), b)] for b in range(len(self)))
            return np.stack([ends_of(of_image) for of_image in own])

        return {key: ends(key, to_numpy(maps)) for key, maps in self.raw.items()}

    def top(self, k: int = 5, image: int = 0) -> list[tuple[int, str, float, float | None]]:
        """The k classes with the highest scores: index, name, logit, probability (None for a regression)."""
        logits = to_numpy(self.logits)[image]
        probabilities = None if self.probabilities is None else to_numpy(self.probabilities)[image]
        order = np.argsort(-logits, kind="stable")[:k]
        return [
            (
                int(i),
                class_name(int(i), self.class_names),
                float(logits[i]),
                None if probabilities is None else float(probabilities[i]),
            )
            for i in order
        ]

    def probability(self, image: int, target: int) -> float | None:
        """The probability of a target's class; None for a callable or a regression."""
        index = self.targets[image][target].index
        if index is None or self.probabilities is None:
            return None
        return float(self.probabilities[image, index])

    # ------------------------------------------------------------------ words

    def tokens(
        self, image: int = 0, method: str | None = None, layer: str | None = None, *, target: int = 0
    ) -> list[tuple[str, float]]:
        """The tokens of a text and the raw, signed evidence in each, special ones (`[CLS]`) included.

        Args:
            image: the number of the text in the batch.
            method: may be left out if there is one.
            layer: may be left out if there is one.
            target: the number of the target.

        Raises:
            InputError: if the input is no text, or a name is not among those explained.
        """
        text = self.text(image)
        values = self.token_evidence(image, method, layer)[target]
        return list(zip(text.tokens, values.tolist(), strict=True))

    def words(
        self, image: int = 0, method: str | None = None, layer: str | None = None, *, target: int = 0
    ) -> list[tuple[str, float]]:
        """The words of a text and the raw, signed evidence in each: above zero for the target, below against it.

        A word's evidence is the sum over its tokens, since evidence adds up. Special tokens (`[CLS]`, `</s>`) are no
        words; `tokens()` has them.

            for word, evidence in e.words(target=1): ...

        Args:
            image: the number of the text in the batch.
            method: may be left out if there is one.
            layer: may be left out if there is one.
            target: the number of the target.

        Raises:
            InputError: if the input is no text, or a name is not among those explained.
        """
        text = self.text(image)
        values = text.of_words(self.token_evidence(image, method, layer)[target])
        return [(word.text, value) for word, value in zip(text.words, values.tolist(), strict=True)]

    def text(self, image: int = 0) -> Text:
        """The tokens and words of one text.

        Raises:
            InputError: if the input is no text.
        """
        if not self.input_images.texts:
            raise InputError("This input is no text, so it has no words; use heatmaps() or overlay().")
        return self.input_images.texts[self.number(image)]

    def token_evidence(
        self, image: int = 0, method: str | None = None, layer: str | None = None
    ) -> Float[np.ndarray, "target token"]:
        """The raw signed maps of one text at its tokens, interpolated where the layer has fewer positions.

        Args:
            image: the number of the text in the batch.
            method: may be left out if there is one.
            layer: may be left out if there is one.

        Raises:
            InputError: if a name is not among those explained, or is left out where there are several.
        """
        key = self.key(method, layer)
        alone = self[image]
        return np.asarray(to_numpy(resize(alone.raw[key], alone.input_size))[0])

    def input_image(self, image: int = 0) -> InputImage:
        """The picture of one image, and how it maps to the model's input.

        Raises:
            InputError: if the input is no picture.
        """
        return self.input_images[self.number(image)]

    # ------------------------------------------------------------------ inside

    def _displayed(
        self, key: Key, maps: Float[Array, "batch target *space"], rectify: bool | None, scale: Scale
    ) -> Float[Array, "batch target *space"]:
        """Maps ready to be resized: NaN and infinity are set to zero, and the formula's final ReLU is applied."""
        xp = array_namespace(maps)
        if not bool(xp.all(xp.isfinite(maps))):
            maps = xp.where(xp.isfinite(maps), maps, xp.zeros_like(maps))
        wants = self.facts[key[0]].rectified if rectify is None else rectify
        return relu(maps) if wants and scale != "signed" else maps

    def _statuses(self, key: Key, maps: np.ndarray) -> tuple[tuple[Status, ...], ...]:
        """The statuses of all maps of a method at a layer, by image and target."""
        free = self.gradient_free.get(key, np.zeros(maps.shape[:2], dtype=bool))
        rectified = self.facts[key[0]].rectified
        return tuple(
            statuses_of(maps[b, ..., positions(self.spans.get(key), b)], free[b], rectified=rectified)
            for b in range(len(self))
        )


def _of_image(provenance: Mapping[str, Any], image: int) -> Mapping[str, Any]:
    """The provenance of one image alone: what it holds for each image is cut to that one."""
    layers = provenance.get("layers", {})
    if "fpn_level_of_target" not in layers:
        return provenance
    levels = layers["fpn_level_of_target"][image : image + 1]
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
    if name not in valid:
        raise InputError(
            f"The {what} {name!r} was not explained; {', '.join(valid)} was.{nearest(name, valid)}"
        )
    return name
