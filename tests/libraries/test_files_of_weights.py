"""Weights as trainings save them: found under any wrapping, with the head and the class names that the file has."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
import transformers as hf
from safetensors.torch import save_file
from torch import nn
from torch.optim.swa_utils import AveragedModel

import camscope
from camscope.errors import ModelError
from camscope.libraries.checkpoints import read_checkpoint
from camscope.libraries.heads import classes_in
from camscope.libraries.loading import Loaded, load_model

NAMES = ["ant", "bee", "cat", "dog", "elk", "fox", "gnu"]
TIMM = "timm:test_resnet"


@pytest.fixture(scope="module")
def net() -> nn.Module:
    """A small ResNet of timm's, with seven classes."""
    torch.manual_seed(0)
    return timm.create_model("test_resnet", num_classes=7).eval()


def under(prefix: str, state: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{prefix}{name}": weight for name, weight in state.items()}


def loaded(content: Any, path: Path, **options: Any) -> Loaded:
    torch.save(content, path)
    return load_model(TIMM, weights=path, **options)


def assert_is(found: nn.Module, net: nn.Module) -> None:
    own, wanted = found.state_dict(), net.state_dict()
    assert own.keys() == wanted.keys()
    assert all(torch.equal(own[name], wanted[name]) for name in wanted)


WRAPPINGS = {
    "DataParallel": lambda net: nn.DataParallel(net).state_dict(),
    "compiled": lambda net: torch.compile(net).state_dict(),
    "Lightning": lambda net: {"state_dict": under("model._orig_mod.", net.state_dict()), "epoch": 3},
    "any words": lambda net: {"weights": {"student": under("network.backbone.", net.state_dict())}},
    "averaged": lambda net: {"model_ema": AveragedModel(net).state_dict(), "epoch": 3},
    "optimizer": lambda net: {
        "model_state_dict": net.state_dict(),
        "optimizer_state_dict": {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 0.1}]},
    },
    "profiled": lambda net: {
        **net.state_dict(),
        "total_ops": torch.zeros(1),
        "conv1.total_ops": torch.zeros(1),
    },
    "whole": lambda net: net,
    "whole in a dictionary": lambda net: {"epoch": 3, "net": net},
    "settings": lambda net: {
        "state_dict": net.state_dict(),
        "args": argparse.Namespace(lr=0.1, data=Path("photos")),
        "best": np.float64(0.9),
    },
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_weights_are_found_under_any_wrapping_and_the_head_follows_them(wrapping, net, tmp_path):
    found = loaded(WRAPPINGS[wrapping](net), tmp_path / "w.pth")
    assert_is(found.model, net)
    assert found.model.num_classes == 7
    assert not found.info.untrained
    assert found.info.class_names is None
    assert found.info.of_weights == ()


def test_nothing_of_a_whole_model_is_run_when_only_its_weights_are_read(net, tmp_path):
    class Loud(type(net)):
        def __setstate__(self, state):
            raise AssertionError("it was run")

    Loud.__qualname__ = "Loud"
    globals()["Loud"] = Loud
    try:
        net.__class__ = Loud
        torch.save(net, tmp_path / "w.pth")
    finally:
        net.__class__ = Loud.__base__
        del globals()["Loud"]
    assert_is(load_model(TIMM, weights=tmp_path / "w.pth").model, net)


