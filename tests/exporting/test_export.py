"""`camscope.export`: what is in the file, what is refused, and that nothing half written is ever there."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import camscope
from camscope.exporting import exporter
from camscope.models.map_programs import ProgramOutputs
from camscope.models.torch.exporting import program_files, traced_programs
from tests.conftest import make_tiny_cnn
from tests.exporting.programs import apart, explained
from tests.torch.nets import Net, Noisy, batch

PHOTOS = camscope.Preprocessing(input_size=(32, 32), resize=36, mean=(0.4, 0.5, 0.6), std=(0.2, 0.2, 0.3))
NAMES = ["cat", "dog", "ski", "été", "tea"]


def named_cnn() -> nn.Module:
    model = make_tiny_cnn()
    model.preprocessing, model.class_names = PHOTOS, NAMES
    return model


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory) -> tuple[nn.Module, camscope.exporting.Exported]:
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    model = named_cnn()
    return model, camscope.export(model, tmp_path_factory.mktemp("file") / "model.onnx", top=2)


def run_pt2(path: Path, x: torch.Tensor) -> ProgramOutputs:
    outputs = torch.export.load(path).module()(x)
    return ProgramOutputs(*(output.detach().numpy() for output in outputs))


def state_of(model: nn.Module) -> Any:
    """All that an export could have changed about a model."""
    return {
        name: (
            module.training,
            sorted(vars(module)),
            len(module._forward_hooks),
            len(module._forward_pre_hooks),
            [
                (key, id(p), p.requires_grad, p.grad, p.detach().clone())
                for key, p in module._parameters.items()
                if p is not None
            ],
        )
        for name, module in model.named_modules()
    }


# ------------------------------------------------------------------ what is in the file


def test_behind_a_linear_head_cam_is_the_default(onnx_file):
    _, done = onnx_file
    assert (done.method, done.layer, done.top, done.classes) == ("cam", "last_relu", 2, 5)
    assert (done.input_size, done.map_size) == ((3, 32, 32), (8, 8))
    assert done.verified.runtime.startswith("ONNX Runtime")
    assert done.verified.rows >= 3
    assert 0 < done.verified.maps < 1e-5
    assert done.notes == ()
    assert [file.name for file in done.path.parent.iterdir()] == ["model.onnx"]
    assert done.bytes == done.path.stat().st_size


def test_the_file_says_what_it_is(onnx_file):
    onnx = pytest.importorskip("onnx")
    model, done = onnx_file
    file = onnx.load(done.path)
    said = {entry.key: entry.value for entry in file.metadata_props}
    assert json.loads(said["camscope.class_names"]) == NAMES
    fields = json.loads(said["camscope.preprocessing"])
    assert (
        camscope.Preprocessing(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})
        == PHOTOS
    )
    own = camscope.explain(model, batch(1, 3, 32, 32)).provenance
    assert said["camscope.weights_sha256"] == own["weights_sha256"]
    assert said["camscope.version"] == own["camscope"]
    wanted = {
        "method": "cam",
        "layer": "last_relu",
        "grid": "[8, 8]",
        "task": "multiclass",
        "model": "Sequential",
    }
    assert {key: said[f"camscope.{key}"] for key in wanted} == wanted
    assert [value.name for value in (*file.graph.input, *file.graph.output)] == [
        "input",
        "logits",
        "classes",
        "maps",
    ]
    assert file.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert (
        str(Path(__file__).parents[2]).encode() not in done.path.read_bytes()
    )  # no paths of whoever wrote it


def test_it_runs_where_neither_pytorch_nor_camscope_is(onnx_file, tmp_path):
    model, done = onnx_file
    x = batch(4, 3, 32, 32, seed=3)
    np.save(tmp_path / "x.npy", x.numpy())
    code = (
        "import sys; sys.modules['torch'] = sys.modules['camscope'] = None\n"
        "import numpy, onnxruntime\n"
        "file, folder = sys.argv[1:]\n"
        "outputs = onnxruntime.InferenceSession(file).run(None, {'input': numpy.load(folder + '/x.npy')})\n"
        "numpy.savez(folder + '/y.npz', *outputs)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(done.path), str(tmp_path)], check=True)
    found = ProgramOutputs(*np.load(tmp_path / "y.npz").values())
    own = explained(model, x, found.classes, methods="cam")
    assert apart(found.maps, own.maps().numpy()) < 1e-5


def test_a_pt2_file_holds_the_same(tmp_path):
    model, x = named_cnn(), batch(4, 3, 32, 32, seed=2)
    done = camscope.export(model, tmp_path / "model.pt2", method="gradcam", layer="stem_relu")
    found = run_pt2(done.path, x)
    own = explained(model, x, found.classes, methods="gradcam", layers="stem_relu")
    assert apart(found.maps, own.maps().numpy()) < 1e-5
    extra = {"camscope.method": "", "camscope.class_names": ""}
    names = set(torch.export.load(done.path, extra_files=extra).state_dict)
    assert {"model.stem.weight", "model.body_norm.running_var", "model.head.bias"} <= names
    assert extra["camscope.method"] == "gradcam"
    assert json.loads(extra["camscope.class_names"]) == NAMES


def test_the_model_is_left_as_it_came(tmp_path):
    model = named_cnn().train()
    model.head.weight.requires_grad_(False)
    before, random = state_of(model), torch.get_rng_state()
    camscope.export(model, tmp_path / "model.pt2", method="layercam", layer="body_relu")
    after = state_of(model)
    assert after.keys() == before.keys()
    for name, (*flags, parameters) in before.items():
        assert after[name][:-1] == tuple(flags)
        for (key, number, *same, values), now in zip(parameters, after[name][-1], strict=True):
            assert (key, number, *same) == now[:-1]
            assert torch.equal(values, now[-1])
    assert torch.equal(random, torch.get_rng_state())


# ------------------------------------------------------------------ kinds of models


class Ends(nn.Module):
    """The tiny network with another ending."""

    def __init__(self, classes: int, end: Any) -> None:
        super().__init__()
        self.net, self.end = make_tiny_cnn(classes), end

    def forward(self, x: torch.Tensor) -> Any:
        return self.end(self.net(x))


@pytest.mark.parametrize(
    ("classes", "end", "task", "method"),
    [
        pytest.param(5, nn.Softmax(1), "multiclass", "cam", id="softmax"),
        pytest.param(5, lambda z: torch.softmax(z, 1), "multiclass", "gradcam", id="softmax as a function"),
        pytest.param(5, torch.sigmoid, "multilabel", "cam", id="sigmoid"),
        pytest.param(1, lambda z: z, "multilabel", "cam", id="one logit"),
        pytest.param(1, lambda z: torch.sigmoid(z)[:, 0], "multilabel", "gradcam", id="one probability"),
        pytest.param(5, lambda z: {"logits": z, "hidden": z * 2}, "multiclass", "cam", id="a dictionary"),
        pytest.param(
            4,
            lambda z: torch.cat([z[:, :2].sigmoid(), z[:, 2:].sigmoid()], 1),
            "multilabel",
            "cam",
            id="two sigmoids",
        ),
    ],
)
def test_logits_stand_before_the_softmax_and_one_logit_is_two_classes(tmp_path, classes, end, task, method):
    model = Ends(classes, end).eval()
    layer = None if method == "cam" else "net.body_relu"
    done = camscope.export(model, tmp_path / "m.pt2", size=(32, 32), method=method, layer=layer)
    x = batch(4, 3, 32, 32, seed=1)
    found = run_pt2(done.path, x)
    with torch.no_grad():
        z = model.net(x)
    expected = torch.cat([-z, z], 1) if classes == 1 else z
    np.testing.assert_allclose(found.logits, expected.numpy(), rtol=1e-4, atol=1e-5)
    assert done.top == found.classes.shape[1] == max(2, classes)
    own = explained(model, x, found.classes, methods=method, layers=layer)
    assert apart(found.maps, own.maps().numpy()) < 1e-5
    extra = {"camscope.task": ""}
    torch.export.load(done.path, extra_files=extra)
    assert extra["camscope.task"] == task


def test_cam_before_the_relu_that_is_pooled(tmp_path):
    model, x = named_cnn(), batch(3, 3, 32, 32)
    done = camscope.export(model, tmp_path / "m.pt2", layer="last", method="cam", top=2)
    found = run_pt2(done.path, x)
    own = explained(model, x, found.classes, methods="cam", layers="last")
    assert apart(found.maps, own.maps().numpy()) < 1e-5


@pytest.mark.parametrize("method", [None, "layercam"])
def test_a_head_of_several_modules(tmp_path, method):
    """fastai's simple head: a batch norm between the pooling and the linear layer."""
    body, head = make_tiny_cnn()[:-1], make_tiny_cnn()[-1]
    norm = nn.BatchNorm1d(16)
    norm.running_var.mul_(0.3)
    norm.running_mean.add_(0.2)
    model, x = nn.Sequential(body, norm, head).eval(), batch(3, 3, 32, 32)
    done = camscope.export(model, tmp_path / "m.pt2", inputs=x, method=method, top=2)
    assert done.method == (method or "cam")
    found = run_pt2(done.path, x)
    own = explained(model, x, found.classes, methods=done.method, layers=done.layer)
    assert apart(found.maps, own.maps().numpy()) < 1e-5


