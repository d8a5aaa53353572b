"""camscope shows where a model looks: class activation maps, exact and fast.

    import camscope
    e = camscope.explain("demo", "photo.jpg")
    e                        # in a notebook: the picture
    e.maps(), e.heatmaps()   # raw signed maps; heatmaps in [0, 1]

Importing camscope imports no framework: every name is loaded when it is first used.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from camscope.app import report as report
    from camscope.composition import Augment as Augment
    from camscope.composition import Balanced as Balanced
    from camscope.composition import Finer as Finer
    from camscope.composition import Fuse as Fuse
    from camscope.composition import MultiScale as MultiScale
    from camscope.composition import PathIntegral as PathIntegral
    from camscope.composition import Pca as Pca
    from camscope.composition import Rest as Rest
    from camscope.composition import Sess as Sess
    from camscope.composition import Smooth as Smooth
    from camscope.composition import list_methods as list_methods
    from camscope.engine import Explainer as Explainer
    from camscope.engine import explain as explain
    from camscope.errors import CamscopeError as CamscopeError
    from camscope.errors import CamscopeWarning as CamscopeWarning
    from camscope.errors import ImageError as ImageError
    from camscope.errors import InputError as InputError
    from camscope.errors import LayerError as LayerError
    from camscope.errors import MethodError as MethodError
    from camscope.errors import MissingExtraError as MissingExtraError
    from camscope.errors import ModelError as ModelError
    from camscope.errors import TargetError as TargetError
    from camscope.evidence import Evidence as Evidence
    from camscope.evidence import Need as Need
    from camscope.exporting import export as export
    from camscope.images import Preprocessing as Preprocessing
    from camscope.methods import method as method
    from camscope.models.torch import balanced_gradients as balanced_gradients
    from camscope.models.torch import record as record
    from camscope.results import Explanation as Explanation
    from camscope.results import Status as Status
    from camscope.results import compare as compare
    from camscope.results import fuse as fuse
    from camscope.results import load as load
    from camscope.results import overlay as overlay
    from camscope.targets import AllClasses as AllClasses
    from camscope.targets import Caption as Caption
    from camscope.targets import Class as Class
    from camscope.targets import Contrast as Contrast
    from camscope.targets import Instance as Instance
    from camscope.targets import PerImage as PerImage
    from camscope.targets import Region as Region
    from camscope.targets import Similarity as Similarity
    from camscope.targets import TopK as TopK
    from camscope.text import Vocabulary as Vocabulary
    from camscope.watching import History as History
    from camscope.watching import Recorder as Recorder

_HOMES = {
    "camscope.app": ("report",),
    "camscope.composition": (
        "Augment",
        "Balanced",
        "Finer",
        "Fuse",
        "MultiScale",
        "PathIntegral",
        "Pca",
        "Rest",
        "Sess",
        "Smooth",
        "list_methods",
    ),
    "camscope.engine": (
        "Explainer",
        "explain",
    ),
    "camscope.errors": (
        "CamscopeError",
        "CamscopeWarning",
        "ImageError",
        "InputError",
        "LayerError",
        "MethodError",
        "MissingExtraError",
        "ModelError",
        "TargetError",
    ),
    "camscope.evidence": (
        "Evidence",
        "Need",
    ),
    "camscope.exporting": ("export",),
    "camscope.images": ("Preprocessing",),
    "camscope.methods": ("method",),
    "camscope.models.torch": (
        "balanced_gradients",
        "record",
    ),
    "camscope.results": (
        "Explanation",
        "Status",
        "compare",
        "fuse",
        "load",
        "overlay",
    ),
    "camscope.targets": (
        "AllClasses",
        "Caption",
        "Class",
        "Contrast",
        "Instance",
        "PerImage",
        "Region",
        "Similarity",
        "TopK",
    ),
    "camscope.text": ("Vocabulary",),
    "camscope.watching": (
        "History",
        "Recorder",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(importlib.import_module(_HOME_OF[name]), name)
    if not name.startswith("_") and importlib.util.find_spec(f"camscope.{name}") is not None:
        return importlib.import_module(f"camscope.{name}")
    raise AttributeError(f"module 'camscope' has no attribute {name!r}.{_meant(name)}")


def _meant(name: str) -> str:
    """What a name that there is not may have been meant for, in a sentence that starts with a space."""
    if name.startswith("_"):
        return ""
    training, composition = (
        importlib.import_module(f"camscope.{room}") for room in ("training", "composition")
    )
    if name in training.__all__:
        return f" It is camscope.training.{name}."
    method = re.sub("plusplus$|pp$", "++", name.lower().replace("_", ""))
    for one in (name.lower(), method):
        if one in composition.list_methods().names:
            return f" It is a method, named by a string: camscope.explain(model, x, methods={one!r})."
    if name.lower() in composition.COMPOSITIONS:
        return f" It goes around a method: camscope.explain(model, x, methods='{name.lower()}(gradcam)')."
    errors = importlib.import_module("camscope.errors")
    hint: str = errors.nearest(name, __all__)
    return hint


def __dir__() -> list[str]:
    return __all__
