"""`camscope explain` on a model that takes sounds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

import camscope
from tests.libraries.sounds import noise, saved


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    return saved("Hubert", tmp_path_factory.mktemp("hubert"))


def test_a_sound_is_explained_where_a_photo_would_be(run, model):
    wavfile.write("speech.wav", 44100, np.stack([noise(1, 44100)] * 2, 1))
    ran = run("explain", "speech.wav", "--model", model, "--top", 2)
    assert ran.status == 0, ran.err
    said = " ".join(ran.out.split())
    assert "most evidence from" in said
    assert "resampled from 44100" in said
    assert "2 channels were averaged" in said
    written = sorted(path.name for path in Path("camscope-out").iterdir())
    assert written[0] == "speech-figure.png"
    assert len(written) == 3


def test_a_folder_of_sounds_as_json(run, model, tmp_path):
    for number in range(2):
        wavfile.write(f"{number}.wav", 16000, noise(1 + number, 16000))
    Path("broken.wav").write_bytes(b"RIFF")
    ran = run(
        "explain",
        ".",
        "missing.wav",
        "--model",
        model,
        "--json",
        "--save",
        "json,npz",
        "--out",
        tmp_path / "o",
    )
    assert ran.status == 1
    document = json.loads(ran.out)
    assert [Path(one["source"]).name for one in document["explained"]] == ["0.wav", "1.wav"]
    assert {Path(one["source"]).name for one in document["failed"]} == {"broken.wav", "missing.wav"}
    first, second = document["explained"]
    assert first["signal"]["steps"] == 16000
    assert second["signal"]["steps"] == 32000
    (spans,) = first["most_evidence"].values()
    assert all(0 <= start < stop <= 1 for start, stop in filter(None, spans))


def test_what_is_no_sound_is_refused(run, model):
    Path("a.mp3").write_bytes(b"x")
    ran = run("explain", "a.mp3", "--model", model)
    assert ran.status == 1
    assert "ffmpeg -i a.mp3 a.wav" in " ".join(ran.err.split())
    ran = run("explain", ".", "--model", model)
    assert "There is no .wav file in" in " ".join(ran.err.split())
    ran = run("explain", "a.wav", "--model", model, "--save", "channels")
    assert "Leave channels out" in " ".join(ran.err.split())


def test_a_sound_for_a_model_of_photos_is_told_which_models_take_sounds(run):
    wavfile.write("speech.wav", 16000, noise(1, 16000))
    ran = run("explain", "speech.wav")
    assert ran.status == 1
    assert "speech.wav is a sound, and this model takes photos" in " ".join(ran.err.split())
    with pytest.raises(camscope.InputError, match="is a sound, and this model takes photos"):
        camscope.explain("demo", "speech.wav")


def test_many_sounds_have_a_table(run, model):
    for number in range(5):
        wavfile.write(f"{number}.wav", 8000, noise(1, 8000, number))
    ran = run("explain", "*.wav", "--model", model, "--top", 1, "--format", "webp", "--colormap", "viridis")
    assert ran.status == 0, ran.err
    assert len(Path("camscope-out/sounds.csv").read_text().splitlines()) == 6
    assert len(list(Path("camscope-out").glob("*.webp"))) == 10
