"""An Equinox module and the state of its layers, as one model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, eq=False)
class WithState:
    """A module and its state, which `equinox.nn.make_with_state` makes as a tuple.

    Attributes:
        module: called as `module(x, state)`; returns the output and the new state, which is dropped.
        state: what its layers keep, batch norms for example.
    """

    module: Any
    state: Any
