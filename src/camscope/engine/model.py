"""A model that is ready to be explained: its adapter, what its library says of it, and what the user says."""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from camscope.engine.notes import Notes
from camscope.engine.space import Space
from camscope.errors import InputError, ModelError, TargetError, either, nearest
from camscope.images import Preprocessing
from camscope.inputs import Inputs, prepare
from camscope.libraries import ModelInfo, load_model, recognise, sound_reader, text_reader
from camscope.libraries.named_preprocessing import named_preprocessing
from camscope.libraries.processors import with_processor
from camscope.models.adapter import Adapter
from camscope.models.axes import usual_space
from camscope.models.batch import Batch
from camscope.models.decoding import LogitsDecoder, OutputDecoder
from camscope.models.observing import check_task
from camscope.models.registry import doorway_of, unwrapped
from camscope.models.said_grid import SaidGrid
from camscope.outputs import Outputs, Task
from camscope.targets import TargetsLike, asks_for_classes, captions_of

_ANY_CAPTION = "a photo"
"""A caption for whatever does not depend on the caption."""

_HALF = "bfloat16"
"""The word in place of True that asks for a copy in half precision."""

_UNTRAINED = "untrained weights: the map says nothing of any picture"

_ANY_TEXT = "the quick brown fox jumps over the lazy dog"
"""A text for whatever does not depend on the text."""


