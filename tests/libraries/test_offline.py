"""Without a network models by name answer at once, with what works: what was fetched before, a file, random weights."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
import timm
import torch
import torchvision
import transformers as hf
from huggingface_hub import constants
from safetensors.torch import save_file

from camscope.errors import ModelError
from camscope.libraries import network
from camscope.libraries.loading import load_model


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server that can be connected to."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
def closed(server: str) -> str:
    """An address that refuses connections."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    return f"127.0.0.1:{port}"


@pytest.fixture
def offline(closed: str, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No server of weights can be reached, and nothing was fetched before."""
    monkeypatch.setattr(constants, "ENDPOINT", f"http://{closed}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("http_proxy", f"http://{closed}")
    monkeypatch.setenv("https_proxy", f"http://{closed}")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))


def test_a_server_is_reached_or_it_is_said_why_not(server, closed):
    assert network.why_unreachable(f"http://{server}/model.bin") == ""
    assert network.why_unreachable(f"http://{closed}/x") == "127.0.0.1 cannot be reached: Connection refused"
    assert "cannot be reached" in network.why_unreachable("https://no-such-host.invalid/model.bin")


def test_a_proxy_is_tried_in_place_of_the_server(server, closed, monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://{server}")
    assert network.why_unreachable(f"http://{closed}") == network.why_unreachable(
        f"http://{server}"
    )  # no proxy here
    monkeypatch.setenv("no_proxy", "")
    assert network.why_unreachable("http://no-such-host.invalid") == ""
    monkeypatch.setenv("http_proxy", closed)
    assert (
        network.why_unreachable("http://no-such-host.invalid")
        == "127.0.0.1 cannot be reached: Connection refused"
    )


def test_a_server_that_does_not_answer_is_not_waited_for(monkeypatch):
    over = threading.Event()

    def connect(address, timeout):
        over.wait(10)
        raise TimeoutError

    monkeypatch.setattr(network, "_PATIENCE", 0.05)
    monkeypatch.setattr(socket, "create_connection", connect)
    said = network.why_unreachable("http://127.0.0.1")
    over.set()
    assert said == "127.0.0.1 cannot be reached: no answer within 0.05 seconds"


@pytest.mark.slow
def test_timm_is_not_even_imported_where_nothing_was_ever_fetched(closed, tmp_path):
    code = (
        "import sys; from camscope.libraries.loading import load_model\n"
        "try: load_model(sys.argv[1])\n"
        "except Exception as error: print('timm' in sys.modules, error)"
    )
    places = {
        "HF_HOME": f"{tmp_path}/hf",
        "TORCH_HOME": f"{tmp_path}/torch",
        "HF_ENDPOINT": f"http://{closed}",
    }

    def said(spec):
        ran = subprocess.run(
            [sys.executable, "-c", code, spec],
            env=os.environ | places,
            capture_output=True,
            text=True,
            check=True,
        )
        return ran.stdout

    assert said("timm:resnet18.a1_in1k").startswith(
        "False The published weights of timm:resnet18.a1_in1k were not"
    )
    assert "True timm has no model 'resnet81'. Did you mean 'resnet18'" in said("timm:resnet81")
    (tmp_path / "torch" / "hub" / "checkpoints").mkdir(parents=True)
    (tmp_path / "torch" / "hub" / "checkpoints" / "any.pth").touch()
    assert said("timm:resnet18").startswith("True The published weights of timm:resnet18 were not")


@pytest.mark.parametrize("spec", ["timm:resnet18", "torchvision:resnet18"])
def test_published_weights_that_were_never_fetched_are_an_error_with_what_works(spec, offline):
    words = (
        rf"of {spec} were not fetched before, and .*--model {spec} --weights FILE .*--weights random; or demo"
    )
    with pytest.raises(ModelError, match=words):
        load_model(spec)
    assert load_model(spec, weights="random").info.untrained


def test_a_model_of_the_hub_that_was_never_fetched_is_an_error_with_what_works(offline, tmp_path):
    (tmp_path / "hub" / "models--mine--cats").mkdir(parents=True)
    with pytest.raises(ModelError) as caught:
        load_model("hf:google/vit-base-patch16-224")
    said = str(caught.value)
    assert said.startswith(
        "hf:google/vit-base-patch16-224 is no folder here, was not fetched before, and 127.0.0.1"
    )
    assert "hf:FOLDER; one that was fetched before (hf:mine/cats); or demo" in said


def test_the_hub_is_not_asked_if_the_user_said_so(offline, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="not fetched before, and HF_HUB_OFFLINE is set"):
        load_model("hf:google/vit-base-patch16-224")


def put_into_cache(tmp_path, repository: str):
    """A folder for the files of a repository of the hub, as they are kept."""
    home = tmp_path / "hub" / f"models--{repository.replace('/', '--')}"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("0" * 40)
    files = home / "snapshots" / ("0" * 40)
    files.mkdir(parents=True)
    return files


def test_timms_weights_that_were_fetched_before_are_used(offline, tmp_path):
    model = timm.create_model("test_resnet")
    config = timm.models.get_pretrained_cfg("test_resnet")
    save_file(model.state_dict(), put_into_cache(tmp_path, config.hf_hub_id) / "model.safetensors")
    found = load_model("timm:test_resnet")
    assert torch.equal(found.model.fc.weight, model.fc.weight)
    assert not found.info.untrained


def test_torchvisions_weights_that_were_fetched_before_are_used(offline, tmp_path):
    model = torchvision.models.squeezenet1_1()
    weights = torchvision.models.SqueezeNet1_1_Weights.DEFAULT
    (tmp_path / "torch" / "checkpoints").mkdir(parents=True)
    torch.save(model.state_dict(), tmp_path / "torch" / "checkpoints" / weights.url.rpartition("/")[2])
    found = load_model("torchvision:squeezenet1_1")
    assert torch.equal(found.model.classifier[1].weight, model.classifier[1].weight)


def test_a_model_of_the_hub_that_was_fetched_before_is_used(offline, tmp_path):
    config = hf.ViTConfig(
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=16,
    )
    model = hf.ViTForImageClassification(config)
    model.save_pretrained(put_into_cache(tmp_path, "mine/vit"))
    found = load_model("hf:mine/vit")
    assert torch.equal(found.model.classifier.weight, model.classifier.weight)
