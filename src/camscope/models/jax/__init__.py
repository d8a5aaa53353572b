"""JAX: Flax NNX and linen modules, Equinox modules, and plain functions that are split at a layer.

All of them reduce to a pure function of arrays with a tap behind each layer (`taps.py`), which one runtime compiles.
"""

from camscope.models.jax.split_model import SplitModel

__all__ = ["SplitModel"]
