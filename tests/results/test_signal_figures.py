"""Figures of signals, by their pixels: the line, the colours of its evidence, the axis of time, the spectrogram."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import camscope
from camscope.errors import InputError, KeywordError
from camscope.render.colour import lut
from camscope.render.word_rows import WORDS, WORDS_DIVERGING


class Loudness(nn.Module):
    """Its only map is, at each step of four, how large the signal's first channel is; class 1 is its opposite."""

    def __init__(self) -> None:
        super().__init__()
        self.pooled = nn.AvgPool1d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        loud = self.pooled(x[:, :1]).mean(-1)
        return torch.cat([loud, -loud], 1)


def bump(channels: int = 1, steps: int = 400, start: int = 100, stop: int = 160) -> torch.Tensor:
    x = torch.zeros(1, channels, steps)
    x[:, :, start:stop] = 1
    return x


@pytest.fixture(scope="module")
def explained() -> camscope.Explanation:
    x = torch.cat([bump(), bump(start=300, stop=340)])
    return camscope.explain(Loudness().eval(), x, layers="pooled", targets=[0, 1])


def pixels(figure: object) -> np.ndarray:
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(int)


def lines_of(figure) -> list:
    return [axes for axes in figure.axes if axes.get_lines()]


def columns_of_colour(picture: np.ndarray, colour: np.ndarray, row: int) -> np.ndarray:
    return np.flatnonzero((np.abs(picture[row] - colour.astype(int)) <= 3).all(-1))


def test_the_ground_is_pale_where_there_is_no_evidence_and_dark_where_there_is(explained):
    picture = np.asarray(explained.overlay(0, 0, width=400, height=100)).astype(int)
    table = lut(WORDS)
    assert columns_of_colour(picture, table[0], 20).size > 200
    dark = columns_of_colour(picture, table[255], 20)
    assert dark.min() == pytest.approx(100, abs=6)
    assert dark.max() == pytest.approx(160, abs=6)


def test_evidence_against_has_the_other_colour(explained):
    against = np.asarray(explained.overlay(0, 1, scale="signed", width=400, height=100)).astype(int)
    assert columns_of_colour(against, lut(WORDS_DIVERGING)[0], 80).mean() == pytest.approx(130, abs=5)


def test_a_row_for_each_target_with_probability_and_time(explained):
    figure = explained.figure(rate=100)
    first, second = lines_of(figure)
    assert first.get_xlim() == second.get_xlim() == (0.0, 4.0)
    texts = [text.get_text() for text in figure.texts]
    assert "time (s)" in texts
    assert {"class 0", "class 1", f"{explained.probability(0, 0):.1%}"} <= set(texts)
    assert texts.count("4") == 1  # the times stand under the last row only
    assert "sample" in [text.get_text() for text in explained.figure().texts]


def test_the_line_is_the_signal(explained):
    (axes,) = lines_of(explained.figure(target=0))
    (line,) = axes.get_lines()
    times, heights = line.get_data()
    np.testing.assert_allclose(times, np.arange(400) + 0.5)
    assert set(np.flatnonzero(heights > -0.5)) == set(range(100, 160))


def test_of_a_long_line_no_peak_is_lost():
    x = torch.zeros(1, 1, 100_000)
    x[0, 0, 77_777] = 1
    e = camscope.explain(Loudness().eval(), x, layers="pooled", targets=[0])
    (axes,) = lines_of(e.figure())
    (line,) = axes.get_lines()
    times, heights = line.get_data()
    assert len(times) < 5000
    assert times[np.argmax(heights)] == pytest.approx(77_777, abs=100)


def test_methods_and_layers_have_rows_of_their_own():
    model = nn.Sequential(nn.Conv1d(1, 4, 3, padding=1), nn.ReLU(), Loudness())
    nn.init.constant_(model[0].weight, 0.5)
    nn.init.constant_(model[0].bias, 0.3)
    e = camscope.explain(
        model.eval(), bump(), methods=["gradcam", "layercam"], layers=["0", "2.pooled"], targets=[0]
    )
    assert len(lines_of(e.figure())) == 4
    assert len(lines_of(e.figure(method="layercam"))) == 2
    assert len(lines_of(e.figure(by="targets", method="layercam", layer="0"))) == 1
    words = [text.get_text() for text in e.figure().texts]
    assert any(re.search("gradcam · 2.pooled", word) for word in words)


