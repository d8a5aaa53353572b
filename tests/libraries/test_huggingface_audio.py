"""Hugging Face's classifiers of sounds: sounds as people have them, and maps on the sound's own time."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as hf
from scipy.io import wavfile

import camscope
from camscope import Explainer
from camscope.errors import InputError, ModelError
from tests.libraries.sounds import KINDS, NAMES, OF_WAVES, WAVES, built, noise, saved

RATE = 16000


@pytest.fixture(scope="module")
def explainers(tmp_path_factory) -> dict[str, Explainer]:
    made: dict[str, Explainer] = {}

    class Made(dict[str, Explainer]):
        def __missing__(self, kind: str) -> Explainer:
            made[kind] = self[kind] = Explainer(saved(kind, tmp_path_factory.mktemp(kind)))
            return made[kind]

    return Made()


def clicked(sound: np.ndarray, rate: int, at: float) -> np.ndarray:
    sound = sound.copy()
    place = int(at * rate)
    sound[place - 2 : place + 3] = 1
    return sound


def changed(explainer: Explainer, before, after, layer: str) -> camscope.Explanation:
    """How much each place of a layer changes with the sound, as an explanation's map."""
    options = {"methods": "mean-activation", "targets": [0], "layers": layer}
    first, second = explainer(before, **options), explainer(after, **options)
    return dataclasses.replace(
        second, raw={key: (maps - first.raw[key]).abs() for key, maps in second.raw.items()}
    )


def middle(heat: np.ndarray) -> float:
    return float(np.mean(np.flatnonzero(heat >= np.nanmax(heat) / 2) + 0.5))


# ---------------------------------------------------------------------- where a moment lands


@pytest.mark.parametrize("kind", KINDS)
def test_a_click_lands_on_the_maps_where_it_is_in_the_sound(explainers, kind):
    explainer = explainers[kind]
    for rate, at in ((RATE, 0.5), (44100, 1.3), (8000, 1.7)):
        quiet = noise(2.2, rate) * 1e-3
        layer = explainer.layers((quiet, rate), every=True)[0][0].name
        e = changed(explainer, (quiet, rate), (clicked(quiet, rate, at), rate), layer)
        heat = e.photo_heatmaps(0)[0]
        signal = e.signal()
        assert heat.shape == signal.geometry.photo_size
        heat = heat if heat.ndim == 1 else heat.sum(1)
        cell = signal.geometry.input_size[0] / signal.geometry.scale[0] / signal.rate / e.maps().shape[2]
        assert signal.start + middle(heat) / signal.rate == pytest.approx(at, abs=max(0.001, 0.8 * cell))
        if kind != "AST":
            assert heat.shape == quiet.shape
            assert signal.rate == rate
            np.testing.assert_array_equal(signal.values[0], clicked(quiet, rate, at))


def test_a_waveforms_samples_are_the_inputs(explainers):
    sound = noise(1.0, RATE)
    e = explainers["Hubert"]((sound, RATE), targets=[0])
    np.testing.assert_allclose(e.photo_heatmaps(0), e.heatmaps()[0], atol=1e-6)
    given = hf.Wav2Vec2FeatureExtractor()(sound, sampling_rate=RATE, return_tensors="pt").input_values
    tensor = explainers["Hubert"](given, targets=[0])
    torch.testing.assert_close(tensor.maps(), e.maps())
    assert tensor.of_signals
    assert tensor.signal().rate == RATE


