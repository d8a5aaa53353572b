"""Sounds as people have them, as a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from camscope.arrays import to_numpy
from camscope.errors import InputError
from camscope.inputs.input_images import InputImages, SignalsOfTensor, images_of_batch, images_of_signals
from camscope.libraries.info import ModelInfo
from camscope.models.batch import Batch
from camscope.signals import WAYS, Signal, SoundReader, is_sound, to_sound


def prepare_sounds(
    inputs: Any, info: ModelInfo, is_tensor: Callable[[Any], bool]
) -> tuple[Batch, Sequence[Signal], tuple[str, ...]] | None:
    """One or several sounds as a batch, what a person looks at, and what a reader should know.

    Args:
        inputs: what the user gave.
        info: of a model that takes sounds.
        is_tensor: tells tensors, which the model takes as they are.

    Returns:
        None if the inputs are no sounds, but what the model takes itself.

    Raises:
        InputError: if a list is empty or holds something else, a sound cannot be read, or the model cannot take it.
    """
    assert info.sounds is not None
    if is_tensor(inputs) and len(inputs.shape) == 1:
        inputs = to_numpy(inputs)  # without a batch it is no input of a model, but a sound
    if is_tensor(inputs):
        return None
    single = is_sound(inputs)
    if isinstance(inputs, Mapping) and "array" in inputs and not single:
        raise InputError(
            "A sound as a dictionary has an 'array' and its 'sampling_rate', such as 16000; it has "
            f"{', '.join(map(repr, inputs))}."
        )
    if isinstance(inputs, Mapping) and not single:
        return None
    if not single and not isinstance(inputs, (list, tuple)):
        raise InputError(
            f"Cannot explain {type(inputs).__name__}: this model takes sounds, {WAYS}; or a tensor, as its feature "
            "extractor makes it."
        )
    given = [inputs] if single else list(inputs)
    if not given:
        raise InputError("The list of sounds is empty.")
    if not single and any(is_tensor(one) for one in given):
        if isinstance(inputs, tuple):
            return None  # several inputs of the model, by position
        given = [one.detach().cpu().numpy() if hasattr(one, "detach") else one for one in given]
    if not single and all(isinstance(one, (int, float)) for one in given):
        raise InputError(
            f"A list of {len(given)} numbers was given. A sound is an array: np.asarray(samples, dtype='float32')."
        )
    sounds = [to_sound(one) for one in given]
    prepared = info.sounds.prepared(sounds)
    batch = Batch((prepared.x,), prepared.others, 0, info.space)
    return batch, prepared.signals, prepared.notes


def images_of_heard(batch: Batch, reader: SoundReader) -> InputImages:
    """What a person looks at where the input of a model that takes sounds is given as it takes it.

    Args:
        batch: with that input.
        reader: what makes it of sounds.
    """
    if len(batch.given.shape) == 2:
        return SignalsOfTensor(batch.x, reader.rate, sound=True)
    signals = reader.looked_at(batch.given)
    return images_of_signals(signals) if signals else images_of_batch(batch.x, None)
