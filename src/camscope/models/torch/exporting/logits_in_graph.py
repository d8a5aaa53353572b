"""How a traced forward comes to its logits, found out before on numbers, since a graph can try nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float

from camscope.errors import ModelError
from camscope.models.batch import Batch
from camscope.models.observing import Ending
from camscope.models.torch.anatomy.examine import Anatomy
from camscope.models.torch.forwards import Forwards
from camscope.models.torch.hooks.activations import Call, Final, calls_of, logits_before


@dataclass(frozen=True)
class LogitsInGraph:
    """How a model's logits are had in every forward.

    Attributes:
        forwards: run the model.
        ending: how its output is made.
        final: the softmax or sigmoid that makes it; None if the output itself is meant.
        calls: which calls of that make it, by number.
    """

    forwards: Forwards
    ending: Ending
    final: Final | None
    calls: tuple[int, ...] = ()

    def of(self, batch: Batch) -> Float[torch.Tensor, "batch class"]:
        """One score per class, of one forward.

        Args:
            batch: the inputs.
        """
        forwards = self.forwards
        if self.final is None:
            raw = forwards.call(batch)
            logits = forwards.logits(raw)
        else:
            with calls_of(forwards.model, self.final) as calls:
                raw = forwards.call(batch)
            logits = _before([calls[number] for number in self.calls], forwards.logits(raw))
        found: torch.Tensor = forwards.outputs(raw, logits, self.ending, batch).logits
        return found


def logits_in_graph(forwards: Forwards, batch: Batch, anatomy: Anatomy) -> LogitsInGraph:
    """Find out how a model's logits are had.

    Args:
        forwards: run the model.
        batch: on which it is tried.
        anatomy: of the model for such inputs.

    Raises:
        ModelError: if the output is a part of what a softmax or sigmoid puts out.
    """
    _, _, ending = forwards.run(batch, anatomy)
    final = anatomy.ending.final
    if not (ending.sigmoid or ending.softmax) or final is None:
        return LogitsInGraph(forwards, ending, None)
    with calls_of(forwards.model, final) as calls:
        output = forwards.logits(forwards.call(batch))
    found = logits_before(calls, output)
    if found is not None:
        (logits, _), some = found
        numbers = tuple(next(n for n, call in enumerate(calls) if call is one) for one in some)
        if sum(one.output.numel() for one in some) == output.numel() and torch.equal(
            _before(some, output), logits
        ):
            return LogitsInGraph(forwards, ending, final, numbers)
    raise ModelError(
        f"The model puts out a part of what its {final.kind.value} makes, and the logits of such a part cannot be "
        "written into a file. Export the model without that last step."
    )


def _before(calls: Sequence[Call], output: torch.Tensor) -> torch.Tensor:
    """What went into one call, in the shape of the output; or into several, side by side."""
    if len(calls) == 1:
        return calls[0].logits.reshape(output.shape)
    columns = [call.logits[:, None] if call.logits.ndim == 1 else call.logits for call in calls]
    return torch.cat(columns, 1)
