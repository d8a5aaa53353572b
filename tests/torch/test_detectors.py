"""torchvision's detectors, untrained: the model's own detections, each explained at the level it comes from."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import camscope
from camscope import Instance
from tests.torch.nets import explainer_of

pytest.importorskip("torchvision")
from torchvision.models import detection
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

X = torch.rand(2, 3, 96, 120, generator=torch.Generator().manual_seed(1))
NAMES = ["retinanet", "fcos", "fasterrcnn", "ssdlite"]


def trunk(channels: int, *, extra: bool) -> nn.Module:
    """Three stages of 8 channels, strides 4, 8 and 16, and a pyramid on them; P6 and P7 if `extra`."""
    stages = OrderedDict(
        layer1=nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.ReLU()),
        layer2=nn.Sequential(nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU()),
        layer3=nn.Sequential(nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU()),
    )
    for stage in stages.values():
        nn.init.kaiming_normal_(stage[0].weight)
    return BackboneWithFPN(
        nn.Sequential(stages),
        {name: str(i) for i, name in enumerate(stages)},
        [8, 8, 8],
        channels,
        extra_blocks=LastLevelP6P7(channels, channels) if extra else None,
    )


def build(name: str) -> nn.Module:
    """Seeded weights whose scores are well apart, and no threshold, so that there are detections."""
    size = {"min_size": 128, "max_size": 192}
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        if name == "fasterrcnn":
            model = detection.FasterRCNN(
                trunk(32, extra=False),
                rpn_anchor_generator=AnchorGenerator(((16,), (32,), (64,), (128,)), ((0.5, 1.0, 2.0),) * 4),
                box_head=detection.faster_rcnn.TwoMLPHead(32 * 49, 32),
                box_predictor=detection.faster_rcnn.FastRCNNPredictor(32, 4),
                box_score_thresh=0.0,
                rpn_post_nms_top_n_test=60,
                **size,
            )
            model.roi_heads.box_predictor.cls_score.weight.mul_(20)
        elif name == "retinanet":
            model = detection.RetinaNet(trunk(16, extra=True), 4, score_thresh=0.0, **size)
            for part in model.head.classification_head.modules():
                if isinstance(part, nn.Conv2d):
                    nn.init.kaiming_normal_(part.weight)
        elif name == "fcos":
            anchors_ = AnchorGenerator(((4,), (8,), (16,), (32,), (64,)), ((1.0,),) * 5)
            model = detection.FCOS(
                trunk(32, extra=True), 4, anchor_generator=anchors_, score_thresh=0.0, **size
            )
            model.head.classification_head.cls_logits.weight.normal_(0, 0.3)
            model.head.regression_head.bbox_reg.bias.fill_(2.0)
        else:
            model = detection.ssdlite320_mobilenet_v3_large(
                weights=None, weights_backbone=None, num_classes=4, score_thresh=0.0
            )
            for module in model.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.momentum = (
                        1.0  # statistics as after training, or activations fade from layer to layer
                    )
            model.train().backbone(torch.randn(2, 3, 320, 320))
            for module in model.head.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.kaiming_normal_(module.weight)
    return model.eval()


@pytest.fixture(scope="module")
def detector() -> Callable[[str], nn.Module]:
    """Each built once; read only."""
    built: dict[str, nn.Module] = {}

    def get(name: str) -> nn.Module:
        if name not in built:
            built[name] = build(name)
        return built[name]

    return get


def own(model: nn.Module, x: torch.Tensor = X) -> list[dict[str, torch.Tensor]]:
    with torch.no_grad():
        return model(list(x))


# ---------------------------------------------------------------------- the model's own detections


@pytest.mark.parametrize("name", NAMES)
def test_the_candidates_are_those_the_model_detects(name, detector):
    """Its detections, in its order: box, class, and the score the model gives."""
    model = detector(name)
    e = explainer_of(model)(X, targets=[Instance(0), Instance(1), Instance(2)], methods="mean-activation")
    p = explainer_of(model)(
        X, targets=[Instance(i, of="probability") for i in range(3)], methods="mean-activation"
    )
    for image, found in enumerate(own(model)):
        for i in range(3):
            box = ", ".join(f"{float(side):.0f}" for side in found["boxes"][i])
            assert e.targets[image][i].label == f"class {int(found['labels'][i])} at ({box})"
            if name != "fcos":  # whose score is weighed by the centre-ness
                torch.testing.assert_close(p.scores[image, i], found["scores"][i], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_detections_box_is_that_detection_and_the_default_the_most_likely(name, detector):
    model = detector(name)
    found = own(model)
    boxes = camscope.PerImage([Instance(one["boxes"][1], int(one["labels"][1])) for one in found])
    by_box = explainer_of(model)(X, targets=boxes)
    by_number = explainer_of(model)(X, targets=[Instance(0), Instance(1)])
    torch.testing.assert_close(by_box.scores[:, 0], by_number.scores[:, 1])
    default = explainer_of(model)(X)
    torch.testing.assert_close(default.scores[:, 0], by_number.scores[:, 0])
    ((key, maps),) = default.raw.items()
    torch.testing.assert_close(maps[:, 0], by_number.raw[key][:, 0])


def test_a_class_by_itself_is_its_best_candidate(detector):
    model = detector("retinanet")
    e = explainer_of(model)(X, targets=[1, camscope.Class(1, "probability")])
    best = torch.stack([one["scores"][one["labels"] == 1].max() for one in own(model)])
    torch.testing.assert_close(e.scores[:, 0].sigmoid(), best)
    torch.testing.assert_close(e.scores[:, 1], best)
    torch.testing.assert_close(e.probabilities[:, 1], best)


# ---------------------------------------------------------------------- by hand


def candidate_by_hand(model: nn.Module, layer: str, number: int, output: int) -> tuple[torch.Tensor, ...]:
    """Activations and gradients at a level, for one anchor of the first image."""
    kept: list[torch.Tensor] = []
    heads: list[Any] = []
    handles = [
        model.get_submodule(layer).register_forward_hook(lambda _m, _i, out: kept.append(out)),
        model.head.register_forward_hook(lambda _m, _i, out: heads.append(out["cls_logits"])),
    ]
    model(list(X[:1]))
    for handle in handles:
        handle.remove()
    score = heads[0][0, number, output]
    (gradient,) = torch.autograd.grad(score, kept[0])
    return score.detach(), kept[0].detach(), gradient


def anchors(model: nn.Module, x: torch.Tensor = X[:1]) -> tuple[list[int], torch.Tensor, torch.Tensor]:
    """How many there are at each level; all their class logits and boxes for the first image."""
    seen: dict[str, Any] = {}

    def keep(name: str) -> Any:
        return lambda _m, _i, out: seen.update({name: out})

    names = ("backbone", "head", "anchor_generator", "transform")
    handles = [model.get_submodule(name).register_forward_hook(keep(name)) for name in names]
    with torch.no_grad():
        model(list(x))
    for handle in handles:
        handle.remove()
    each = model.anchor_generator.num_anchors_per_location()
    counts = [m.shape[2] * m.shape[3] * n for m, n in zip(seen["backbone"].values(), each, strict=True)]
    boxes = model.box_coder.decode_single(seen["head"]["bbox_regression"][0], seen["anchor_generator"][0])
    height, width = seen["transform"][0].image_sizes[0]
    boxes[:, 0::2] = boxes[:, 0::2].clamp(0, width) * x.shape[3] / width
    boxes[:, 1::2] = boxes[:, 1::2].clamp(0, height) * x.shape[2] / height
    return counts, seen["head"]["cls_logits"][0], boxes


def likely(model: nn.Module, level: int) -> tuple[int, int, tuple[float, ...]]:
    """The most likely anchor of a level of RetinaNet: its number, class and box."""
    counts, logits, boxes = anchors(model)
    start = sum(counts[:level])
    number, output = divmod(int(logits[start : start + counts[level]].argmax()), logits.shape[1])
    return start + number, output, tuple(boxes[start + number].tolist())


@pytest.mark.parametrize("level", [0, 1, 2])
def test_an_instance_has_the_map_of_the_level_it_comes_from_by_hand(level, detector):
    """ODAM: relu(Σ g ⊙ A) of that level, at the finest level's resolution; at the level itself if it is named."""
    model = detector("retinanet")
    number, output, box = likely(model, level)
    layer = f"backbone.fpn.layer_blocks.{level}"
    score, A, g = candidate_by_hand(model, layer, number, output)
    e = explainer_of(model)(X[:1], methods="hirescam", targets=Instance(box, output))
    torch.testing.assert_close(e.scores[0, 0], score)
    assert e.provenance["layers"]["fpn_level_of_target"] == [[layer]]
    named = explainer_of(model)(X[:1], methods="hirescam", targets=Instance(box, output), layers=layer)
    expected = (g * A).sum(1)[:, None]
    torch.testing.assert_close(named.raw["hirescam", layer], expected, rtol=1e-4, atol=1e-6)
    (maps,) = e.raw.values()
    finest = (32, 40)
    up = nn.functional.interpolate(expected, size=finest, mode="bilinear") if level else expected
    torch.testing.assert_close(maps, up, rtol=1e-4, atol=1e-6)


