"""What is the same for every framework's adapter: from what a model returns to class scores, and sums over targets.

An adapter runs the model and says how its output came about; what that means is decided here, once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

from array_api_compat import array_namespace
from jaxtyping import Float

from camscope.arrays import Array
from camscope.errors import InputError, ModelError, nearest
from camscope.evidence import Responses
from camscope.models.batch import Batch
from camscope.models.decoding import OutputDecoder
from camscope.outputs import Dense, Outputs, Task
from camscope.targets import Targets

NARROW = ("float16", "bfloat16")
"""Half precision, in which products underflow: scores are widened to single precision."""


@dataclass(frozen=True)
class Ending:
    """How a model's output is made, as far as its adapter found out. All False says that it returns logits.

    Attributes:
        sigmoid: whether it ends in a sigmoid, and the logits are what goes into that.
        softmax: whether it ends in a softmax, and the logits are what goes into that.
        probabilities: whether it returns softmax probabilities, and its logits cannot be reached.
        between_0_and_1: whether all it returns is between 0 and 1, and nothing tells whether these are probabilities.
    """

    sigmoid: bool = False
    softmax: bool = False
    probabilities: bool = False
    between_0_and_1: bool = False


@dataclass(frozen=True)
class OutputRules:
    """From what a model returns to `Outputs`, the same for every framework.

    Attributes:
        decoder: how the model is called and what it puts out means.
        task: what the user, or the decoder, says the outputs mean; None if that is found from the model.

    Raises:
        InputError: if the task is none.
    """

    decoder: OutputDecoder
    task: Task | None

    def __post_init__(self) -> None:
        check_task(self.task)

    def outputs(self, raw: Any, logits: Array, ending: Ending, batch: Batch) -> Outputs:
        """The outputs of a batch.

        Args:
            raw: what the model returned.
            logits: its scores, before a final softmax or sigmoid where there is one.
            ending: how the model's output is made.
            batch: the inputs.

        Raises:
            ModelError: if these are no class scores.
        """
        if logits.ndim == 1:
            logits = logits[:, None]
        dense = is_dense(logits, batch.x)
        if logits.ndim != 2 and not dense:
            raise ModelError(
                f"The model's output has shape {tuple(logits.shape)}; class scores need (batch, class). If they are "
                "elsewhere in the output, or must be pooled, pass Explainer(model, output=…)."
            )
        if self.reads_probabilities(ending):
            xp = array_namespace(logits)
            logs = xp.log(xp.clip(logits, float(xp.finfo(logits.dtype).smallest_normal), None))
            # log p_c − mean_k log p_k = z_c − mean_k z_k: the softmax's own denominator cancels
            logits = logs - xp.mean(logs, axis=1, keepdims=True)
        task = self._task_of(logits, ending)
        both = self.both_classes(logits)
        if dense:
            regions = Dense(both, batch.space, task)
            return Outputs(regions.scores, task, raw, regions)
        return Outputs(both, task, raw, self.decoder.predictions(raw, batch))

    def both_classes(self, logits: Float[Array, " batch *output"]) -> Float[Array, "batch class *space"]:
        """A one-logit binary head z as its two classes (−z, z), in single precision at least."""
        xp = array_namespace(logits)
        if str(logits.dtype).removeprefix("torch.") in NARROW:
            logits = xp.astype(logits, xp.float32)
        if logits.ndim == 1:
            logits = logits[:, None]
        if logits.shape[1] == 1 and self.task in (None, "binary"):
            return xp.concat([-logits, logits], axis=1)
        return logits

    def reads_probabilities(self, ending: Ending) -> bool:
        """Whether logits have to be read off softmax probabilities, each less the mean over classes."""
        return ending.probabilities and self.task in (None, "multiclass")

    def notes(self, logits: Array, ending: Ending) -> tuple[str, ...]:
        """What a reader of the maps should know of how the outputs are read; often nothing.

        Args:
            logits: as the model puts them out.
            ending: how its output is made.
        """
        notes = []
        one_logit = logits.ndim == 1 or logits.shape[1] == 1
        if one_logit and self.task is None and not (ending.sigmoid or ending.softmax):
            notes.append(
                "The model has one output, which is read as the logit of a yes/no question (class 1: yes). If it is a "
                "plain number, say task='regression'."
            )
        if self.reads_probabilities(ending):
            notes.append(
                "The model returns softmax probabilities and its logits cannot be reached, so 'logit' means "
                "the logit less the mean of all classes' logits here, which the probabilities still tell. For the "
                "logits themselves let the model return them, or end in the framework's own softmax."
            )
        elif ending.between_0_and_1 and self.task != "regression":
            notes.append(
                "All outputs of the model lie between 0 and 1, and nothing shows whether they are probabilities (no "
                "sigmoid of the framework's own made them), so they are read as logits. If they are, end the model in "
                "one, or pass output=, a function that gives the logits."
            )
        return tuple(notes)

    def _task_of(self, logits: Float[Array, "batch output *space"], ending: Ending) -> Task:
        count = logits.shape[1]
        if self.task is not None:
            if self.task == "binary" and count != 1:
                raise ModelError(f"task='binary' is for one logit; this model puts out {count}.")
            return self.task
        if count == 1:
            return "binary"
        return "multilabel" if ending.sigmoid else "multiclass"


def check_task(task: str | None) -> None:
    """Refuse a word that is not a task; None leaves it to the model.

    Raises:
        InputError: naming the valid ones, and the nearest.
    """
    if task is not None and task not in get_args(Task):
        raise InputError(
            f"task={task!r}: expected {', '.join(map(repr, get_args(Task)))}, or None to find it from the model."
            f"{nearest(str(task), get_args(Task))}"
        )


def is_dense(outputs: Array, x: Array) -> bool:
    """Whether outputs are class scores of every position, `batch class *space`, as a segmenter's are.

    Args:
        outputs: of the model.
        x: the inputs that maps are of.
    """
    floating = "float" in str(x.dtype)
    positions = 1
    for size in outputs.shape[2:]:
        positions *= int(size)
    return bool(outputs.ndim == x.ndim > 2 and outputs.shape[0] == x.shape[0] and floating and positions > 1)


def responses(targets: Targets, outputs: Outputs) -> Responses:
    """The targets' scores and probabilities, `image target`; the scores themselves where there are no probabilities.

    That is so of a regression, and where every target is a function of the user's own.

    Args:
        targets: of the batch.
        outputs: of the model for it.
    """
    scores = targets.scores(outputs)
    top = None if outputs.task == "regression" else array_namespace(scores).argmax(outputs.logits, axis=1)
    if outputs.task == "regression" or all(targets.functions):
        return Responses(scores, scores, scores, top)
    probabilities = targets.scored_as("probability").scores(outputs)
    return Responses(scores, probabilities, targets.scored_as("log-probability").scores(outputs), top)


def slices_of(count: int, at_a_time: int) -> Iterator[slice]:
    """Slices that cut 0 … count − 1 (targets, variants) into parts, each of `at_a_time` numbers but the last."""
    for start in range(0, count, at_a_time):
        yield slice(start, min(start + at_a_time, count))
