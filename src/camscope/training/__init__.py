"""Training an image classifier that is ready to be explained, and losses on its maps."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from camscope.training.gain import gain_extended_loss as gain_extended_loss
    from camscope.training.gain import gain_loss as gain_loss
    from camscope.training.map_losses import energy_loss as energy_loss
    from camscope.training.map_losses import outside_loss as outside_loss
    from camscope.training.planted_digits import Planted as Planted
    from camscope.training.planted_digits import planted as planted
    from camscope.training.rrr import rrr_loss as rrr_loss
    from camscope.training.step_maps import StepMaps as StepMaps
    from camscope.training.step_maps import cam as cam

_HOMES = {
    "camscope.training.gain": ("gain_extended_loss", "gain_loss"),
    "camscope.training.map_losses": ("energy_loss", "outside_loss"),
    "camscope.training.planted_digits": ("Planted", "planted"),
    "camscope.training.rrr": ("rrr_loss",),
    "camscope.training.step_maps": ("StepMaps", "cam"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(importlib.import_module(_HOME_OF[name]), name)
    raise AttributeError(f"module 'camscope.training' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