def test_signals(tmp_path):
    model, x = Net(dims=1).eval(), batch(3, 3, 40)
    done = camscope.export(model, tmp_path / "m.pt2", inputs=x, method="gradcam", layer="stem", top=2)
    assert (done.input_size, done.map_size) == ((3, 40), (20,))
    found = run_pt2(done.path, x)
    own = explained(model, x, found.classes, methods="gradcam", layers="stem").maps().numpy()
    assert np.abs(found.maps - own).max() < 1e-5 * np.abs(own).max()


def test_weights_that_do_not_fit_into_one_file_lie_beside_it(tmp_path, monkeypatch):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    monkeypatch.setattr(program_files, "_MOST_IN_ONE_FILE", 0)
    done = camscope.export(named_cnn(), tmp_path / "model.onnx")
    files = {file.name: file.stat().st_size for file in tmp_path.iterdir()}
    assert files.keys() == {"model.onnx", "model.onnx.data"}
    assert sum(files.values()) == done.bytes
    x = batch(2, 3, 32, 32).numpy()
    assert len(onnxruntime.InferenceSession(done.path).run(None, {"input": x})) == 3


@pytest.mark.slow
def test_a_model_of_transformers(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=8,
        num_labels=4,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.ViTForImageClassification(config).eval()
    x = batch(3, 3, 32, 32, seed=4)
    done = camscope.export(model, tmp_path / "hf.pt2", inputs=x, top=2)
    assert done.method == "gradcam"
    found = run_pt2(done.path, x)
    own = explained(model, x, found.classes, methods="gradcam", layers=done.layer)
    assert apart(found.maps, own.maps().numpy()) < 1e-5


# ------------------------------------------------------------------ nothing that is not right


class Forgetful(nn.Module):
    """Decides by a value, which a graph cannot."""

    def __init__(self) -> None:
        super().__init__()
        self.net = make_tiny_cnn()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x if x.mean() > 0 else -x)


