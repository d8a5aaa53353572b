"""`fit` end to end on small images: what it learns, what it leaves, what it refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

import camscope
from camscope.errors import InputError, ModelError
from camscope.libraries import load_model
from camscope.libraries.gapnet import GapNet, shape_for
from camscope.training import LabelledImages, fit
from camscope.training.curves import confusion_figure, curves_figure
from camscope.training.objectives import balanced_weights, classification_loss
from camscope.watching import History
from tests.training.conftest import stripes
from tests.training.killed import model_in


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of GapNet that has learnt to tell rows from columns."""
    data = stripes(96)
    return fit(data, out=tmp_path_factory.mktemp("runs"), name="stripes", epochs=8, batch_size=16, seed=1)


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """A run whose images may have both classes, or none."""
    data = stripes(96, multilabel=True)
    return fit(
        data, out=tmp_path_factory.mktemp("runs"), name="several", epochs=8, batch_size=16, watch=False
    )


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(value, b[name]) for name, value in a.items())


# ------------------------------------------------------------------ what it learns, and leaves


def test_it_learns_and_its_folder_is_a_model(run):
    assert run.best["accuracy"] >= 0.9
    explainer = camscope.Explainer(str(run.folder))
    photos = [Image.fromarray(image) for image in stripes(8, seed=7).sources]
    e = explainer(photos)
    with torch.no_grad():
        expected = run.model(torch.from_numpy(np.stack([run.model.preprocessing(photo) for photo in photos])))
    np.testing.assert_allclose(np.asarray(e.logits), expected, rtol=1e-4, atol=1e-5)
    assert e.class_names == ["rows", "columns"]
    assert [e.top(1, image=i)[0][1] for i in range(8)] == ["rows", "columns"] * 4
    np.testing.assert_allclose(np.asarray(e.logits), np.asarray(run.explainer()(photos).logits), rtol=1e-5)


def test_of_several_labels_each_has_a_probability_of_its_own(several):
    e = camscope.explain(str(several.folder), Image.fromarray(stripes(1).sources[0]), targets="all")
    logits = np.asarray(e.logits)
    np.testing.assert_allclose(np.asarray(e.probabilities), 1 / (1 + np.exp(-logits)), rtol=1e-5)
    assert several.score == "mean_average_precision"
    assert several.judged.performance.confusion is None


def test_the_folder_says_everything(run):
    says = json.loads((run.folder / "run.json").read_text())
    assert says["model"]["spec"] == "gapnet"
    assert says["model"]["shape"] == {"channels": 1, "widths": [16, 32, 64], "strides": [1, 2, 1]}
    assert says["classes"] == ["rows", "columns"]
    assert (says["split"]["train"], says["split"]["val"], says["split"]["seed"]) == (77, 19, 1)
    assert says["versions"]["torch"] == torch.__version__.partition("+")[0]
    x = np.stack([run.model.preprocessing(Image.fromarray(image)) for image in stripes(96).sources])
    train = [line for line in (run.folder / "split.csv").read_text().splitlines() if line.endswith(",train")]
    numbers = [int(line.partition("[")[2].partition("]")[0]) for line in train]
    assert abs(x[numbers].mean()) < 1e-3  # measured on what is trained on
    assert abs(x[numbers].std() - 1) < 1e-3
    rows = (run.folder / "results.csv").read_text().splitlines()
    assert len(rows) == 1 + 8
    assert rows[0].startswith("epoch,step,learning_rate,train_loss,val_loss,accuracy")
    scores = json.loads((run.folder / "scores.json").read_text())
    assert scores["accuracy"] == pytest.approx(run.best["accuracy"])
    assert sum(map(sum, scores["confusion"])) == 19
    for name in ("curves.png", "confusion.png"):
        assert np.asarray(Image.open(run.folder / name).convert("RGB")).std() > 5


def test_best_and_last_are_those_epochs(run):
    last = load_file(run.folder / "last.safetensors")
    best = load_file(run.folder / "best.safetensors")
    assert same(best, {name: value.cpu() for name, value in run.model.state_dict().items()})
    assert same(best, last) == (run.best["epoch"] == 8)


