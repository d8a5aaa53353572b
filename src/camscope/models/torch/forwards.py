"""The model's forward in the forms that others ask for: to logits, to one score per class, to `Outputs`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from camscope.errors import ModelError
from camscope.models.batch import Batch
from camscope.models.decoding import OutputDecoder
from camscope.models.observing import Ending, OutputRules, is_dense
from camscope.models.torch.anatomy.examine import Anatomy
from camscope.models.torch.hooks.record import InputOf
from camscope.models.torch.hooks.surroundings import as_given
from camscope.outputs import Outputs


@dataclass(frozen=True)
class Forwards:
    """Runs one model, and reads what it returns.

    Attributes:
        model: an unwrapped module.
        decoder: how it is called and what it puts out means.
        rules: from what it returns to `Outputs`.
    """

    model: nn.Module
    decoder: OutputDecoder
    rules: OutputRules

    def to_logits(self, batch: Batch) -> Callable[[torch.Tensor], torch.Tensor]:
        """From altered inputs of a batch to logits as the model puts them out, after a final softmax if it has one."""
        return lambda x: self.logits(self.call(batch.altered(x)))

    def to_class_scores(self, batch: Batch) -> Callable[[torch.Tensor], torch.Tensor]:
        """The same, to one score per class: of a dense output its mean over the positions."""
        to_logits = self.to_logits(batch)

        def scores(x: torch.Tensor) -> torch.Tensor:
            logits = to_logits(x)
            return logits.flatten(2).mean(2) if is_dense(logits, x) else logits

        return scores

    def to_outputs(self, batch: Batch, anatomy: Anatomy) -> Callable[[torch.Tensor], Outputs]:
        """From altered inputs of a batch to outputs, nothing recorded."""

        def outputs(x: torch.Tensor) -> Outputs:
            altered = batch.altered(x)
            return self.outputs(*self.run(altered, anatomy), altered, anatomy)

        return outputs

    def run(self, batch: Batch, anatomy: Anatomy) -> tuple[Any, torch.Tensor]:
        """Run the model once.

        Returns:
            raw: what it returned.
            logits: what goes into a final softmax or sigmoid if there is one, else the logits in `raw`.
        """
        if anatomy.final_activation is None:
            raw = self.call(batch)
            return raw, self.logits(raw)
        with InputOf(self.model.get_submodule(anatomy.final_activation)) as final:
            raw = self.call(batch)
        return raw, final.value

    def call(self, batch: Batch) -> Any:
        """Run the model once, as the user would here, and give what it returns."""
        with as_given():
            return self.decoder.call(self.model, batch)

    def logits(self, raw: Any) -> torch.Tensor:
        """The logits in what the model returned."""
        logits: torch.Tensor = self.decoder.logits(raw)
        return logits

    def outputs(self, raw: Any, logits: torch.Tensor, batch: Batch, anatomy: Anatomy) -> Outputs:
        """What `run` gave, read by the rules that hold for every framework.

        Args:
            raw: what the model returned.
            logits: see `run`.
            batch: the inputs.
            anatomy: what one forward showed.
        """
        return self.rules.outputs(raw, logits, self.ending(anatomy), batch)

    def ending(self, anatomy: Anatomy) -> Ending:
        """How the model's output is made."""
        final = anatomy.final_activation
        sigmoid = final is not None and isinstance(self.model.get_submodule(final), nn.Sigmoid)
        return Ending(sigmoid, final is not None and not sigmoid, anatomy.returns_probabilities)

    def check_finite(self, logits: torch.Tensor) -> None:
        """Refuse outputs that are no numbers. −∞ is one: the logit of a class that the model masks out.

        Raises:
            ModelError: naming the weights that are none either, or saying that the model overflows.
        """
        finite = logits.isfinite()
        masked = logits.isneginf() & (self.rules.task != "regression")
        if bool((finite | masked).all() & finite.any(1).all()):
            return
        bad = [name for name, p in self.model.named_parameters() if not bool(p.isfinite().all())]
        bad += [
            name
            for name, b in self.model.named_buffers()
            if b.is_floating_point() and not bool(b.isfinite().all())
        ]
        if bad:
            more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
            raise ModelError(f"The model's weights hold NaN or infinity: {', '.join(bad[:3])}{more}.")
        raise ModelError(
            "The model's output holds NaN or infinity although its input and weights are finite: it overflows. "
            "Check the input's scale, or run it in float32."
        )