def test_at_another_level_there_is_nothing_of_it(detector):
    model = detector("retinanet")
    _, output, box = likely(model, 0)
    other = "backbone.fpn.layer_blocks.2"
    e = explainer_of(model)(X[:1], methods="hirescam", targets=Instance(box, output), layers=other)
    assert not bool(e.raw["hirescam", other].any())
    assert e.status["hirescam", other][0][0] == "no-gradient"


def test_a_level_of_one_position_is_seen_at_the_one_it_is_made_from(detector):
    """An image of 96 pixels leaves a grid of 2×3 at P6 and 1×2 at P7; one of 64 leaves nothing of P7."""
    model = detector("ssdlite")
    layers = explainer_of(model)(X).provenance["layers"]["fpn_levels"]
    assert layers[-1] == layers[-2] == "backbone.extra.2"


# ---------------------------------------------------------------------- two stages


def test_a_proposal_is_looked_at_again_by_hand(detector):
    """Faster R-CNN on an altered image makes other proposals; the score is that of the old one in the new features."""
    model = detector("fasterrcnn")
    e = explainer_of(model)(X[:1], targets=Instance(0), methods="hirescam")
    seen: list[Any] = []
    roi = model.roi_heads
    handle = roi.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs))
    model(list(X[:1]))
    clean = seen[-1]
    with torch.no_grad():
        logits, _ = roi.box_predictor(roi.box_head(roi.box_roi_pool(*clean[:3])))
    place = int((logits == e.scores[0, 0]).any(1).nonzero()[0, 0])
    output = int((logits[place] == e.scores[0, 0]).nonzero()[0, 0])
    masked = X[:1].clone()
    masked[..., 60:] = 0
    model(list(masked))
    handle.remove()
    features = seen[-1][0]
    with torch.no_grad():
        pooled = roi.box_roi_pool(features, [clean[1][0][place : place + 1]], clean[2])
        expected = roi.box_predictor(roi.box_head(pooled))[0][0, output]
    path = explainer_of(model)(X[:1], targets=Instance(0), methods="hirescam")
    torch.testing.assert_close(path.scores[0, 0], e.scores[0, 0])
    assert not torch.equal(seen[-1][1][0], clean[1][0])
    torch.testing.assert_close(score_again(model, masked), expected, rtol=1e-4, atol=1e-5)