def test_its_maps_are_kept_and_change_nothing(run, tmp_path):
    silent = fit(stripes(96), out=tmp_path, epochs=8, batch_size=16, seed=1, watch=False)
    for name in ("best.safetensors", "last.safetensors"):
        assert same(load_file(run.folder / name), load_file(silent.folder / name))
    assert not (silent.folder / "maps").exists()
    from camscope.watching import History

    history = History.open(run.folder / "maps")
    assert history.steps[0] == 0
    assert history.steps[-1] == 8 * 4


def test_a_photo_of_another_size_is_resized_to_that_of_tiny_images(run):
    image = Image.fromarray(stripes(2).sources[0])
    large = image.resize((120, 120), Image.Resampling.NEAREST)
    x, again = run.model.preprocessing(image), run.model.preprocessing(large)
    assert np.corrcoef(x.ravel(), again.ravel())[0, 1] > 0.98


def test_tensorboard_gets_the_numbers_and_pictures(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    options = {"out": tmp_path, "name": "run", "epochs": 2, "batch_size": 16, "tensorboard": True}
    fit(stripes(), **options)
    run = fit(stripes(), resume=True, **{**options, "epochs": 3, "batch_size": None})
    told = EventAccumulator(str(run.folder / "tensorboard")).Reload()
    values = [event.value for event in told.Scalars("train/loss")]
    np.testing.assert_allclose(values, [row["train_loss"] for row in run.history], rtol=1e-6)
    assert told.Tags()["images"]


# ------------------------------------------------------------------ how it learns


def test_batches_that_are_accumulated_are_one_batch(tmp_path):
    """Without a norm the weights are the same but for rounding."""

    def net():
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return nn.Sequential(
                nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
            ).double()

    def weights(name, **options):
        model = net().float()
        fit(stripes(), model=model, out=tmp_path, name=name, epochs=2, watch=False, **options)
        return load_file(tmp_path / name / "last.safetensors")

    whole, parts, other = (
        weights("whole", batch_size=16),
        weights("parts", batch_size=8, accumulate=2),
        weights("other", batch_size=8),
    )
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=1e-4, atol=1e-5)
    assert not all(torch.allclose(other[name], value, atol=1e-4) for name, value in whole.items())


def test_an_objective_of_ones_own_is_what_is_minimised(tmp_path):
    """With a loss that does not look at the labels nothing is learnt of them, and the logits go to zero."""
    run = fit(
        stripes(),
        out=tmp_path,
        epochs=6,
        batch_size=8,
        watch=False,
        objective=lambda model, batch: model(batch.x).square().mean(),
    )
    assert np.abs(run.judged.predicted.logits).max() < 0.2


def test_label_smoothing_by_hand():
    logits = torch.tensor([[2.0, -1.0, 0.5]])
    log = logits.log_softmax(1)
    truth = torch.tensor([0])
    by_hand = -(0.9 * log[0, 0] + 0.1 * log[0].mean())
    assert classification_loss(False, smoothing=0.1)(logits, truth) == pytest.approx(by_hand)
    several = torch.tensor([[1.0, 0.0, 0.0]])
    smooth = torch.tensor([[0.95, 0.05, 0.05]])
    p = logits.sigmoid()
    by_hand = -(smooth * p.log() + (1 - smooth) * (1 - p).log()).mean()
    assert classification_loss(True, smoothing=0.1)(logits, several) == pytest.approx(by_hand)


def test_class_weights_make_every_class_count_the_same():
    targets = np.repeat(np.eye(3, dtype=bool), [1, 3, 6], axis=0)
    weights = balanced_weights(targets, multilabel=False)
    np.testing.assert_allclose(weights * targets.sum(0), 10 / 3)
    np.testing.assert_allclose(balanced_weights(targets, multilabel=True), [9, 7 / 3, 4 / 6])


