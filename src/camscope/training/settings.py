"""How a model is trained, in numbers that were checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from camscope.errors import InputError, nearest

Precision = Literal["no", "fp16", "bf16"]

FROM_SCRATCH_RATE, FINE_TUNING_RATE = 1e-2, 2e-3
_STEPS = {"scratch": 400, "tuning": 150}
_EPOCHS = {"scratch": (4, 30), "tuning": (3, 20)}
_BATCH = 64
_FEW_STEPS = 10


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a model is trained.

    Attributes:
        epochs: how many in which everything learns.
        frozen_epochs: how many before them in which only the head and the norms do.
        learning_rate: the highest; see `camscope.training.schedule`.
        batch_size: images in a batch.
        accumulate: batches in an optimiser step.
        weight_decay: of all but norms and biases.
        label_smoothing: by which share the truth is spread over all classes.
        class_weights: whether classes weigh the more the fewer images they have.
        patience: end after so many epochs that brought nothing better; None goes on to the last.
        precision: of the forward: `no` is float32.
        seed: of the head, the order, the changes of images and dropout.

    Raises:
        InputError: if a number makes no sense.
    """

    epochs: int
    frozen_epochs: int = 0
    learning_rate: float
    batch_size: int
    accumulate: int = 1
    weight_decay: float = 0.01
    label_smoothing: float = 0.0
    class_weights: bool = False
    patience: int | None = None
    precision: Precision = "no"
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"epochs": 1, "frozen_epochs": 0, "batch_size": 1, "accumulate": 1, "seed": 0}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise InputError(f"{name} is {getattr(self, name)}; expected at least {low}.")
        if self.patience is not None and self.patience < 1:
            raise InputError(f"patience is {self.patience}; expected at least 1 epoch, or nothing.")
        if not (self.learning_rate > 0 and math.isfinite(self.learning_rate)):
            raise InputError(
                f"learning_rate is {self.learning_rate:g}; expected a number above 0, such as {FROM_SCRATCH_RATE:g} "
                f"from scratch and {FINE_TUNING_RATE:g} in fine-tuning; --find-lr looks for one."
            )
        if not (self.weight_decay >= 0 and math.isfinite(self.weight_decay)):
            raise InputError(f"weight_decay is {self.weight_decay:g}; expected 0 or more.")
        if not 0 <= self.label_smoothing < 1:
            raise InputError(
                f"label_smoothing is {self.label_smoothing:g}; expected a share, at least 0 and below 1."
            )
        if self.precision not in get_args(Precision):
            valid = get_args(Precision)
            raise InputError(
                f"There is no precision {self.precision!r}.{nearest(self.precision, valid)} {valid}."
            )

    @property
    def all_epochs(self) -> int:
        """How many epochs there are in all."""
        return self.frozen_epochs + self.epochs

    def to_dict(self) -> dict[str, Any]:
        """The settings by name."""
        return asdict(self)


def usual_settings(images: int, *, pretrained: bool, given: Mapping[str, Any]) -> Settings:
    """The settings that were given, and for the others what works on most data.

    Batches have 64 images, or 32 where an epoch would have fewer than ten. There are as many epochs as give about 400
    steps from scratch (4 to 30 epochs) or 150 in fine-tuning (3 to 20, after one with the body frozen).

    Args:
        images: how many are trained on.
        pretrained: whether the body has learnt before.
        given: fields of `Settings`; None stands for the usual.

    Raises:
        InputError: if a number makes no sense.
    """
    chosen = {name: value for name, value in given.items() if value is not None}
    kind = "tuning" if pretrained else "scratch"
    batch = min(_BATCH if images >= _FEW_STEPS * _BATCH else _BATCH // 2, images)
    batch = chosen.setdefault("batch_size", batch)
    steps = max(1, images // max(1, batch * chosen.get("accumulate", 1)))
    fewest, most = _EPOCHS[kind]
    chosen.setdefault("epochs", min(most, max(fewest, math.ceil(_STEPS[kind] / steps))))
    chosen.setdefault("frozen_epochs", int(pretrained))
    chosen.setdefault("learning_rate", FINE_TUNING_RATE if pretrained else FROM_SCRATCH_RATE)
    return Settings(**chosen)
