"""Writes a PyTorch model as a program that gives its maps. See `camscope.models.map_programs.MapPrograms`."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from camscope.errors import ModelError
from camscope.models.batch import Batch
from camscope.models.map_programs import MapsOf, Recipe, Written
from camscope.models.torch.anatomy.behind_pooling import verified_head
from camscope.models.torch.anatomy.examine import Anatomy
from camscope.models.torch.exporting.logits_in_graph import logits_in_graph
from camscope.models.torch.exporting.program_files import KINDS
from camscope.models.torch.exporting.tracing import can_be_traced, traced
from camscope.models.torch.exporting.with_maps import WithMaps
from camscope.models.torch.forwards import Forwards
from camscope.models.torch.hooks.modules import check_not_scripted
from camscope.models.torch.hooks.record import InputOf
from camscope.models.torch.hooks.state import explaining
from camscope.models.torch.layer_finder import LayerFinder

_one_at_a_time = threading.Lock()
"""Tracing changes what PyTorch does in the whole process."""


@dataclass(frozen=True)
class TorchPrograms:
    """Writes programs of one model.

    Attributes:
        forwards: run it.
        layers: of it.
    """

    forwards: Forwards
    layers: LayerFinder

    @property
    def suffixes(self) -> tuple[str, ...]:
        """The kinds of files there are."""
        return tuple(KINDS)

    def check(self, suffix: str) -> None:
        """Refuse what cannot be written.

        Raises:
            MissingExtraError: if a package is missing.
            ModelError: if a part of the model is TorchScript, which cannot be traced.
        """
        KINDS[suffix].check(suffix)
        check_not_scripted(self.forwards.model, "an export")

    def can_hold(self, maps: MapsOf) -> bool:
        """Whether a method's arithmetic can be traced."""
        return can_be_traced(maps)

    def write(self, batch: Batch, recipe: Recipe, path: Path, facts: Mapping[str, str]) -> Written:
        """Write a program.

        Args:
            batch: two inputs.
            recipe: which maps it gives.
            path: where to.
            facts: what the file says of itself.

        Raises:
            ModelError: if the model runs in half precision, or cannot be traced or written.
        """
        given: torch.Tensor = batch.given
        if given.dtype not in (torch.float32, torch.float64):
            raise ModelError(
                f"The model runs in {str(given.dtype).removeprefix('torch.')}, in which maps cannot be verified. "
                "Export it in single precision: model.float()."
            )
        anatomy = self.layers.anatomy(batch)
        with _one_at_a_time, explaining(self.forwards.model):
            logits = logits_in_graph(self.forwards, batch, anatomy)
            head = None if recipe.pooled is None else self._head(batch, anatomy)
            module = WithMaps(logits, recipe, batch, head)
            program = traced(module, given, backward=recipe.backward)
            return KINDS[path.suffix].write(program, path, facts)

    def _head(self, batch: Batch, anatomy: Anatomy) -> str | torch.Tensor:
        """The name of the linear layer that is the head, or the weight of several modules that are one together.

        Raises:
            ModelError: if they are none on this batch.
        """
        if len(anatomy.head) == 1:
            return anatomy.head[0]
        modules = [self.forwards.model.get_submodule(name) for name in anatomy.head]
        with torch.no_grad(), InputOf(modules[0]) as went_in:
            _, logits, _ = self.forwards.run(batch, anatomy)
        found = verified_head(modules, went_in.value, logits)
        if found is None:
            raise ModelError(
                f"The head {', '.join(anatomy.head)} is linear on some of the test inputs and not on others, so no "
                "file can count on it. Take another layer, or a method that takes no linear head."
            )
        return found.weight