def test_half_precision_trains_too(tmp_path):
    run = fit(stripes(), out=tmp_path, epochs=2, batch_size=8, precision="bf16", device="cpu", watch=False)
    assert all(value.dtype != torch.bfloat16 for value in run.model.state_dict().values())
    assert np.isfinite(run.best["val_loss"])
    with pytest.raises(InputError, match="fp16 needs a GPU"):
        fit(stripes(), out=tmp_path, epochs=1, precision="fp16", device="cpu", watch=False)
    from accelerate.state import AcceleratorState

    assert not AcceleratorState._shared_state  # another precision next time


def test_weights_that_run_away_are_noticed_and_not_kept(tmp_path):
    with pytest.raises(InputError, match=r"The loss is nan by step \d+, at a learning rate of .*--find-lr"):
        fit(stripes(), out=tmp_path, name="wild", epochs=3, learning_rate=1e30, batch_size=8, watch=False)
    left = tmp_path / "wild" / "checkpoint.safetensors"
    if left.exists():
        assert all(value.isfinite().all() for value in load_file(left).values())


# ------------------------------------------------------------------ which model


@pytest.mark.parametrize(
    ("side", "strides", "grid"),
    [(8, [1, 2, 1], 4), (25, [1, 2, 2], 7), (28, [1, 2, 2], 7), (48, [1, 2, 2], 12), (224, [2] * 5, 7)],
)
def test_gapnet_keeps_a_grid(side, strides, grid):
    shape = shape_for((side, side))
    assert shape["strides"] == strides
    net = GapNet(5, **shape).eval()
    with torch.no_grad():
        stages = nn.Sequential(*[m for name, m in net.named_children() if name.startswith("stage")])
        maps = stages(torch.zeros(1, 3, side, side))
    assert maps.shape[2:] == (grid, grid)


def test_gapnets_cam_sums_to_its_logit(run):
    x = torch.randn(3, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    e = camscope.explain(run.model, x, methods="cam", targets="all")
    np.testing.assert_allclose(
        np.asarray(e.maps()).mean((-1, -2)) + run.model.head.bias.detach().numpy(),
        np.asarray(e.logits),
        atol=1e-4,
    )


def test_a_factory_gets_the_number_of_classes_and_its_file_is_known_again(tmp_path):
    model = model_in(tmp_path)
    run = fit(stripes(), model=model, out=tmp_path, epochs=1, watch=False)
    assert load_model(str(run.folder)).info.note == ""
    file = tmp_path / "net.py"
    file.write_text(file.read_text() + "\n# another line\n")
    assert "has changed since" in load_model(str(run.folder)).info.note
    file.write_text(file.read_text().replace("nn.Linear(8,", "nn.Linear(8, 4), nn.Linear(4,"))
    with pytest.raises(ModelError, match="do not fit this Sequential"):
        load_model(str(run.folder))
    file.unlink()
    with pytest.raises(ModelError, match=r"there is no file .*net\.py any more\. Put it back"):
        load_model(str(run.folder))


def test_a_moved_folder_is_still_a_model(run, tmp_path):
    import shutil

    shutil.copytree(run.folder, tmp_path / "elsewhere")
    moved = load_model(str(tmp_path / "elsewhere"))
    assert same(moved.model.state_dict(), dict(run.model.state_dict()))


def test_a_run_with_the_weights_of_its_last_epoch_is_trained(run):
    assert not load_model(str(run.folder), weights=run.folder / "last.safetensors").info.untrained
    assert load_model(str(run.folder), weights="random").info.untrained


def test_a_run_is_shown_in_a_line(run):
    assert "\n" not in repr(run)
    assert f"in epoch {int(run.best['epoch'])} of {len(run.history)}" in repr(run)


def test_what_is_watched_has_the_scores_and_not_the_epoch_again(run):
    watched = History.open(run.folder)
    assert {"epoch", "step"}.isdisjoint(watched.number_names)
    ends = watched.at_epochs([len(run.history)])
    assert ends.numbers("val_loss")[0] == pytest.approx(run.history[-1]["val_loss"])


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (
            lambda folder: (folder / "best.safetensors").unlink(),
            "has lost best.* --weights .*last.safetensors",
        ),
        (
            lambda folder: [(folder / f"{name}.safetensors").unlink() for name in ("best", "last")],
            "has no weights yet: .* --resume --name run",
        ),
        (lambda folder: (folder / "run.json").write_text("{"), "is no JSON"),
        (
            lambda folder: (folder / "run.json").write_text("{}"),
            "is not what `camscope train` writes: it has no",
        ),
        (lambda folder: (folder / "run.json").unlink(), "is no training run: it has no run.json"),
    ],
)
def test_a_broken_folder_says_what_is_missing(run, tmp_path, broken, message):
    import shutil

    shutil.copytree(run.folder, tmp_path / "run")
    broken(tmp_path / "run")
    with pytest.raises(ModelError, match=message):
        load_model(str(tmp_path / "run"))