@dataclass(frozen=True)
class Model:
    """A model that is ready to be explained.

    Attributes:
        adapter: runs the model.
        info: what the model's library says of it.
        class_names: the class names given to `Explainer`; None takes those that came with the model.
        space: finds which axes of a tensor are space, where neither the user nor the library says so.
        grid: the grids of layers that are named, as the user says them.
    """

    adapter: Adapter
    info: ModelInfo
    class_names: Sequence[str] | None
    space: Space
    grid: SaidGrid | None = None

    def optimised(self, *, half: bool) -> Model:
        """The model, run on a faster copy.

        Args:
            half: whether the copy is in half precision.

        Raises:
            ModelError: if its framework has none.
        """
        own: Any = self.adapter
        if not hasattr(own, "model") or not hasattr(own, "rules"):
            raise ModelError(
                f"There is no optimised copy of a {own.describe()['framework']} model: it is explained as it is. Leave "
                "optimised out."
            )
        adapter = doorway_of(own.model).adapt(
            own.model, own.decoder, task=own.rules.task, optimised=_HALF if half else True
        )
        return dataclasses.replace(self, adapter=adapter, space=Space(adapter))

    # ------------------------------------------------------------------ inputs

    def prepared(self, inputs: Any, explained_input: int | str | None = None) -> tuple[Inputs, Batch]:
        """The inputs as they were prepared, and the batch of them on the model's device.

        Args:
            inputs: what the user gave; or inputs that were prepared before.
            explained_input: see `Explainer.__call__`.

        Raises:
            InputError, ImageError: see `camscope.inputs.prepare`.
        """
        if isinstance(inputs, Inputs):
            return inputs, self.adapter.batch(inputs.batch)
        given = prepare(inputs, self.info, self.adapter.is_tensor, explained_input)
        batch = self.adapter.batch(given.batch)
        if self.info.space is None and not given.of_photos:
            space = self.space.of(batch, self.of_any_captions)
            if space != usual_space(batch.given.shape):
                given, batch = self._prepared_over(space, inputs, explained_input)
        given.input_images.keep()
        return given, batch

    def _prepared_over(
        self, space: tuple[int, ...], inputs: Any, explained_input: int | str | None
    ) -> tuple[Inputs, Batch]:
        """The same where maps are over other axes than usual, with a note that says so."""
        info = dataclasses.replace(self.info, space=space)
        given = prepare(inputs, info, self.adapter.is_tensor, explained_input)
        note = (
            f"Maps are over the axes {', '.join(map(str, space))} of the input (0 is the batch): along these the "
            "layers answer in place where it is altered. Explainer(model, space=…) says other ones."
        )
        return dataclasses.replace(given, notes=(*given.notes, note)), self.adapter.batch(given.batch)

    def of_any_captions(self, batch: Batch) -> Batch:
        """The batch with some captions, for a model that takes captions, where it does not matter which."""
        if self.info.caption_decoder is None or self.adapter.has_captions(batch):
            return batch
        return self.adapter.with_captions(batch, tuple(self.class_names or (_ANY_CAPTION,)))

    def captions(self, batch: Batch, targets: TargetsLike, notes: Notes) -> tuple[str, ...]:
        """All captions of a call: the class names and those that the targets name; none if the model takes none.

        Args:
            batch: the inputs; texts that they bring of their own are in place of captions.
            targets: the targets as the user gave them.
            notes: collects what a reader should know about the captions.

        Raises:
            TargetError: if the model takes captions, and there are none.
        """
        if self.info.caption_decoder is None or self.adapter.has_captions(batch):
            return ()
        captions = tuple(captions_of(targets, tuple(self.class_names or ())))
        if self.info.explained == "instance":
            return captions or _refuse_unnamed()
        if not captions and not asks_for_classes(targets):
            return (_ANY_CAPTION,)
        if not captions:
            raise TargetError(
                "This model compares images with captions, and none was given. Say "
                + either(
                    "targets=['a photo of a cat', 'a photo of a dog'], or Explainer(model, class_names=[…]) for "
                    "captions that are always there.",
                    "--target 'a photo of a cat' --target 'a photo of a dog', or --classes FILE with one a line.",
                )
            )
        if len(captions) == 1:
            notes.add(
                f"{captions[0]!r} is the only caption, so it is compared with nothing: the map is of its similarity, "
                "and where captions compete its probability is 1. Name others to compare it with."
            )
        return captions

    def anything(self, size: Sequence[int] | None = None) -> tuple[Inputs | None, Batch]:
        """Something to run the model on where no input is given: noise, a photo or a second of it, or a text.

        Args:
            size: the size of the noise in pixels along each axis; None takes the model's own input size.

        Raises:
            InputError: if no size is given and the model's own is not known, or one is given for texts.
        """
        preprocessing, random = self.info.preprocessing, np.random.default_rng(0)
        if self.info.texts is not None:
            if size is not None:
                raise InputError(
                    f"size={tuple(size)}: this model reads texts, which have no pixels. Leave it out."
                )
            return self.prepared(_ANY_TEXT)
        if size is None and self.info.sounds is not None and self.info.sounds.rate is not None:
            rate = self.info.sounds.rate
            return self.prepared((random.normal(scale=0.1, size=round(rate)), rate))
        if size is None and preprocessing is None and self.info.prepare is not None:
            return self.prepared(random.integers(0, 256, (480, 640, 3), dtype=np.uint8))
        own = self.info.photo.size if preprocessing is None else preprocessing.input_size
        if size is None and own is None:
            raise InputError(
                "The model's input size is not known; give a size, such as 224 by 224, or an input, such as noise of "
                "shape (1, 3, 224, 224) or (1, 224, 224, 3), or token numbers if it reads texts."
            )
        channels = self.info.photo.channels if preprocessing is None else len(preprocessing.mean)
        space = own if size is None else size
        shape = (1, channels, *(space or ()))
        noise = random.standard_normal(shape, dtype=np.float32)
        if preprocessing is not None:  # of bytes: some models take nothing else
            mean, std = (np.reshape(one, (-1, 1, 1)) for one in (preprocessing.mean, preprocessing.std))
            noise = ((random.integers(0, 256, shape) / 255 - mean) / std).astype(np.float32)
        return None, self.adapter.batch(Batch.of_usual(noise, self.info.space))

    # ------------------------------------------------------------------ facts

    def notes(self) -> Notes:
        """The notes of a new call, with what is to be said of every map of this model."""
        notes = Notes()
        notes.add(_UNTRAINED if self.info.untrained else "", urgent=True)
        for note in self.info.of_weights:
            notes.add(note)
        return notes

    @property
    def preprocessing(self) -> Preprocessing | None:
        """How photos become its input, or None if that is not known."""
        return self.info.preprocessing

    def black(self, given: Inputs | None) -> list[float] | None:
        """The value of black in each channel of its input, or None if that is not known."""
        how = (given and given.preprocessing) or self.preprocessing
        return None if how is None else [-m / s for m, s in zip(how.mean, how.std, strict=True)]

    def names(self, count: int, notes: Notes) -> Sequence[str] | None:
        """The class names: those given to `Explainer`, or those that came with the model if their number fits.

        Args:
            count: how many classes the model has.
            notes: collects a note if the number of those that came with the model does not fit.

        Raises:
            TargetError: if the number of those given to `Explainer` does not fit.
        """
        if self.class_names is not None:
            if len(self.class_names) != count:
                binary = " (a one-logit model has two classes: the negative and the positive)"
                raise TargetError(
                    f"{either('class_names', '--classes')} holds {len(self.class_names)} names, the model has {count} "
                    "classes"
                    f"{binary if count == 2 else ''}."
                )
            return self.class_names
        names = self.info.class_names
        if names is not None and len(names) != count:
            notes.add(
                f"The {len(names)} class names that came with the model do not fit its {count} outputs and were left "
                "out."
            )
            return None
        return names

    def provenance(
        self, given: Inputs, outputs: Outputs, layers: Mapping[str, Any], seed: int
    ) -> dict[str, Any]:
        """How a map came about, for whoever reads it later.

        Args:
            given: the inputs as they were prepared.
            outputs: the model's outputs for the batch.
            layers: the layers and how they were chosen.
            seed: the seed of random draws.
        """
        texts = self.info.texts if given.input_images.texts else None
        return {
            "camscope": _version(),
            "model_name": self.info.name,
            **self.adapter.describe(),
            **({} if self.info.caption_decoder is None else {"classes": "captions"}),
            **({"untrained": True} if self.info.untrained else {}),
            "task": outputs.task,
            "layers": dict(layers),
            "preprocessing": given.preprocessing.to_dict() if given.preprocessing else None,
            **({} if texts is None else {"tokenizer": texts.name}),
            "seed": seed,
        }


