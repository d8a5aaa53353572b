"""Maps as they come in, layer by layer and a few targets at a time, until they are whole."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from array_api_compat import array_namespace
from jaxtyping import Bool

from camscope.arrays import Array, to_numpy
from camscope.composition import Expression
from camscope.evidence import Evidence, Need
from camscope.methods.gradient import channel_contributions
from camscope.results.maps import Channels


class Gathered:
    """What the methods made of the evidence so far."""

    def __init__(self) -> None:
        self._maps: dict[Expression, dict[str, list[Array]]] = {}
        self._gradient_free: dict[tuple[Expression, str], list[Bool[np.ndarray, "batch target"]]] = {}
        self._channels: dict[str, list[Channels]] = {}

    def has(self, e: Expression, layer: str) -> bool:
        """Whether there is any map of the expression at the layer yet."""
        return layer in self._maps.get(e, {})

    def add(self, e: Expression, layer: str, maps: Array, evidence: Evidence | None) -> None:
        """Keep maps; for a gradient method also which of them are zero because the gradient is.

        Args:
            e: the expression they are of.
            layer: the name of the layer.
            maps: of a few targets.
            evidence: what they were made of; None for a map of the whole model.
        """
        self._maps.setdefault(e, {}).setdefault(layer, []).append(maps)
        if Need.GRADIENTS in e.method.needs and evidence is not None:
            xp = array_namespace(maps)
            axes = tuple(range(2, maps.ndim))
            blank = to_numpy(xp.all(maps == 0, axis=axes))
            if blank.any():
                # a zero map is only the gradient's fault if the gradient is zero
                gradients = evidence.gradients
                assert gradients is not None
                blank = blank & to_numpy(xp.all(gradients == 0, axis=tuple(range(2, gradients.ndim))))
            self._gradient_free.setdefault((e, layer), []).append(blank)

    def add_channels(self, layer: str, evidence: Evidence, count: int) -> None:
        """Keep the `count` channels that contribute most to each target."""
        xp = array_namespace(evidence.activations)
        weights, contributions = channel_contributions(evidence)
        order = xp.argsort(contributions, axis=2, descending=True)[:, :, :count]
        A = evidence.activations
        flat = xp.reshape(A, (A.shape[0], 1, A.shape[1], -1))
        index = xp.broadcast_to(order[..., None], (*order.shape, flat.shape[-1]))
        wide = xp.broadcast_to(flat, (A.shape[0], order.shape[1], *flat.shape[2:]))
        taken = xp.reshape(xp.take_along_axis(wide, index, axis=2), (*order.shape, *A.shape[2:]))
        self._channels.setdefault(layer, []).append(
            Channels(
                order,
                xp.take_along_axis(weights, order, axis=2),
                xp.take_along_axis(contributions, order, axis=2),
                taken,
            )
        )

    def joined(self) -> dict[Expression, dict[str, Array]]:
        """All maps, `batch target_or_1 *space`."""
        return {
            e: {layer: _joined(pieces) for layer, pieces in by_layer.items()}
            for e, by_layer in self._maps.items()
        }

    def gradient_free(self, e: Expression) -> Mapping[str, Bool[np.ndarray, "batch target"]]:
        """By layer: which of the expression's maps are zero because the gradient is."""
        return {
            layer: np.concatenate(flags, axis=1)
            for (of, layer), flags in self._gradient_free.items()
            if of == e
        }

    def channels_joined(self) -> Mapping[str, Channels]:
        """The strongest channels by layer."""

        def join(pieces: Sequence[Channels], name: str) -> Array:
            arrays = [getattr(piece, name) for piece in pieces]
            return array_namespace(arrays[0]).concat(arrays, axis=1)

        return {
            layer: Channels(**{f.name: join(pieces, f.name) for f in dataclasses.fields(Channels)})
            for layer, pieces in self._channels.items()
        }


def _joined(pieces: Sequence[Array]) -> Array:
    return pieces[0] if len(pieces) == 1 else array_namespace(pieces[0]).concat(pieces, axis=1)
