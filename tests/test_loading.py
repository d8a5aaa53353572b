"""Models by name: what is built, what is known of it, weights that fit, and files that are refused."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from camscope.errors import ModelError
from camscope.libraries.loading import load_model
from tests.cli.brightness import NAMES, SIDE, SPEC, Bright


@pytest.fixture
def weights() -> dict[str, torch.Tensor]:
    """Weights of the brightness model that are not its own."""
    generator = torch.Generator().manual_seed(3)
    return {
        key: torch.randn(value.shape, generator=generator) for key, value in Bright().state_dict().items()
    }


def assert_filled(path: Path, weights: dict[str, torch.Tensor], **options: bool) -> None:
    state = load_model(SPEC, weights=path, **options).model.state_dict()
    assert state.keys() == weights.keys()
    assert all(torch.equal(state[key], weights[key]) for key in weights)


# ---------------------------------------------------------------- names


def test_demo_knows_its_classes_and_its_preprocessing():
    loaded = load_model("demo")
    assert loaded.info.name == "demo (EfficientNet-Lite0)"
    assert loaded.info.class_names[281] == "tabby, tabby cat"
    assert loaded.info.preprocessing.input_size == (224, 224)
    assert not any(p.isnan().any() for p in loaded.model.parameters())


@pytest.mark.parametrize(("spec", "kind"), [("timm:resnet18", "ResNet"), ("torchvision:resnet18", "ResNet")])
def test_a_library_gives_network_classes_and_preprocessing(spec, kind):
    loaded = load_model(spec, weights="random")
    assert type(loaded.model).__name__ == kind
    assert type(loaded.model).__module__.startswith(spec.partition(":")[0])
    assert loaded.info.name.startswith(spec)
    assert len(loaded.info.class_names) == 1000
    assert loaded.info.preprocessing.input_size == (224, 224)


def test_a_file_gives_a_function_or_the_model_itself():
    assert type(load_model(SPEC).model).__name__ == "Bright"
    assert type(load_model(SPEC.replace(":bright", ":ready")).model).__name__ == "Bright"


def test_a_model_of_ones_own_carries_what_is_known():
    info = load_model(SPEC).info
    assert info.preprocessing.input_size == (SIDE, SIDE)
    assert info.class_names == NAMES
    assert info.note == ""


def test_else_imagenets_preprocessing_is_presumed_and_said():
    info = load_model(SPEC.replace(":bright", ":bare")).info
    assert info.preprocessing.input_size == (224, 224)
    assert "presumed" in info.preprocessing.source
    assert "ImageNet's standard was presumed" in info.note
    assert info.class_names is None


def test_a_file_may_import_its_neighbours_and_leaves_the_path_alone(tmp_path):
    import sys

    (tmp_path / "parts_of_mine.py").write_text("from torch import nn\nhead = nn.Linear(2, 2)\n")
    (tmp_path / "mine.py").write_text("from parts_of_mine import head\ndef build(): return head\n")
    before = list(sys.path)
    assert type(load_model(f"{tmp_path}/mine.py:build").model).__name__ == "Linear"
    assert sys.path == before
    (tmp_path / "broken.py").write_text("1 / 0\n")
    with pytest.raises(ModelError, match="could not be run: ZeroDivisionError"):
        load_model(f"{tmp_path}/broken.py:build")
    assert sys.path == before


PRINTS = "from torch import nn\nprint('reading')\ndef build():\n    print('building')\n    return nn.Linear(2, 2)\n"


def test_what_a_file_prints_goes_to_stderr(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(PRINTS)
    load_model(f"{tmp_path}/mine.py:build")
    assert capsys.readouterr() == ("", "reading\nbuilding\n")
    print("to stdout again")
    assert capsys.readouterr().out == "to stdout again\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import sys\nsys.exit(0)", r"mine\.py could not be run: it ended the program by sys\.exit\(0\)"),
        (
            "def build(): raise SystemExit",
            r"calling build\(\) .* failed: it ended the program by sys\.exit\(\)",
        ),
        ("def build(): exit('no weights')", r"failed: it ended the program by sys\.exit\('no weights'\)"),
    ],
)
def test_a_file_that_ends_the_program_is_an_error(tmp_path, text, words):
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(ModelError, match=words):
        load_model(f"{tmp_path}/mine.py:build")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("dmeo", "Did you mean 'demo'"),
        ("resnet50", "Perhaps 'timm:resnet50'"),
        ("timm:", "names no model"),
        ("timm/resnet50", "Perhaps 'timm:resnet50'?"),
        ("torchvision.models.resnet18", "Perhaps 'torchvision:resnet18'?"),
        ("runs/model.onnx", "'onnx:runs/model.onnx'"),
        ("model.keras", "'keras:model.keras'"),
        ("out/model.pt2", "out/model.pt2 is a program of torch.export"),
        (
            "net.pth",
            "holds weights, which go with the model they are of: --model timm:NAME --weights net.pth",
        ),
        ("timm:resnet81", "timm has no model 'resnet81'. Did you mean 'resnet18'"),
        ("torchvision:resnet19", "torchvision has no model 'resnet19'. Did you mean 'resnet18'"),
        ("torchvision:raft_large", "torchvision has no model"),
        ("model.py", "say which function"),
        ("no.py:f", "There is no file no.py"),
    ],
)
def test_a_wrong_name_teaches(spec, words):
    with pytest.raises(ModelError) as caught:
        load_model(spec, weights="random")
    assert words in str(caught.value)


# ---------------------------------------------------------------- weights


@pytest.mark.parametrize("spec", ["timm:test_efficientnet", "torchvision:squeezenet1_1"])
def test_random_weights_of_a_library_are_known_to_be_untrained(spec, tmp_path):
    random = load_model(spec, weights="random")
    assert random.info.untrained
    save_file(random.model.state_dict(), tmp_path / "w.safetensors")
    assert not load_model(spec, weights=tmp_path / "w.safetensors").info.untrained
    assert not load_model("demo").info.untrained
    # what a factory returns may be trained
    assert not load_model(SPEC, weights="random").info.untrained


def test_safetensors(tmp_path, weights):
    save_file(weights, tmp_path / "w.safetensors")
    assert_filled(tmp_path / "w.safetensors", weights)


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "model.", "net.", "module._orig_mod."])
@pytest.mark.parametrize("key", [None, "state_dict", "model_state_dict", "model"])
def test_checkpoints_of_trainings(tmp_path, weights, prefix, key):
    state = {f"{prefix}{name}": value for name, value in weights.items()}
    checkpoint = state if key is None else {"epoch": 3, "loss": 0.5, key: state}
    torch.save(checkpoint, tmp_path / "w.pt")
    assert_filled(tmp_path / "w.pt", weights)


def test_no_weights_are_the_factorys_own_and_random_is_random():
    assert torch.equal(load_model(SPEC).model.head.weight, Bright().head.weight)
    first, second = (load_model("timm:resnet18", weights="random").model.fc.weight for _ in range(2))
    assert not torch.equal(first, second)


def test_keys_that_do_not_fit_are_named(tmp_path, weights):
    del weights["head.weight"]
    weights["haed.weight"] = torch.zeros(3, 4)
    torch.save(weights, tmp_path / "w.pt")
    with pytest.raises(
        ModelError, match=r"missing in the file: head\.weight; unknown to the model: haed\.weight"
    ):
        load_model(SPEC, weights=tmp_path / "w.pt")


def test_shapes_that_do_not_fit_are_named(tmp_path, weights):
    weights["head.weight"] = torch.zeros(10, 4)
    torch.save(weights, tmp_path / "w.pt")
    with pytest.raises(ModelError) as caught:
        load_model(SPEC, weights=tmp_path / "w.pt")
    assert "head.weight is (10, 4) in the file, (3, 4) in the model" in str(caught.value)


class Malicious:
    """Makes a folder when unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("wrapped", [True, False])
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_file_that_would_run_code_is_refused_and_not_run(tmp_path, wrapped, protocol):
    evil = Malicious(tmp_path / "owned")
    torch.save({"state_dict": evil} if wrapped else evil, tmp_path / "w.pt", pickle_protocol=protocol)
    with pytest.raises(ModelError, match="could run code, so it was refused") as caught:
        load_model(SPEC, weights=tmp_path / "w.pt")
    assert "trust_pickle" in str(caught.value)
    assert not (tmp_path / "owned").exists()
    with pytest.raises(ModelError):
        load_model(SPEC, weights=tmp_path / "w.pt", trust_pickle=True)
    assert (tmp_path / "owned").is_dir()  # it would have


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_bare_pickle_is_not_run_either(tmp_path, protocol):
    import pickle

    (tmp_path / "w.pkl").write_bytes(pickle.dumps(Malicious(tmp_path / "owned"), protocol=protocol))
    with pytest.raises(ModelError):
        load_model(SPEC, weights=tmp_path / "w.pkl")
    assert not (tmp_path / "owned").exists()