def test_a_run_begins_with_the_body_of_another(run, tmp_path):
    three = stripes(48)
    targets = np.zeros((48, 3), bool)
    targets[np.arange(48), np.arange(48) % 3] = True
    data = LabelledImages(three.sources, three.names, ("a", "b", "c"), targets)
    seen = []

    class Note:
        def step(self, now):
            pass

        def epoch(self, row, best):
            seen.append(row["learning_rate"])

    other = fit(
        data, model=run.folder, out=tmp_path, epochs=1, learning_rate=1e-9, reporter=Note(), watch=False
    )
    assert other.model.head.out_features == 3
    torch.testing.assert_close(
        other.model.stage1.conv1.weight, run.model.stage1.conv1.weight, atol=1e-6, rtol=0
    )
    assert other.model.preprocessing.mean == run.model.preprocessing.mean
    assert "starts anew" in " ".join(other.notes)
    assert len(seen) == 2  # one with the body frozen


def test_pretrained_weights_of_a_file_are_fine_tuned(tmp_path):
    import timm

    torch.manual_seed(0)
    full = timm.create_model("resnet10t", num_classes=7)
    torch.save(full.state_dict(), tmp_path / "w.pt")
    run = fit(
        stripes(),
        model="timm:resnet10t",
        weights=tmp_path / "w.pt",
        size=32,
        out=tmp_path,
        epochs=1,
        learning_rate=1e-9,
        watch=False,
    )
    assert [row["epoch"] for row in run.history] == [1, 2]
    torch.testing.assert_close(
        run.model.layer1[0].conv1.weight, full.layer1[0].conv1.weight, atol=1e-6, rtol=0
    )
    assert run.model.preprocessing.input_size == (32, 32)
    assert "The head of" in run.notes[0]
    loaded = load_model(str(run.folder)).model
    assert same(dict(loaded.state_dict()), dict(run.model.state_dict()))


def test_torchvision_with_and_without_auxiliary_heads(tmp_path):
    from camscope.libraries.trainable import build_trainable

    for name in ("resnet18", "squeezenet1_1", "googlenet"):
        built = build_trainable(f"torchvision:{name}", classes=4, weights="random")
        assert built.model.train()(torch.zeros(2, 3, 96, 96)).shape == (2, 4)
        assert built.model.get_submodule(built.head) is not None
    with pytest.raises(ModelError, match="is no classifier"):
        build_trainable("torchvision:fcn_resnet50", classes=4, weights="random")


def test_a_model_without_maps_is_trained_and_a_note_says_so(tmp_path):
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 12 * 12, 2))
    run = fit(stripes(), model=net, out=tmp_path, epochs=1)
    assert "Its maps were not kept" in " ".join(run.notes)
    assert run.model is net
    with pytest.raises(ModelError, match="trained from an object"):
        load_model(str(run.folder))


