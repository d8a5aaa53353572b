"""What an imputer is: it fills the pixels that a mask removes, and leaves all others as they are, bit for bit."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from array_api_compat import array_namespace, device
from jaxtyping import Bool, Float, Shaped

from camscope.arrays import Array
from camscope.errors import InputError


@runtime_checkable
class Imputer(Protocol):
    """Fills what is removed of inputs. It draws the same whatever else is in the batch."""

    def __call__(
        self, x: Float[Array, "batch_or_1 channel *space"], removed: Bool[np.ndarray, " batch *space"]
    ) -> Float[Array, "batch channel *space"]:
        """The inputs with the removed pixels filled, in all channels.

        Args:
            x: the inputs, as the model gets them; or one input for all masks.
            removed: True where a pixel is removed.

        Raises:
            InputError: if the masks do not fit the inputs.
        """
        ...


def check_imputer(given: Any) -> None:
    """Refuse what is no imputer.

    Raises:
        InputError: saying what there is.
    """
    if not callable(given) or isinstance(given, type):
        raise InputError(
            f"imputer={given!r}: expected an imputer, such as metrics.Blur(), Mean(), Noise(), Neighbours() or "
            "Constant(0.0)."
        )


def is_presence(x: Shaped[Array, " ..."]) -> bool:
    """Whether an input says what is there, as a text does of its tokens: booleans, between which nothing lies."""
    return "bool" in str(x.dtype)


def imputed(
    imputer: Imputer,
    x: Shaped[Array, "batch_or_1 channel *space"],
    removed: Bool[np.ndarray, " batch *space"],
) -> Shaped[Array, "batch channel *space"]:
    """The inputs with what is removed filled; of what is there or not it is gone, whatever the imputer.

    Args:
        imputer: fills pixels.
        x: the inputs; or booleans, True where something is there.
        removed: True where it is removed.

    Raises:
        InputError: if it is no imputer.
    """
    check_imputer(imputer)
    if is_presence(x):
        return np.asarray(x) & ~removed[:, None]
    return imputer(x, removed)


def check_removed(
    x: Float[Array, "batch_or_1 channel *space"], removed: Bool[np.ndarray, " batch *space"]
) -> None:
    """Refuse masks that do not fit the inputs.

    Raises:
        InputError: saying what was given and what fits.
    """
    dtype = str(getattr(removed, "dtype", type(removed).__name__))
    if "bool" not in dtype:
        raise InputError(
            f"The mask of removed pixels holds {dtype}: expected booleans, True where a pixel is removed."
        )
    fits = removed.ndim == x.ndim - 1 and tuple(removed.shape[1:]) == tuple(x.shape[2:])
    if x.ndim < 3 or not fits or x.shape[0] not in (1, removed.shape[0]):
        raise InputError(
            f"Masks of shape {tuple(removed.shape)} for inputs of shape {tuple(x.shape)}: expected batch channel "
            "*space for the inputs, and batch *space for the masks, of one size and number (or one input for all)."
        )


def put(
    filling: Float[Array, " ..."],
    x: Float[Array, "batch_or_1 channel *space"],
    removed: Bool[np.ndarray, " batch *space"],
) -> Float[Array, "batch channel *space"]:
    """The filling where pixels are removed, the inputs everywhere else.

    Args:
        filling: of the inputs' library, type and device; its axes are theirs, or of size 1.
        x: the inputs.
        removed: True where a pixel is removed.
    """
    xp = array_namespace(x)
    return xp.where(xp.asarray(removed, device=device(x))[:, None], filling, x)
