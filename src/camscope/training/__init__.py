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
    from camscope.training.inspecting import Inspection as Inspection
    from camscope.training.inspecting import inspect as inspect
    from camscope.training.labelled import LabelledImages as LabelledImages
    from camscope.training.performance import Performance as Performance
    from camscope.training.performance import assess as assess
    from camscope.training.reading_labels import read_labelled as read_labelled
    from camscope.training.splits import Split as Split
    from camscope.training.splits import split as split
    from camscope.training.statistics import measured as measured
    from camscope.training.summary import Summary as Summary
    from camscope.training.summary import summarise as summarise

_HOMES = {
    "camscope.training.augmenting": ("Augmentation",),
    "camscope.training.batching": ("Batch", "Batches"),
    "camscope.training.inspecting": ("Inspection", "inspect"),
    "camscope.training.labelled": ("LabelledImages",),
    "camscope.training.performance": ("Performance", "assess"),
    "camscope.training.reading_labels": ("read_labelled",),
    "camscope.training.splits": ("Split", "split"),
    "camscope.training.statistics": ("measured",),
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
