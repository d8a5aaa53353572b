"""A model that is ready to be explained: its adapter, what its library says of it, and what the user says."""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from camscope.engine.notes import Notes
from camscope.errors import InputError, ModelError, TargetError
from camscope.images import Preprocessing
from camscope.inputs import Inputs, prepare
from camscope.libraries import ModelInfo, load_model, recognise, text_reader
from camscope.models.adapter import Adapter
from camscope.models.batch import Batch
from camscope.models.decoding import LogitsDecoder, OutputDecoder
from camscope.models.registry import doorway_of, framework_of
from camscope.outputs import Outputs, Task
from camscope.targets import TargetsLike, asks_for_classes, captions_of

_ANY_CAPTION = "a photo"
"""For what does not depend on the caption."""

_ANY_TEXT = "the quick brown fox jumps over the lazy dog"
"""For what does not depend on the text."""


@dataclass(frozen=True)
class Model:
    """A model that is ready to be explained.

    Attributes:
        adapter: runs it.
        info: what its library says of it.
        class_names: what the user says they are; None takes the library's.
    """

    adapter: Adapter
    info: ModelInfo
    class_names: Sequence[str] | None

    # ------------------------------------------------------------------ inputs

    def prepared(self, inputs: Any, explained_input: int | str | None = None) -> tuple[Inputs, Batch]:
        """The inputs as a batch, and that on the model's device.

        Args:
            inputs: what the user gave.
            explained_input: see `Explainer.__call__`.

        Raises:
            InputError, ImageError: see `camscope.inputs.prepare`.
        """
        given = prepare(inputs, self.info, self.adapter.is_tensor, explained_input)
        return given, self.adapter.batch(given.batch)

    def of_any_captions(self, batch: Batch) -> Batch:
        """The call, where it does not matter which captions a model compares images with."""
        if self.info.caption_decoder is None:
            return batch
        return self.adapter.with_captions(batch, tuple(self.class_names or (_ANY_CAPTION,)))

    def captions(self, targets: TargetsLike, notes: Notes) -> tuple[str, ...]:
        """All captions of a call: the class names, and what the targets name besides; none if it takes none.

        Args:
            targets: as the user gave them.
            notes: takes what a reader should know of them.

        Raises:
            TargetError: if it takes captions, and there are none.
        """
        if self.info.caption_decoder is None:
            return ()
        captions = tuple(captions_of(targets, tuple(self.class_names or ())))
        if not captions and not asks_for_classes(targets):
            return (_ANY_CAPTION,)
        if not captions:
            raise TargetError(
                "This model compares images with captions, and none was given. Pass targets=['a photo of a cat', 'a "
                "photo of a dog'], or Explainer(model, class_names=[…]) for captions that are always there."
            )
        if len(captions) == 1:
            notes.add(
                f"{captions[0]!r} is the only caption, so it is compared with nothing: the map is of its similarity, "
                "and where captions compete its probability is 1. Name others to compare it with."
            )
        return captions

    def anything(self, size: Sequence[int] | None = None) -> tuple[Inputs | None, Batch]:
        """Something to run the model on where there is no input: noise, a photo of noise, or a text.

        Args:
            size: of the noise; None takes the size of the model's own input.

        Raises:
            InputError: if no size is given and the model's own is not known.
        """
        preprocessing, random = self.info.preprocessing, np.random.default_rng(0)
        if self.info.texts is not None:
            return self.prepared(_ANY_TEXT)
        if size is None and preprocessing is None and self.info.prepare is not None:
            return self.prepared(random.integers(0, 256, (480, 640, 3), dtype=np.uint8))
        if size is None and preprocessing is None:
            raise InputError(
                "The model's input size is not known; give an input, for instance noise of shape (1, 3, 224, 224), or "
                "token numbers if it reads texts."
            )
        channels = 3 if preprocessing is None else len(preprocessing.mean)
        space = size if size is not None or preprocessing is None else preprocessing.input_size
        noise = random.standard_normal((1, channels, *(space or ())), dtype=np.float32)
        return None, self.adapter.batch(Batch((noise,)))

    # ------------------------------------------------------------------ what is known

    @property
    def preprocessing(self) -> Preprocessing | None:
        """How photos become its input, or None if that is not known."""
        return self.info.preprocessing

    def black(self, given: Inputs) -> list[float] | None:
        """The value of black in each channel of its input, or None if that is not known."""
        known = given.preprocessing or self.preprocessing
        return None if known is None else [-m / s for m, s in zip(known.mean, known.std, strict=True)]

    def names(self, count: int, notes: Notes) -> Sequence[str] | None:
        """The class names: the user's, or the library's if they fit.

        Args:
            count: of classes that the model has.
            notes: takes that the library's do not fit.

        Raises:
            TargetError: if the user's do not fit.
        """
        if self.class_names is not None:
            if len(self.class_names) != count:
                binary = " (a one-logit model has two classes: the negative and the positive)"
                raise TargetError(
                    f"class_names holds {len(self.class_names)} names, the model has {count} classes"
                    f"{binary if count == 2 else ''}."
                )
            return self.class_names
        known = self.info.class_names
        if known is not None and len(known) != count:
            notes.add(
                f"The library's {len(known)} class names do not fit this model's {count} outputs and were left out."
            )
            return None
        return known

    def provenance(
        self, given: Inputs, outputs: Outputs, layers: Mapping[str, Any], seed: int
    ) -> dict[str, Any]:
        """What whoever reads a map later must know of how it came about.

        Args:
            given: the inputs.
            outputs: of the model.
            layers: which, and how they were chosen.
            seed: of what was drawn at random.
        """
        texts = self.info.texts if given.input_images.texts else None
        return {
            "camscope": _version(),
            "model_name": self.info.name,
            **self.adapter.describe(),
            "task": outputs.task,
            "layers": dict(layers),
            "preprocessing": given.preprocessing.to_dict() if given.preprocessing else None,
            **({} if texts is None else {"tokenizer": texts.name}),
            "seed": seed,
        }


