"""Maps as they come in, layer by layer and a few targets at a time, until they are whole."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from array_api_compat import array_namespace
from jaxtyping import Bool

from camscope.arrays import Array
from camscope.evidence import Evidence, Need
from camscope.explanation import Channels, Key, to_numpy
from camscope.methods import Method, channel_contributions


class Gathered:
    """What the methods made of the evidence so far."""

    def __init__(self) -> None:
        self.maps: dict[Key, list[Array]] = {}
        self.gradient_free: dict[Key, list[Bool[np.ndarray, "batch target"]]] = {}
        self._channels: dict[str, list[Channels]] = {}

    def add(self, m: Method, layer: str, maps: Array, evidence: Evidence) -> None:
        """Keep maps; for a gradient method also which of them are zero because the gradient is."""
        key = (m.name, layer)
        self.maps.setdefault(key, []).append(maps)
        if Need.GRADIENTS in m.needs:
            xp = array_namespace(maps)
            axes = tuple(range(2, maps.ndim))
            blank = to_numpy(xp.all(maps == 0, axis=axes))
            if blank.any():
                # a zero map is only the gradient's fault if the gradient is zero
                gradients = evidence.gradients
                assert gradients is not None
                blank = blank & to_numpy(xp.all(gradients == 0, axis=tuple(range(2, gradients.ndim))))
            self.gradient_free.setdefault(key, []).append(blank)

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

    def joined(self, wanted: Sequence[Method], layers: Sequence[str], targets: int) -> Mapping[Key, Array]:
        """All maps, `batch target *space`, methods in the order asked for."""
        joined = {}
        for m in wanted:
            for layer in layers:
                pieces = self.maps[m.name, layer]
                xp = array_namespace(pieces[0])
                maps = pieces[0] if len(pieces) == 1 else xp.concat(pieces, axis=1)
                if maps.shape[1] != targets:  # the same for every target
                    maps = xp.broadcast_to(maps, (maps.shape[0], targets, *maps.shape[2:]))
                joined[m.name, layer] = maps
        return joined

    def gradient_free_joined(self) -> Mapping[Key, Bool[np.ndarray, "batch target"]]:
        """Which maps are zero because the gradient is."""
        return {key: np.concatenate(flags, axis=1) for key, flags in self.gradient_free.items()}

    def channels_joined(self) -> Mapping[str, Channels]:
        """The strongest channels by layer."""

        def join(pieces: Sequence[Channels], name: str) -> Array:
            arrays = [getattr(piece, name) for piece in pieces]
            return array_namespace(arrays[0]).concat(arrays, axis=1)

        return {
            layer: Channels(**{f.name: join(pieces, f.name) for f in dataclasses.fields(Channels)})
            for layer, pieces in self._channels.items()
        }
