"""A recorder changes nothing of a training, keeps what it says, and ends no training."""

from __future__ import annotations

import contextlib
import copy
import json
import resource
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import nn
from torch.nn import functional

import camscope
from camscope import History, Recorder
from camscope.watching import shards
from tests.watching.conftest import CLASSES, data, network, train

ROOT = Path(__file__).parents[2]


def state_of(model: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, object]:
    """All that a training goes on from, as bytes and plain values."""
    return {
        "weights": {k: v.numpy().tobytes() for k, v in model.state_dict().items()},
        "gradients": [p.grad.numpy().tobytes() for p in model.parameters()],
        "momenta": [optimiser.state[p]["momentum_buffer"].numpy().tobytes() for p in model.parameters()],
        "flags": [m.training for m in model.modules()],
        "frozen": [p.requires_grad for p in model.parameters()],
        "hooks": [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()],
        "random": (torch.get_rng_state().numpy().tobytes(), np.random.random()),
    }


def seeded(function, *args, **kwargs):
    np.random.seed(0)
    return function(*args, **kwargs)


# ------------------------------------------------------------------ nothing changes


@pytest.mark.parametrize("when", ["powers", 1])
def test_a_training_is_the_same_bit_for_bit(tmp_path, when):
    x, y = data()
    model, losses, optimiser = seeded(train)
    without = state_of(model, optimiser)
    recorder = Recorder(tmp_path, x[:3], labels=y[:3], when=when)
    model, watched_losses, optimiser = seeded(train, recorder)
    assert watched_losses == losses
    assert state_of(model, optimiser) == without
    assert len(History.open(tmp_path)) == {"powers": 1 + 5 + 3, 1: 19}[when]


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode, contextlib.nullcontext])
def test_it_may_look_between_two_backwards(tmp_path, around):
    """Gradients that are being accumulated stay, and the graph of a loss that is not differentiated yet too."""
    x, y = data()

    def gradients(recorder: Recorder | None):
        model = network()
        functional.cross_entropy(model(x[:8]), y[:8]).backward()
        loss = functional.cross_entropy(model(x[8:16]), y[8:16])
        if recorder is not None:
            with around():
                recorder.look(model)
        loss.backward()
        return [p.grad for p in model.parameters()], torch.get_rng_state()

    alone, state = gradients(None)
    watched, watched_state = gradients(Recorder(tmp_path, x[:2]))
    assert all(torch.equal(a, b) for a, b in zip(alone, watched, strict=True))
    assert torch.equal(state, watched_state)


def test_under_autocast_the_training_is_the_same(tmp_path):
    x, y = data()

    def weights(recorder: Recorder | None):
        model = network()
        optimiser = torch.optim.AdamW(model.parameters(), 1e-2)
        for i in range(4):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = functional.cross_entropy(model(x[8 * i : 8 * i + 8]), y[8 * i : 8 * i + 8])
                if recorder is not None:
                    recorder.look(model, loss=loss)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if recorder is not None:
                recorder.step(model, loss=loss)
        return model.state_dict(), torch.get_rng_state()

    alone, state = weights(None)
    watched, watched_state = weights(Recorder(tmp_path, x[:2], when=1))
    assert all(torch.equal(alone[k], watched[k]) for k in alone)
    assert torch.equal(state, watched_state)


def test_a_compiled_model_is_the_same_and_is_not_compiled_again(tmp_path):
    x, y = data()

    def weights(recorder: Recorder | None):
        torch._dynamo.reset()
        graphs = []

        def backend(graph, inputs):
            graphs.append(graph)
            return graph.forward

        model = network()
        compiled = torch.compile(model, backend=backend)
        optimiser = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
        for i in range(4):
            loss = functional.cross_entropy(compiled(x[8 * i : 8 * i + 8]), y[8 * i : 8 * i + 8])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if recorder is not None:
                recorder.step(compiled, loss=loss)
        return model.state_dict(), len(graphs)

    alone, count = weights(None)
    watched, watched_count = weights(Recorder(tmp_path, x[:2], when=1))
    assert all(torch.equal(alone[k], watched[k]) for k in alone)
    assert watched_count == count
    assert History.open(tmp_path).samples.layer == "6"