def score_again(model: nn.Module, altered: torch.Tensor) -> torch.Tensor:
    """The clean image's first instance in another image, as a masked re-run sees it."""
    explainer = camscope.Explainer(model)
    adapter = explainer._model.adapter
    clean, other = (adapter.batch(camscope.models.batch.Batch((x,))) for x in (X[:1], altered))
    with adapter.observe(clean, {}) as seen:
        targets = camscope.targets.resolve(Instance(0), seen.outputs)
    with adapter.observe(other, {}) as seen:
        return targets.scores(seen.outputs)[0, 0].detach()


def test_each_proposal_has_its_level(detector):
    """The pooler's own rule: a box of 224 pixels comes from the third level, one half as large from the one before."""
    model = detector("fasterrcnn")
    e = explainer_of(model)(X, targets=[Instance(i) for i in range(6)], methods="hirescam")
    (maps,) = e.raw.values()
    assert bool((maps.flatten(2) != 0).any(2).all())
    names = {name for row in e.provenance["layers"]["fpn_level_of_target"] for name in row}
    assert names <= {f"backbone.fpn.layer_blocks.{i}" for i in range(4)}


# ---------------------------------------------------------------------- follows the box


@pytest.mark.parametrize("name", ["retinanet", "fcos", "fasterrcnn"])
def test_the_map_moves_with_the_box(name, detector):
    """What a box's score depends on lies around it: its centre of mass follows the box from side to side."""
    model = detector(name)
    found = own(model, X[:1])[0]
    small = (found["boxes"][:, 2] - found["boxes"][:, 0]) < 40
    boxes, labels = found["boxes"][small], found["labels"][small]
    middles = (boxes[:, 0] + boxes[:, 2]) / 2
    left, right = int(middles.argmin()), int(middles.argmax())
    assert middles[right] - middles[left] > 40
    targets = [Instance(boxes[i], int(labels[i])) for i in (left, right)]
    e = explainer_of(model)(X[:1], methods="hirescam", targets=targets)
    maps = next(iter(e.raw.values()))[0].abs()
    columns = (torch.arange(maps.shape[2]) + 0.5) * X.shape[3] / maps.shape[2]
    centres = [(maps[t].sum(0) * columns).sum() / maps[t].sum() for t in range(2)]
    assert centres[1] - centres[0] > 0.5 * (middles[right] - middles[left])
    for t, i in enumerate((left, right)):
        assert abs(float(centres[t] - middles[i])) < 30


