"""A run that is killed and resumed ends bit for bit like one that was not; and so does one with other workers."""

from __future__ import annotations

import json
import resource
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from camscope.errors import InputError, ModelError
from camscope.training import fit
from camscope.training.carrying_out import carry_out
from camscope.training.checkpoints import Checkpoint, read_checkpoint, write_checkpoint
from camscope.training.progress import Silent
from camscope.training.run_options import RunOptions
from camscope.training.training_plan import plan_training
from camscope.watching import History
from tests.training.conftest import stripes
from tests.training.killed import OPTIONS, STEPS, Training, model_in


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    random = torch.get_rng_state()
    run = fit(stripes(), out=folder, model=model_in(folder), **OPTIONS)
    assert torch.equal(torch.get_rng_state(), random)
    return run


def same_weights(folder: Path, other: Path) -> bool:
    names = ("best.safetensors", "last.safetensors")
    pairs = [(load_file(folder / name), load_file(other / name)) for name in names]
    return all(
        a.keys() == b.keys() and all(torch.equal(value, b[name]) for name, value in a.items())
        for a, b in pairs
    )


def without_seconds(csv: Path) -> list[str]:
    return [line.rpartition(",")[0] for line in csv.read_text().splitlines()]


@pytest.mark.parametrize("steps", [(7, 5), (3, 9)])
def test_killed_twice_and_resumed_it_ends_bit_for_bit_the_same(uninterrupted, tmp_path, steps):
    first, second = steps
    Training(tmp_path).signal_after(first, signal.SIGKILL)
    Training(tmp_path, resume=True).signal_after(second, signal.SIGKILL)
    steps, code = Training(tmp_path, resume=True).end()
    assert code == 0
    assert 0 < steps < STEPS  # it did go on
    run = tmp_path / "run"
    assert same_weights(run, uninterrupted.folder)
    assert without_seconds(run / "results.csv") == without_seconds(uninterrupted.folder / "results.csv")
    assert [file.name for file in run.glob(".*")] == [".lock"]  # nothing half written


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGINT, 1), (signal.SIGTERM, 0)])
def test_a_signal_ends_the_step_and_leaves_a_checkpoint_of_it(uninterrupted, tmp_path, number, workers):
    assert Training(tmp_path, workers=workers).signal_after(6, number) == 1  # a KeyboardInterrupt
    found = read_checkpoint(tmp_path / "run" / "checkpoint.safetensors")
    assert found is not None
    assert found.facts["progress"]["step"] == 6
    assert Training(tmp_path, resume=True).end() == (STEPS - 6, 0)
    assert same_weights(tmp_path / "run", uninterrupted.folder)


def test_the_maps_of_a_run_that_was_killed_are_those_of_one_that_was_not(uninterrupted, tmp_path):
    whole = fit(stripes(), out=tmp_path / "whole", model=model_in(tmp_path), **{**OPTIONS, "watch": True})
    Training(tmp_path, watch=True).signal_after(11, signal.SIGKILL)
    assert Training(tmp_path, watch=True, resume=True).end()[1] == 0
    run = tmp_path / "run"
    assert same_weights(run, uninterrupted.folder)
    kept, expected = (History.open(folder / "maps") for folder in (run, whole.folder))
    np.testing.assert_array_equal(kept.steps, expected.steps)
    np.testing.assert_array_equal(kept.maps, expected.maps)


def test_killed_before_the_first_checkpoint_it_begins_anew(uninterrupted, tmp_path):
    Training(tmp_path).signal_after(1, signal.SIGKILL)
    (tmp_path / "run" / "checkpoint.safetensors").unlink(missing_ok=True)
    assert Training(tmp_path, resume=True).end() == (STEPS, 0)
    assert same_weights(tmp_path / "run", uninterrupted.folder)


def test_two_processes_do_not_train_in_one_folder(uninterrupted, tmp_path):
    first = Training(tmp_path)
    first.send_after(2, signal.SIGSTOP)
    with pytest.raises(InputError, match=r"Another process is training in .*run"):
        fit(stripes(), out=tmp_path, model=model_in(tmp_path), resume=True, name="run")
    first.send_after(0, signal.SIGCONT)
    assert first.end()[1] == 0
    assert same_weights(tmp_path / "run", uninterrupted.folder)


def test_a_run_that_another_process_made_meanwhile_is_not_written_into(uninterrupted, tmp_path):
    plan = plan_training(
        stripes(),
        RunOptions(
            out=tmp_path, model=model_in(tmp_path), **{k: v for k, v in OPTIONS.items() if k != "watch"}
        ),
    )
    fit(stripes(), out=tmp_path, model=model_in(tmp_path), **OPTIONS)
    with pytest.raises(InputError, match=r"has just made the run .*run"):
        carry_out(plan, reporter=Silent())
    assert same_weights(tmp_path / "run", uninterrupted.folder)


def test_the_number_of_workers_changes_nothing(uninterrupted, tmp_path):
    run = fit(stripes(), out=tmp_path, workers=2, model=model_in(tmp_path), **OPTIONS)
    assert same_weights(run.folder, uninterrupted.folder)


def test_another_seed_changes_the_weights(uninterrupted, tmp_path):
    run = fit(stripes(), out=tmp_path, model=model_in(tmp_path), **{**OPTIONS, "seed": 4})
    assert not same_weights(run.folder, uninterrupted.folder)


# ------------------------------------------------------------------ going on with a run