def open_model(
    model: Any,
    *,
    preprocessing: Any = None,
    class_names: Sequence[str] | None = None,
    task: Task | None = None,
    output: Callable[[Any], Any] | str | int | None = None,
    device: str | None = None,
    optimised: bool | str = False,
    weights: str | Path | None = None,
    trust_pickle: bool = False,
    tokenizer: Any = None,
) -> Model:
    """Load a model that is given by name, recognise its library, and find its adapter.

    Args:
        model: see `Explainer`, as all others.
        preprocessing: see `Explainer`.
        class_names: see `Explainer`.
        task: see `Explainer`.
        output: see `Explainer`.
        device: see `Explainer`.
        optimised: see `Explainer`.
        weights: see `Explainer`.
        trust_pickle: see `Explainer`.
        tokenizer: see `Explainer`.

    Raises:
        ModelError: if the model cannot be loaded or explained.
    """
    if isinstance(model, str):
        loaded = load_model(model, weights=weights, trust_pickle=trust_pickle)
        model, info = loaded.model, loaded.info
        if device is not None:
            model = doorway_of(model).move(model, device)
    else:
        if device is not None or weights is not None:
            raise ModelError("device and weights are for models given by name; yours comes with both.")
        model, info = recognise(_unwrapped(model))
    doorway = doorway_of(model)
    decoder = _decoder(info, output, tokenizer)
    adapter = doorway.adapt(doorway.unwrap(model), decoder, task=task, optimised=optimised)
    if preprocessing is not None:
        info = dataclasses.replace(info, preprocessing=_as_preprocessing(preprocessing), note="")
    if tokenizer is not None and info.caption_decoder is None:
        info = dataclasses.replace(info, texts=text_reader(tokenizer, model))
    return Model(adapter, info, class_names)


def _decoder(info: ModelInfo, output: Any, tokenizer: Any) -> OutputDecoder:
    """The library's decoder, unless the user says where the logits are; then the library's for that, if it has one."""
    if output is None and info.caption_decoder is not None:
        return info.caption_decoder(tokenizer)
    if output is None and info.decoder is not None:
        return info.decoder
    kind = type(info.decoder) if isinstance(info.decoder, LogitsDecoder) else LogitsDecoder
    return kind(output, info.task)


def _unwrapped(model: Any) -> Any:
    framework = framework_of(model)
    return model if framework is None else framework.load().unwrap(model)


def _as_preprocessing(given: Any) -> Preprocessing:
    if isinstance(given, Preprocessing):
        return given
    if hasattr(given, "to_dict"):
        return Preprocessing.from_huggingface(given)
    return Preprocessing.from_torchvision(given)


@functools.cache
def _version() -> str:
    return importlib.metadata.version("camscope")
