"""Each callback in a real training of two epochs: it records, and the training is the same without it."""

from __future__ import annotations

import copy
import importlib
import pickle

import numpy as np
import pytest
import torch
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import camscope
from camscope import History, Recorder
from camscope.watching import callbacks
from tests.watching.conftest import CLASSES, data, network


def recorder_of(folder, **options) -> Recorder:
    x, y = data()
    return Recorder(folder, x[:3], labels=y[:3], class_names=CLASSES, **options)


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def dataset() -> TensorDataset:
    return TensorDataset(*data())


# ------------------------------------------------------------------ Lightning


def lit(package: str):
    """A LightningModule of one of the two packages."""
    pl = importlib.import_module(package)

    class Lit(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = network()

        def forward(self, x):
            return self.net(x)

        def training_step(self, batch, _):
            loss = functional.cross_entropy(self(batch[0]), batch[1])
            self.log("loss", loss, on_epoch=True)
            return loss

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.05, momentum=0.9)

    return pl, Lit()


def fit_lightning(package: str, folder, watching=None, *, epochs=2, checkpoint=None, **options):
    torch.manual_seed(0)
    pl, module = lit(package)
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=options.pop("logger", False),
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=folder,
        callbacks=[watching] if watching else [],
        **options,
    )
    trainer.fit(module, DataLoader(dataset(), 8, shuffle=True), ckpt_path=checkpoint)
    return trainer, module, torch.get_rng_state()


@pytest.mark.parametrize("package", ["lightning.pytorch", "pytorch_lightning"])
def test_lightning(tmp_path, package):
    _, alone, state = fit_lightning(package, tmp_path)
    watching = callbacks.lightning(recorder_of(tmp_path / "maps"))
    _, watched, watched_state = fit_lightning(package, tmp_path, watching)
    assert same(alone.state_dict(), watched.state_dict())
    assert torch.equal(state, watched_state)
    history = History.open(tmp_path / "maps")
    assert history.steps.tolist() == [0, 1, 2, 4, 6, 8, 12]
    assert history.epochs[history.epoch_ends].tolist() == [1, 2]
    assert np.isfinite(history.numbers("loss")[1:]).all()
    assert history.numbers("learning_rate")[-1] == 0.05
    assert history.maps[1].any()


def test_lightning_counts_optimiser_steps_and_goes_on_from_its_checkpoint(tmp_path):
    first = recorder_of(tmp_path / "maps")
    watching = callbacks.lightning(first, model=lambda module: module.net)
    trainer, _, _ = fit_lightning("lightning.pytorch", tmp_path, watching, accumulate_grad_batches=2)
    assert History.open(tmp_path / "maps").steps.tolist() == [0, 1, 2, 3, 4, 6]
    trainer.save_checkpoint(tmp_path / "last.ckpt", weights_only=False)
    watching = callbacks.lightning(recorder_of(tmp_path / "maps"), model=lambda module: module.net)
    fit_lightning(
        "lightning.pytorch", tmp_path, watching, epochs=3,
        checkpoint=tmp_path / "last.ckpt", accumulate_grad_batches=2,
    )  # fmt: skip
    history = History.open(tmp_path / "maps")
    assert history.steps.tolist() == [0, 1, 2, 3, 4, 6, 8, 9]
    assert history.epochs[history.epoch_ends].tolist() == [1, 2, 3]


def test_lightnings_tensorboard_gets_pictures(tmp_path):
    from lightning.pytorch.loggers import TensorBoardLogger

    logger = TensorBoardLogger(tmp_path, name="", version="run")
    watching = callbacks.lightning(recorder_of(tmp_path / "maps"))
    fit_lightning("lightning.pytorch", tmp_path, watching, epochs=1, logger=logger)
    assert images_in(tmp_path / "run").keys() == {"camscope/0", "camscope/1", "camscope/2"}


