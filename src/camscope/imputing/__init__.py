"""What is put in place of removed pixels: a constant, the mean, noise, a blurred copy, or what the neighbours say."""

from camscope.imputing.imputer import (
    Imputer,
    check_imputer,
    check_removed,
    imputed,
    is_presence,
    put,
)
from camscope.imputing.neighbours import Neighbours
from camscope.imputing.plain_imputers import Blur, Constant, Mean, Noise
from camscope.imputing.removed_cells import pixels_of_cells

__all__ = [
    "Blur",
    "Constant",
    "Imputer",
    "Mean",
    "Neighbours",
    "Noise",
    "check_imputer",
    "check_removed",
    "imputed",
    "is_presence",
    "pixels_of_cells",
    "put",
]
