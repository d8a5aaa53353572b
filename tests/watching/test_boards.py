"""Boards get pictures: TensorBoard's own reader finds them. The others are asked as they document it."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

import camscope
from camscope import History, Recorder
from tests.watching.conftest import CLASSES, data, network, train
from tests.watching.test_callbacks import images_in


def test_tensorboard_has_an_image_of_each_sample_for_each_look(tmp_path):
    from torch.utils.tensorboard import SummaryWriter

    x, y = data()
    writer = SummaryWriter(tmp_path / "board")
    train(Recorder(tmp_path / "maps", x[:2], labels=y[:2], class_names=CLASSES, boards=writer), epochs=1)
    writer.close()
    history, images = History.open(tmp_path / "maps"), images_in(tmp_path / "board")
    assert images.keys() == {"camscope/0", "camscope/1"}
    shown = images["camscope/1"]
    assert [image.step for image in shown] == history.steps.tolist()
    last = np.asarray(Image.open(BytesIO(shown[-1].encoded_image_string)))
    assert last.shape == (192, 2 * 192 + 6, 3)
    picture = history.samples.pictures[1]
    assert np.array_equal(last[:, :192], np.kron(picture, np.ones((16, 16, 1), np.uint8)))
    overlay = camscope.render.overlay(
        last[:, :192].copy(), camscope.arrays.resize(history.heatmaps()[-1:, 1, :], (192, 192))[0, 0]
    )
    assert np.abs(last[:, 198:].astype(int) - np.asarray(overlay)).mean() < 8
    events = tmp_path / "board"
    assert scalars_in(events)["camscope/probability/1 square"] == pytest.approx(
        history.probabilities[:, 1, 0].tolist()
    )


def scalars_in(folder) -> dict[str, list[float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [one.value for one in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


class Broken:
    """A writer whose disk is full."""

    def add_image(self, *_, **__):
        raise OSError(28, "No space left on device")

    add_scalar = add_image


def test_a_board_that_fails_ends_no_training_and_the_history_is_whole(tmp_path):
    x, _ = data()
    recorder, model = Recorder(tmp_path, x[:2], boards=[Broken()], when=1), network()
    with pytest.warns(camscope.CamscopeWarning, match=r"could not be shown on a board: No space left"):
        recorder.step(model)
    recorder.step(model)  # which is said once
    history = History.open(tmp_path)
    assert history.steps.tolist() == [1, 2]
    assert history.missing == ()


def test_signals_have_no_picture_and_still_their_curves(tmp_path):
    from torch.utils.tensorboard import SummaryWriter

    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv1d(1, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool1d(1),
        torch.nn.Flatten(), torch.nn.Linear(4, 3),
    )  # fmt: skip
    writer = SummaryWriter(tmp_path / "board")
    Recorder(tmp_path / "maps", torch.randn(2, 1, 32), targets=[1], boards=[writer]).start(model)
    writer.close()
    assert images_in(tmp_path / "board") == {}
    assert len(scalars_in(tmp_path / "board")) == 2
    assert History.open(tmp_path / "maps").samples.pictures is None


def test_what_is_no_board_is_refused(tmp_path):
    with pytest.raises(camscope.InputError, match=r"'runs' is no board: expected a SummaryWriter"):
        Recorder(tmp_path, data()[0][:1], boards="runs")


@pytest.fixture
def wandb(tmp_path, monkeypatch):
    """Weights & Biases without a network, where it is installed."""
    for name, value in (("MODE", "offline"), ("DIR", str(tmp_path)), ("SILENT", "true")):
        monkeypatch.setenv(f"WANDB_{name}", value)
    return pytest.importorskip("wandb")


def test_an_active_run_of_weights_and_biases_gets_pictures(tmp_path, wandb):
    x, y = data()
    run = wandb.init(project="test")
    train(Recorder(tmp_path / "maps", x[:2], labels=y[:2]), epochs=1)
    run.finish()
    kept = {path.parent.name for path in tmp_path.rglob("*.png")}
    assert kept == {"camscope"}
    assert len(list(tmp_path.rglob("*.png"))) == 2 * len(History.open(tmp_path / "maps"))


def test_an_active_run_of_mlflow_gets_pictures(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow = pytest.importorskip("mlflow")
    mlflow.set_tracking_uri((tmp_path / "runs").as_uri())
    x, y = data()
    with mlflow.start_run():
        train(Recorder(tmp_path / "maps", x[:2], labels=y[:2]), epochs=1)
        train(Recorder(tmp_path / "without", x[:2], labels=y[:2], boards=()), epochs=1)
    pictures = list((tmp_path / "runs").rglob("*.png"))
    assert len(pictures) == 2 * len(History.open(tmp_path / "maps"))