def test_an_old_training_checkpoint_with_arguments_needs_trust(tmp_path, weights):
    """It is no archive, so it is not seen before it is read what is in it; of others only the tensors are read."""
    content = {"model": weights, "args": argparse.Namespace(lr=0.1)}
    torch.save(content, tmp_path / "new.pt")
    assert_filled(tmp_path / "new.pt", weights)
    torch.save(content, tmp_path / "w.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(ModelError, match="holds more than tensors"):
        load_model(SPEC, weights=tmp_path / "w.pt")
    assert_filled(tmp_path / "w.pt", weights, trust_pickle=True)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("w.pt", b"", "is empty"),
        ("w.pt", b"garbage of some length", "not a checkpoint"),
        ("w.pt", b"PK\x03\x04 but no more", "not a readable checkpoint"),
        ("w.safetensors", b"", "is empty"),
        ("w.safetensors", b"garbage of some length", "not a readable safetensors file"),
    ],
)
def test_an_unreadable_file_is_named(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError) as caught:
        load_model(SPEC, weights=tmp_path / name)
    assert words in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("checkpoint", "words"),
    [
        ({}, "holds no weights"),
        ({"epoch": 1}, "its keys are ['epoch']"),
        ([1, 2], "holds list, not the weights"),
    ],
)
def test_a_file_without_weights_says_what_it_holds(tmp_path, checkpoint, words):
    torch.save(checkpoint, tmp_path / "w.pt")
    with pytest.raises(ModelError) as caught:
        load_model(SPEC, weights=tmp_path / "w.pt")
    assert words in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ModelError, match="There is no weights file"):
        load_model(SPEC, weights=tmp_path / "no.pt")


