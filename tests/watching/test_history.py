"""Reading a history: its arrays, figures by their pixels, the animation, and identities of how looking settles."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import camscope
from camscope import History, Recorder, render
from camscope.arrays import halved, resize
from camscope.render.colour import lut
from camscope.watching.looks import Look, Moment
from camscope.watching.watched_samples import Samples
from tests.watching.conftest import CLASSES, data, train


def history_of(
    maps: np.ndarray, *, pictures=True, rectified=True, epochs=(), probabilities=None, **about
) -> History:
    """A history made by hand: step t has the maps `maps[t]`, `sample target height width`."""
    steps, samples, targets, *space = maps.shape
    size = tuple(4 * n for n in space)
    looks = []
    for t in range(steps):
        halves, scales = halved(maps[t].astype(np.float32))
        epoch = next((k for k, step in enumerate(epochs, 1) if step == t), 0)
        looks.append(
            Look(
                Moment(t, epoch, bool(epoch), {"loss": 1.0 / (t + 1)}),
                halves,
                scales,
                np.zeros((samples, targets), np.float32),
                np.full((samples, targets), 0.25 if probabilities is None else probabilities[t], np.float32),
                np.zeros((samples, targets), int),
                np.zeros(samples, int),
                np.full(samples, 0.5, np.float32),
                (("first",) * targets,) * samples,
                (("",) * targets,) * samples,
                f"weights {t}",
            )
        )
    shown = Samples(
        inputs=np.zeros((samples, 1, *size), np.float32),
        pictures=np.full((samples, *size, 3), 128, np.uint8) if pictures else None,
        names=tuple(f"s{i}" for i in range(samples)),
        labels=("first",) * samples,
        input_size=size,
        method="gradcam",
        layer="last",
        rectified=rectified,
        class_names=("first", "second"),
        about={"model": "Net"},
    )
    return History(Path("here"), shown, tuple(looks), (), **about)


def peaked(row: int, column: int) -> np.ndarray:
    one = np.zeros((4, 4), np.float32)
    one[row, column] = 1
    return one


# ------------------------------------------------------------------ arrays


def test_arrays_are_by_step_sample_and_target(watched):
    history = History.open(watched)
    steps = [0, 1, 2, 4, 6, 8, 12, 16, 18, 24]
    assert history.steps.tolist() == steps
    assert history.epochs.tolist() == [0, 0, 0, 0, 1, 1, 2, 2, 3, 4]
    assert history.epoch_ends.tolist() == [s in (6, 12, 18, 24) for s in steps]
    assert history.maps.shape == (10, 3, 1, 6, 6)
    assert history.heatmaps().shape == (10, 3, 1, 12, 12)
    assert history.probabilities.shape == history.scores.shape == history.classes.shape == (10, 3, 1)
    assert history.top.shape == history.top_probabilities.shape == (10, 3)
    assert np.isnan(history.numbers("loss")[0])
    assert history.number_names == ("loss", "learning_rate", "metric")
    assert repr(history).startswith("History(10 looks, steps 0 to 24, 3 samples, gradcam at ")
    assert History.open(watched.parent).steps.tolist() == steps  # the run's folder does too


def test_scales_are_shared_as_said(watched):
    history = History.open(watched)
    assert np.allclose(history.heatmaps(scale="map").max(axis=(3, 4)), 1)
    by_sample = history.heatmaps(scale="sample").max(axis=(3, 4))
    assert np.allclose(by_sample.max(axis=0), 1)
    assert by_sample.min() < 0.9
    together = history.heatmaps(scale="history").max(axis=(3, 4))
    assert np.isclose(together.max(), 1)
    assert together.max(axis=0).min() < 0.99
    with pytest.raises(camscope.InputError, match=r"scale='samples'.*Did you mean 'sample'"):
        history.heatmaps(scale="samples")


def test_some_of_it(watched):
    history = History.open(watched)
    two = history.at_epochs([0, 4])
    assert two.steps.tolist() == [0, 24]
    assert np.array_equal(two.maps[1], history.maps[-1])
    assert history.at_steps([4, -1]).steps.tolist() == [4, 24]
    one = history.of_samples(["square"])
    assert np.array_equal(one.maps, history.maps[:, 1:2])
    assert one.samples.names == ("1",)
    assert np.array_equal(one.samples.pictures[0], history.samples.pictures[1])
    assert history.of_samples(["2", 0]).samples.labels == ("cross", "circle")
    assert history.chosen_steps(3) == [0, 6, 24]
    assert history.chosen_steps(100) == history.steps.tolist()


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda h: h.at_steps([5]), r"no look after step 5\. The nearest is step 4; there are 0, 1, 2"),
        (lambda h: h.at_steps([]), "list of steps is empty"),
        (lambda h: h.at_epochs([50]), "no look at the end of epoch 50; there are 0, 1, 2, 3, 4"),
        (lambda h: h.of_samples(["sqare"]), "no sample 'sqare'.*Did you mean 'square'"),
        (lambda h: h.of_samples([3]), "no sample 3; there are 0, 1, 2"),
        (lambda h: h.numbers("los"), "No 'los' was given.*Did you mean 'loss'"),
        (lambda h: h.figure(colourmap="jet"), "no option 'colourmap'. Did you mean 'colormap'"),
        (lambda h: h.figure(target=1), "target=1: the history has 1, 0 to 0"),
        (lambda h: h.figure(box=(0, 0, 13, 2)), "box 0,0,13,2 is none in an input 12 wide and 12 high"),
        (lambda h: h.animation("x.gif"), "saved as .webp"),
        (lambda h: h.settling(box=(1, 2, 3)), r"box has shape \(3,\): expected x0, y0, x1, y1"),
        (lambda h: h.settling(mask=np.ones((6, 6))), r"mask has shape \(6, 6\): expected \(12, 12\)"),
        (lambda h: h.settling(mask=np.zeros((12, 12))), "mask is empty"),
        (lambda h: h.settling(box=(0, 0, 1, 1), mask=np.ones((12, 12))), "give one of both"),
    ],
)
def test_what_is_not_there_is_said(watched, ask, message):
    with pytest.raises(camscope.InputError, match=message):
        ask(History.open(watched))


def test_a_folder_without_history_is_said(tmp_path, watched, monkeypatch):
    with pytest.raises(camscope.InputError, match=r"There is no folder .*nowhere"):
        History.open(tmp_path / "nowhere")
    with pytest.raises(camscope.InputError, match=r"There is no folder .*rum\. Did you mean 'run'"):
        History.open(watched.parent.parent / "rum")
    (tmp_path / "runs" / "cats").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(camscope.InputError, match=r"There is no folder cats\. Did you mean runs.cats\?"):
        History.open("cats")
    with pytest.raises(camscope.InputError, match=r"holds no history.*Did you mean .*run\?"):
        History.open(watched.parent.parent)
    with pytest.raises(camscope.InputError, match="is a file"):
        History.open(watched / "samples.npz")
    (tmp_path / "samples.npz").write_bytes((watched / "samples.npz").read_bytes())
    with pytest.raises(camscope.InputError, match="holds no look yet"):
        History.open(tmp_path)
    (tmp_path / "samples.npz").write_bytes(b"PK")
    with pytest.raises(camscope.InputError, match="is not what a recorder wrote"):
        History.open(tmp_path)
    recorder = Recorder(tmp_path / "loop", data()[0][:1])
    recorder.step(train(epochs=0)[0])
    with pytest.raises(camscope.InputError, match=r"recorder\.epoch\(model\) was not called.*there are 1"):
        History.open(tmp_path / "loop").at_epochs([1])


# ------------------------------------------------------------------ how looking settles


def test_similarity_is_one_for_the_same_map_whatever_its_size_and_zero_for_one_elsewhere():
    maps = np.stack([peaked(0, 0), 7 * peaked(1, 1), 1e-6 * peaked(1, 1) - peaked(3, 3), peaked(1, 1)])
    settled = history_of(maps[:, None, None]).settling()
    # evidence against, of the third, counts as nothing
    assert settled.similarity[:, 0, 0] == pytest.approx([0, 1, 1, 1])
    assert settled.settled == 1
    signed = history_of(maps[:, None, None], rectified=False).settling()
    assert signed.similarity[2, 0, 0] == pytest.approx(0, abs=1e-5)
    assert signed.settled is None


def test_similarity_is_the_cosine(watched):
    history = History.open(watched)
    maps = np.maximum(history.maps, 0).reshape(10, 3, -1)
    a, b = maps[3, 1].astype(float), maps[-1, 1].astype(float)
    expected = a @ b / np.sqrt((a @ a) * (b @ b))
    assert history.settling().similarity[3, 1, 0] == pytest.approx(expected)


def test_mass_of_an_even_map_is_the_share_of_the_region_and_of_all_it_is_one():
    history = history_of(np.ones((2, 2, 1, 4, 4)))
    quarter = history.settling(box=(0, 0, 8, 8))
    assert quarter.mass == pytest.approx(np.full((2, 2, 1), 0.25))
    assert history.settling(box=(0, 0, 16, 16)).mass == pytest.approx(np.ones((2, 2, 1)))
    mask = np.zeros((2, 16, 16))
    mask[0, :4], mask[1, :8] = 1, 1
    assert history.settling(mask=mask).mass[0, :, 0] == pytest.approx([0.25, 0.5])
    boxes = history.settling(box=[(0, 0, 16, 4), (0, 0, 16, 8)])
    assert boxes.mass[0, :, 0] == pytest.approx([0.25, 0.5])


def test_mass_is_what_brute_force_gives():
    maps = np.random.default_rng(0).normal(size=(3, 2, 1, 4, 4)).astype(np.float32)
    history = history_of(maps)
    large = resize(np.maximum(history.maps.astype(float), 0)[1], (16, 16))[1, 0]
    inside = large[2:9, 3:12].sum() / large.sum()
    assert history.settling(box=(3, 2, 12, 9)).mass[1, 1, 0] == pytest.approx(inside)


def test_pointing_asks_where_the_peak_is():
    maps = np.stack([peaked(0, 3), peaked(2, 1)])[:, None, None]
    settled = history_of(maps).settling(box=(12, 0, 16, 4))
    assert settled.pointing[:, 0, 0].tolist() == [1, 0]


def test_of_a_map_of_zeros_nothing_is_said():
    maps = np.stack([np.zeros((4, 4)), -peaked(0, 0), peaked(0, 0)])[:, None, None]
    settled = history_of(maps).settling(box=(0, 0, 8, 8))
    for values in (settled.similarity, settled.mass, settled.pointing):
        assert np.isnan(values[:2]).all()
        assert np.isfinite(values[2]).all()
    history_of(maps).curve_figure(box=(0, 0, 8, 8))


# ------------------------------------------------------------------ figures


def pixels(figure) -> np.ndarray:
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3]


def texts(figure) -> list[str]:
    return [text.get_text() for text in figure.texts]


def panels(figure) -> list[np.ndarray]:
    return [axes.images[0].get_array() for axes in figure.axes if axes.get_label() != "colorbar"]


def test_the_figure_is_samples_by_steps_with_the_input_first(watched):
    history = History.open(watched)
    figure = history.figure(steps=[0, 4, -1])
    words = texts(figure)
    assert [word for word in words if word in ("input", "before", "step 4", "epoch 4")] == [
        "input", "before", "step 4", "epoch 4",
    ]  # fmt: skip
    assert [word for word in words if word in CLASSES] == CLASSES
    assert len(panels(figure)) == 12
    shown = [f"{p:.0%}" for p in history.at_steps([0, 4, -1]).probabilities[:, :, 0].T.ravel()]
    assert [word.removesuffix(" ✓") for word in words if "%" in word] == shown
    right = (history.at_steps([0, 4, -1]).top == [0, 1, 2]).T.ravel()
    assert [word.endswith("✓") for word in words if "%" in word] == right.tolist()
    caption = " ".join(words)
    assert "each map fills the colour scale by itself" in caption
    assert "gradcam at layer" in caption
    first = panels(figure)[0]
    assert np.abs(first.mean(axis=(0, 1)) - history.samples.pictures[0].mean(axis=(0, 1))).max() < 2
    assert pixels(figure).std() > 10


def test_a_panel_is_as_bright_as_its_place_on_the_scale():
    """Even maps of 1 and 2: each full by itself; on one scale the first is at half of it."""
    maps = np.stack(
        [np.pad(np.ones((4, 3)), ((0, 0), (1, 0))), 2 * np.pad(np.ones((4, 3)), ((0, 0), (1, 0)))]
    )
    history = history_of(maps[:, None, None])
    for scale, level in (("map", 1.0), ("sample", 0.5)):
        shown = panels(history.figure(scale=scale, opacity=1.0))
        assert np.abs(shown[1][-1, -1].astype(int) - lut("inferno")[round(255 * level)]).max() <= 1
        assert np.abs(shown[2][-1, -1].astype(int) - lut("inferno")[255]).max() <= 1
    assert "the maps of a row share one colour scale" in " ".join(texts(history.figure(scale="sample")))


def test_where_the_class_changes_it_stands_above_its_number(tmp_path):
    x, _ = data()
    train(Recorder(tmp_path, x[:2], class_names=CLASSES), epochs=4)
    history = History.open(tmp_path)
    figure = history.figure(steps=[0, -1])
    shown = [CLASSES[k] for k in history.at_steps([0, -1]).top.T.ravel()]
    assert [word for word in texts(figure) if word in CLASSES] == shown
    assert not any("✓" in word for word in texts(figure))
    maps = np.ones((1, 2, 2, 4, 4))
    two = history_of(maps)
    look = dataclasses.replace(two.looks[0], titles=(("first", "second"),) * 2)
    assert {"s0 · first", "s0 · first · as second"} <= {
        "".join(word) for word in texts(History(two.folder, two.samples, (look,)).figure(panel_inches=2.6))
    }


def test_a_label_is_not_said_again_where_the_folder_says_it():
    two = history_of(np.ones((1, 2, 1, 4, 4)))
    named = dataclasses.replace(two.samples, names=("first/3.jpg", "else/first.jpg"))
    found = {"".join(word.split()) for word in texts(History(two.folder, named, two.looks).figure())}
    assert {"first/3.jpg", "else/first.jpg·first"} <= found


def test_boxes_are_outlined_where_they_are():
    figure = history_of(np.ones((1, 2, 1, 4, 4))).figure(box=[(0, 0, 8, 8), (4, 8, 16, 16)])
    found = [tuple(patch.get_bbox().bounds) for axes in figure.axes for patch in axes.patches]
    factor = 12  # 16 pixels are enlarged to 192
    assert (
        found
        == [(0, 0, 8 * factor, 8 * factor)] * 2 + [(4 * factor, 8 * factor, 12 * factor, 8 * factor)] * 2
    )


def test_of_many_rows_the_first_are_shown_and_the_caption_says_so():
    history = history_of(np.ones((1, 14, 1, 4, 4)))
    figure = history.figure()
    assert len(panels(figure)) == 24
    assert "the first 12 of 14" in " ".join(texts(figure))
    assert len(panels(history.figure(samples=range(14)))) == 28


def test_what_is_wrong_with_a_map_stands_in_its_panel():
    history = history_of(np.zeros((1, 1, 1, 4, 4)))
    look = dataclasses.replace(history.looks[0], statuses=(("flat: the same value everywhere",),))
    figure = History(history.folder, history.samples, (look,)).figure()
    assert any("flat" in text.get_text() for axes in figure.axes for text in axes.texts)


def test_signals_have_curves_but_no_figure(tmp_path):
    history = history_of(np.ones((2, 1, 1, 5)), pictures=False)
    with pytest.raises(camscope.InputError, match=r"no pictures.*curve_figure\(\)"):
        history.figure()
    with pytest.raises(camscope.InputError, match="no pictures"):
        history.animation(tmp_path / "a.webp")
    history.curve_figure()
    assert history.settling(mask=np.arange(20) < 5).mass[0, 0, 0] == pytest.approx(0.25)


def test_texts_are_watched_too(tmp_path):
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.embedding, self.conv = torch.nn.Embedding(9, 8), torch.nn.Conv1d(8, 8, 3, padding=1)
            self.head = torch.nn.Linear(8, 2)

        def forward(self, tokens):
            seen = torch.relu(self.conv(self.embedding(tokens).transpose(1, 2)))
            return self.head(seen.mean(-1))

    words = {word: i for i, word in enumerate(["pad", "a", "film", "I", "loved", "not", "one", "bit"])}
    texts = ["a film I loved", "not one bit"]
    Recorder(tmp_path, texts, labels=[1, 0], tokenizer=words).start(Net())
    history = History.open(tmp_path)
    assert history.samples.names == tuple(texts)
    assert history.samples.inputs.tolist() == [[1, 2, 3, 4], [5, 6, 7, 0]]
    assert history.maps.shape == (1, 2, 1, 4)


def test_the_animation_has_a_frame_for_each_look(tmp_path, watched):
    history = History.open(watched)
    path = history.animation(tmp_path / "a.webp", samples=["circle", "cross"], seconds=0.25)
    with Image.open(path) as animation:
        assert animation.n_frames == len(history)
        frames = []
        for i in range(animation.n_frames):
            animation.seek(i)
            frames.append(np.asarray(animation.convert("RGB")).astype(int))
        assert animation.info["duration"] == 2000  # the last one is shown longer
        animation.seek(1)
        animation.load()
        assert animation.info["duration"] == 250
    changes = [np.abs(a - b).mean() for a, b in pairwise(frames)]
    assert min(changes) > 0.05
    done = [(frame[-2] < 100).all(axis=-1).mean() for frame in frames]  # the dark part of the line below
    assert done == pytest.approx((history.steps / 24).tolist(), abs=0.02)


def test_a_frames_bar_is_as_long_as_the_probability():
    tile = render.Tile(Image.new("RGB", (200, 200), "white"), "cat", 0.3)
    frame = np.asarray(render.animation_frame([tile], left="step 1"))
    blue = (np.abs(frame.astype(int) - (0, 114, 178)).max(axis=-1) < 3).sum(axis=1)
    assert blue.max() == 60


def test_the_curves_are_the_means_and_their_ends_are_named(watched):
    history = History.open(watched)
    settled = history.settling(box=(0, 0, 12, 6))
    figure = history.curve_figure(box=(0, 0, 12, 6))
    (axes,) = [axes for axes in figure.axes if axes.get_label() == "curves"]
    strong = [line.get_ydata() for line in axes.lines if line.get_linewidth() > 1]
    expected = [
        np.nanmean(values.reshape(10, -1), axis=1)
        for values in (settled.similarity, settled.mass, settled.pointing, history.probabilities)
    ]
    assert [np.asarray(line) for line in strong] == [pytest.approx(values) for values in expected]
    assert {"like the last map", "mass inside", "peak inside", "probability"} <= set(texts(figure))
    heights = [text.get_position()[1] for text in figure.texts if text.get_text() in (
        "like the last map", "mass inside", "peak inside", "probability")]  # fmt: skip
    gaps = np.diff(np.sort(heights)) * figure.get_size_inches()[1] * 72
    assert gaps.min() > 7.5  # points: the names do not cover one another
    assert {"1", "2", "3", "4"} <= set(texts(figure))  # the epochs


def test_names_of_curves_stand_apart_at_the_top_and_at_the_bottom():
    from camscope.render.curve_figure import _apart

    for ends in ([1.0, 1.0, 1.0, 0.99], [0.0, 0.0, 0.02], [0.5, 0.9, 0.1], [0.5]):
        found = _apart(ends, 0.1)
        assert np.all(np.diff(np.sort(found)) >= 0.1 - 1e-9)
        assert max(found) <= 1 + 1e-9
        order = np.argsort(ends, kind="stable")
        assert np.all(np.diff(np.asarray(found)[order]) > 0)
