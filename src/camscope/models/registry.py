"""The register of frameworks: which adapter takes an object. Nothing is imported that is not loaded already.

An object of a framework can only be there once its framework is, so a framework that is not loaded is never asked.
Keras is asked before PyTorch, since a Keras model on PyTorch's backend is a `torch.nn.Module` too.
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from typing import Any, Protocol, cast

from camscope.errors import ModelError
from camscope.models.adapter import Adapter
from camscope.models.decoding import OutputDecoder
from camscope.models.no_models import what_to_give
from camscope.outputs import Task
from camscope.plugins import load_plugins


class Doorway(Protocol):
    """What the module that stands before an adapter offers: plain functions with these names.

    It is imported as soon as its framework is loaded and an object is to be recognised, so it should import little.
    """

    def owns(self, given: Any) -> bool:
        """Whether an object is a model of this framework. False for anything else; it must not raise."""
        ...

    def unwrap(self, model: Any) -> Any:
        """The user's own model inside of what wraps it for training or speed; the model itself if nothing does.

        Raises:
            ModelError: if it cannot be explained, saying what to give instead.
        """
        ...

    def adapt(
        self, model: Any, decoder: OutputDecoder, *, task: Task | None, optimised: bool | str
    ) -> Adapter:
        """The adapter of a model.

        Args:
            model: as `unwrap` gives it.
            decoder: how it is called and what it puts out means.
            task: what the outputs mean; None asks the decoder, and then the model.
            optimised: explain on a copy made for inference; `"bfloat16"` in half precision too. False is all that
                must be met.

        Raises:
            ModelError: if it cannot be explained, or not in the way that `optimised` asks for.
        """
        ...

    def move(self, model: Any, device: str) -> Any:
        """The model on another device, named as the framework names it (`cuda:0`).

        Raises:
            ModelError: if there is no such device.
        """
        ...


@dataclass(frozen=True)
class Framework:
    """A framework whose models can be explained.

    Attributes:
        name: as people write it.
        package: the package that is loaded where one of its models is.
        home: the name of the module that is its doorway, see `Doorway`.
    """

    name: str
    package: str
    home: str

    def load(self) -> Doorway:
        """Its doorway."""
        return cast(Doorway, importlib.import_module(self.home))


FRAMEWORKS: list[Framework] = [
    Framework("Keras", "keras", "camscope.models.keras.doorway"),
    Framework("PyTorch", "torch", "camscope.models.torch.doorway"),
    Framework("ONNX", "onnx", "camscope.models.onnx.doorway"),
    Framework("ONNX Runtime", "onnxruntime", "camscope.models.onnx.doorway"),
    Framework("JAX", "jax", "camscope.models.jax.doorway"),
]
"""All that are known, in the order in which they are asked."""


def register_framework(framework: Framework) -> None:
    """Add a framework; it is asked before those that are known already.

    Another package names it as an entry point of the group `camscope.adapters`, `NAME = "module:FRAMEWORK"`; see
    `camscope.plugins`.

    Args:
        framework: the framework. One of the same name is replaced.
    """
    FRAMEWORKS[:] = [framework, *(known for known in FRAMEWORKS if known.name != framework.name)]


def framework_of(given: Any) -> Framework | None:
    """The framework that an object is a model of; None if there is none."""
    load_plugins("camscope.adapters", Framework, register_framework)
    loaded = (framework for framework in FRAMEWORKS if framework.package in sys.modules)
    return next((framework for framework in loaded if framework.load().owns(given)), None)


def known_frameworks() -> list[str]:
    """The names of all frameworks, those of other packages too."""
    load_plugins("camscope.adapters", Framework, register_framework)
    return [one.name for one in FRAMEWORKS]


def unwrapped(given: Any) -> Any:
    """The user's own model inside of what wraps it for training or speed; what is a model of no framework stays.

    Raises:
        ModelError: if it cannot be explained, saying what to give instead.
    """
    framework = framework_of(given)
    return given if framework is None else framework.load().unwrap(given)


def doorway_of(model: Any) -> Doorway:
    """The doorway of the framework that a model is of.

    Raises:
        ModelError: if it is a model of none.
    """
    framework = framework_of(model)
    if framework is None:
        told = what_to_give(model)
        raise ModelError(
            f"Cannot explain a {type(model).__name__}: "
            + (
                told
                or f"expected a model of {', '.join(known_frameworks())}, or a name such as 'demo', 'timm:resnet50', "
                "'torchvision:resnet50' or 'FILE.py:FACTORY'."
            )
        )
    return framework.load()
