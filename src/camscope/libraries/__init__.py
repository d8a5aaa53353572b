"""What is special to one library of models, one file each, importable without the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from camscope.images import Preprocessing


@dataclass(frozen=True)
class Known:
    """What a library says of one of its models.

    Attributes:
        preprocessing: how its photos are prepared, or None if that is not known.
        class_names: one per output, or None.
        name: what the library calls the model.
        note: what had to be presumed; empty if nothing.
    """

    preprocessing: Preprocessing | None = None
    class_names: Sequence[str] | None = None
    name: str | None = None
    note: str = ""


def recognise(model: Any) -> Known:
    """Ask the library that a model comes from; your own may carry `preprocessing` and `class_names`."""
    home = type(model).__module__.partition(".")[0]
    if home == "timm" or hasattr(model, "pretrained_cfg"):
        from camscope.libraries import timm

        return timm.know(model)
    if home == "torchvision":
        from camscope.libraries import torchvision

        return torchvision.know(model)
    own = getattr(model, "preprocessing", None)
    names = getattr(model, "class_names", None)
    return Known(
        preprocessing=own if isinstance(own, Preprocessing) else None,
        class_names=list(names) if isinstance(names, (list, tuple)) else None,
    )
