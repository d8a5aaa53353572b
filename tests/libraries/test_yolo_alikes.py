"""Detectors with ultralytics' structure, by look-alikes: their own detections, the anchor's logit, and the two maps."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import camscope
from camscope import Instance
from tests.libraries.look_alikes import HEADS, LEVELS, Yolo, alike, classifier, planted

X = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
RANKED = [name for name in HEADS if name.startswith("end")]
LEVEL, BACKBONE = "model.10, model.12, model.14", "model.2, model.3, model.4"


@pytest.fixture(scope="module")
def net():
    """Each built once; read only."""
    built: dict[str, nn.Module] = {}

    def get(name: str) -> nn.Module:
        return built.setdefault(name, built.get(name) or alike(name))

    return get


def explained(model: nn.Module, x: object = X, **how: object) -> camscope.Explanation:
    return camscope.explain(model, x, **how)


def corners(row: torch.Tensor, angle: float = 0.0) -> tuple[float, ...]:
    """The upright box around a turned one, given by centre and size, inside of the input."""
    x, y, w, h = row.tolist()
    turned = abs(w * np.cos(angle)) + abs(h * np.sin(angle)), abs(w * np.sin(angle)) + abs(h * np.cos(angle))
    box = x - turned[0] / 2, y - turned[1] / 2, x + turned[0] / 2, y + turned[1] / 2
    return tuple(float(np.clip(side, 0, limit)) for side, limit in zip(box, (96, 64, 96, 64), strict=True))


# ---------------------------------------------------------------------- its own detections


@pytest.mark.parametrize("name", HEADS)
def test_the_most_likely_instance_is_what_the_network_returned(name, net):
    """Its score, its class and its box, whatever form it was returned in."""
    with torch.no_grad():
        returned = net(name)(X)[0]
    returned = returned[0] if isinstance(returned, tuple) else returned
    e = explained(net(name), methods="mean-activation", targets=[Instance(0), Instance(0, of="probability")])
    for image, rows in enumerate(returned):
        if name in RANKED:
            first = rows[0]
            score, output = float(first[4]), int(first[5])
            box = corners(first[:4], float(first[6])) if "obb" in name else None
            box = box or tuple(first[:4].clamp(min=0).minimum(torch.tensor([96.0, 64, 96, 64])).tolist())
        elif name == "queries, ranked":
            score, output = float(rows[0, 4]), int(rows[0, 5])
            box = corners(rows[0, :4] * torch.tensor([96.0, 64, 96, 64]))
        elif name == "queries":
            place, output = divmod(int(rows[:, 4:].argmax()), 3)
            score = float(rows[place, 4 + output])
            box = corners(rows[place, :4] * torch.tensor([96.0, 64, 96, 64]))
        else:
            output, place = divmod(int(rows[4:7].argmax()), rows.shape[1])
            score = float(rows[4 + output, place])
            box = corners(rows[:4, place], float(rows[7, place]) if name == "obb" else 0.0)
        info = e.targets[image][0]
        assert info.label.startswith(["cat", "dog", "cow"][output])
        np.testing.assert_allclose(np.array(info.box) * [96, 64, 96, 64], box, atol=1e-3)
        assert float(e.scores[image, 1]) == pytest.approx(score, abs=1e-5)
        assert float(e.scores[image, 0].sigmoid()) == pytest.approx(score, abs=1e-5)


def test_nothing_is_left_out_that_overlaps_where_the_network_does_that_itself(net):
    """The second most likely of an end-to-end network is its second, also in the same place."""
    with torch.no_grad():
        returned = net("end to end")(X)[0]
    targets = [Instance(i, of="probability") for i in range(5)]
    e = explained(net("end to end"), methods="mean-activation", targets=targets)
    torch.testing.assert_close(e.scores, returned[:, :5, 4], atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["detect", "end to end"])
def test_the_score_and_the_map_by_hand(name, net):
    """The logit that the branch for classes puts out for the anchor; HiResCAM at the level that it belongs to."""
    model = copy.deepcopy(net(name))
    model.model[
        -1
    ].ranked = False  # the branch that learns with the backbone: nothing is cut, and the form is plain
    if name == "end to end":
        model.model[-1].cv2, model.model[-1].cv3 = model.model[-1].one2one_cv2, model.model[-1].one2one_cv3
    levels: list[torch.Tensor] = []
    model.model[-1].register_forward_pre_hook(lambda _m, inputs: levels.extend(inputs[0]))
    rows, raw = model(X)
    maps = raw[0] if isinstance(raw, tuple) else raw
    output, place = divmod(int(rows[0, 4:7].argmax()), rows.shape[2])
    counts = np.cumsum([0, *(m.shape[2] * m.shape[3] for m in maps)])
    level = int(np.searchsorted(counts, place, side="right")) - 1
    row, column = divmod(place - counts[level], maps[level].shape[3])
    logit = maps[level][0, 16 + output, row, column]
    g, deep = torch.autograd.grad(logit, [levels[level], levels[level]])[0], levels[level].detach()
    e = explained(net(name), layers=f"model.{LEVELS[level]}", targets=Instance(0))
    torch.testing.assert_close(e.scores[0, 0], logit.detach())
    expected = (g * deep).sum(1)[0]
    torch.testing.assert_close(e.maps()[0, 0], expected, atol=1e-5, rtol=1e-4)
    found = explained(net(name), targets=Instance(0))
    assert found.provenance["layers"]["fpn_level_of_target"][0] == [f"model.{LEVELS[level]}"]


@pytest.mark.parametrize("name", RANKED)
def test_a_branch_without_gradients_gets_its_graph_back(name, net):
    """The same numbers and gradients as of a network in which the features are not cut off; and none are left cut."""
    uncut = copy.deepcopy(net(name))
    cut = torch.Tensor.detach
    seen: list[torch.Tensor] = []
    uncut.model[4].register_forward_hook(lambda _m, _i, out: seen.append(out))
    torch.Tensor.detach = lambda self: self
    try:
        rows, _ = uncut(X[:1])
        rows = rows[0] if isinstance(rows, tuple) else rows
    finally:
        torch.Tensor.detach = cut
    score = rows[0, 0, 4].logit()
    (g,) = torch.autograd.grad(score, seen[0])
    e = explained(net(name), X[:1], layers="model.4", targets=Instance(0))
    assert bool((g != 0).any())
    torch.testing.assert_close(e.maps()[0, 0], (g * seen[0].detach()).sum(1)[0], atol=1e-3, rtol=1e-2)


# ---------------------------------------------------------------------- two maps


def scene(*, blue: bool = True) -> torch.Tensor:
    """A red square of 8 pixels, and a blue one of 16, whose middles are 28 pixels apart."""
    x = torch.zeros(1, 3, 128, 160)
    x[:, 0, 56:64, 56:64] = 1
    if blue:
        x[:, 2, 48:64, 80:96] = 1
    return x


def test_the_two_maps_say_where_it_is_and_what_was_used():
    """At its own level nothing is beyond the head's 5×5 cells; the backbone shows the blue square that counts too."""
    model = planted()
    e, without = (explained(model, scene(blue=blue), targets=Instance(0)) for blue in (True, False))
    assert e.targets[0][0].label.startswith("cat")
    assert float(e.scores[0, 0]) > float(without.scores[0, 0]) + 0.5
    assert e.provenance["layers"]["shows"] == {
        "model.8, model.9, model.10": "where it is",
        "model.0, model.1, model.2": "what was used",
    }
    assert e.provenance["layers"]["reach"] == {"model.8": [5, 5]}
    level, used = (e.raw["hirescam", layer][0, 0] for layer in e.layers)
    alone = without.raw["hirescam", e.layers[1]][0, 0]
    rows, columns = level.nonzero().unbind(1)
    ends = (rows.min(), rows.max(), columns.min(), columns.max())
    assert min(ends) >= 5  # the square is at 7, 7
    assert max(ends) <= 9
    assert float(level.sum()) > 0
    context = used[6:8, 10:12]
    assert float(context.sum()) > 0.1 * float(used.sum())
    assert float(used[7, 7]) > 0
    assert float(alone[:, 10:].abs().max()) == 0
    assert float(alone[7, 7]) > 0