def test_frequencies_go_upwards_on_a_map_over_time_and_frequency(explainers):
    t = np.arange(2 * RATE) / RATE
    quiet = noise(2.0, RATE) * 1e-3
    layer = "audio_spectrogram_transformer.embeddings.patch_embeddings"
    rows = []
    for tone in (200, 6000):
        burst = np.exp(-(((t - 1) / 0.1) ** 2)) * np.sin(2 * np.pi * tone * t)
        sound = quiet + burst.astype(np.float32)
        e = changed(explainers["AST"], (quiet, RATE), (sound, RATE), layer)
        heat = e.photo_heatmaps(0)[0]
        assert middle(heat.sum(1)) / e.signal().rate == pytest.approx(1, abs=0.1)
        rows.append(np.argmax(heat.sum(0)) / heat.shape[1])
        levels = e.signal().spectrogram.levels  # the lowest frequency first
        assert levels.shape == heat.T.shape
        assert np.argmax(levels[:, 100]) / len(levels) == pytest.approx(rows[-1], abs=0.15)
    assert rows[0] < 0.3
    assert rows[1] > 0.7


@pytest.mark.parametrize(("kind", "hears"), [("Whisper", 4.0), ("AST", 2.56)])
def test_what_is_cut_off_is_not_covered(explainers, kind, hears):
    e = explainers[kind]((noise(6, RATE), RATE), targets=[0])
    assert any("the model hears the first" in note and "of its 6 s" in note for note in e.notes)
    heat = e.photo_heatmaps(0)[0]
    if kind == "AST":
        assert len(heat) / e.signal().rate == pytest.approx(hears, abs=0.02)
    else:
        assert np.isfinite(heat[: int(hears * RATE)]).all()
        assert np.isnan(heat[int((hears + 0.03) * RATE) :]).all()
        assert e.figure().axes


@pytest.mark.parametrize("kind", ["Whisper", "AST"])
def test_padding_is_not_the_sound(explainers, kind):
    e = explainers[kind]((noise(1.5, RATE), RATE), targets=[0])
    heat = e.photo_heatmaps(0)[0]
    assert np.isfinite(heat).all()
    assert len(heat) / e.signal().rate == pytest.approx(1.5, abs=0.02)


# ---------------------------------------------------------------------- sound as people have it


def test_all_ways_to_hand_over_a_sound_are_one(explainers, tmp_path):
    explainer = explainers["Hubert"]
    whole = (noise(1.0, RATE) * 20000).astype(np.int16)
    wavfile.write(tmp_path / "a.wav", RATE, whole)
    sound = whole / np.float32(32768)
    ways = [
        tmp_path / "a.wav",
        str(tmp_path / "a.wav"),
        whole,
        sound,
        (sound, RATE),
        (RATE, whole),
        (torch.from_numpy(sound)[None], RATE),
        np.stack([sound, sound], axis=1),
        {"array": sound, "sampling_rate": RATE, "path": "a.wav"},
        [sound],
        [(sound, RATE)],
        [torch.from_numpy(sound)],
        torch.from_numpy(sound),
    ]
    expected = explainer(ways[0], targets=[0, 1])
    assert [target.name for target in expected.targets[0]] == ["dog", "bell"]
    assert expected.notes == ()
    for way in ways[1:]:
        e = explainer(way, targets=[0, 1])
        torch.testing.assert_close(e.maps(), expected.maps(), rtol=1e-4, atol=1e-6)
    assert "its rate was not said" in " ".join(explainer(sound).notes)
    assert "2 channels were averaged" in " ".join(explainer(ways[7]).notes)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32])
def test_a_wav_file_of_any_type_is_the_same_sound(tmp_path, dtype):
    from camscope.signals import to_sound

    sound = np.array([0.0, 0.5, -0.5, 0.25], np.float32)
    half = 1 if dtype == np.float32 else 2.0 ** (8 * np.dtype(dtype).itemsize - 1)
    wavfile.write(tmp_path / "a.wav", RATE, (sound * half + (128 if dtype == np.uint8 else 0)).astype(dtype))
    np.testing.assert_allclose(to_sound(tmp_path / "a.wav").samples, sound, atol=1e-6)