def test_with_accelerate_the_training_is_the_same(tmp_path):
    x, y = data()

    def weights(recorder: Recorder | None):
        accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
        model = network()
        model, optimiser = accelerator.prepare(model, torch.optim.AdamW(model.parameters(), 1e-2))
        for i in range(4):
            with accelerator.accumulate(model):
                loss = functional.cross_entropy(model(x[8 * i : 8 * i + 8]), y[8 * i : 8 * i + 8])
                accelerator.backward(loss)
                optimiser.step()
                optimiser.zero_grad()
            if recorder is not None and accelerator.sync_gradients:
                recorder.step(model, loss=loss)
        return accelerator.unwrap_model(model).state_dict()

    alone, watched = weights(None), weights(Recorder(tmp_path, x[:2], when=1))
    assert all(torch.equal(alone[k], watched[k]) for k in alone)
    assert History.open(tmp_path).steps.tolist() == [1, 2]


DISTRIBUTED = """
import os, random, sys, torch, torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
sys.path.insert(0, {root!r})
import camscope
from tests.watching.conftest import data, network
rank = int(sys.argv[1])
before = random.seed(0), random.getstate()  # which the checks of shapes in these tests draw from, and camscope does not
dist.init_process_group("gloo", init_method="file://{folder}/meet", rank=rank, world_size=2)
x, y = data()
model = DistributedDataParallel(network())
optimiser = torch.optim.SGD(model.parameters(), 0.05)
recorder = camscope.Recorder("{folder}/maps-" + str(rank), x[:2], labels=y[:2], when=1)
for i in range(3):
    rows = slice(8 * (2 * i + rank), 8 * (2 * i + rank) + 8)
    torch.nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
    optimiser.step()
    recorder.step(model)
recorder.epoch(model)
assert recorder.steps == 3
assert random.getstate() == before[1]
dist.barrier()
os._exit(0)  # all holds; PyTorch's own threads of a connection now and then do not end well with the interpreter
"""