def test_a_call_that_names_no_layer_shows_where_it_is_first():
    """So that `e.overlay()` and the like work as for any other model."""
    e = explained(planted(), scene(), targets=Instance(0))
    assert e.key() == ("hirescam", "model.8, model.9, model.10")
    named = explained(planted(), scene(), targets=Instance(0), layers=["model.0", "model.8"])
    with pytest.raises(camscope.InputError, match="Several layers"):
        named.key()


def test_the_note_says_how_far_a_detection_sees():
    (note,) = (n for n in explained(planted(), scene(), targets=Instance(0)).notes if "cells" in n)
    assert "of model.8 5×5 cells (40×40 pixels)" in note
    assert "at model.0, model.1, model.2" in note


def test_queries_have_no_level_of_their_own(net):
    e = explained(net("queries"))
    assert list(e.provenance["layers"]["shows"].values()) == ["at the pyramid", "what was used"]
    assert not any("cells" in note for note in e.notes)


# ---------------------------------------------------------------------- what a user holds


@pytest.mark.parametrize("name", ["detect", "end to end", "queries"])
def test_the_object_that_a_user_holds_is_its_network(name, net):
    inner, outer = explained(net(name)), explained(Yolo(net(name)))
    assert inner.layers == outer.layers == (LEVEL, BACKBONE)
    for key, maps in inner.raw.items():
        torch.testing.assert_close(outer.raw[key], maps)
    assert outer.class_names == ["cat", "dog", "cow"]
    assert outer.provenance["model_name"] == "yolo-alike"


