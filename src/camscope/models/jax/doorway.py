"""The doorway to JAX's adapter: which objects are its own. See `camscope.models.registry.Doorway`.

Flax and Equinox are asked only where they are loaded: an object of theirs can only be there once they are.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from camscope.errors import ModelError, first_line
from camscope.models.decoding import OutputDecoder
from camscope.models.jax.split_model import SplitFunction, SplitModel
from camscope.models.jax.with_state import WithState
from camscope.outputs import Task

if TYPE_CHECKING:
    from camscope.models.jax.taps import Tappable
    from camscope.models.runtime import RuntimeAdapter

__all__ = ["adapt", "move", "owns", "tappable", "unwrap"]


def owns(given: Any) -> bool:
    """Whether it is an NNX, linen or Equinox module, a `SplitModel`, or a pair of module and variables or state."""
    if isinstance(given, (SplitModel, WithState)):
        return True
    return _is_module(given) or _is_pair(given, "flax.linen") or _is_pair(given, "equinox")


def unwrap(model: Any) -> Any:
    """A module bound to its variables in place of a pair of both; any other model itself.

    Raises:
        ModelError: for a linen module without its variables, or an Equinox module without its state.
    """
    if _is_pair(model, "flax.linen"):
        module, variables = model
        return module.bind(variables)
    if _is_pair(model, "equinox"):
        return WithState(*model)
    if _is_of(model, "flax.linen", "Module") and model.scope is None:
        raise ModelError(
            f"{type(model).__name__} is a linen module without its variables, so it has no weights yet. Give both: "
            "Explainer((module, variables)), or Explainer(module.bind(variables)), where variables are what "
            "module.init or the training gave ({'params': …, 'batch_stats': …})."
        )
    if _is_of(model, "equinox", "Module") and _lacks_state(model):
        raise ModelError(
            f"{type(model).__name__} has layers that keep a state (a batch norm), and its state was not given. Give "
            "both, as equinox.nn.make_with_state makes them: Explainer((model, state))."
        )
    return model


def adapt(model: Any, decoder: OutputDecoder, *, task: Task | None, optimised: bool | str) -> RuntimeAdapter:
    """The adapter of a model.

    Args:
        model: as `unwrap` gives it.
        decoder: how it is called and what it puts out means.
        task: what the outputs mean; None asks the decoder, then the model.
        optimised: must be False.

    Raises:
        ModelError: if an optimised copy is asked for.
    """
    from camscope.models.jax.jax_runtime import JaxRuntime
    from camscope.models.runtime import RuntimeAdapter

    if optimised:
        raise ModelError(
            "JAX models are compiled as they are, so there is no optimised copy; leave optimised out."
        )
    return RuntimeAdapter(JaxRuntime(tappable(model), decoder, task or decoder.task), decoder, task)


def move(model: Any, device: str) -> Any:
    """The model, if its arrays are where they should be already.

    Raises:
        ModelError: if they are not, or there is no such device.
    """
    import jax

    kind = device.partition(":")[0]
    try:
        jax.devices({"cuda": "gpu"}.get(kind, kind))
    except RuntimeError as error:
        raise ModelError(f"The model cannot be moved to {device!r}: {first_line(error)}") from error
    seen = tappable(model)
    weights = seen.weights(seen.now()[1]).values()
    here = {
        f"{one.platform}:{one.id}"
        for value in weights
        if isinstance(value, jax.Array)
        for one in value.devices()
    }
    wanted = device.replace("cuda", "gpu") if ":" in device else f"{device.replace('cuda', 'gpu')}:0"
    if here - {wanted}:
        raise ModelError(
            f"The model cannot be moved to {device!r}: its arrays are on {', '.join(sorted(here))}, and JAX's arrays "
            "stay where they were made. Make it there (with jax.default_device(…):), or use jax.device_put on them."
        )
    return model


def tappable(model: Any) -> Tappable:
    """The model as a pure function with taps, of whatever library it is.

    Args:
        model: as `unwrap` gives it.
    """
    if isinstance(model, SplitModel):
        return SplitFunction(model)
    if _is_of(model, "flax.nnx", "Module"):
        from camscope.models.jax.nnx_model import NnxModel

        return NnxModel(model)
    if _is_of(model, "flax.linen", "Module"):
        from camscope.models.jax.linen_model import LinenModel

        return LinenModel(model)
    from camscope.models.jax.equinox_model import EquinoxModel

    return EquinoxModel(model)


def _is_module(given: Any) -> bool:
    return any(_is_of(given, package, "Module") for package in ("flax.nnx", "flax.linen", "equinox"))


def _is_pair(given: Any, package: str) -> bool:
    """Whether it is a linen module and its variables, or an Equinox module and its state."""
    if not isinstance(given, tuple) or len(given) != 2 or not _is_of(given[0], package, "Module"):
        return False
    return _is_of(given[1], "equinox.nn", "State") if package == "equinox" else "params" in given[1]


def _is_of(given: Any, package: str, name: str) -> bool:
    """Whether an object is of a class of a package, which is asked if it is loaded."""
    loaded = sys.modules.get(package)
    return loaded is not None and isinstance(given, getattr(loaded, name))


def _lacks_state(model: Any) -> bool:
    """Whether layers of an Equinox module are numbered places in a state."""
    import jax

    index = sys.modules["equinox"].nn.StateIndex
    leaves = jax.tree_util.tree_leaves(model, is_leaf=lambda value: isinstance(value, index))
    return any(isinstance(leaf, index) for leaf in leaves)