def test_another_rate_is_resampled_and_said(explainers):
    t = np.arange(2 * 44100) / 44100
    tone = np.sin(2 * np.pi * 440 * t).astype(np.float32)
    given = explainers["Hubert"].prepare((tone, 44100))
    samples = np.asarray(given.batch.given)[0]
    assert len(samples) == 2 * RATE
    spectrum = np.abs(np.fft.rfft(samples))
    assert np.argmax(spectrum) / 2 == 440
    assert given.notes == ("The sound: resampled from 44100 to the model's 16000 Hz.",)


def test_padded_sounds_of_a_batch_are_as_alone_where_the_model_is_told(explainers):
    sounds = [(noise(s, RATE, seed), RATE) for seed, s in enumerate((2.0, 1.3))]
    together = explainers["masked"](sounds, targets=[0])
    for row, sound in enumerate(sounds):
        alone = explainers["masked"](sound, targets=[0])
        torch.testing.assert_close(together.scores[row], alone.scores[0], rtol=1e-4, atol=1e-6)
        assert together.photo_heatmaps(row).shape == (1, len(sound[0]))
    assert together.notes == ()
    told = explainers["Hubert"](sounds, targets=[0]).notes
    assert any("padded with silence" in note for note in told)


@pytest.mark.parametrize("kind", OF_WAVES)
def test_the_logits_are_the_pipelines(explainers, kind):
    sound = noise(1.0, RATE)
    explainer = explainers[kind]
    folder = explainer._named.removeprefix("hf:")
    pipeline = hf.pipeline("audio-classification", model=folder)
    said = {one["label"]: one["score"] for one in pipeline(sound, top_k=3)}
    e = explainer((sound, RATE), targets=[0])
    probabilities = e.probabilities[0] if e.probabilities is not None else e.logits[0].softmax(-1)
    for number, name in NAMES.items():
        assert float(probabilities[number]) == pytest.approx(said[name], abs=1e-4)
    of_pipeline = camscope.explain(pipeline, (sound, RATE), targets=[0])
    torch.testing.assert_close(of_pipeline.maps(), e.maps())


@pytest.mark.parametrize("name", ["Wav2Vec2ForCTC", "Wav2Vec2ForAudioFrameClassification"])
def test_classes_of_moments_are_classes_over_time(tmp_path, name):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = getattr(hf, name)(hf.Wav2Vec2Config(**WAVES, vocab_size=7)).eval()
    model.save_pretrained(tmp_path)
    hf.Wav2Vec2FeatureExtractor().save_pretrained(tmp_path)
    sound = noise(1.0, RATE)
    explainer = Explainer(f"hf:{tmp_path}")
    e = explainer((sound, RATE), targets=[camscope.Region(1, "all")])
    given = torch.from_numpy(np.asarray(explainer.prepare((sound, RATE)).batch.given))
    with torch.no_grad():
        logits = model(given).logits
    assert e.logits.shape == (1, logits.shape[2])
    assert float(e.scores[0, 0]) == pytest.approx(float(logits[0, :, 1].sum()), rel=1e-4, abs=1e-4)
    assert e.photo_heatmaps(0).shape == (1, RATE)


# ---------------------------------------------------------------------- what is refused