# ---------------------------------------------------------------------- as every model


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_is_its_images_one_by_one(name, detector):
    model = detector(name)
    whole = explainer_of(model)(
        X, methods=["gradcam", "hirescam", "layercam", "eigencam"], targets=[Instance(0), Instance(1)]
    )
    for image in range(2):
        alone = explainer_of(model)(
            X[image : image + 1],
            methods=["gradcam", "hirescam", "layercam", "eigencam"],
            targets=[Instance(0), Instance(1)],
        )
        torch.testing.assert_close(alone.scores[0], whole.scores[image], rtol=1e-4, atol=1e-5)
        for key, maps in alone.raw.items():
            scale = float(maps.abs().max())
            torch.testing.assert_close(maps[0], whole.raw[key][image], rtol=1e-3, atol=1e-4 * scale)


def test_every_kind_of_method(detector):
    """At the trunk where no layer is named and no gradient asked for; a layer of the pyramid if it is named."""
    model = detector("retinanet")
    methods = ["smooth(gradcam, n=2)", "eigencam", "scorecam(top=4)", "layercam"]
    e = explainer_of(model)(X[:1], methods=methods, targets=Instance(0))
    assert e.provenance["layers"]["choice"] == "backbone.body.layer3"
    for (name, _), maps in e.raw.items():
        assert bool(maps.isfinite().all()), name
        assert bool((maps != maps.flatten()[0]).any()), name


def test_one_image_of_a_batch_keeps_its_own_levels(detector):
    e = explainer_of(detector("retinanet"))(X, targets=[Instance(0), Instance(3)])
    levels = e.provenance["layers"]["fpn_level_of_target"]
    assert len(levels) == len(X) > 1
    for i in range(len(X)):
        assert e[i].provenance["layers"]["fpn_level_of_target"] == [levels[i]]


OTHER_KINDS = ["ablationcam", "scorecam(top=3)", "smooth(hirescam, n=2)", "eigencam", "rise(n=6)", "fullgrad"]


@pytest.mark.parametrize("method", OTHER_KINDS)
def test_every_kind_of_method_at_proposals(method, detector):
    """Of the same instance, however the input or the activations are altered."""
    explainer = camscope.Explainer(detector("fasterrcnn"))
    e = explainer(X[:1], targets=[Instance(0), Instance(2)], methods=method)
    assert torch.isfinite(e.maps()).all()
    assert e.maps().abs().amax((2, 3)).min() > 0
    assert [t.label for t in e.targets[0]] == [
        t.label for t in explainer(X[:1], targets=[Instance(0), Instance(2)]).targets[0]
    ]


def test_bytes_are_noted(detector):
    notes = explainer_of(detector("retinanet"))(X.abs() * 255).notes
    assert any("it seems not to be prepared" in note for note in notes)