def a_file_there(tmp_path: Path) -> Path:
    path = tmp_path / "model.pt2"
    path.write_bytes(b"what was there before")
    return path


def check_only_that_is_there(path: Path) -> None:
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert path.read_bytes() == b"what was there before"


def planting(monkeypatch, change) -> None:
    """What a program gives is changed before it is looked at."""
    real = program_files._running

    def planted(program):
        run = real(program)
        return lambda x: change(run(x))

    monkeypatch.setattr(program_files, "_running", planted)


def off(values: np.ndarray, *where: Any, by: float) -> np.ndarray:
    """Numbers of which some are off by a share of the largest."""
    changed = values.copy()
    changed[where] += by * np.abs(changed).max()
    return changed


WRONG = {
    "maps": lambda out: out._replace(maps=off(out.maps, slice(None), 0, 0, by=0.02)),
    "maps of one input": lambda out: out._replace(maps=off(out.maps, 1, 0, 0, by=0.3)),
    "logits": lambda out: out._replace(logits=off(out.logits, -1, -1, by=0.01)),
    "classes": lambda out: out._replace(classes=out.classes[:, ::-1], maps=out.maps[:, ::-1]),
    "rows": lambda out: ProgramOutputs(out.logits[:2], out.classes[:2], out.maps[:2]),
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_what_does_not_verify_is_not_written(tmp_path, monkeypatch, change):
    planting(monkeypatch, change)
    path = a_file_there(tmp_path)
    with pytest.raises(camscope.ModelError, match="Not written"):
        camscope.export(named_cnn(), path)
    check_only_that_is_there(path)


KINK = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(2))


def resting(nudge: float = 0) -> nn.Module:
    """For input 1 of `KINK` one ReLU of the last layer is at zero, up to rounding; or that much above."""
    model = named_cnn()
    with torch.no_grad():
        before = model[: list(dict(model.named_children())).index("last") + 1](KINK)[1]
        channel = int(before.flatten(1).amax(1).argmax())
        model.last.bias[channel] += nudge - before[channel].max()
        model.head.weight[:, channel] *= 0.05
    return model