def test_sparse_weights_are_read(tmp_path, weights):
    torch.save({key: value.to_sparse() for key, value in weights.items()}, tmp_path / "w.pt")
    assert_filled(tmp_path / "w.pt", weights)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: w.to("meta"), "holds a shape without values in the file"),
        (lambda w: w.to(torch.int32), "holds torch.int32 in the file, torch.float32 in the model"),
        (lambda w: w > 0, "holds torch.bool in the file"),
        (lambda w: w + 1j, "holds torch.complex64 in the file"),
        (lambda w: torch.quantize_per_tensor(w, 0.1, 0, torch.qint8), "holds quantised numbers"),
    ],
    ids=["meta", "integers", "bool", "complex", "quantised"],
)
def test_numbers_that_are_no_weights_are_refused(tmp_path, weights, change, words):
    torch.save({key: change(value) for key, value in weights.items()}, tmp_path / "w.pt")
    with pytest.raises(ModelError, match=words):
        load_model(SPEC, weights=tmp_path / "w.pt")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_are_read(tmp_path, weights, dtype):
    torch.save({key: value.to(dtype) for key, value in weights.items()}, tmp_path / "w.pt")
    assert_filled(tmp_path / "w.pt", {key: value.to(dtype).float() for key, value in weights.items()})


def test_tensors_without_names_are_refused(tmp_path):
    torch.save({1: torch.ones(2)}, tmp_path / "w.pt")
    with pytest.raises(ModelError, match="tensors under 1 and the like, not under the names of weights"):
        load_model(SPEC, weights=tmp_path / "w.pt")
