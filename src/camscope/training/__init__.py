"""Training an image classifier that is ready to be explained, and losses on its maps.

Importing this room imports no framework: every name is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from camscope.errors import MissingExtraError

if TYPE_CHECKING:
    from camscope.training.augmenting import Augmentation as Augmentation
    from camscope.training.batching import Batch as Batch
    from camscope.training.batching import Batches as Batches
    from camscope.training.carrying_out import Run as Run
    from camscope.training.finding_rate import FoundRate as FoundRate
    from camscope.training.finding_rate import find_learning_rate as find_learning_rate
    from camscope.training.fit_classifier import fit as fit
    from camscope.training.gain import gain_extended_loss as gain_extended_loss
    from camscope.training.gain import gain_loss as gain_loss
    from camscope.training.inspecting import Inspection as Inspection
    from camscope.training.inspecting import inspect as inspect
    from camscope.training.labelled import LabelledImages as LabelledImages
    from camscope.training.map_losses import energy_loss as energy_loss
    from camscope.training.map_losses import outside_loss as outside_loss
    from camscope.training.performance import Performance as Performance
    from camscope.training.performance import assess as assess
    from camscope.training.planted_digits import Planted as Planted
    from camscope.training.planted_digits import planted as planted
    from camscope.training.progress import Now as Now
    from camscope.training.progress import Reporter as Reporter
    from camscope.training.progress import Row as Row
    from camscope.training.reading_labels import read_labelled as read_labelled
    from camscope.training.rrr import rrr_loss as rrr_loss
    from camscope.training.splits import Split as Split
    from camscope.training.splits import split as split
    from camscope.training.statistics import measured as measured
    from camscope.training.step_maps import StepMaps as StepMaps
    from camscope.training.step_maps import cam as cam
    from camscope.training.summary import Summary as Summary
    from camscope.training.summary import summarise as summarise

_HOMES = {
    "camscope.training.augmenting": ("Augmentation",),
    "camscope.training.batching": ("Batch", "Batches"),
    "camscope.training.carrying_out": ("Run",),
    "camscope.training.finding_rate": ("FoundRate", "find_learning_rate"),
    "camscope.training.fit_classifier": ("fit",),
    "camscope.training.gain": ("gain_extended_loss", "gain_loss"),
    "camscope.training.inspecting": ("Inspection", "inspect"),
    "camscope.training.labelled": ("LabelledImages",),
    "camscope.training.map_losses": ("energy_loss", "outside_loss"),
    "camscope.training.performance": ("Performance", "assess"),
    "camscope.training.planted_digits": ("Planted", "planted"),
    "camscope.training.progress": ("Now", "Reporter", "Row"),
    "camscope.training.reading_labels": ("read_labelled",),
    "camscope.training.rrr": ("rrr_loss",),
    "camscope.training.splits": ("Split", "split"),
    "camscope.training.statistics": ("measured",),
    "camscope.training.step_maps": ("StepMaps", "cam"),
    "camscope.training.summary": ("Summary", "summarise"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'camscope.training' has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(_HOME_OF[name]), name)
    except ModuleNotFoundError as error:
        raise MissingExtraError("training", "train") from error


def __dir__() -> list[str]:
    return __all__