def _refuse_unnamed() -> tuple[str, ...]:
    raise TargetError(
        "This model finds what texts name, and none was given. Pass Explainer(model, class_names=['a cat', 'a dog']) "
        "for texts that are always there, targets=Instance(which='a cat') or --target 'instance:a cat'; or what its "
        "processor makes of photos and texts."
    )


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
    num_classes: int | None = None,
    tokenizer: Any = None,
    space: int | Sequence[int] | None = None,
    grid: SaidGrid | None = None,
) -> Model:
    """Load a model that is given by name, recognise its library, and find its adapter.

    Args:
        model: see `Explainer`.
        preprocessing: see `Explainer`.
        class_names: see `Explainer`.
        task: see `Explainer`.
        output: see `Explainer`.
        device: see `Explainer`.
        optimised: see `Explainer`.
        weights: see `Explainer`.
        trust_pickle: see `Explainer`.
        num_classes: see `Explainer`.
        tokenizer: see `Explainer`.
        space: see `Explainer`.
        grid: see `Explainer`.

    Raises:
        InputError: if `task` or `optimised` is none of its values.
        ModelError: if the model cannot be loaded or explained.
    """
    check_task(task)
    _check_optimised(optimised)
    if isinstance(model, (str, PathLike)):
        loaded = load_model(model, weights=weights, trust_pickle=trust_pickle, num_classes=num_classes)
        model, info = loaded.model, loaded.info
        if device is not None:
            model = doorway_of(model).move(model, device)
    else:
        if device is not None or weights is not None or num_classes is not None:
            raise ModelError(
                "device, weights and num_classes are for models given by name; yours comes with all of them."
            )
        model, info = recognise(unwrapped(model), wrapper=model)
    doorway = doorway_of(model)
    decoder = _decoder(info, output, tokenizer)
    adapter = doorway.adapt(doorway.unwrap(model), decoder, task=task, optimised=optimised)
    if preprocessing is not None and info.sounds is not None:
        info = dataclasses.replace(info, sounds=sound_reader(preprocessing, model))
    elif preprocessing is not None:
        info = _prepared_by(preprocessing, info, model)
    if tokenizer is not None and info.caption_decoder is None:
        info = dataclasses.replace(info, texts=text_reader(tokenizer, model))
    if class_names is None and info.caption_decoder is not None:
        class_names = info.class_names  # captions that the user put on the model
    if space is not None:
        info = dataclasses.replace(info, space=(space,) if isinstance(space, int) else tuple(space))
    return Model(adapter, info, class_names, Space(adapter), grid)


def _decoder(info: ModelInfo, output: Any, tokenizer: Any) -> OutputDecoder:
    """The library's output decoder; if the user says where the logits are, one of the same type that looks there."""
    if output is None and info.caption_decoder is not None:
        return info.caption_decoder(tokenizer)
    if output is None and info.decoder is not None:
        return info.decoder
    kind = type(info.decoder) if isinstance(info.decoder, LogitsDecoder) else LogitsDecoder
    return kind(output, info.task)


def _check_optimised(given: Any) -> None:
    if not isinstance(given, bool) and given != _HALF:
        raise InputError(
            f"optimised={given!r}: expected False, True (a copy made for inference) or {_HALF!r} (the copy in half "
            f"precision).{nearest(str(given), ['True', 'False', _HALF])}"
        )


def _prepared_by(given: Any, info: ModelInfo, model: Any) -> ModelInfo:
    """The info of a model with the preprocessing that the user gave."""
    if isinstance(given, Preprocessing):
        found = given
    elif isinstance(given, (str, Path)):
        found = named_preprocessing(given, info.photo)
    elif hasattr(given, "to_dict"):
        return with_processor(info, given, model)
    else:
        found = Preprocessing.from_torchvision(given)
    return dataclasses.replace(info, preprocessing=found, note="")


@functools.cache
def _version() -> str:
    return importlib.metadata.version("camscope")