@pytest.mark.slow
def test_of_several_processes_the_first_one_looks(tmp_path):
    code = DISTRIBUTED.format(root=str(ROOT), folder=tmp_path)
    processes = [subprocess.Popen([sys.executable, "-c", code, str(rank)], cwd=ROOT) for rank in (0, 1)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    assert History.open(tmp_path / "maps-0").steps.tolist() == [1, 2, 3]
    assert not (tmp_path / "maps-1").exists()


# ------------------------------------------------------------------ what is kept


def test_what_is_kept_is_what_the_explainer_says_of_the_model_then(tmp_path):
    x, y = data()
    recorder = Recorder(tmp_path, x[:3], labels=["circle", "square", "cross"], class_names=CLASSES, when=2)
    copies = []
    model = network()
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    for i in range(4):
        loss = functional.cross_entropy(model(x[8 * i : 8 * i + 8]), y[8 * i : 8 * i + 8])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        recorder.step(model, loss=loss, metric={"accuracy": 0.5}, learning_rate=[0.1, 0.01])
        copies.append((copy.deepcopy(model), loss.item()))
    history = History.open(tmp_path)
    assert history.steps.tolist() == [2, 4]
    for i, (then, loss) in enumerate((copies[1], copies[3])):
        e = camscope.Explainer(then, class_names=CLASSES)(x[:3], targets=camscope.PerImage([0, 1, 2]))
        raw = e.maps()[:, 0].numpy()
        kept = history.maps[i, :, 0]
        largest = np.abs(raw).max(axis=(1, 2), keepdims=True)
        assert np.all(np.abs(kept - raw) <= largest * 2**-11)
        logits = then.eval()(x[:3])
        own = torch.arange(3)
        assert np.allclose(history.scores[i, :, 0], logits[own, own].detach(), atol=1e-5)
        assert np.allclose(history.probabilities[i, :, 0], logits.softmax(1)[own, own].detach(), atol=1e-6)
        assert history.top[i].tolist() == logits.argmax(1).tolist()
        assert history.numbers("loss")[i] == loss
        assert history.weights[i] == e.provenance["weights_sha256"]
    assert history.weights[0] != history.weights[1]
    assert history.numbers("accuracy").tolist() == [0.5, 0.5]
    assert history.numbers("learning_rate").tolist() == [0.1, 0.1]
    assert history.classes[:, :, 0].tolist() == [[0, 1, 2]] * 2
    assert np.array_equal(history.samples.inputs, x[:3].numpy())
    assert history.samples.labels == tuple(CLASSES)
    assert history.samples.layer == e.layers[0]


def test_a_file_opens_without_camscope_and_holds_no_pickle(watched):
    with np.load(watched / "step-000000004.npz", allow_pickle=False) as file:
        document = json.loads(str(file["json"]))
        assert file["maps"].dtype == np.float16
        assert file["maps"].shape == (3, 1, 6, 6)
    assert document["step"] == 4
    assert document["numbers"]["learning_rate"] == 0.05
    with np.load(watched / "samples.npz", allow_pickle=False) as file:
        assert file["inputs"].shape == (3, 1, 12, 12)
        assert file["pictures"].shape == (3, 12, 12, 3)


def test_maps_far_below_what_half_precision_holds_are_kept(tmp_path):
    """1e-9 is nothing in half precision; each map is kept relative to its own largest value."""
    x, _ = data()
    model = network()
    with torch.no_grad():
        model[-1].weight *= 1e-9
    Recorder(tmp_path, x[:2], targets=[1]).start(model)
    raw = camscope.explain(model, x[:2], targets=[1]).maps().numpy()
    assert 0 < np.abs(raw).max() < 1e-8
    assert np.allclose(History.open(tmp_path).maps[0], raw, rtol=0, atol=np.abs(raw).max() * 2**-10)


def test_photos_are_kept_as_the_model_sees_them(tmp_path):
    photos = [np.random.default_rng(i).integers(0, 256, (40, 60, 3), dtype=np.uint8) for i in range(2)]
    preprocessing = camscope.Preprocessing(input_size=(16, 16), resize=16, mean=(0.5,), std=(0.25,))
    Recorder(tmp_path, photos, preprocessing=preprocessing).start(network())
    samples = History.open(tmp_path).samples
    seen = np.stack([preprocessing(camscope.images.to_photo(photo)) for photo in photos])
    assert np.allclose(samples.inputs, seen)
    grey = (seen[:, 0] * 0.25 + 0.5) * 255
    assert np.abs(samples.pictures[..., 0] - grey).max() <= 0.51


def test_without_labels_the_top_class_of_each_moment_is_explained(tmp_path):
    x, _ = data()
    train(Recorder(tmp_path, x[:3], class_names=CLASSES), epochs=4)
    history = History.open(tmp_path)
    assert np.array_equal(history.classes[:, :, 0], history.top)
    assert len({tuple(row) for row in history.top.tolist()}) > 1
    assert history.looks[-1].titles[0][0] == CLASSES[history.top[-1, 0]]


def test_the_layer_of_a_network_that_begins_with_zeros_is_the_right_one(tmp_path):
    """Nothing reaches the score through a last layer of zeros: the first maps are zero, at the layer that will do."""
    x, y = data()
    model = network()
    nn.init.zeros_(model[-1].weight)
    recorder = Recorder(tmp_path, x[:2], labels=y[:2])
    recorder.start(model)
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(2):
        functional.cross_entropy(model(x), y).backward()
        optimiser.step()
        recorder.step(model)
    history = History.open(tmp_path)
    assert history.samples.layer == camscope.explain(network(), x[:2]).layers[0]
    assert "no-gradient" in history.looks[0].statuses[0][0]
    assert not history.maps[0].any()
    assert history.maps[-1].any()


def test_samples_may_be_written_to_while_the_model_trains(tmp_path):
    x, _ = data()
    mine = x[:2].clone()
    recorder = Recorder(tmp_path, mine, targets=[0])
    model = network()
    recorder.start(model)
    mine.zero_()
    recorder.step(model)
    maps = History.open(tmp_path).maps
    assert np.array_equal(maps[0], maps[1])


def test_numbers_that_are_known_later_join_the_last_look(tmp_path):
    x, _ = data()
    recorder, model = Recorder(tmp_path, x[:2]), network()
    recorder.step(model, loss=torch.tensor(1.5))
    recorder.epoch(model, accuracy=np.float32(0.25))
    recorder.note(val_loss=2)
    history = History.open(tmp_path)
    assert [dict(look.moment.numbers) for look in history.looks] == [
        {"loss": 1.5, "accuracy": 0.25, "val_loss": 2.0}
    ]
    assert history.epoch_ends.tolist() == [True]


# ------------------------------------------------------------------ nothing is lost


def test_a_kill_at_any_time_leaves_a_history_that_can_be_read(tmp_path):
    code = f"""
import sys; sys.path.insert(0, {str(ROOT)!r})
import camscope
from tests.watching.conftest import data, network
x, y = data()
recorder, model = camscope.Recorder({str(tmp_path)!r}, x[:3], when=1), network()
while True:
    recorder.step(model)
    print(recorder.steps, flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    kept = [int(process.stdout.readline()) for _ in range(12)][-1]
    time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = History.open(tmp_path)
    assert len(history) >= kept
    assert history.steps.tolist() == list(range(1, len(history) + 1))


def test_a_file_that_is_not_whole_is_left_out_and_named(tmp_path, watched):
    for path in watched.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    broken = tmp_path / "step-000000004.npz"
    broken.write_bytes(broken.read_bytes()[:700])
    (tmp_path / ".step-000000008.npz.abc").mkdir()
    with pytest.warns(camscope.CamscopeWarning, match=r"step-000000004\.npz is not whole"):
        history = History.open(tmp_path)
    assert 4 not in history.steps
    assert len(history) == len(History.open(watched)) - 1
    assert [lost["step"] for lost in history.missing] == [4]


@contextlib.contextmanager
def full_disk(free: int):
    """Within this context the system writes no more than so many bytes into any file, and says so."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (free, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_ends_no_training_and_the_history_says_what_is_missing(tmp_path):
    x, y = data()
    recorder, model = Recorder(tmp_path, x[:3], labels=y[:3], when=1), network()
    recorder.step(model)
    with full_disk(300), warnings.catch_warnings(record=True) as told:
        recorder.step(model)
        recorder.step(model)
        recorder.epoch(model)
        recorder.note(val_loss=1)
    (told,) = told  # once for one reason
    assert told.category is camscope.CamscopeWarning
    assert str(told.message).startswith("The look after step 2 could not be kept: ")
    assert told.filename == __file__  # it points to who trains
    recorder.step(model)
    history = History.open(tmp_path)
    assert history.steps.tolist() == [1, 4]
    assert [(lost["step"], lost["epoch_end"]) for lost in history.missing] == [
        (2, False),
        (3, False),
        (3, True),
    ]
    assert "large" in history.missing[0]["reason"].lower() or "space" in history.missing[0]["reason"]
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "samples.npz",
        "step-000000001.npz",
        "step-000000004.npz",
    ]
    with pytest.raises(camscope.InputError, match=r"no look after step 3 \(it could not be kept"):
        history.at_steps([3])