class Opens:
    """Makes a file when unpickled, by a function of Python's own that no list of dangerous modules has."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_code_beside_the_weights_is_not_run(net, tmp_path):
    content = {"state_dict": net.state_dict(), "hyper_parameters": Opens(tmp_path / "made")}
    before = list(torch.serialization.get_safe_globals())
    assert_is(loaded(content, tmp_path / "w.pth").model, net)
    assert not (tmp_path / "made").exists()
    assert torch.serialization.get_safe_globals() == before
    assert_is(loaded(content, tmp_path / "w.pth", trust_pickle=True).model, net)
    assert (tmp_path / "made").exists()  # it would have


def test_averaged_weights_come_first_and_it_is_said(net, tmp_path):
    plain = {name: torch.zeros_like(weight) for name, weight in net.state_dict().items()}
    found = loaded({"state_dict": plain, "state_dict_ema": net.state_dict()}, tmp_path / "w.pth")
    assert_is(found.model, net)
    assert found.info.of_weights == (
        "The file holds weights for this model more than once: those under 'state_dict_ema' were taken, and not those "
        "under 'state_dict'. To have others, save them in a file of their own.",
    )


def test_what_stands_beside_the_network_is_left_out_and_said(net, tmp_path):
    state = {**under("model.", net.state_dict()), "criterion.weight": torch.ones(7)}
    found = loaded({"state_dict": state}, tmp_path / "w.ckpt")
    assert_is(found.model, net)
    (note,) = found.info.of_weights
    assert note.endswith("left out were state_dict.criterion.weight.")
    explained = camscope.explain(TIMM, torch.randn(1, 3, 64, 64), weights=tmp_path / "w.ckpt")
    assert note in explained.notes


def test_what_stands_among_the_networks_own_names_is_refused(net, tmp_path):
    with pytest.raises(ModelError, match=r"unknown to the model: criterion\.weight"):
        loaded({**net.state_dict(), "criterion.weight": torch.ones(7)}, tmp_path / "w.pth")


SAID = {
    "list": {"classes": NAMES},
    "torchvision's folders": {"class_to_idx": {name: number for number, name in enumerate(NAMES)}},
    "turned round": {"idx_to_class": dict(enumerate(NAMES))},
    "numbers as text": {"id2label": {str(number): name for number, name in enumerate(NAMES)}},
    "hyper-parameters": {"hyper_parameters": {"data": {"class_names": NAMES}}},
    "arguments": {"args": argparse.Namespace(lr=0.1, classes=NAMES)},
    "a wrong one first": {"classes": ["x", "y"], "meta": {"CLASSES": tuple(NAMES)}},
}


@pytest.mark.parametrize("trust", [False, True])
@pytest.mark.parametrize("where", SAID)
def test_class_names_are_read_from_the_file(where, trust, net, tmp_path):
    content = {"state_dict": net.state_dict(), **SAID[where]}
    assert loaded(content, tmp_path / "w.pth", trust_pickle=trust).info.class_names == NAMES


@pytest.mark.parametrize(
    "said",
    [
        {"class_to_idx": {name: number + 1 for number, name in enumerate(NAMES)}},
        {"idx_to_class": {2 * number: name for number, name in enumerate(NAMES)}},
        {"classes": NAMES[:6]},
    ],
    ids=["from 1 on", "with gaps", "too few"],
)
def test_class_names_that_are_not_those_of_the_outputs_are_said_to_be_unused(said, net, tmp_path):
    found = loaded({"state_dict": net.state_dict(), "args": said}, tmp_path / "w.pth")
    assert found.info.class_names is None
    (note,) = found.info.of_weights
    assert f"entries under {next(iter(said))!r}" in note
    assert "7 outputs" in note


def test_weights_without_values_are_refused(net, tmp_path):
    """Those of batch norms' counters too, which a file may lack."""
    with pytest.raises(ModelError, match="a shape without values"):
        loaded({name: weight.to("meta") for name, weight in net.state_dict().items()}, tmp_path / "w.pth")


def test_labels_of_images_are_no_class_names(net, tmp_path):
    content = {"state_dict": net.state_dict(), "labels": [0, 1, 2, 0, 1, 1, 1]}
    assert loaded(content, tmp_path / "w.pth").info.class_names is None


def test_a_file_that_says_another_model_whose_weights_have_the_same_shapes(tmp_path):
    made = timm.create_model("tf_mobilenetv3_small_minimal_100", num_classes=7)
    content = {"arch": "tf_mobilenetv3_small_minimal_100", "state_dict": made.state_dict()}
    torch.save(content, tmp_path / "w.pth")
    right = load_model("timm:tf_mobilenetv3_small_minimal_100", weights=tmp_path / "w.pth")
    assert right.info.of_weights == ()
    x = torch.randn(1, 3, 64, 64)
    torch.save({**content, "arch": "mobilenetv3_small_100"}, tmp_path / "w.pth")
    other = load_model("timm:tf_mobilenetv3_small_minimal_100", weights=tmp_path / "w.pth")
    (note,) = other.info.of_weights
    assert "weights are of timm:mobilenetv3_small_100" in note
    assert other.model(x).equal(right.model(x))