REFUSED = [
    ({"model": "resnet18"}, ModelError, "names no model. Perhaps 'timm:resnet18'"),
    ({"model": "keras:ResNet50"}, ModelError, "keras:ResNet50 can be explained but is not trained here"),
    ({"model": "timm:resnet10x", "weights": "random"}, ModelError, "Did you mean 'resnet10t'"),
    ({"epochs": 0}, InputError, "epochs is 0; expected at least 1"),
    ({"learning_rate": 0.0}, InputError, "learning_rate is 0; expected a number above 0"),
    ({"batch_size": 0}, InputError, "batch_size is 0"),
    ({"precision": "fp8"}, InputError, "There is no precision 'fp8'"),
    ({"label_smoothing": 1.0}, InputError, "label_smoothing is 1"),
    ({"patience": 0}, InputError, "patience is 0"),
    ({"size": 0}, InputError, "size is 0"),
    ({"holdout": 1.5}, InputError, "holdout is the share"),
    ({"name": "a/b"}, InputError, "a run's name is that of a folder in --out"),
    ({"device": "tpu9"}, InputError, "There is no device 'tpu9'"),
    ({"seed": -1}, InputError, "seed"),
]


@pytest.mark.parametrize(("options", "kind", "message"), REFUSED, ids=lambda value: str(value)[:30])
def test_nonsense_is_refused_before_anything_is_written(tmp_path, options, kind, message):
    with pytest.raises(kind, match=message):
        fit(stripes(), out=tmp_path / "runs", watch=False, **options)
    assert not (tmp_path / "runs").exists()


def test_a_model_of_another_number_of_classes_is_refused(tmp_path):
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        "def make():\n"
        "    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 7))\n"
    )
    with pytest.raises(
        ModelError, match=r"gives shape \(2, 7\) .*expected \(2, 2\).*Let its factory take num_classes"
    ):
        fit(stripes(), model=f"{tmp_path}/net.py:make", out=tmp_path, watch=False)


def test_an_image_that_is_damaged_behind_its_header_is_left_out_and_named(tmp_path):
    data = stripes(60)
    for index, image in enumerate(data.sources):
        kind = data.classes[data.labels[index]]
        (tmp_path / "data" / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / "data" / kind / f"{index:02}.png")
    broken = tmp_path / "data" / "rows" / "00.png"
    broken.write_bytes(broken.read_bytes()[:60])
    with pytest.warns(camscope.CamscopeWarning, match=r"00\.png' is left out"):
        run = fit(tmp_path / "data", out=tmp_path, epochs=1, batch_size=8, watch=False)
    assert "1 images could not be read and were left out" in " ".join(run.notes)
    assert "00.png" in " ".join(run.notes)


@pytest.mark.slow
def test_photos_of_textures_are_told_apart_after_fine_tuning_the_demo_model(tmp_path):
    """Left halves of three photos are learnt from, right halves are held out; at half size, in a minute."""
    from skimage import data

    for name in ("brick", "grass", "gravel"):
        photo = getattr(data, name)()
        for part, left in (("train", 0), ("val", 256)):
            folder = tmp_path / "photos" / part / name
            folder.mkdir(parents=True)
            for y in range(0, 385, 64):
                for x in (left, left + 64, left + 128):
                    Image.fromarray(photo[y : y + 128, x : x + 128]).save(folder / f"{y}-{x}.png")
    run = fit(
        tmp_path / "photos",
        model="demo",
        size=96,
        epochs=4,
        batch_size=16,
        out=tmp_path,
        watch=False,
        workers=0,
    )
    assert run.best["accuracy"] >= 0.9
    assert [row["epoch"] for row in run.history] == [1, 2, 3, 4, 5]
    e = camscope.explain(str(run.folder), tmp_path / "photos" / "val" / "brick" / "64-320.png")
    assert e.top(1)[0][1] == "brick"
    assert e.class_names == ["brick", "grass", "gravel"]


def test_the_curves_of_one_epoch_have_whole_epochs(run):
    page = curves_figure(run.history[:1], run.score)
    for axes in page.axes:
        low, high = axes.get_xlim()
        assert [at for at in axes.get_xticks() if low <= at <= high] == [1]


@pytest.mark.parametrize(("names", "turned"), [(["0", "1"], 0), (["a cat", "a dog"], 90)])
def test_short_names_of_classes_stand_upright(names, turned):
    (axes,) = confusion_figure(np.eye(2, dtype=int), names).axes
    assert {tick.get_rotation() for tick in axes.get_xticklabels()} == {turned}
