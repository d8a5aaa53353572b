"""Signals: sounds, leads, sensors. Reading a recording, its rate, and where its times lie in a model's input."""

from camscope.signals.finding_sounds import find_sounds, names_sound, refuse_sound
from camscope.signals.reading_sounds import WAYS, is_sound, read_sound_bytes, resampled, to_sound
from camscope.signals.signal import Signal, SignalGeometry
from camscope.signals.sound import PreparedSounds, Sound, SoundReader, UnreadSounds
from camscope.signals.spectrogram import Spectrogram, spectrogram_of, spectrogram_of_input
from camscope.signals.time_of_input import TimeOfInput, time_of_input

__all__ = [
    "WAYS",
    "PreparedSounds",
    "Signal",
    "SignalGeometry",
    "Sound",
    "SoundReader",
    "Spectrogram",
    "TimeOfInput",
    "UnreadSounds",
    "find_sounds",
    "is_sound",
    "names_sound",
    "read_sound_bytes",
    "refuse_sound",
    "resampled",
    "spectrogram_of",
    "spectrogram_of_input",
    "time_of_input",
    "to_sound",
]