def test_a_model_in_several_files_is_read_from_any_of_them(net, tmp_path):
    state = net.state_dict()
    names = list(state)
    for number, some in enumerate((names[::2], names[1::2]), 1):
        save_file({name: state[name] for name in some}, tmp_path / f"m-0000{number}-of-00002.safetensors")
    assert_is(load_model(TIMM, weights=tmp_path / "m-00002-of-00002.safetensors").model, net)
    (tmp_path / "m-00001-of-00002.safetensors").unlink()
    with pytest.raises(ModelError, match=r"one of 2 files.*m-00001-of-00002\.safetensors is not beside it"):
        load_model(TIMM, weights=tmp_path / "m-00002-of-00002.safetensors")


def test_class_names_are_read_from_safetensors(net, tmp_path):
    save_file(net.state_dict(), tmp_path / "w.safetensors", metadata={"classes": str(NAMES)})
    assert load_model(TIMM, weights=tmp_path / "w.safetensors").info.class_names == NAMES


HEADS = {
    "timm:test_vit": "head",
    "timm:test_convnext": "head.fc",
    "timm:vgg11": "head.fc",
    "timm:deit_tiny_distilled_patch16_224": "head head_dist",
    "timm:levit_128s": "head.linear head_dist.linear",
    "timm:efficientformer_l1": "head head_dist",
    "torchvision:resnet18": "fc",
    "torchvision:squeezenet1_1": "classifier.1",
    "torchvision:mobilenet_v3_small": "classifier.3",
    "torchvision:vgg11": "classifier.6",
    "torchvision:vit_b_16": "heads.head",
    "torchvision:swin_t": "head",
    "torchvision:convnext_tiny": "classifier.2",
    "torchvision:googlenet": "fc aux1.fc2 aux2.fc2",
    "torchvision:deeplabv3_mobilenet_v3_large": "classifier.4",
    # the heads of detectors have a multiple of the classes each
    "torchvision:fasterrcnn_resnet50_fpn": "roi_heads.box_predictor.cls_score roi_heads.box_predictor.bbox_pred",
    "torchvision:retinanet_resnet50_fpn": "head.classification_head.cls_logits",
}
"""Models and the layers that depend on the number of classes."""

CLASSES = {"torchvision.models.detection": 91, "torchvision.models.segmentation": 21}
"""How many there are by default; else 1,000."""


@pytest.mark.parametrize("spec", HEADS)
def test_of_every_kind_of_head_it_is_read_how_many_classes_there_are(spec):
    library, _, name = spec.partition(":")
    make = timm.create_model if library == "timm" else torchvision.models.get_model
    dense = any(word in name for word in ("deeplab", "rcnn", "retina"))
    options = {"googlenet": {"init_weights": False}}.get(name, {"weights_backbone": None} if dense else {})
    with torch.device("meta"):
        model, theirs = make(name, **options), make(name, num_classes=7, **options).state_dict()
    own = model.state_dict()
    other = {key.rpartition(".")[0] for key in own if own[key].shape != theirs[key].shape}
    assert other == set(HEADS[spec].split())
    before = CLASSES.get(type(model).__module__.rpartition(".")[0], 1000)
    assert classes_in(theirs, model, before) == 7
    assert classes_in(own, model, before) is None


@pytest.mark.parametrize(
    ("spec", "make"),
    [
        ("timm:test_efficientnet", lambda: timm.create_model("test_efficientnet", num_classes=7)),
        # published without a head
        (
            "timm:vit_small_patch14_dinov2",
            lambda: timm.create_model("vit_small_patch14_dinov2", num_classes=7),
        ),
        # with the heads for training, which are not explained
        ("torchvision:googlenet", lambda: torchvision.models.googlenet(num_classes=7, init_weights=False)),
        (
            "torchvision:lraspp_mobilenet_v3_large",
            lambda: torchvision.models.segmentation.lraspp_mobilenet_v3_large(
                weights_backbone=None, num_classes=7
            ),
        ),
        (
            "torchvision:ssdlite320_mobilenet_v3_large",
            lambda: torchvision.models.detection.ssdlite320_mobilenet_v3_large(
                weights_backbone=None, num_classes=7
            ),
        ),
    ],
)
def test_the_head_is_made_anew_and_filled(spec, make, tmp_path):
    theirs = make().state_dict()
    torch.save(theirs, tmp_path / "w.pth")
    found = load_model(spec, weights=tmp_path / "w.pth")
    own = found.model.state_dict()
    assert all(torch.equal(own[name], theirs[name]) for name in own)
    assert all(name.startswith("aux") for name in theirs if name not in own)
    assert found.info.class_names is None