def test_what_writes_a_text_about_a_sound_is_refused_with_what_works(tmp_path):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)  # with these weights its two words answer as two places of the sound would
        hf.WhisperForConditionalGeneration(built("Whisper")[0].config).save_pretrained(tmp_path)
        inputs = {
            "input_features": torch.randn(1, 80, 400),
            "decoder_input_ids": torch.tensor([[1, 5]]),
        }
    hf.WhisperFeatureExtractor(chunk_length=4).save_pretrained(tmp_path)
    explainer = Explainer(f"hf:{tmp_path}", output=lambda out: out.logits[:, -1])
    with pytest.raises(InputError, match="ForAudioClassification"):
        explainer((noise(1, RATE), RATE))
    e = explainer(inputs, targets=[3])
    assert e.maps().shape[-1] in (200, 400)
    assert e.figure().axes


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("", "name of the sound is empty"),
        ("nowhere.wav", "There is no file nowhere.wav"),
        (np.zeros((2, RATE), np.float32), "Several sounds are a list of arrays"),
        (np.zeros(0, np.float32), "is empty"),
        (np.zeros(100, np.float32), "takes 400 or more"),
        (np.full(RATE, np.nan, np.float32), "no finite numbers"),
        ([0.1, 0.2], "A sound is an array"),
        ([], "The list of sounds is empty"),
        ((np.zeros(RATE), 0), "samples per second"),
        ({"array": np.zeros(RATE)}, "'sampling_rate'"),
        (3, "this model takes sounds"),
        ([["a.wav"]], "Expected a sound"),
        (np.array(["a"]), "expected numbers over time"),
    ],
)
def test_what_is_no_sound_is_refused(explainers, given, words):
    with pytest.raises(InputError, match=words):
        explainers["Hubert"](given)