def test_nothing_is_left_on_the_network(net):
    model = copy.deepcopy(net("end to end")).train()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    explained(model, methods=["hirescam", "scorecam(top=4)"])
    assert model.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name])


@pytest.mark.parametrize("name", ["detect", "end to end", "queries"])
def test_methods_that_run_parts_again(name, net):
    """The same anchor is scored again, in altered activations and in altered inputs."""
    e = explained(net(name), methods=["scorecam(top=4)", "ablationcam", "rise(n=8)", "smooth(hirescam, n=2)"])
    for maps in e.raw.values():
        assert bool(maps.isfinite().all())
        assert bool((maps != 0).any())


def test_a_batch_is_its_images_one_by_one(net):
    whole = explained(net("detect"), targets=[Instance(0), Instance(1)])
    for image in range(2):
        alone = explained(net("detect"), X[image : image + 1], targets=[Instance(0), Instance(1)])
        for key, maps in alone.raw.items():
            torch.testing.assert_close(maps[0], whole.raw[key][image], rtol=1e-3, atol=1e-5)


def test_the_strongest_channels_are_kept_at_a_layer_that_the_map_is_made_at_too(net):
    e = explained(net("detect"), channels=2, targets=[Instance(0), Instance(1)])
    (layer,) = e.channels
    assert layer in BACKBONE.split(", ")
    plain = explained(net("detect"), targets=[Instance(0), Instance(1)])
    for key, maps in plain.raw.items():
        torch.testing.assert_close(e.raw[key], maps)


def test_a_recorder_asks_for_a_layer_and_keeps_its_maps(net, tmp_path):
    model = copy.deepcopy(net("detect"))
    with pytest.raises(camscope.InputError, match=r"keeps those of one: name it.*layer='model\.4'"):
        camscope.Recorder(tmp_path / "maps", X, targets=Instance(0)).start(model)
    recorder = camscope.Recorder(tmp_path / "maps", X, targets=Instance(0), layer="model.4")
    recorder.start(model)
    recorder.step(model)
    assert any((tmp_path / "maps").iterdir())


def test_a_classifier_is_one(net):
    model = classifier()
    with torch.no_grad():
        probabilities, logits = model(X)
    e = explained(Yolo(model))
    torch.testing.assert_close(e.logits, logits)
    torch.testing.assert_close(e.probabilities, probabilities)
    assert camscope.Explainer(model).preprocessing.input_size == (224, 224)
    assert camscope.Explainer(Yolo(model)).default_method == "gradcam"


# ---------------------------------------------------------------------- photos


def test_a_photo_is_letterboxed_and_its_map_lands_on_it(tmp_path):
    """A photo twice as wide as high, of which the input's middle half is made; the map is undone the same way."""
    pixels = np.zeros((100, 200, 3), dtype=np.uint8)
    pixels[40:60, 150:170, 0] = 255
    photo = tmp_path / "wide.png"
    Image.fromarray(pixels).save(photo)
    explainer = camscope.Explainer(Yolo(planted(), imgsz=128))
    made = explainer.prepare(photo)
    assert made.batch.given.shape == (1, 3, 128, 128)
    assert np.allclose(made.batch.given[0, :, :32], 114 / 255)
    assert np.allclose(made.batch.given[0, :, 32:36], 0)
    e = explainer(photo, targets=Instance(0))
    heat = e.photo_heatmaps()[0]
    assert heat.shape == (100, 200)
    assert not np.isnan(heat).any()
    rows, columns = np.indices(heat.shape)
    assert (heat * rows).sum() / heat.sum() == pytest.approx(50, abs=6)
    assert (heat * columns).sum() / heat.sum() == pytest.approx(160, abs=6)


