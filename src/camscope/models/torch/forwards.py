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
from camscope.models.torch.anatomy.ending import are_probabilities, is_between_0_and_1
from camscope.models.torch.anatomy.examine import Anatomy
from camscope.models.torch.hooks.activations import calls_of, logits_before
from camscope.models.torch.hooks.grafting import refusing_overwriting
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

    def to_class_scores(self, batch: Batch, anatomy: Anatomy) -> Callable[[torch.Tensor], torch.Tensor]:
        """To one score per class: before a final softmax or sigmoid, and of a dense output its mean over positions."""

        def scores(x: torch.Tensor) -> torch.Tensor:
            _, logits, _ = self.run(batch.altered(x), anatomy)
            return logits.flatten(2).mean(2) if is_dense(logits, x) else logits

        return scores

    def to_outputs(self, batch: Batch, anatomy: Anatomy) -> Callable[[torch.Tensor], Outputs]:
        """From altered inputs of a batch to outputs, nothing recorded."""

        def outputs(x: torch.Tensor) -> Outputs:
            altered = batch.altered(x)
            return self.outputs(*self.run(altered, anatomy), altered)

        return outputs

    def run(self, batch: Batch, anatomy: Anatomy) -> tuple[Any, torch.Tensor, Ending]:
        """Run the model once.

        Returns:
            raw: what it returned.
            logits: what goes into a final softmax or sigmoid if there is one, else the logits in `raw`. Where the
                task is a regression, the outputs themselves are meant.
            ending: how the output came about, for this batch.
        """
        found = anatomy.ending
        if found.final is None or self.rules.task == "regression":
            raw = self.call(batch)
            output = self.logits(raw)
            between = found.between_0_and_1 and is_between_0_and_1(output)
            return raw, output, Ending(probabilities=found.softmax_by_hand, between_0_and_1=between)
        with calls_of(self.model, found.final) as calls:
            raw = self.call(batch)
        output = self.logits(raw)
        before = logits_before(calls, output)
        if before is not None:
            (logits, kind), _ = before
            return raw, logits, Ending(kind.of_each, not kind.of_each)
        # this batch took another way through the model
        if are_probabilities(output):
            return raw, output, Ending(probabilities=True)
        return raw, output, Ending(between_0_and_1=is_between_0_and_1(output))

    def call(self, batch: Batch) -> Any:
        """Run the model once, as the user would here, and give what it returns.

        Raises:
            ModelError: if it writes where PyTorch cannot follow, and a gradient is wanted.
        """
        with as_given(), refusing_overwriting():
            return self.decoder.call(self.model, batch)

    def logits(self, raw: Any) -> torch.Tensor:
        """The logits in what the model returned.

        Raises:
            ModelError: if they are complex.
        """
        logits: torch.Tensor = self.decoder.logits(raw)
        if isinstance(logits, torch.Tensor) and logits.is_complex():
            raise ModelError(
                f"The model puts out complex numbers ({logits.dtype}), of which none is larger than another: there is "
                "no score to explain. Explain one around it that puts out real ones, their size say: model(x).abs()."
            )
        return logits

    def outputs(self, raw: Any, logits: torch.Tensor, ending: Ending, batch: Batch) -> Outputs:
        """What `run` gave, read by the rules that hold for every framework.

        Args:
            raw: what the model returned.
            logits: see `run`.
            ending: see `run`.
            batch: the inputs.
        """
        return self.rules.outputs(raw, logits, ending, batch)

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