def test_other_files_are_refused_with_what_to_do(explainers, tmp_path):
    for name, content, words in (
        ("a.mp3", b"x", "ffmpeg -i a.mp3 a.wav"),
        ("a.png", b"x", "is no .wav file"),
        ("a.wav", b"RIFFxxxx", "cannot be read as a .wav file"),
        ("b.wav", b"", "cannot be read as a .wav file"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=words):
            explainers["Hubert"](tmp_path / name)
    with pytest.raises(InputError, match="is a folder"):
        explainers["Hubert"](str(tmp_path))


def test_without_a_feature_extractor_it_says_what_to_do(tmp_path):
    name = saved("Hubert", tmp_path)
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(InputError, match=r"extractor\.save_pretrained\(folder\)"):
        camscope.explain(name, (noise(1, RATE), RATE))
    given = {"targets": [0], "preprocessing": hf.Wav2Vec2FeatureExtractor()}
    assert camscope.explain(name, (noise(1, RATE), RATE), **given).signal().rate == RATE
    with pytest.raises(InputError, match="is a feature extractor"):
        Explainer(name, preprocessing="imagenet")
    assert camscope.explain(name, torch.from_numpy(noise(1, RATE))[None]).of_signals


# ---------------------------------------------------------------------- figures and files


@pytest.mark.parametrize("kind", ["Hubert", "Whisper", "AST"])
def test_figures_of_sounds(explainers, kind):
    e = explainers[kind]((noise(2, RATE), RATE), targets=[0, 1])
    figure = e.figure()
    parts = [axes for axes in figure.axes if axes.get_label() != "colorbar"]
    assert len(parts) == (
        2 if kind == "AST" else 4
    )  # a line and a spectrogram, or the model's own spectrogram
    assert "time (s)" in [text.get_text() for text in figure.texts]
    assert parts[0].get_xlim()[1] == pytest.approx(2, abs=0.03)
    assert e.overlay(0, 1, width=300).size[0] == 300
    assert len(e.gallery(target=0).axes) == 2
    assert "data:image/png" in e._repr_html_()
    if kind != "Hubert":
        given = np.asarray(explainers[kind].prepare((noise(2, RATE), RATE)).batch.given)
        tensor = explainers[kind](torch.from_numpy(given), targets=[0])
        assert "time (s)" in [text.get_text() for text in tensor.figure().texts]


def test_a_sound_is_saved_and_read_again(explainers, tmp_path):
    sound = noise(1.0, 8000)
    wavfile.write(tmp_path / "a.wav", 8000, sound)
    e = explainers["Hubert"](tmp_path / "a.wav", targets=[0])
    again = camscope.load(e.save(tmp_path / "a.npz"))
    assert again.of_signals
    np.testing.assert_allclose(again.photo_heatmaps(0), e.photo_heatmaps(0), atol=1e-6)
    np.testing.assert_array_equal(again.signal().values, e.signal().values)
    with np.load(tmp_path / "a.npz") as file:
        (name,) = [name for name in file if name.startswith("heatmaps/")]
        assert file[name].shape == (1, 1, 8000)
    about = again.summary()
    assert about["signal"]["rate"] == 8000
    assert about["source"] == str(tmp_path / "a.wav")
    wavfile.write(tmp_path / "a.wav", 8000, sound[:500])
    with pytest.raises(InputError, match="has 500 samples"):
        again.figure()


def test_the_summary_says_when_there_is_most_evidence(explainers):
    quiet = noise(2, RATE) * 1e-3
    layer = explainers["Whisper"].layers((quiet, RATE), every=True)[0][0].name
    e = changed(explainers["Whisper"], (quiet, RATE), (clicked(quiet, RATE, 1.25), RATE), layer)
    (((start, stop),),) = e.summary()["most_evidence"].values()
    assert start < 1.25 < stop
    assert stop - start < 0.1


@pytest.mark.parametrize("given", ["a sound", "the model's input"])
def test_a_saved_map_over_frequencies_shows_the_spectrogram_that_the_model_was_given(
    explainers, tmp_path, given
):
    sound = (noise(2, RATE), RATE)
    if given != "a sound":
        sound = torch.from_numpy(np.asarray(explainers["AST"].prepare(sound).batch.given))
    e = explainers["AST"](sound, targets=[0])
    again = camscope.load(e.save(tmp_path / "a.npz"))
    before, after = e.signal(), again.signal()
    assert (after.rate, after.start, after.sound) == (before.rate, before.start, before.sound)
    np.testing.assert_allclose(after.spectrogram.levels, before.spectrogram.levels, atol=1e-3)
    np.testing.assert_allclose(again.photo_heatmaps(0), e.photo_heatmaps(0), atol=1e-6)
    pictures = [np.asarray(one.overlay(0, 0, width=300)).astype(int) for one in (e, again)]
    assert np.abs(pictures[0] - pictures[1]).max() <= 2
    assert "time (s)" in [text.get_text() for text in again.figure().texts]


def test_a_saved_spectrogram_of_another_size_is_refused(explainers, tmp_path):
    path = explainers["AST"]((noise(2, RATE), RATE), targets=[0]).save(tmp_path / "a.npz")
    with np.load(path) as file:
        arrays = dict(file)
    arrays["spectrogram/0"] = arrays["spectrogram/0"][:, 1:]
    np.savez(path, **arrays)
    with pytest.raises(InputError, match="'spectrogram/0' has shape"):
        camscope.load(path)


def test_where_moments_lie_is_not_guessed():
    from camscope.signals import time_of_input

    random = np.random.default_rng(0)
    with pytest.raises(ModelError, match="was not found"):
        time_of_input(lambda sound: random.normal(size=(100, 8)), 0, RATE, RATE)

    # a hop of 160 that begins 40 samples before the sound, and ends before it does
    def frames(sound: np.ndarray) -> np.ndarray:
        padded = np.pad(sound, (40, -(len(sound) + 40) % 160))
        return padded.reshape(-1, 160)[:600]

    found = time_of_input(frames, 0, 2 * RATE, RATE)
    assert found.scale == 1 / 160
    assert found.offset == pytest.approx(40 / 160, abs=0.1)


def test_sounds_are_found_in_folders_and_by_globs(tmp_path: Path):
    from camscope.signals import find_sounds

    for name in ("b10.wav", "b2.WAV", "c.mp3", "x/a.wav", ".hidden.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    names = [Path(one).name for one in find_sounds([str(tmp_path)])]
    assert names == ["b2.WAV", "b10.wav", "a.wav"]
    assert len(find_sounds([str(tmp_path / "*.wav"), str(tmp_path / "b10.wav")])) == 1
    with pytest.raises(InputError, match="1 other recordings"):
        find_sounds([str(tmp_path / "*.mp3")])