def test_weights_that_are_nan_end_no_training(tmp_path):
    x, _ = data()
    recorder, model = Recorder(tmp_path, x[:2], when=1), network()
    recorder.step(model)
    with torch.no_grad():
        model[0].weight[0] = float("nan")
    with pytest.warns(camscope.CamscopeWarning, match=r"NaN or infinity: 0\.weight"):
        recorder.step(model, loss=float("nan"))
    with torch.no_grad():
        model[0].weight[0] = 0
    recorder.step(model, loss=float("inf"))
    history = History.open(tmp_path)
    assert history.steps.tolist() == [1, 3]
    assert np.isnan(history.numbers("loss")[-1])


def test_a_folder_that_cannot_be_written_to_is_said_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    recorder = Recorder(tmp_path / "file" / "maps", data()[0][:2])
    with pytest.raises(camscope.InputError, match="cannot be written to: Not a directory"):
        recorder.start(network())


# ------------------------------------------------------------------ going on


def test_a_training_that_goes_on_forgets_what_is_later_than_its_checkpoint(tmp_path):
    x, y = data()

    def recorder() -> Recorder:
        return Recorder(tmp_path, x[:2], labels=y[:2], when=1)

    first, model = recorder(), network()
    for _ in range(3):
        first.step(model)
    first.epoch(model)
    first.step(model)
    first.step(model)
    (tmp_path / ".step-000000006.npz.killed").mkdir()
    second = recorder()
    second.from_step(4)
    assert (second.steps, second.epochs) == (4, 1)
    assert shards.steps_in(tmp_path) == [1, 2, 3, 4]
    assert not list(tmp_path.glob(".*"))
    second.step(model)
    second.epoch(model)
    history = History.open(tmp_path)
    assert history.steps.tolist() == [1, 2, 3, 4, 5]
    assert history.epochs.tolist() == [0, 0, 1, 1, 2]


