"""Recorder: looks at a model while it trains, and changes nothing of the training."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from camscope.engine import Explainer
from camscope.engine.call import MethodsLike
from camscope.errors import CamscopeWarning, InputError
from camscope.inputs import Inputs
from camscope.keywords import keywords
from camscope.results import Explanation
from camscope.targets import PerImage, TargetsLike
from camscope.watching.boards import TensorBoard, active_boards, boards_of, is_writer
from camscope.watching.looks import Look, Moment, look_of, plain_numbers
from camscope.watching.moments import When, due_at
from camscope.watching.processes import is_first_process
from camscope.watching.records import Records
from camscope.watching.resuming import check_same, samples_before
from camscope.watching.shards import forget_after, steps_in, write_look
from camscope.watching.watched_samples import Samples, owned, samples_of, write_samples


class Recorder:
    """Keeps the maps of a few samples while a model trains: at steps 1, 2, 4, 8 … and at the ends of epochs.

        recorder = camscope.Recorder("runs/cats/maps", x_val[:8], labels=y_val[:8])
        for epoch in range(10):
            for x, y in loader:
                ...
                optimizer.step()
                recorder.step(model, loss=loss)
            recorder.epoch(model, metric=accuracy)
        camscope.History.open("runs/cats/maps").figure()

    The training goes on as if nobody looked: weights, gradients, batch-norm statistics, modes and random states are the
    same, bit for bit. What goes wrong at the first look is an error, since nothing is lost then. What goes wrong later
    (a full disk, weights that are NaN) is a warning, and the history says what is missing: a watcher ends no training.
    Where several processes train together, the first one looks.

    `camscope.watching.callbacks` has it for Lightning, fastai, Hugging Face's Trainer and Keras.

    Args:
        out: the folder to write to; it is made. It must not hold another training's history.
        samples: a few, as `Explainer` takes them: a tensor that is already preprocessed, photos, texts. They are read
            and prepared once.
        targets: what is explained, the same all the time: see `Explainer.__call__`. By default each sample's label;
            where there are no labels, what is its top class then.
        labels: each sample's class, by index or name; for several classes each, a list.
        method: one method; None takes the default one, Grad-CAM where there are gradients.
        layer: a name or module; None takes the automatic choice of the first look. All looks are at one layer.
        when: `powers`, a number of steps, a set of steps, or a function; see `camscope.watching.moments.When`.
        names: what each sample is called; by default the names of their files, or numbers.
        boards: TensorBoard `SummaryWriter`s, W&B runs or MLflow (the module) that get a picture of each look. An active
            W&B or MLflow run gets them by itself; `boards=()` leaves them out.
        preprocessing: see `Explainer`.
        class_names: see `Explainer`.
        model_options: more options of `Explainer`, such as `task="multilabel"` or `output=`.

    Raises:
        InputError: if `when` or a board is none.

    Example:
        >>> recorder = camscope.Recorder("run", x, targets=[281])
        >>> for step in range(4):  # of a training
        ...     recorder.step(model)
        >>> recorder.epoch(model)
    """

    @keywords("camscope.Recorder(out, samples, {})", passes_on=Explainer.__init__)
    def __init__(
        self,
        out: str | Path,
        samples: Any,
        *,
        targets: TargetsLike = None,
        labels: Sequence[Any] | None = None,
        method: MethodsLike = None,
        layer: Any = None,
        when: When = "powers",
        names: Sequence[str] | None = None,
        boards: Any = None,
        preprocessing: Any = None,
        class_names: Sequence[str] | None = None,
        **model_options: Any,
    ) -> None:
        self.out = Path(out)
        self._samples_given = owned(samples)
        self._labels = None if labels is None else _listed(labels)
        self._targets = PerImage(self._labels) if targets is None and self._labels is not None else targets
        self._method, self._layer, self._names = method, layer, names
        self._due = due_at(when)
        self._boards = None if boards is None else boards_of(boards)
        self._writers: list[TensorBoard] = []
        self._options = {"preprocessing": preprocessing, "class_names": class_names, **model_options}
        self._watched: tuple[Any, Explainer] | None = None
        self._inputs: Inputs | None = None
        self._samples: Samples | None = None
        self._last: Look | None = None
        self._steps = self._epochs = 0
        self._resumed = False
        self._noted: dict[int, dict[str, float | list[float]]] = {}
        self._missing: list[dict[str, Any]] = []
        self._told: set[str] = set()

    # ------------------------------------------------------------------ from a training

    @property
    def steps(self) -> int:
        """How many optimiser steps were counted."""
        return self._steps

    @property
    def epochs(self) -> int:
        """How many epochs were finished."""
        return self._epochs

    def start(self, model: Any) -> None:
        """Look at the model before it is trained; where training goes on, only see whether all fits. May be left out.

        Args:
            model: what `Explainer` takes: a module (DDP, compiled and so on included), a Learner, a Keras model.

        Raises:
            CamscopeError: if the samples, targets, layer or folder cannot be used; see `Explainer` too.
        """
        if self._steps == 0:
            self.look(model)
        elif self._samples is None and is_first_process():
            self._begin(model)

    def step(self, model: Any, *, loss: Any = None, metric: Any = None, learning_rate: Any = None) -> None:
        """Count one optimiser step, and look at the model where it is due. To be called after the step.

        Args:
            model: see `start`.
            loss: of this step; a tensor is read only where it is due.
            metric: so far: a number, or several by name.
            learning_rate: a number, or one for each group.

        Raises:
            CamscopeError: at the first look; see `start`.
        """
        if self.advance():
            self.look(model, loss=loss, metric=metric, learning_rate=learning_rate)
        elif self._samples is None and is_first_process():
            self._begin(model)  # what does not fit is to be said now, and not after hours

    def epoch(self, model: Any, **numbers: Any) -> None:
        """Count the end of an epoch, and look at the model.

        Args:
            model: see `start`.
            numbers: by name, such as `loss`, `metric`, `learning_rate`, `val_loss`.

        Raises:
            CamscopeError: at the first look; see `start`.
        """
        self._epochs += 1
        self.look(model, epoch_end=True, **numbers)

    def from_step(self, step: int, *, epoch: int | None = None) -> None:
        """Go on from a checkpoint: looks after later steps are forgotten, and steps are counted from this one.

        Args:
            step: how many optimiser steps the checkpoint had done. 0 starts anew.
            epoch: how many epochs were finished; None takes what the history says.

        Raises:
            InputError: if it is no number of steps.
        """
        if isinstance(step, bool) or not isinstance(step, int) or step < 0:
            raise InputError(
                f"from_step({step!r}): expected the number of steps of the checkpoint, 0 or more."
            )
        self._steps, self._resumed, self._last = step, True, None
        self._epochs = epoch or 0
        if not is_first_process():
            return
        forget_after(self.out, step if step else -1)
        if epoch is None and step and steps_in(self.out):
            self._epochs = int(Records.read(self.out).epochs[-1])

    def note(self, **numbers: Any) -> None:
        """Add numbers to the look after this step, whether it was taken already or is still to be.

        Args:
            numbers: by name, such as `metric` or `val_loss`.
        """
        plain = {**self._noted.get(self._steps, {}), **plain_numbers(numbers)}
        self._noted, last = {self._steps: plain}, self._last
        if last is None or last.moment.step != self._steps:
            return
        moment = dataclasses.replace(last.moment, numbers={**last.moment.numbers, **plain})
        look = dataclasses.replace(last, moment=moment)
        try:
            write_look(self.out, look, self._missing)
        except (OSError, InputError) as error:
            reason = _reason(error)
            self._warn(f"Numbers of step {self._steps} could not be kept", reason, "The training goes on.")
            return
        self._missing.clear()
        self._last = look

    def offer_boards(self, candidates: Iterable[Any]) -> None:
        """Let the TensorBoard writers among these get pictures, unless the user said which boards do.

        Args:
            candidates: anything.
        """
        if self._boards is None:
            self._writers = [TensorBoard(one) for one in candidates if is_writer(one)]

    # ------------------------------------------------------------------ from callbacks

    def advance(self, steps: int = 1) -> bool:
        """Count steps, and tell whether a look is due after one of them.

        Args:
            steps: how many optimiser steps were done since it was called last.
        """
        before, self._steps = self._steps, self._steps + steps
        return any(self._due(step) for step in range(before + 1, self._steps + 1)) and is_first_process()

    def look(self, model: Any, *, epoch_end: bool = False, **numbers: Any) -> None:
        """Look at the model now.

        Args:
            model: see `start`.
            epoch_end: whether this is the end of an epoch.
            numbers: by name, such as `loss`, `metric`, `learning_rate`.

        Raises:
            CamscopeError: at the first look; see `start`.
        """
        if not is_first_process():
            return
        first = self._begin(model) if self._samples is None else None
        try:
            self._keep(self._seen(model, epoch_end, numbers, first))
        except Exception as error:
            if first is not None:
                raise
            self._miss(epoch_end, error)

    # ------------------------------------------------------------------ inside

    def _begin(self, model: Any) -> Explanation:
        """Prepare the samples and choose the layer; or take those of the history that is gone on with."""
        kept = samples_before(self.out, self._resumed)
        explainer = self._explainer(model)
        self._inputs = explainer.prepare(self._samples_given)
        e = explainer(
            self._inputs,
            methods=self._method,
            targets=self._targets,
            layers=self._layer if kept is None else kept.layer,
        )
        if self._layer is None and len(e.methods) == 1 and any("," in layer for layer in e.layers):
            deepest = e.layers[-1].rpartition(", ")[2]
            raise InputError(
                "The maps of a detector's instance are made from several layers, and a recorder keeps those of one: "
                f"name it, Recorder(…, layer={deepest!r}) for the deepest of the backbone."
            )
        if len(e.raw) != 1:
            raise InputError(
                f"A recorder keeps the maps of one method at one layer, and {len(e.raw)} were asked for: "
                f"{', '.join(' at '.join(key) for key in e.raw)}. Use a recorder for each, with a folder of its own."
            )
        found = samples_of(self._inputs, e, names=self._names, labels=self._labels)
        if kept is not None:
            check_same(self.out, kept, found)
        else:
            try:
                self.out.mkdir(parents=True, exist_ok=True)
                write_samples(self.out, found)
            except OSError as error:
                raise InputError(
                    f"{self.out} cannot be written to: {error.strerror or error}. The maps of a training need a "
                    "folder that can."
                ) from error
        self._samples = found
        return e

    def _explainer(self, model: Any) -> Explainer:
        if self._watched is None or self._watched[0] is not model:
            self._watched = model, Explainer(model, **self._options)
        return self._watched[1]

    def _seen(self, model: Any, epoch_end: bool, numbers: dict[str, Any], first: Explanation | None) -> Look:
        """A look at the model, with what is known already of the same step."""
        assert self._samples is not None
        last = self._last
        known = last.moment.numbers if last is not None and last.moment.step == self._steps else {}
        plain = {**known, **self._noted.get(self._steps, {}), **plain_numbers(numbers)}
        e = first
        if e is None:
            e = self._explainer(model)(
                self._inputs,
                methods=self._samples.method,
                targets=self._targets,
                layers=self._samples.layer,
            )
        return look_of(e, Moment(self._steps, self._epochs, epoch_end, plain))

    def _keep(self, look: Look) -> None:
        assert self._samples is not None
        write_look(self.out, look, self._missing)
        self._missing.clear()
        self._last = look
        try:
            found = [*self._writers, *active_boards()]
            for board in found if self._boards is None else self._boards:
                board.show(self._samples, look)
        except Exception as error:
            self._warn("A picture could not be shown on a board", _reason(error), "The history has it.")

    def _miss(self, epoch_end: bool, error: Exception) -> None:
        """Note a look that could not be kept."""
        reason = _reason(error)
        self._missing.append(
            {"step": self._steps, "epoch": self._epochs, "epoch_end": epoch_end, "reason": reason}
        )
        self._warn(
            f"The look after step {self._steps} could not be kept",
            reason,
            f"The training goes on; the history in {self.out} will say what is missing.",
        )

    def _warn(self, what: str, reason: str, then: str) -> None:
        """Say what went wrong, once for each reason."""
        if reason not in self._told:
            self._told.add(reason)
            warnings.warn(f"{what}: {reason.rstrip('.')}. {then}", CamscopeWarning, stacklevel=5)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _listed(labels: Any) -> list[Any]:
    return list(labels.tolist() if hasattr(labels, "tolist") else labels)
