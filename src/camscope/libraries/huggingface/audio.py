"""Hugging Face models that take sounds: waveforms or spectrograms, made by a feature extractor."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from camscope.arrays import to_numpy
from camscope.errors import InputError
from camscope.signals import (
    PreparedSounds,
    Signal,
    SignalGeometry,
    Sound,
    SoundReader,
    TimeOfInput,
    UnreadSounds,
    resampled,
    spectrogram_of_input,
    time_of_input,
)

_SPACE = {
    "audio-spectrogram-transformer": (1, 2),
    "whisper": (2,),
    "wav2vec2-bert": (1,),
}
"""The axes of space of an input, by model type, time first; of all others, which take waveforms, it is 1."""


def takes_sounds(model: Any) -> bool:
    """Whether a model is of a type that transformers has classifiers of sounds for."""
    from transformers.models.auto import modeling_auto

    return model.config.model_type in modeling_auto.MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES


def classifies_moments(model: Any) -> bool:
    """Whether a model gives scores of each moment, `batch time class`: of who speaks, or of letters (CTC)."""
    return type(model).__name__.endswith(("ForCTC", "ForAudioFrameClassification"))


def scores_of_moments(raw: Any) -> Any:
    """The logits of each moment as `batch class time`."""
    return raw.logits.mT


def sound_reader_of(model: Any, extractor: Any) -> tuple[SoundReader, tuple[int, ...]]:
    """What makes a model's input of sounds, and which axes of that are space.

    Args:
        model: a model that takes sounds.
        extractor: the feature extractor of a pipeline; None takes the one beside the model's weights.
    """
    space = _SPACE.get(model.config.model_type, (1,))
    if "decoder_input_ids" in inspect.signature(type(model).forward).parameters:
        return UnreadSounds(
            f"a {type(model).__name__} writes a text about it, token by token, so what has been written belongs to its "
            "input. A classifier takes a sound alone (…ForAudioClassification, …ForSequenceClassification). To explain "
            "the next token: Explainer(model, output=lambda out: out.logits[:, -1]), and what its processor makes, "
            "{'input_features': …, 'decoder_input_ids': …}."
        ), space
    extractor = _saved_extractor(model.name_or_path) if extractor is None else extractor
    if extractor is None:
        return UnreadSounds(
            "no feature extractor came with the model. Pass Explainer(model, preprocessing="
            "AutoFeatureExtractor.from_pretrained(…)), or save it beside the weights: "
            "extractor.save_pretrained(folder)."
        ), space
    return ExtractedSounds(extractor, model, space), space


class ExtractedSounds:
    """Makes a model's input by its feature extractor. See `camscope.signals.SoundReader`.

    Where a moment of a sound lies in that input is found in numbers, for each length of a sound.

    Args:
        extractor: a feature extractor of transformers.
        model: the model it is for.
        space: the axes of space of the model's input, time first.
    """

    def __init__(self, extractor: Any, model: Any, space: tuple[int, ...]) -> None:
        self.rate: float | None = float(extractor.sampling_rate)
        self._extractor, self._name, self._space = extractor, model.main_input_name, space
        self._takes = frozenset(inspect.signature(type(model).forward).parameters)
        self._shortest = _shortest(model.config)
        padding = inspect.signature(type(extractor).__call__).parameters.get("padding")
        self._options = {"padding": True} if padding is not None and padding.default is False else {}
        self._times: dict[int, TimeOfInput] = {}

    def prepared(self, sounds: Sequence[Sound]) -> PreparedSounds:
        """Prepare sounds as one batch: at the model's rate, in one run of its feature extractor.

        Raises:
            InputError: if a sound is shorter than the model can take.
            ModelError: if it is not found where a moment of a sound lies in the input.
        """
        assert self.rate is not None
        heard = [resampled(sound, self.rate) for sound in sounds]
        for number, sound in enumerate(heard):
            if len(sound.samples) < self._shortest:
                raise InputError(
                    f"{sound.source or f'Sound {number}'} has {len(sound.samples)} samples at {self.rate:g} Hz; the "
                    f"model takes {self._shortest} or more ({self._shortest / self.rate:.3g} s)."
                )
        made = self._extracted([sound.samples for sound in heard])
        x = made[self._name]
        mask = made.get("attention_mask")
        padded = mask is not None and not mask.all() and "attention_mask" in self._takes
        signals = [self._signal(*pair, x[row]) for row, pair in enumerate(zip(sounds, heard, strict=True))]
        return PreparedSounds(
            x,
            signals,
            {"attention_mask": mask} if mask is not None and padded else {},
            tuple(self._notes(sounds, heard, signals, alike=padded)),
        )

    def looked_at(self, x: Any) -> Sequence[Signal]:
        """The spectrograms that are given as the model takes them; of waveforms nothing, which show themselves.

        Args:
            x: the input, its axes as the model takes them.
        """
        values = to_numpy(x).astype(np.float32)
        if values.ndim != 3:
            return ()
        assert self.rate is not None
        rows = values if self._space[0] == 1 else values.swapaxes(1, 2)
        time = self._time_of(round(self.rate))
        return [
            Signal(
                np.zeros((0, row.shape[0]), np.float32),
                SignalGeometry.identity(row.shape if len(self._space) > 1 else row.shape[:1]),
                rate=time.scale * self.rate,
                start=-time.offset / time.scale / self.rate,
                spectrogram=spectrogram_of_input(row.T),
            )
            for row in rows
        ]

    def _extracted(self, samples: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        rate = int(self.rate) if self.rate else None
        made = self._extractor(list(samples), sampling_rate=rate, return_tensors="np", **self._options)
        return {name: np.asarray(values) for name, values in made.items()}

    def _time_of(self, length: int) -> TimeOfInput:
        """Where a sound's moments lie in the input; of the few lengths that came last it is remembered."""
        assert self.rate is not None
        if length not in self._times:
            if len(self._times) > 64:
                self._times.clear()
            self._times[length] = time_of_input(
                lambda sound: self._extracted([sound])[self._name][0], self._space[0] - 1, length, self.rate
            )
        return self._times[length]

    def _signal(self, own: Sound, heard: Sound, x: Float[np.ndarray, " ..."]) -> Signal:
        """What a person looks at: the sound as it came; or the spectrogram, where maps are over its frequencies too."""
        assert self.rate is not None
        time, rate = self._time_of(len(heard.samples)), own.rate or self.rate
        steps = x.shape[self._space[0] - 1]
        whole, part = len(heard.samples) / self.rate, (steps - time.offset) / time.scale / self.rate
        cut = part + 2 / (time.scale * self.rate) < whole
        values, notes = own.samples[None], self._said(own, (part, whole) if cut else None)
        highest = min(rate, self.rate) / 2
        if len(self._space) > 1:
            count = min(steps, math.ceil(time.scale * len(heard.samples) + time.offset + time.reach))
            return Signal(
                values,
                SignalGeometry((count, x.shape[1]), x.shape, (1.0, 1.0), (0.0, 0.0), (0.0, 0.0)),
                rate=time.scale * self.rate,
                start=-time.offset / time.scale / self.rate,
                sound=True,
                spectrogram=spectrogram_of_input(x[:count].T),
                source=own.source,
                notes=notes,
            )
        faster = self.rate / rate  # the first sample of both is at one time, and the middle of it is not
        offset = time.offset + time.scale * (1 - faster) / 2
        geometry = SignalGeometry(
            values.shape[1:], (steps,), (time.scale * faster,), (offset,), (time.reach,)
        )
        return Signal(values, geometry, rate, sound=True, highest=highest, source=own.source, notes=notes)

    def _said(self, own: Sound, cut: tuple[float, float] | None) -> tuple[str, ...]:
        """What is to be said of one sound.

        Args:
            own: as it came.
            cut: how many of its seconds the model hears, if these are not all.
        """
        notes = list(own.notes)
        if own.rate is None:
            notes.append(
                f"its rate was not said, so it is taken to be the model's {self.rate:g} Hz: (array, rate) says it"
            )
        elif own.rate != self.rate:
            notes.append(f"resampled from {own.rate:g} to the model's {self.rate:g} Hz")
        if cut is not None:
            notes.append(f"the model hears the first {cut[0]:.4g} of its {cut[1]:.4g} s")
        return tuple(notes)

    def _notes(
        self, sounds: Sequence[Sound], heard: Sequence[Sound], signals: Sequence[Signal], *, alike: bool
    ) -> list[str]:
        """What a reader of the maps should know, sound by sound where there are several.

        Args:
            sounds: as they came.
            heard: at the model's rate.
            signals: what a person looks at.
            alike: whether the model is told which part of a sound is padding.
        """
        found = []
        for number, (own, signal) in enumerate(zip(sounds, signals, strict=True)):
            name = (own.source or f"sound {number}") if len(sounds) > 1 else "The sound"
            found += [f"{name}: {note}." for note in signal.notes]
        lengths = {len(sound.samples) for sound in heard}
        if len(lengths) > 1 and not alike and self._space == (1,):
            found.append(
                "The sounds have several lengths, and the shorter ones are padded with silence, which the feature "
                "extractor does not tell the model. Explained one by one their scores differ a little."
            )
        return found


def _shortest(config: Any) -> int:
    """The fewest samples that a model's convolutions make one step of; 1 for spectrograms."""
    kernels, strides = getattr(config, "conv_kernel", None), getattr(config, "conv_stride", None)
    samples = 1
    if isinstance(kernels, (list, tuple)) and isinstance(strides, (list, tuple)):
        for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
            samples = (samples - 1) * stride + kernel
    return samples


def _saved_extractor(name: str) -> Any:
    """The feature extractor beside the model's weights, in its folder or the cache. Nothing is downloaded."""
    if not name:
        return None
    import transformers

    opener: Any = transformers.AutoFeatureExtractor  # transformers leaves it untyped
    try:
        return opener.from_pretrained(name, local_files_only=True)
    except (OSError, ValueError, KeyError, ImportError):  # raised if there is none; that is allowed
        return None
