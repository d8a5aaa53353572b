"""Texts among the inputs that are altered: their tokens are there or not, and only those of words can go."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from camscope.arrays import Array, resize
from camscope.errors import InputError
from camscope.evidence import Variants
from camscope.imputing import is_presence


@dataclass(frozen=True, eq=False)
class Places:
    """The places of one input that can be altered: every pixel, or the tokens of a text's words.

    Attributes:
        x: the input at these places.
        at: the numbers of the tokens; None of what is no text.
        width: how many tokens the batch has in a row.
    """

    x: Shaped[Array, "1 channel *size"]
    at: Int[np.ndarray, " place"] | None = None
    width: int = 0

    def of_map(self, one: Float[np.ndarray, "*space"]) -> Float[np.ndarray, "*places"]:
        """A map at these places.

        Args:
            one: the map; of a text it has a value for each token, or is stretched over a text that is alone in its row.

        Raises:
            InputError: if it cannot be told which of its values belong to which token.
        """
        if self.at is None:
            return one
        if one.size != self.width:
            if self.at[0] > 1 or self.at[-1] < self.width - 2:
                raise InputError(
                    f"This map has {one.size} values for {self.width} tokens of a batch of texts of several lengths: "
                    "give one text at a time, or explain a layer that has a position for each token."
                )
            one = np.asarray(resize(one[None, None], (self.width,))[0, 0])
        there: np.ndarray = one[self.at]
        return there

    def whole(self, variants: Variants) -> Variants:
        """Altered inputs from what they are at these places.

        Args:
            variants: makes these.
        """
        if self.at is None:
            return variants
        at, width = self.at, self.width

        def spread(some: Int[np.ndarray, " chunk"]) -> Bool[np.ndarray, "chunk 1 token"]:
            left = np.asarray(variants(some), bool)
            out = np.zeros((len(left), 1, width), bool)
            out[:, :, at] = left
            return out

        return spread


def places_of(x: Shaped[Array, "1 channel *size"]) -> Places:
    """The places of one input that can be altered.

    Args:
        x: the input.
    """
    if not is_presence(x):
        return Places(x)
    at = np.flatnonzero(np.asarray(x)[0, 0])
    return Places(np.ones((1, 1, len(at)), bool), at, int(x.shape[2]))
