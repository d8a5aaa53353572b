"""Collects maps, which come in layer by layer and for a few targets at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from array_api_compat import array_namespace
from jaxtyping import Bool, Int

from camscope.arrays import Array, to_numpy
from camscope.composition import Expression
from camscope.evidence import Evidence, Need
from camscope.methods.gradient import channel_contributions
from camscope.results.map_data import Channels


class Gathered:
    """The maps (and strongest channels) that have come in so far.

    Args:
        look_at: the names of the layers of which it is kept how far the targets' gradients reach.
    """

    def __init__(self, look_at: frozenset[str] = frozenset()) -> None:
        self._look_at = look_at
        self._extents: dict[str, dict[Expression, list[Int[np.ndarray, "batch target axis"]]]] = {}
        self._maps: dict[Expression, dict[str, list[Array]]] = {}
        self._gradient_free: dict[tuple[Expression, str], list[Bool[np.ndarray, "batch target"]]] = {}
        self._channels: dict[str, list[Channels]] = {}

    def has(self, e: Expression, layer: str) -> bool:
        """Whether there is any map of the expression at the layer yet."""
        return layer in self._maps.get(e, {})

    def add(self, e: Expression, layer: str, maps: Array, evidence: Evidence | None) -> None:
        """Keep maps, and for a gradient method also which of them are zero because the gradient is.

        Args:
            e: the expression they are of.
            layer: the name of the layer.
            maps: the maps of a few targets, `batch target_or_1 *space`.
            evidence: the evidence they were made from; None for maps of the whole model.
        """
        self._maps.setdefault(e, {}).setdefault(layer, []).append(maps)
        if layer in self._look_at and evidence is not None and evidence.gradients is not None:
            self._extents.setdefault(layer, {}).setdefault(e, []).append(_extents(evidence.gradients))
        if Need.GRADIENTS in e.method.needs and evidence is not None:
            xp = array_namespace(maps)
            axes = tuple(range(2, maps.ndim))
            blank = to_numpy(xp.all(maps == 0, axis=axes))
            if blank.any():
                # a map can be zero although the gradient is not; that is not the gradient's fault
                gradients = evidence.gradients
                if gradients is None:
                    assert evidence.directions is not None
                    gradients = evidence.directions.means()
                blank = blank & to_numpy(xp.all(gradients == 0, axis=tuple(range(2, gradients.ndim))))
            self._gradient_free.setdefault((e, layer), []).append(blank)

    def add_channels(self, layer: str, evidence: Evidence, count: int) -> None:
        """Keep the channels that contribute most to each target.

        Args:
            layer: the name of the layer.
            evidence: the layer's activations and gradients, or directional derivatives, for a few targets.
            count: how many channels to keep for each target.
        """
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

    def maps(self) -> dict[Expression, dict[str, Array]]:
        """The maps of all targets, `batch target_or_1 *space`, by expression and layer."""
        return {
            e: {layer: _of_all_targets(pieces) for layer, pieces in by_layer.items()}
            for e, by_layer in self._maps.items()
        }

    def gradient_free(self, e: Expression) -> Mapping[str, Bool[np.ndarray, "batch target"]]:
        """Which of the expression's maps are zero because the gradient is, by layer."""
        return {
            layer: np.concatenate(flags, axis=1)
            for (of, layer), flags in self._gradient_free.items()
            if of == e
        }

    def extents(self) -> Mapping[str, Int[np.ndarray, "batch target axis"]]:
        """How many positions along each axis the score of each target depends on, by layer; of one method there."""
        return {
            layer: np.concatenate(next(iter(by_method.values())), axis=1)
            for layer, by_method in self._extents.items()
        }

    def channels(self) -> Mapping[str, Channels]:
        """The strongest channels of all targets, by layer."""
        return {
            layer: Channels(
                **{
                    f.name: _of_all_targets([getattr(piece, f.name) for piece in pieces])
                    for f in dataclasses.fields(Channels)
                }
            )
            for layer, pieces in self._channels.items()
        }


def _extents(gradients: Array) -> Int[np.ndarray, "batch target axis"]:
    """From the first to the last position along each axis at which a target's gradient is not zero.

    Args:
        gradients: `batch target channel *space`.
    """
    xp = array_namespace(gradients)
    hit = to_numpy(xp.any(gradients != 0, axis=2))
    widths = []
    for axis in range(2, hit.ndim):
        along = np.asarray(hit.any(axis=tuple(other for other in range(2, hit.ndim) if other != axis)))
        first, last = along.argmax(axis=2), along.shape[2] - along[..., ::-1].argmax(axis=2)
        widths.append(np.where(along.any(axis=2), last - first, 0))
    return np.stack(widths, axis=2)


def _of_all_targets(pieces: Sequence[Array]) -> Array:
    """One array from several that are each of a few targets."""
    return pieces[0] if len(pieces) == 1 else array_namespace(pieces[0]).concat(pieces, axis=1)