def test_an_instance_on_a_photo_is_said_and_shown_in_its_pixels(tmp_path):
    """Its own box finds it again; the figure outlines it there, and says what each of the two maps shows."""
    pixels = np.zeros((100, 200, 3), dtype=np.uint8)
    pixels[40:60, 150:170, 0] = 255
    explainer = camscope.Explainer(Yolo(planted(), imgsz=128))
    e = explainer(pixels, targets=[Instance(0)])
    label = e.targets[0][0].label
    box = tuple(map(int, label.partition("(")[2].rstrip(")").split(", ")))
    assert 130 < box[0] < 160 < box[2] <= 190
    assert 20 < box[1] < 50 < box[3] < 80
    again = explainer(pixels, targets=[Instance(box), Instance([side + 3 for side in box], "cat")])
    assert again.targets[0][0].label == label
    near = r"The photo is 200 wide and 100 high; the nearest detections are cat at \(1\d\d"
    with pytest.raises(camscope.TargetError, match=near):
        explainer(pixels, targets=Instance((0, 0, 20, 20)))
    figure = e.figure()
    texts = " ".join(text.get_text() for text in figure.texts)
    assert "where it is (model.8" in texts
    assert "what was used (model.0" in texts
    assert f"{e.targets[0][0].probability:.1%}" in texts
    outlines = [p.get_bbox().extents for axes in figure.axes for p in axes.patches]
    for corners in outlines:
        np.testing.assert_allclose(corners, box, atol=1)
    assert len(outlines) == 2
    kept = e.save(tmp_path / "kept.npz")
    loaded = camscope.load(kept)
    assert loaded.targets == e.targets
    assert loaded.key() == e.key()
    assert loaded.layer_titles == e.layer_titles


def test_the_size_is_what_the_model_says(net):
    assert camscope.Explainer(net("detect")).preprocessing.input_size == (640, 640)
    assert camscope.Explainer(Yolo(net("detect"), imgsz=[64, 96])).preprocessing.input_size == (64, 96)
    grey = copy.deepcopy(net("detect"))
    grey.model[0][0] = nn.Conv2d(1, 8, 3, 2, 1)
    assert camscope.Explainer(grey).preprocessing is None


# ---------------------------------------------------------------------- refused


def test_a_size_that_does_not_halve_five_times_is_refused_naming_one_that_does(net):
    with pytest.raises(camscope.InputError, match=r"64×100.*multiples of 32: 64×96, say"):
        explained(net("detect"), torch.rand(1, 3, 64, 100))


def test_what_returns_something_else_is_refused_saying_what_is_known(net):
    model = copy.deepcopy(net("detect"))
    head = model.model[-1]
    plain = head.forward
    head.forward = lambda x: (plain(x)[0] ** 2,)
    with pytest.raises(camscope.ModelError, match=r"shape \(\d+, 7, 126\).*\(batch, 4 \+ classes"):
        explained(model)


def test_exports_and_other_models_of_the_package_are_refused_saying_what_to_give(net):
    class Exported(nn.Module):
        model = "somewhere/yolo.onnx"

    class Other(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = nn.Linear(2, 2)

    for kind in (Exported, Other):
        kind.__module__ = "ultralytics.engine.model"
    with pytest.raises(camscope.ModelError, match=r"onnx:somewhere/yolo\.onnx"):
        camscope.Explainer(Exported())
    Exported.model = "somewhere/yolo.engine"
    with pytest.raises(camscope.ModelError, match=r"exported somewhere/yolo.engine.*YOLO\('….pt'\)"):
        camscope.Explainer(Exported())
    with pytest.raises(camscope.ModelError, match="holds a Linear"):
        camscope.Explainer(Other())


def test_a_model_with_attributes_of_these_names_is_any_other():
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
            self.names, self.stride = ["a"], 1

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.model(x)

    assert explained(Wrapped(), X).logits.shape == (2, 4)