def test_more_epochs_continue_on_the_schedule_of_the_longer_run(striped, tmp_path):
    short = fit(striped, out=tmp_path, name="a", epochs=2, batch_size=16, watch=False)
    long = fit(striped, out=tmp_path, name="a", epochs=4, resume=True, watch=False)
    whole = fit(striped, out=tmp_path, name="b", epochs=4, batch_size=16, watch=False)
    assert [row["epoch"] for row in long.history] == [1, 2, 3, 4]
    assert long.history[:2] == short.history
    rates = [[row["learning_rate"] for row in run.history] for run in (short, long, whole)]
    assert rates[1][:2] == rates[0]
    assert rates[1][2:] == rates[2][2:]
    assert json.loads((long.folder / "run.json").read_text())["settings"]["epochs"] == 4


def test_patience_ends_a_run(striped, tmp_path):
    run = fit(striped, out=tmp_path, epochs=30, learning_rate=1e-7, batch_size=16, patience=2, watch=False)
    assert len(run.history) == run.best["epoch"] + 2 < 30


REFUSED = [
    ({"learning_rate": 0.5}, r"was begun with learning_rate 0\.01, and is not the same run with 0\.5"),
    ({"model": "timm:resnet18"}, r"was begun with model gapnet, and is not the same run with timm:resnet18"),
    ({"folds": 5}, "was begun with folds None, and is not the same run with 5"),
    ({"size": 24}, "was begun with size 12, and is not the same run with 24"),
    ({"weights": "random"}, "was begun with weights None, and is not the same run with random"),
    ({"vertical_flips": True}, "was begun with vertical_flips False, and is not the same run with True"),
    ({"augment": False}, "was begun with augment True, and is not the same run with False"),
    ({"epochs": 1}, "has all of its 1 epochs: there is nothing to go on with"),
    ({"name": "fist"}, "There is no run 'fist' in .* Did you mean 'first'"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_what_a_run_cannot_go_on_with(striped, tmp_path, options, message):
    fit(striped, out=tmp_path, name="first", epochs=1, batch_size=16, watch=False)
    with pytest.raises(InputError, match=message):
        fit(striped, out=tmp_path, resume=True, watch=False, **{"name": "first", **options})


def test_other_data_is_another_run(striped, tmp_path):
    fit(striped, out=tmp_path, name="a", epochs=1, watch=False)
    with pytest.raises(InputError, match="was begun with other data: then 48 images of 2 classes, now 47"):
        fit(striped.of(range(47)), out=tmp_path, name="a", epochs=2, resume=True, watch=False)
    with pytest.raises(InputError, match="was trained on a data set in memory: give it again"):
        fit(out=tmp_path, name="a", epochs=2, resume=True, watch=False)


def test_a_name_that_is_taken(striped, tmp_path):
    fit(striped, out=tmp_path, name="a", epochs=1, watch=False)
    with pytest.raises(InputError, match=r"There is a run '.*a' already\. --resume goes on with it"):
        fit(striped, out=tmp_path, name="a", epochs=1, watch=False)
    first = fit(striped, out=tmp_path, epochs=1, watch=False)
    second = fit(striped, out=tmp_path, epochs=1, watch=False)
    assert [first.folder.name, second.folder.name] == ["images-gapnet", "images-gapnet-2"]


# ------------------------------------------------------------------ checkpoints


def a_checkpoint(width: int = 4) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    model = torch.nn.Sequential(torch.nn.Linear(3, width), torch.nn.BatchNorm1d(width))
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.1)
    model(torch.ones(2, 3)).square().sum().backward()
    optimiser.step()
    return model, optimiser


def test_a_checkpoint_restores_everything(tmp_path):
    model, optimiser = a_checkpoint()
    facts = {"progress": {"loss": 0.1 + 0.2}}
    write_checkpoint(tmp_path / "c", Checkpoint.of(model, optimiser, facts))
    drawn = torch.rand(3)
    other, theirs = a_checkpoint()
    found = read_checkpoint(tmp_path / "c")
    found.restore(other, theirs)
    assert torch.equal(torch.rand(3), drawn)
    assert found.facts == facts
    for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    for a, b in zip(
        optimiser.state_dict()["state"].values(), theirs.state_dict()["state"].values(), strict=True
    ):
        assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    write_checkpoint(tmp_path / "c", Checkpoint.of(*a_checkpoint(4), {}))
    with pytest.raises(ModelError, match="The checkpoint is of another model: "):
        read_checkpoint(tmp_path / "c").restore(*a_checkpoint(5))


def test_what_is_no_checkpoint_is_refused(tmp_path):
    (tmp_path / "c").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="is no checkpoint of a training"):
        read_checkpoint(tmp_path / "c")
    assert read_checkpoint(tmp_path / "d") is None


def test_a_full_disk_loses_nothing(tmp_path):
    """The system lets this process write no more than a few bytes to a file."""
    model, optimiser = a_checkpoint()
    write_checkpoint(tmp_path / "c", Checkpoint.of(model, optimiser, {"step": 1}))
    before = (tmp_path / "c").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
        with pytest.raises(InputError, match=r"could not be written: .*What was there before still is"):
            write_checkpoint(tmp_path / "c", Checkpoint.of(model, optimiser, {"step": 2}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / "c").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["c"]


def test_views_of_one_memory_are_written_too(tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    model[1].weight = model[0].weight
    optimiser = torch.optim.AdamW(model.parameters())
    write_checkpoint(tmp_path / "c", Checkpoint.of(model, optimiser, {}))
    found = read_checkpoint(tmp_path / "c")
    np.testing.assert_array_equal(found.tensors["model.0.weight"], found.tensors["model.1.weight"])
