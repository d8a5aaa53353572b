"""What one asks of a result: raw maps, heatmaps, masks, boxes, words, statuses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from array_api_compat import array_namespace
from jaxtyping import Bool, Float

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
from camscope.inputs import InputImage
from camscope.keywords import keywords
from camscope.results.map_data import Key, MapData
from camscope.results.spans import positions, token_by_token
from camscope.results.status import Status, ends_of, statuses_of
from camscope.signals import SignalGeometry
from camscope.targets import class_name


@dataclass(frozen=True, eq=False, repr=False)
class Maps(MapData):
    """The maps of a batch (see `camscope.results.map_data.MapData`), at the size one asks for and in words."""

    @keywords("e.maps({})")
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

    @keywords("e.heatmaps({})")
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

    @keywords("e.photo_heatmaps({})")
    def photo_heatmaps(
        self,
        image: int = 0,
        method: str | None = None,
        layer: str | None = None,
        *,
        scale: Scale = "map",
        rectify: bool | None = None,
        order: int = 1,
    ) -> Float[np.ndarray, " target *space"]:
        """Heatmaps of one image on its photo as the person has it: resize and crop undone, NaN outside the crop.

        Of a sound they are along its own samples, NaN behind what the model hears: padding, cutting and another
        sampling rate are undone.

        Args:
            image: the number of the image in the batch.
            method: may be left out if there is one.
            layer: may be left out if there is one.
            scale: see `heatmaps`.
            rectify: see `heatmaps`.
            order: see `heatmaps`.

        Raises:
            InputError: if the input is neither picture nor signal, a name is not among those explained, or an option is
                not valid.
        """
        image, key = self.number(image), self.key(method, layer)
        g = self.input_images.geometry(image)
        maps = self.raw[key] if scale == "batch" else self.raw[key][image : image + 1]
        # on the host: a map is small, and at the size of a photo it is large
        shown = self._displayed(key, to_numpy(maps), rectify, scale)
        reach = g.reach if isinstance(g, SignalGeometry) else None
        placed = place(shown, g.photo_size, g.scale, g.offset, g.input_size, order, reach)
        return np.asarray(scaled(placed, scale)[image if scale == "batch" else 0])

    @keywords("e.masks({})")
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

    @keywords("e.boxes({})")
    def boxes(
        self,
        method: str | None = None,
        layer: str | None = None,
        *,
        threshold: float = 0.2,
        components: Components = "largest",
        on_photo: bool = False,
    ) -> list[list[list[Box]]]:
        """Bounding boxes (x0, y0, x1, y1) of the masks' components, by image and target, largest first.

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

    @keywords("e.top({})")
    def top(self, k: int = 5, *, image: int = 0) -> list[tuple[int, str, float, float | None]]:
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
        """The probability of a target's class or instance; None for a callable or a regression."""
        index = self.targets[image][target].index
        if index is None:
            return self.targets[image][target].probability
        if self.probabilities is None:
            return None
        return float(self.probabilities[image, index])

    # ------------------------------------------------------------------ words

    @keywords("e.tokens({})")
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

    @keywords("e.words({})")
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

    @keywords("e.token_evidence({})")
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