def test_without_a_method_it_is_odam(detector):
    """HiResCAM: Grad-CAM's weights are means over the whole level, so that its maps of two boxes are much alike."""
    explainer = camscope.Explainer(detector("retinanet"))
    e = explainer(X, targets=Instance(0))
    assert e.methods == ("hirescam",)
    assert torch.equal(e.maps(), explainer(X, targets=Instance(0), methods="hirescam").maps())


def test_ablation_by_hand(detector):
    """Without one channel of the level, the same anchor has another score."""
    model = detector("retinanet")
    number, output, box = likely(model, 2)
    layer = "backbone.fpn.layer_blocks.2"
    e = explainer_of(model)(X[:1], methods="ablationcam", targets=Instance(box, output), layers=layer)
    score, A, _ = candidate_by_hand(model, layer, number, output)
    drops = []
    for k in range(A.shape[1]):
        without = A.clone()
        without[:, k] = 0
        handle = model.get_submodule(layer).register_forward_hook(lambda _m, _i, _o, new=without: new)
        heads: list[Any] = []
        other = model.head.register_forward_hook(
            lambda _m, _i, out, kept=heads: kept.append(out["cls_logits"])
        )
        with torch.no_grad():
            model(list(X[:1]))
        handle.remove()
        other.remove()
        drops.append((score - heads[0][0, number, output]) / score.abs())
    expected = torch.einsum("k,kij->ij", torch.stack(drops), A[0])
    torch.testing.assert_close(e.raw["ablationcam", layer][0, 0], expected, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("name", ["retinanet", "fasterrcnn"])
def test_the_model_is_left_as_it_came(name, detector, untouched):
    model = detector(name)
    model.train()
    try:
        with untouched(model):
            camscope.explain(model, X[:1], methods=["gradcam", "eigencam"], targets=Instance(0))
            with pytest.raises(camscope.TargetError, match="nearest detections"):
                camscope.explain(model, X[:1], targets=Instance((0, 0, 0.5, 0.5)))
    finally:
        model.eval()


def test_one_forward_and_one_small_backward_for_each_instance(detector):
    model = detector("retinanet")
    explainer = camscope.Explainer(model)
    explainer(X[:1], targets=Instance(0))  # gets to know the model
    calls: list[str] = []
    handle = model.backbone.body.register_forward_hook(lambda *_: calls.append("forward"))
    back = model.backbone.body.layer3.register_full_backward_hook(lambda *_: calls.append("backward"))
    explainer(X[:1], methods=["gradcam", "hirescam"], targets=[Instance(0), Instance(1), Instance(2)])
    handle.remove()
    back.remove()
    assert calls == ["forward"]


def test_what_the_model_pads_is_no_part_of_the_map(detector):
    """An image of 96×100 is resized to 128×133 and padded to 128×160: the map is of the first 133 columns."""
    model = detector("retinanet")
    x = X[:1, :, :, :100]
    layer = "backbone.fpn.layer_blocks.0"
    kept: list[torch.Tensor] = []
    handle = model.get_submodule(layer).register_forward_hook(lambda _m, _i, out: kept.append(out))
    own(model, x)
    handle.remove()
    whole = kept[0].mean(1)[0]
    maps = explainer_of(model)(x, methods="mean-activation", layers=layer).raw["mean-activation", layer][0, 0]
    assert maps.shape == whole.shape == (32, 40)
    # the last column of the map is the one at 133 of the 160 pixels, the others in proportion
    places = (torch.arange(40) + 0.5) * 133 / 160 - 0.5
    low = places.clamp(min=0).floor().long()
    share = places.clamp(min=0) - low
    torch.testing.assert_close(maps, whole[:, low] * (1 - share) + whole[:, low + 1] * share)


def test_photos_go_in_as_they_are(detector, photos):
    photo = photos["cat"][100:196, 100:220]
    e = explainer_of(detector("retinanet"))(photo, targets=Instance(0))
    x = torch.as_tensor(photo).permute(2, 0, 1)[None] / 255
    tensor = explainer_of(detector("retinanet"))(x, targets=Instance(0))
    torch.testing.assert_close(e.scores, tensor.scores)
    assert e.overlay().size == (120, 96)
    with pytest.raises(camscope.InputError, match="a batch has one"):
        explainer_of(detector("retinanet"))([photo, photo[:90]])