def test_the_head_of_a_folder_of_hugging_faces_follows_the_weights(tmp_path):
    shape = {
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "image_size": 32,
        "patch_size": 16,
    }
    kind = hf.ViTForImageClassification
    kind(hf.ViTConfig(**shape, id2label={0: "cat", 1: "dog"})).save_pretrained(tmp_path / "vit")
    theirs = kind(hf.ViTConfig(**shape, num_labels=7))
    torch.save({"state_dict": under("model.", theirs.state_dict()), "classes": NAMES}, tmp_path / "w.ckpt")
    found = load_model(f"hf:{tmp_path}/vit", weights=tmp_path / "w.ckpt")
    assert_is(found.model, theirs)
    assert found.info.class_names == NAMES
    head = load_model(f"hf:{tmp_path}/vit", num_classes=5)
    assert head.model.classifier.out_features == 5
    assert head.info.untrained
    assert head.info.class_names is None


def test_inputs_of_googlenet_are_turned_as_with_its_published_weights(tmp_path):
    torch.save(
        torchvision.models.googlenet(num_classes=7, init_weights=False).state_dict(), tmp_path / "w.pth"
    )
    assert load_model("torchvision:googlenet", weights=tmp_path / "w.pth").model.transform_input


def test_constants_that_older_versions_saved_are_left_out_where_they_are_the_models_own(tmp_path):
    model = timm.create_model("swin_tiny_patch4_window7_224")
    constant = dict(model.named_buffers())
    name = next(name for name in constant if name not in model.state_dict())
    state = {**model.state_dict(), name: constant[name]}
    torch.save(state, tmp_path / "w.pth")
    load_model("timm:swin_tiny_patch4_window7_224", weights=tmp_path / "w.pth")
    torch.save({**state, name: constant[name] + 1}, tmp_path / "w.pth")
    with pytest.raises(ModelError, match=f"unknown to the model: {name}"):
        load_model("timm:swin_tiny_patch4_window7_224", weights=tmp_path / "w.pth")


# ---------------------------------------------------------------- how many classes


@pytest.mark.parametrize("spec", ["demo", TIMM, "torchvision:squeezenet1_1"])
def test_a_model_by_name_has_as_many_classes_as_are_asked_for(spec):
    found = load_model(spec, weights="random", num_classes=7)
    assert camscope.Explainer(found.model)(torch.randn(1, 3, 64, 64)).logits.shape == (1, 7)
    assert found.info.untrained
    assert found.info.class_names is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"weights": {"fc.weight": torch.ones(1)}},
            r"name of a file, and a dict .*load_state_dict\(weights\)",
        ),
        (
            {"weights": True},
            "weights=True: expected a file, or 'random'.*For the published weights leave it out",
        ),
        ({"weights": "DEFAULT"}, "For the published weights leave it out"),
        ({"weights": "random", "num_classes": "7"}, "num_classes='7': expected a whole number"),
        ({"weights": "random", "num_classes": 0}, "num_classes=0: expected a whole number, at least 1"),
    ],
)
def test_options_that_are_none_say_what_was_expected(options, words):
    with pytest.raises(ModelError, match=words):
        camscope.Explainer(TIMM, **options)


def test_the_number_of_classes_may_not_contradict_the_file(net, tmp_path):
    assert_is(loaded(net.state_dict(), tmp_path / "w.pth", num_classes=7).model, net)
    with pytest.raises(ModelError, match=r"has 7 outputs, and num_classes \(--num-classes\) is 8"):
        loaded(net.state_dict(), tmp_path / "w.pth", num_classes=8)