def test_two_trainings_are_not_mixed(tmp_path):
    x, y = data()
    Recorder(tmp_path, x[:2], labels=y[:2]).step(network())
    with pytest.raises(camscope.InputError, match=r"holds a history already, up to step 1.*from_step\(0\)"):
        Recorder(tmp_path, x[:2], labels=y[:2]).start(network())
    anew = Recorder(tmp_path, x[2:4], labels=y[2:4])
    anew.from_step(0)
    anew.start(network())
    assert History.open(tmp_path).steps.tolist() == [0]
    other = Recorder(tmp_path, x[:2], labels=y[:2])
    other.from_step(3)
    with pytest.raises(camscope.InputError, match="of other samples"):
        other.start(network())
    relabelled = Recorder(tmp_path, x[2:4], labels=[0, 1])
    relabelled.from_step(3)
    with pytest.raises(
        camscope.InputError, match="with the labels class 2, class 0, and these have class 0, class 1"
    ):
        relabelled.start(network())
    otherwise = Recorder(tmp_path, x[2:4], labels=y[2:4], method="layercam")
    otherwise.from_step(3)
    with pytest.raises(camscope.InputError, match="holds maps of gradcam, and layercam"):
        otherwise.step(network())


def test_a_history_keeps_its_layer_when_it_goes_on(tmp_path):
    x, _ = data()
    Recorder(tmp_path, x[:2], layer="2").step(network())
    second = Recorder(tmp_path, x[:2])
    second.from_step(1)
    second.step(network())
    assert len(History.open(tmp_path)) == 2
    assert History.open(tmp_path).samples.layer == "2"


# ------------------------------------------------------------------ when


@pytest.mark.parametrize(
    ("when", "steps"),
    [
        ("powers", [1, 2, 4, 8, 16]),
        (5, [5, 10, 15, 20]),
        ({3, 7}, [3, 7]),
        (lambda step: step > 17, [18, 19, 20]),
    ],
)
def test_when_a_look_is_due(tmp_path, when, steps):
    recorder = Recorder(tmp_path, data()[0][:1], when=when)
    assert [step for step in range(1, 21) if recorder.advance()] == steps


def test_several_steps_at_once_are_looked_at_if_one_is_due(tmp_path):
    recorder = Recorder(tmp_path, data()[0][:1])
    assert [recorder.advance(3) for _ in range(4)] == [True, True, True, False]  # 1–3, 4–6, 7–9, 10–12
    assert recorder.advance(4)  # 13–16


@pytest.mark.parametrize("when", ["power", 0, -1, True, 1.5, {1, "2"}, None])
def test_what_is_no_when_is_refused(tmp_path, when):
    with pytest.raises(camscope.InputError, match=r"when=.*expected 'powers'"):
        Recorder(tmp_path, data()[0][:1], when=when)


# ------------------------------------------------------------------ newcomers' mistakes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": [0]}, "PerImage holds 1 targets, the batch 2"),
        ({"labels": [0], "targets": [1]}, "labels holds 1, and there are 2 samples"),
        ({"labels": ["circel", "square"]}, "no class 'circel'. Did you mean 'circle'"),
        ({"labels": [0, 7]}, "no class 7: the model has 3"),
        ({"names": ["one"]}, "names holds 1, and there are 2 samples"),
        ({"method": ["gradcam", "layercam"]}, "of one method at one layer, and 2 were asked for"),
        ({"method": "gradcm"}, "gradcam"),
        ({"layer": "9"}, "9"),
    ],
)
def test_what_does_not_fit_is_said_at_the_first_look(tmp_path, options, message):
    recorder = Recorder(tmp_path, data()[0][:2], **{"class_names": CLASSES, **options})
    with pytest.raises(camscope.CamscopeError, match=message):
        recorder.step(network())
    assert not shards.steps_in(tmp_path)


def test_it_is_said_at_the_first_step_even_if_no_look_is_due(tmp_path):
    recorder = Recorder(tmp_path, data()[0][:2], names=["one"], when=100)
    with pytest.raises(camscope.InputError, match="names holds 1"):
        recorder.step(network())


@pytest.mark.parametrize("step", [-1, 1.0, True, "3"])
def test_what_is_no_step_is_refused(tmp_path, step):
    with pytest.raises(camscope.InputError, match="expected the number of steps"):
        Recorder(tmp_path, data()[0][:1]).from_step(step)


def test_a_number_that_is_none_is_refused(tmp_path):
    recorder = Recorder(tmp_path, data()[0][:1])
    with pytest.raises(camscope.InputError, match=r"loss=.*is no number"):
        recorder.step(network(), loss=torch.ones(3))