def test_a_kink_that_rounding_turned_for_one_input_is_no_mistake(tmp_path, monkeypatch):
    def of_other_side(out: ProgramOutputs) -> ProgramOutputs:
        how = {"methods": "layercam", "layers": "body_relu"}
        sides = [explained(resting(by), KINK, out.classes, **how).maps().numpy() for by in (-1e-4, 1e-4)]
        further = max(sides, key=lambda maps: np.abs(maps - out.maps)[1].max())
        return out._replace(maps=np.concatenate([out.maps[:1], further[1:2], out.maps[2:]]))

    planting(monkeypatch, of_other_side)
    given = {"layer": "body_relu", "inputs": KINK, "top": 1}
    done = camscope.export(resting(), tmp_path / "m.pt2", method="layercam", **given)
    assert 0.001 < done.verified.maps < 0.1, "and is told"
    assert done.verified.further_apart == 1
    assert any("On 1 of the 3 test inputs the file's maps differ by more than" in note for note in done.notes)


def test_what_no_kink_explains_is_a_mistake_for_one_input_too(tmp_path, monkeypatch):
    """Within what is allowed at a kink, where camscope's own maps do not move if inputs are changed by rounding."""
    planting(monkeypatch, lambda out: out._replace(maps=off(out.maps, 1, 0, 0, by=0.003)))
    for name, method in (("m.pt2", "layercam"), ("cam.pt2", "cam")):  # in the latter there is no gradient
        with pytest.raises(camscope.ModelError, match="Not written"):
            camscope.export(named_cnn(), tmp_path / name, method=method)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (Forgetful().eval(), "cannot be written down as a graph of operations. PyTorch says: "),
        (nn.Sequential(Noisy(), make_tiny_cnn()).eval(), "Not written"),
        (make_tiny_cnn().half(), "runs in float16"),
        (Ends(5, lambda z: z.reshape(len(z), 5)).eval(), "forward fixes the number of rows"),
    ],
    ids=["steps that depend on values", "random numbers", "half precision", "a fixed number of rows"],
)
def test_models_that_no_graph_holds(tmp_path, model, words):
    path = a_file_there(tmp_path)
    with pytest.raises(camscope.ModelError, match=words):
        camscope.export(model, path, size=(32, 32), method="gradcam")
    check_only_that_is_there(path)


def test_an_interrupt_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupted(*_args, **_options):
        raise KeyboardInterrupt

    path, model = a_file_there(tmp_path), named_cnn()
    monkeypatch.setattr(exporter, "verified", interrupted)
    with pytest.raises(KeyboardInterrupt):
        camscope.export(model, path)
    check_only_that_is_there(path)
    assert not any(module._forward_hooks for module in model.modules())


def test_zero_maps_verify_nothing(tmp_path):
    model = named_cnn()
    nn.init.zeros_(model.head.weight)
    with pytest.raises(camscope.ModelError, match="all maps of the test inputs are zero"):
        camscope.export(model, tmp_path / "model.pt2", method="cam")
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------ refusals


def refuse_to_write(*_: object) -> None:
    raise AssertionError("a file was to be written")


UNWRITABLE = {
    suffix: dataclasses.replace(kind, write=refuse_to_write) for suffix, kind in program_files.KINDS.items()
}


@pytest.mark.parametrize(
    ("out", "options", "error", "words"),
    [
        ("model.onxx", {}, camscope.InputError, "'.onxx' is none of '.onnx' or '.pt2'. Did you mean '.onnx'"),
        ("model", {}, camscope.InputError, "'' is none of '.onnx' or '.pt2'"),
        ("no/model.pt2", {}, camscope.InputError, "There is no folder"),
        ("m.pt2", {"top": 0}, camscope.InputError, "top=0"),
        (
            "m.pt2",
            {"top": 6},
            camscope.InputError,
            "top=6: the model has 5 classes. Leave top out for the 5 ",
        ),
        ("m.pt2", {"method": "gradcma"}, camscope.MethodError, "Did you mean 'gradcam'"),
        (
            "m.pt2",
            {"method": "scorecam"},
            camscope.MethodError,
            "needs altered inputs. These can: cam, gradcam, ",
        ),
        ("m.pt2", {"method": "eigencam"}, camscope.MethodError, "the same map for every class. These can: "),
        (
            "m.pt2",
            {"method": "gradcam++"},
            camscope.MethodError,
            "depends on values that it looks at. These can: ",
        ),
        (
            "m.pt2",
            {"method": "smooth(gradcam)"},
            camscope.MethodError,
            "it is made of other methods. These can: ",
        ),
        ("m.pt2", {"layer": "bdy"}, camscope.LayerError, "There is no layer 'bdy'"),
        ("m.pt2", {"layer": "stem_relu", "method": "cam"}, camscope.CamscopeError, "cam"),
    ],
)
def test_what_cannot_be_is_said_before_the_work(tmp_path, monkeypatch, out, options, error, words):
    monkeypatch.setattr(traced_programs, "KINDS", UNWRITABLE)
    with pytest.raises(error) as caught:
        camscope.export(named_cnn(), tmp_path / out, **options)
    assert words in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_no_file_and_that_is_said_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(traced_programs, "KINDS", UNWRITABLE)
    (tmp_path / "m.onnx").mkdir()
    with pytest.raises(camscope.InputError, match=r"is a folder, and no file.*name\.onnx"):
        camscope.export(named_cnn(), tmp_path / "m.onnx")
    assert list(tmp_path.rglob("*")) == [tmp_path / "m.onnx"]