def test_of_many_rows_the_first_are_shown_and_the_caption_says_so():
    model = nn.Sequential(nn.Conv1d(1, 20, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten())
    nn.init.constant_(model[0].weight, 0.5)
    nn.init.constant_(model[0].bias, 0.3)
    e = camscope.explain(model.eval(), bump(), targets=list(range(20)), layers="1")
    figure = e.figure()
    assert len(lines_of(figure)) == 12
    assert "the first 12 of 20 rows" in " ".join(text.get_text() for text in figure.texts)


def test_channels_stand_above_one_another_up_to_what_is_legible():
    x = bump(channels=64)
    e = camscope.explain(Loudness().eval(), x, layers="pooled", targets=[0])
    (axes,) = lines_of(figure := e.figure())
    assert len(axes.get_lines()) == 12
    said = " ".join(text.get_text() for text in figure.texts)
    assert "of 64: channels=[…] shows others" in said
    (axes,) = lines_of(e.figure(channels=[3, 60]))
    assert len(axes.get_lines()) == 2
    assert {"3", "60"} <= {text.get_text() for text in e.figure(channels=[3, 60]).texts}
    with pytest.raises(InputError, match="the signal has 64, 0 to 63"):
        e.figure(channels=[64])


def test_a_gallery_has_a_row_for_each_signal(explained):
    figure = explained.gallery(target=0)
    assert len(lines_of(figure)) == 2
    assert "signal 1 · class 0" in [text.get_text() for text in figure.texts]
    assert len(lines_of(explained.gallery(images=[1]))) == 2  # of each target
    with pytest.raises(InputError, match="target=2: 2 targets"):
        explained.gallery(target=2)


def test_it_draws_on_axes_of_ones_own(explained):
    import matplotlib.pyplot as plt

    own, axes = plt.subplots(2)
    try:
        assert explained.figure(ax=axes, rate=100) is own
        assert axes[1].get_xlabel() == "time (s)"
        assert "class 1" in axes[1].get_title()
        with pytest.raises(InputError, match="ax= has 1 axes; this figure has 2 rows"):
            explained.figure(ax=axes[0])
    finally:
        plt.close(own)


def test_width_is_the_figures_width_and_nothing_is_cut_off(explained):
    for width in (3.0, 6.3, 9.0):
        figure = explained.figure(width=width, title="A title", rate=100)
        assert figure.get_size_inches()[0] == width
        edges = pixels(figure)
        for edge in (edges[0], edges[-1], edges[:, 0], edges[:, -1]):
            assert (edge == 255).all()


def test_a_spectrogram_is_ink_with_frequency_upwards():
    rate, seconds = 8000, 2.0
    t = np.arange(int(rate * seconds)) / rate
    sound = np.where(t < 1, np.sin(2 * np.pi * 500 * t), np.sin(2 * np.pi * 3000 * t)).astype(np.float32)
    e = camscope.explain(Loudness().eval(), torch.from_numpy(sound)[None, None], layers="pooled", targets=[0])
    zero = dataclasses.replace(e, raw={key: 0 * maps for key, maps in e.raw.items()})
    picture = np.asarray(zero.overlay(show="spectrogram", width=400, height=200).convert("L"))
    early, late = picture[5:-5, 50:150].mean(1), picture[5:-5, 250:350].mean(1)
    assert np.argmin(early) / len(early) == pytest.approx(1 - 500 / 4000, abs=0.05)
    assert np.argmin(late) / len(late) == pytest.approx(1 - 3000 / 4000, abs=0.05)


def test_what_is_no_option_is_refused(explained):
    with pytest.raises(KeywordError, match="no option 'colourmap'"):
        explained.figure(colourmap="jet")
    with pytest.raises(InputError, match="lines, spectrogram or both"):
        explained.figure(show="waveform")
    with pytest.raises(InputError, match="samples per second"):
        explained.figure(rate=0)
    with pytest.raises(InputError, match="the figure of a signal is by signals, targets, methods"):
        explained.figure(by="channels")
    with pytest.raises(InputError, match="use figure"):
        explained.input_image()


def test_the_tensor_may_be_written_to_afterwards():
    x = bump()
    e = camscope.explain(Loudness().eval(), x, layers="pooled", targets=[0])
    x.zero_()
    assert e.signal().values.sum() == 60
    assert isinstance(e.overlay(), Image.Image)


def test_one_signal_of_a_batch_stays_itself(explained):
    alone = explained[1]
    np.testing.assert_array_equal(alone.signal().values, explained.signal(1).values)
    assert repr(alone).startswith("Explanation(1 signal, ")


# ------------------------------------------------------------------ several explanations side by side


def titles_of(figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(lambda a: hasattr(a, "get_text")) if text.get_text()]


def test_compared_signals_stand_below_one_another_with_their_correlation(explained):
    moved = torch.cat([bump(start=140, stop=200), bump(start=340, stop=380)])
    other = camscope.explain(Loudness().eval(), moved, layers="pooled", targets=[0, 1])
    figure = camscope.compare(explained, other, image=0, labels=["before", "after"])
    a, b = (e.photo_heatmaps(0, *next(iter(e.raw)))[0] for e in (explained, other))
    said = titles_of(figure)
    assert [words for words in said if words.startswith(("before", "after"))] == [
        "before · class 0",
        "after · class 0",
    ]
    assert sum(f"r = {np.corrcoef(a.ravel(), b.ravel())[0, 1]:.2f}" in words for words in said) == 1
    assert len(lines_of(figure)) == 2


def test_of_many_compared_signals_the_first_are_shown_and_the_caption_says_so():
    x = torch.cat([bump(start=10 * i, stop=10 * i + 60) for i in range(8)])
    e = camscope.explain(Loudness().eval(), x, layers="pooled", targets=[0])
    figure = camscope.compare(e, e)
    assert len(lines_of(figure)) == 12
    assert any("the first 6 of 8 signals" in words for words in titles_of(figure))


def test_signals_are_not_compared_with_others_or_with_photos(explained):
    shorter = camscope.explain(Loudness().eval(), bump(steps=200), layers="pooled", targets=[0])
    with pytest.raises(InputError, match="not of the same signals"):
        camscope.compare(explained[:1], shorter)
    photo = camscope.explain(
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(2), nn.AdaptiveAvgPool1d(1), nn.Flatten()).eval(),
        torch.randn(1, 1, 9, 9),
        targets=[0],
    )
    with pytest.raises(InputError, match="of signals and images; compare takes several of images"):
        camscope.compare(explained[:1], photo)