MINE = """
import timm
NAMES = ["a", "b", "c"]
def build(num_classes=3):
    model = timm.create_model("test_resnet", num_classes=num_classes)
    model.class_names = ["my " + str(number) for number in range(num_classes)]
    return model
def fixed():
    return timm.create_model("test_resnet", num_classes=3)
"""


def test_a_function_of_ones_own_takes_the_number_of_classes(net, tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    torch.save({"state_dict": net.state_dict(), "classes": NAMES}, tmp_path / "w.pth")
    found = load_model(f"{tmp_path}/mine.py:build", weights=tmp_path / "w.pth")
    assert_is(found.model, net)
    assert found.info.class_names == [f"my {number}" for number in range(7)]  # what its author says
    with pytest.raises(ModelError, match=r"Only the head differs: 7 outputs.*def build\(num_classes\)"):
        load_model(f"{tmp_path}/mine.py:fixed", weights=tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"another head than 7 outputs.*def build\(num_classes\)"):
        load_model(f"{tmp_path}/mine.py:fixed", num_classes=7)


def test_a_file_that_comes_with_its_head_takes_no_number_of_classes(tmp_path):
    with pytest.raises(ModelError, match="has the outputs that it was saved with"):
        load_model("onnx:model.onnx", num_classes=7)
    with pytest.raises(ModelError, match="weights and num_classes are for models given by name"):
        camscope.Explainer(nn.Linear(2, 2), num_classes=7)


# ---------------------------------------------------------------- what does not fit says why


def long_head() -> dict[str, torch.Tensor]:
    model = timm.create_model("test_resnet")
    features = model.fc.in_features
    model.fc = nn.Sequential(nn.Linear(features, 16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 7))
    return model.state_dict()


@pytest.mark.parametrize(
    ("theirs", "spec", "words"),
    [
        (
            lambda: torchvision.models.resnet34(num_classes=5).state_dict(),
            "timm:resnet18",
            r"They are weights of timm:resnet34 or torchvision:resnet34: --model timm:resnet34 --weights \S+w.pth or",
        ),
        (
            lambda: timm.create_model("vit_tiny_patch16_224", num_classes=3).state_dict(),
            "timm:test_vit",
            "They are weights of timm:vit_tiny_patch16_224",
        ),
        (long_head, TIMM, r"'fc' is of several layers.*nn.Linear\(\d+, 16\), …, nn.Linear\(16, 7\)"),
        (
            lambda: timm.create_model("test_resnet", in_chans=1, num_classes=7).state_dict(),
            TIMM,
            r"images of 1 channel\(s\), and this model takes 3.*in_chans=1",
        ),
        (
            lambda: timm.create_model("test_vit", img_size=320, num_classes=7).state_dict(),
            "timm:test_vit",
            "another size: 401 positions.*img_size=320",
        ),
        (lambda: timm.create_model("test_resnet", num_classes=0).state_dict(), TIMM, "a body without a head"),
        (
            lambda: {"base_model.model.fc.lora_A.weight": torch.ones(2, 2)},
            TIMM,
            r"adapters \(LoRA\).*merge_and_unload",
        ),
        (
            lambda: {"0.0.weight": torch.ones(2), "1.8.weight": torch.ones(2)},
            TIMM,
            r"fastai learner's.*learn\.export",
        ),
        (
            lambda: {"vit.embeddings.cls_token": torch.ones(1)},
            TIMM,
            "names of Hugging Face's models.*hf:FOLDER",
        ),
        (lambda: {"a.weight": torch.ones(1)}, TIMM, r"Build the model that they are of.*def build\(\)"),
    ],
)
def test_weights_of_another_model_are_refused_with_the_way_that_works(theirs, spec, words, tmp_path):
    torch.save(theirs(), tmp_path / "w.pth")
    with pytest.raises(ModelError, match=words) as caught:
        load_model(spec, weights=tmp_path / "w.pth")
    assert "do not fit this" in str(caught.value)


# ---------------------------------------------------------------- whole models


class Mine(nn.Module):
    """A network of one's own, as it is pickled."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.cells(x).relu().mean((2, 3)))


def test_a_whole_model_that_is_not_run_has_the_weights_that_it_would_save(tmp_path):
    model = Mine()
    model.register_buffer("steps", torch.ones(2))
    model.register_buffer("mask", torch.ones(2), persistent=False)
    model.rest = nn.ModuleList([nn.BatchNorm2d(2), nn.Sequential(nn.Linear(2, 2, bias=False))])
    torch.save({"net": model}, tmp_path / "whole.pth")
    tensors = read_checkpoint(tmp_path / "whole.pth").tensors
    assert tensors.keys() == under("net.", model.state_dict()).keys()
    assert all(torch.equal(tensors[f"net.{name}"], weight) for name, weight in model.state_dict().items())


def test_a_whole_model_is_opened_if_it_is_trusted(tmp_path):
    torch.save({"epoch": 1, "model": Mine(), "classes": ["cat", "dog"]}, tmp_path / "whole.pth")
    for path in (tmp_path / "whole.pth", str(tmp_path / "whole.pth")):
        e = camscope.explain(path, torch.randn(1, 3, 16, 16), trust_pickle=True)
        assert e.class_names == ["cat", "dog"]
    with pytest.raises(
        ModelError, match=r"whole pickled model \(.*Mine\).*only if you trust.*--trust-pickle"
    ):
        load_model(str(tmp_path / "whole.pth"))


def test_the_weights_of_a_whole_model_that_is_known_need_no_trust(tmp_path):
    torch.save(timm.create_model("resnet18", num_classes=2), tmp_path / "whole.pth")
    with pytest.raises(ModelError, match="weights alone run nothing: --model timm:resnet18 --weights"):
        load_model(str(tmp_path / "whole.pth"))


def test_the_class_of_a_whole_model_is_looked_for_beside_the_file(tmp_path, monkeypatch):
    code = "from torch import nn\nclass Net(nn.Linear): pass\n"
    (tmp_path / "net_of_mine.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    import net_of_mine

    torch.save(net_of_mine.Net(2, 2), tmp_path / "whole.pth")
    monkeypatch.undo()
    monkeypatch.delitem(__import__("sys").modules, "net_of_mine")
    assert load_model(str(tmp_path / "whole.pth"), trust_pickle=True).model.in_features == 2
    monkeypatch.delitem(__import__("sys").modules, "net_of_mine")
    (tmp_path / "net_of_mine.py").unlink()
    with pytest.raises(
        ModelError, match=r"a class that is not found: No module named 'net_of_mine'.*FILE.py:build"
    ):
        load_model(str(tmp_path / "whole.pth"), trust_pickle=True)


def test_a_name_that_was_saved_with_the_weights_is_tried_first(net, tmp_path):
    torch.save({"arch": "test_resnet", "state_dict": net.state_dict()}, tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"They fit timm:test_resnet: --model timm:test_resnet --weights"):
        load_model(str(tmp_path / "w.pth"))
    torch.save({"arch": "resnet18", "state_dict": net.state_dict()}, tmp_path / "w.pth")  # it is not believed
    with pytest.raises(ModelError) as caught:
        load_model(str(tmp_path / "w.pth"))
    assert "resnet18" not in str(caught.value)


def test_weights_in_a_folder_of_hugging_faces_name_the_folder(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    save_file({"vit.embeddings.cls_token": torch.ones(1)}, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=rf"is the folder: --model hf:{tmp_path}"):
        load_model(str(tmp_path / "model.safetensors"))
    with pytest.raises(ModelError, match=rf"give that folder, hf:{tmp_path}"):
        load_model(TIMM, weights=tmp_path / "model.safetensors")


@pytest.mark.parametrize("trust", [False, True])
def test_weights_given_as_a_model_say_which_model_they_fit(trust, tmp_path):
    torch.save({"state_dict": timm.create_model("resnet18", num_classes=7).state_dict()}, tmp_path / "w.pth")
    with pytest.raises(
        ModelError, match=r"holds weights, and not the model.*They fit timm:resnet18 and torchvision"
    ):
        load_model(str(tmp_path / "w.pth"), trust_pickle=trust)