def test_the_methods_that_can_be_exported():
    with pytest.raises(camscope.MethodError) as caught:
        camscope.export(named_cnn(), "m.pt2", method="rise")
    able = str(caught.value).partition("These can: ")[2].rstrip(".").split(", ")
    assert able == ["cam", "gradcam", "hirescam", "layercam", "xgradcam", "gradcam-elementwise", "liftcam"]


def test_models_of_other_frameworks_are_told_what_works(onnx_file, tmp_path):
    words = r"onnx:model\.onnx runs in onnxruntime.*An ONNX file is explained as it is"
    with pytest.raises(camscope.ModelError, match=words):
        camscope.export(f"onnx:{onnx_file[1].path}", tmp_path / "again.onnx")


def test_a_program_is_not_explained_again(tmp_path):
    done = camscope.export(named_cnn(), tmp_path / "m.pt2")
    words = r"program of torch\.export.*export to \.onnx, and give that as 'onnx:FILE\.onnx'"
    for spec in (str(done.path), f"onnx:{done.path}", torch.export.load(done.path)):
        with pytest.raises(camscope.ModelError, match=words):
            camscope.Explainer(spec)
    with pytest.raises(camscope.ModelError, match=r"program of torch\.export, and no weights file"):
        camscope.Explainer("timm:resnet18", weights=done.path)


def test_functions_of_the_logits_among_other_outputs(onnx_file):
    explainer, x = camscope.Explainer(f"onnx:{onnx_file[1].path}"), batch(2, 3, 32, 32)
    (expected,) = explainer(x.numpy(), targets=3, methods="gradcam").raw.values()
    (found,) = explainer(
        x.numpy(), targets=lambda out: 2 * out["logits"][:, 3], methods="gradcam"
    ).raw.values()
    np.testing.assert_allclose(found, 2 * expected, rtol=1e-5)
    with pytest.raises(camscope.TargetError, match="and no other of its arrays"):
        explainer(x.numpy(), targets=lambda out: out["maps"].sum((1, 2, 3)), methods="gradcam")
    with pytest.raises(camscope.TargetError, match=r"a dictionary of 'logits', 'classes', 'maps': TypeError"):
        explainer(x.numpy(), targets=lambda out: out[:, 3], methods="eigencam")


def test_an_unknown_size_is_asked_for(tmp_path):
    with pytest.raises(camscope.InputError, match="size="):
        camscope.export(make_tiny_cnn(), tmp_path / "m.pt2")
    with pytest.raises(camscope.InputError, match="Give one of both"):
        camscope.export(make_tiny_cnn(), tmp_path / "m.pt2", size=(32, 32), inputs=batch(1, 3, 32, 32))


def test_other_kinds_of_models_are_refused_by_name(tmp_path):
    segmenter = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 1)).eval()
    with pytest.raises(camscope.ModelError, match="scores of every position"):
        camscope.export(segmenter, tmp_path / "m.pt2", size=(16, 16))

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = make_tiny_cnn()

        def forward(self, x: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
            return self.net(x) + shift

    reader = make_tiny_cnn()
    reader.tokenizer = {"a": 0, "film": 1}
    with pytest.raises(camscope.ModelError, match="it reads texts"):
        camscope.export(reader, tmp_path / "m.pt2")

    with pytest.raises(camscope.ModelError, match="it takes 2 inputs"):
        camscope.export(Two().eval(), tmp_path / "m.pt2", inputs=(batch(3, 3, 32, 32), batch(3, 5)))


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    known = program_files.importlib.util.find_spec
    monkeypatch.setattr(
        program_files.importlib.util, "find_spec", lambda name: None if name == "onnxscript" else known(name)
    )
    with pytest.raises(camscope.MissingExtraError, match=r"pip install 'camscope\[export\]'"):
        camscope.export(named_cnn(), tmp_path / "m.onnx")