def images_in(folder) -> dict[str, list]:
    """The images in TensorBoard's files, by tag."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"images": 0})
    events.Reload()
    return {tag: events.Images(tag) for tag in events.Tags()["images"]}


# ------------------------------------------------------------------ fastai


def fine_tune(folder, watching=None, *, find=False):
    import fastai.callback.all  # noqa: F401 (gives a Learner lr_find, fit_one_cycle and no_bar)
    from fastai.data.core import DataLoaders
    from fastai.data.load import DataLoader
    from fastai.learner import Learner
    from fastai.metrics import accuracy
    from fastai.torch_core import default_device, set_seed

    default_device(use=False)
    set_seed(0)
    train, valid = (DataLoader(dataset(), bs=8, shuffle=shuffle) for shuffle in (True, False))
    learn = Learner(
        DataLoaders(train, valid),
        network(),
        loss_func=torch.nn.CrossEntropyLoss(),
        metrics=accuracy,
        path=folder,
        cbs=watching,
    )
    with learn.no_bar(), learn.no_logging():
        if find:
            learn.lr_find(num_it=3, show_plot=False)
        learn.fit_one_cycle(1, 0.01)
        learn.fit_one_cycle(1, 0.01)
        learn.get_preds()
    return learn.model, torch.get_rng_state()


@pytest.mark.parametrize("find", [False, True])
def test_fastai(tmp_path, find):
    alone, state = fine_tune(tmp_path, find=find)
    watching = callbacks.fastai(recorder_of(tmp_path / "maps"))
    watched, watched_state = fine_tune(tmp_path, watching, find=find)
    assert same(alone.state_dict(), watched.state_dict())
    assert torch.equal(state, watched_state)
    history = History.open(tmp_path / "maps")  # of both fits, and not of the search for a learning rate
    assert history.steps.tolist() == [0, 1, 2, 4, 6, 8, 12]
    assert history.epochs[history.epoch_ends].tolist() == [1, 2]
    ends = history.at_epochs([1, 2])
    assert {"train_loss", "valid_loss", "accuracy"} <= set(ends.number_names)
    assert np.isfinite(ends.numbers("accuracy")).all()
    assert len(set(history.weights)) == 7  # fastai writes to weights behind PyTorch's back


def test_a_learner_that_is_watched_can_be_copied_and_pickled(tmp_path):
    """As `learn.export` does. In the copy nobody looks."""
    watching = callbacks.fastai(recorder_of(tmp_path / "maps"))
    watching.watcher.start(network())
    for other in (copy.deepcopy(watching), pickle.loads(pickle.dumps(watching))):
        assert not hasattr(other, "watcher")


# ------------------------------------------------------------------ Hugging Face


def train_hf(folder, watching=None, *, epochs=2, resume=None):
    from transformers import ResNetConfig, ResNetForImageClassification, Trainer, TrainingArguments

    torch.manual_seed(0)
    config = ResNetConfig(
        num_channels=1, embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic", num_labels=3
    )
    model = ResNetForImageClassification(config)
    x, y = data()
    rows = [{"pixel_values": image, "labels": label} for image, label in zip(x, y, strict=True)]
    arguments = TrainingArguments(
        output_dir=folder,
        num_train_epochs=epochs,
        per_device_train_batch_size=8,
        gradient_accumulation_steps=2,
        logging_steps=1,
        eval_strategy="epoch",
        save_strategy="epoch",
        use_cpu=True,
        disable_tqdm=True,
        report_to=[],
        seed=0,
    )
    trainer = Trainer(model, arguments, train_dataset=rows, eval_dataset=rows[:8])
    trainer.remove_callback(importlib.import_module("transformers").PrinterCallback)
    if watching is not None:
        trainer.add_callback(watching)
    trainer.train(resume_from_checkpoint=resume)
    return model, torch.get_rng_state()


@pytest.mark.slow
def test_hugging_face(tmp_path):
    alone, state = train_hf(tmp_path / "alone")
    watching = callbacks.huggingface(recorder_of(tmp_path / "maps"))
    watched, watched_state = train_hf(tmp_path / "watched", watching)
    assert same(alone.state_dict(), watched.state_dict())
    assert torch.equal(state, watched_state)
    history = History.open(tmp_path / "maps")
    # two batches of eight to a step, three steps an epoch
    assert history.steps.tolist() == [0, 1, 2, 3, 4, 6]
    assert history.epochs[history.epoch_ends].tolist() == [1, 2]
    assert np.isfinite(history.numbers("loss")[1:]).all()
    assert np.isfinite(history.at_epochs([1, 2]).numbers("eval_loss")).all()
    again = callbacks.huggingface(recorder_of(tmp_path / "maps"))
    train_hf(tmp_path / "watched", again, epochs=3, resume=str(tmp_path / "watched" / "checkpoint-3"))
    history = History.open(tmp_path / "maps")
    assert history.steps.tolist() == [0, 1, 2, 3, 4, 6, 8, 9]
    assert history.epochs[history.epoch_ends].tolist() == [1, 2, 3]


# ------------------------------------------------------------------ what all share


def test_what_is_no_recorder_of_a_training_is_said_before_it_trains(tmp_path):
    x, _ = data()
    watching = callbacks.lightning(Recorder(tmp_path / "maps", x[:2], labels=[0]))
    with pytest.raises(camscope.TargetError, match="PerImage holds 1 targets"):
        fit_lightning("lightning.pytorch", tmp_path, watching)
