"""`Explainer.watching`: the maps of a forward that the user makes anyway, and nothing of a training changed."""

from __future__ import annotations

import contextlib
import copy

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

import camscope
from camscope.errors import InputError, LayerError, MethodError, ModelError
from tests.conftest import make_tiny_cnn
from tests.torch.conftest import build
from tests.torch.nets import Net, SharedReLU, batch, gap_head, mlp_head

METHODS = ["gradcam", "hirescam", "layercam", "gradcam++", "xgradcam", "eigencam", "finer(gradcam)"]


def vit() -> nn.Module:
    return build("timm:test_vit", img_size=64, num_classes=5)


MODELS = {
    "plain": (make_tiny_cnn, (3, 32, 32)),
    "in place": (lambda: Net(mlp_head(16)).eval(), (3, 16, 16)),
    "one ReLU for all": (lambda: SharedReLU().eval(), (3, 16, 16)),
    "one logit": (lambda: Net(gap_head(1)).eval(), (3, 16, 16)),
    "signal": (lambda: Net(gap_head(dims=1), dims=1).eval(), (3, 32)),
    "residual": (lambda: build("timm:test_resnet", num_classes=5), (3, 64, 64)),
    "ViT": (vit, (3, 64, 64)),
}


def same(one: camscope.Explanation, other: camscope.Explanation) -> None:
    assert one.raw.keys() == other.raw.keys()
    for key, maps in one.raw.items():
        assert maps.equal(other.raw[key]), key
    assert one.scores.equal(other.scores)
    assert one.targets == other.targets


# ------------------------------------------------------------------ the same maps


@pytest.mark.parametrize("name", MODELS)
def test_in_eval_mode_maps_are_bit_for_bit_those_of_a_call(name):
    make, shape = MODELS[name]
    model, x = make(), batch(3, *shape)
    explainer, labels = camscope.Explainer(model), camscope.PerImage([0, 1, 0])
    expected = explainer(x, methods=METHODS, targets=labels)
    with explainer.watching(methods=METHODS) as seen:
        output = model(x)
    e = explainer.from_output(seen, targets=labels)
    same(e, expected)
    assert e.notes == expected.notes
    assert output.equal(model(x))
    assert not any(maps.requires_grad for maps in (*e.raw.values(), e.scores, e.logits, e.probabilities))
    assert e.provenance["layers"]["forward"] == "the user's own"


@pytest.mark.parametrize("layers", [["stem.0", "stem.1"], ["stem", "body.1"], ["body.0"]])
def test_also_at_layers_into_which_the_network_writes_later(layers):
    model, x = Net(mlp_head(16)).eval(), batch(2, 3, 16, 16)
    explainer = camscope.Explainer(model)
    with explainer.watching(methods=["gradcam", "layercam"], layers=layers) as seen:
        model(x)
    same(
        explainer.from_output(seen, targets=3),
        explainer(x, methods=["gradcam", "layercam"], layers=layers, targets=3),
    )


def test_fusions_channels_and_a_linear_head_too():
    model, x = make_tiny_cnn(), batch(2, 3, 32, 32)
    explainer, methods = camscope.Explainer(model), ["cam", "layercam-fused", "gradcam"]
    with explainer.watching(methods=methods, channels=3) as seen:
        model(x)
    e, expected = (
        explainer.from_output(seen, targets=[1, 2]),
        explainer(x, methods=methods, targets=[1, 2], channels=3),
    )
    same(e, expected)
    assert e.channels["last_relu"].index.equal(expected.channels["last_relu"].index)


@pytest.mark.parametrize("name", ["plain", "in place", "ViT"])
def test_in_a_validation_loop_under_no_grad_there_are_gradients_and_the_output_is_on_no_graph(name):
    make, shape = MODELS[name]
    model, x = make(), batch(2, *shape)
    explainer = camscope.Explainer(model)
    expected = explainer(x, methods=METHODS)
    with torch.no_grad(), explainer.watching(methods=METHODS) as seen:
        output = model(x)
        assert not torch.is_grad_enabled()
    assert not output.requires_grad
    same(explainer.from_output(seen), expected)


def test_a_frozen_model_gives_outputs_without_a_graph_as_ever():
    model, x = make_tiny_cnn().requires_grad_(False), batch(2, 3, 32, 32)
    explainer = camscope.Explainer(model)
    with explainer.watching() as seen:
        output = model(x)
    assert not output.requires_grad
    same(explainer.from_output(seen), explainer(x))


def test_under_inference_mode_methods_without_gradients_work_and_others_say_why_not():
    model, x = make_tiny_cnn(), batch(2, 3, 32, 32)
    explainer = camscope.Explainer(model)
    with torch.inference_mode(), explainer.watching(methods=["cam", "eigencam"]) as seen:
        model(x)
    same(explainer.from_output(seen), explainer(x, methods=["cam", "eigencam"]))
    with torch.inference_mode(), explainer.watching() as seen:
        model(x)
    with pytest.raises(InputError, match="no_grad"):
        explainer.from_output(seen)


def test_under_autocast_maps_are_those_of_a_call_under_autocast():
    model, x = Net(mlp_head(16)).eval(), batch(2, 3, 16, 16)
    explainer = camscope.Explainer(model)
    with torch.autocast("cpu", torch.bfloat16):
        expected = explainer(x, targets=1)
        with explainer.watching() as seen:
            model(x)
    same(explainer.from_output(seen, targets=1), expected)
    assert expected.scores.dtype is torch.float32


@pytest.mark.parametrize("by", ["position", "keyword", "both"])
def test_several_inputs(by):
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = make_tiny_cnn()

        def forward(self, image: torch.Tensor, scale: torch.Tensor, **more: torch.Tensor) -> torch.Tensor:
            return self.net(image) * scale + more.get("shift", 0)

    model, x, scale = Two().eval(), batch(2, 3, 32, 32), torch.tensor([[1.0], [2.0]])
    explainer = camscope.Explainer(model)
    with explainer.watching() as seen:
        if by == "position":
            model(x, scale)
        elif by == "keyword":
            model(image=x, scale=scale)
        else:
            model(x, scale=scale, shift=torch.ones(2, 1))
    given = {"image": x, "scale": scale} | ({"shift": torch.ones(2, 1)} if by == "both" else {})
    same(explainer.from_output(seen, targets=1), explainer(given, targets=1))


def test_a_compiled_model_runs_step_by_step_meanwhile():
    model, x = make_tiny_cnn(), batch(2, 3, 32, 32)
    compiled = torch.compile(model, backend="eager")
    compiled(x)
    explainer = camscope.Explainer(compiled)
    with explainer.watching() as seen:
        compiled(x)
    same(explainer.from_output(seen), explainer(x))


# ------------------------------------------------------------------ nothing of the training is changed


def trained(*, watched: bool, net: nn.Module, steps: int = 3) -> tuple[nn.Module, list[torch.Tensor]]:
    """A few steps in train mode, with dropout and batch norm; once with a map in each of them."""
    net = copy.deepcopy(net).train()
    optimizer = torch.optim.AdamW(net.parameters(), 0.01)
    explainer, losses = camscope.Explainer(net), []
    torch.manual_seed(0)
    for step in range(steps):
        x, y = batch(4, 3, 16, 16, seed=step), torch.tensor([0, 1, 2, 3])
        optimizer.zero_grad()
        if watched:
            with explainer.watching(methods=["gradcam", "layercam"], layers=["stem", "body"]) as seen:
                output = net(x)
            explainer.from_output(seen, targets=camscope.PerImage(y))
        else:
            output = net(x)
        loss = functional.cross_entropy(output, y)
        loss.backward()
        optimizer.step()
        losses += [output.detach(), loss.detach(), torch.get_rng_state()]
    return net, losses


@pytest.mark.parametrize("head", [gap_head, lambda: mlp_head(16)], ids=["linear", "mlp"])
def test_weights_statistics_losses_and_random_numbers_are_bit_for_bit_those_without(head):
    (one, losses), (other, expected) = (trained(watched=w, net=Net(head())) for w in (True, False))
    assert all(a.equal(b) for a, b in zip(losses, expected, strict=True))
    for (name, a), b in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        assert a.equal(b), name


def test_no_gradient_arrives_and_the_graph_stays():
    model, x = Net(mlp_head(16)).train(), batch(2, 3, 16, 16)
    explainer = camscope.Explainer(model)
    with explainer.watching() as seen:
        output = model(x)
        explainer.from_output(seen)
    explainer.from_output(seen, targets=[0, 1, 2])
    assert all(p.grad is None for p in model.parameters())
    output.sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_no_hook_stays_also_after_an_exception():
    model, x = make_tiny_cnn(), batch(1, 3, 32, 32)
    explainer = camscope.Explainer(model)
    with contextlib.suppress(KeyboardInterrupt), explainer.watching():
        model(x)
        raise KeyboardInterrupt
    with pytest.raises(InputError, match="channels"), explainer.watching():
        model(batch(1, 4, 32, 32))
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert "forward" not in module.__dict__


def test_the_model_runs_once_and_an_explainers_own_forwards_do_not_count():
    model, x = Net(mlp_head(16)).eval(), batch(2, 3, 16, 16)
    explainer, runs = camscope.Explainer(model), []
    with explainer.watching() as seen:
        model(x)
    model.body.register_forward_hook(lambda *_: runs.append(len(runs)))
    with explainer.watching() as seen:
        model(x)
    e = explainer.from_output(seen, targets=1)
    assert len(runs) == 1
    with explainer.watching() as seen:
        model(x)
        explainer(2 * x)
    same(explainer.from_output(seen, targets=1), e)


def test_a_model_of_transformers_called_by_keyword_with_its_labels():
    transformers = pytest.importorskip("transformers")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = transformers.ViTConfig(
            hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
        )
        config.image_size, config.patch_size, config.num_labels = 64, 16, 5
        model = transformers.ViTForImageClassification(config)
    x, y = batch(2, 3, 64, 64), torch.tensor([1, 2])
    explainer = camscope.Explainer(model)
    model.train()
    with explainer.watching(methods=["gradcam", "layercam"]) as seen:
        output = model(pixel_values=x, labels=y)
    e = explainer.from_output(seen, targets=camscope.PerImage(y))
    expected = explainer(
        {"pixel_values": x, "labels": y}, methods=["gradcam", "layercam"], targets=camscope.PerImage(y)
    )
    output.loss.backward()
    assert model.vit.embeddings.cls_token.grad is not None
    assert e.raw.keys() == expected.raw.keys()  # the same layer; the dropout of the forward is another thing


def test_texts_captions_and_detectors_are_for_the_explainer_itself():
    torchvision = pytest.importorskip("torchvision")
    detector = torchvision.models.detection.ssdlite320_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=3
    ).eval()
    explainer = camscope.Explainer(detector)
    with pytest.raises(ModelError, match="detections"), explainer.watching():
        raise AssertionError("must not get here")


# ------------------------------------------------------------------ train mode


def test_in_train_mode_maps_are_of_that_very_forward_and_say_so():
    """The same by hand: the gradient of the very logits that came out, dropout and statistics included."""
    model, x = Net(mlp_head(16)).train(), batch(4, 3, 16, 16)
    explainer = camscope.Explainer(model)
    with explainer.watching(methods="hirescam", layers="body") as seen:
        model(x)
    first = explainer.from_output(seen, targets=2)
    with (
        explainer.watching(methods="hirescam", layers="body") as seen,
        camscope.record(model, ["body"]) as hand,
    ):
        output = model(x)
    e = explainer.from_output(seen, targets=2)
    output[:, 2].sum().backward()
    expected = (hand["body"].activations * hand["body"].gradients).sum(1, keepdim=True)
    torch.testing.assert_close(e.maps(), expected.detach(), rtol=1e-5, atol=1e-6)
    assert not e.maps().equal(first.maps())  # another draw of the dropout
    assert any("train mode" in note for note in e.notes)
    assert not any("train mode" in note for note in explainer(x).notes)


def test_cam_behind_a_head_that_train_mode_changes_says_what_follows_it():
    head = nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.BatchNorm1d(12), nn.Dropout(0.5), nn.Linear(12, 5)
    )
    model, x = Net(head).train(), batch(4, 3, 16, 16)
    explainer = camscope.Explainer(model)
    with explainer.watching(methods="cam") as seen:
        model(x)
    statistics = head[2].running_mean.clone()
    with pytest.raises(MethodError, match=r"training\.cam"):
        explainer.from_output(seen)
    assert head[2].running_mean.equal(statistics)


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_layer_in_a_checkpointed_part(reentrant):
    class Checkpointed(Net):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(checkpoint(self.body, self.stem(x), use_reentrant=reentrant))

    plain, model = Net(mlp_head(16)).eval(), Checkpointed(mlp_head(16)).eval()
    x, by = batch(2, 3, 16, 16), camscope.Explainer(model)
    if reentrant:
        with pytest.raises(LayerError, match="use_reentrant"), by.watching(layers="body"):
            model(x)
    else:
        with by.watching(layers="body", methods="layercam") as seen:
            output = model(x)
        same(by.from_output(seen), camscope.explain(plain, x, layers="body", methods="layercam"))
        output.sum().backward()


# ------------------------------------------------------------------ mistakes


def test_after_the_backward_the_error_says_that_the_graph_is_gone():
    model, x = Net(mlp_head(16)), batch(2, 3, 16, 16)
    explainer = camscope.Explainer(model)
    with explainer.watching() as seen:
        output = model(x)
    output.sum().backward()
    with pytest.raises(InputError, match=r"before loss\.backward\(\).*retain_graph"):
        explainer.from_output(seen)


def test_after_the_step_the_error_says_that_the_weights_have_changed():
    model, x = make_tiny_cnn(), batch(2, 3, 32, 32)
    explainer = camscope.Explainer(model)
    with explainer.watching(methods="cam") as seen:
        output = model(x)
    output.sum().backward()
    explainer.from_output(seen)  # its weights are still those of the forward, and nothing is differentiated
    torch.optim.SGD(model.parameters(), 0.1).step()
    with pytest.raises(InputError, match=r"weights have changed.*before optimizer\.step\(\)"):
        explainer.from_output(seen)


def test_what_cannot_be_had_is_refused_before_the_forward():
    explainer = camscope.Explainer(make_tiny_cnn())
    for method in ("scorecam", "smooth(gradcam, n=2)", "fullgrad", "balanced(gradcam)", "shapleycam"):
        with (
            pytest.raises(MethodError, match=r"run again.*gradcam.*layercam"),
            explainer.watching(methods=method),
        ):
            raise AssertionError("must not get here")


def test_the_wrong_thing_and_no_forward_at_all():
    model, x = make_tiny_cnn(), batch(1, 3, 32, 32)
    explainer = camscope.Explainer(model)
    with pytest.raises(InputError, match="watching"):
        explainer.from_output(model(x))
    with explainer.watching() as seen:
        pass
    assert repr(seen) == "<Watched: no forward yet>"
    with pytest.raises(InputError, match="not run"):
        explainer.from_output(seen)
    with pytest.raises(InputError, match="another Explainer"):
        camscope.Explainer(model).from_output(seen)


def test_weights_put_elsewhere_or_layers_of_other_weights_are_changes_too():
    x = batch(1, 3, 16, 16)

    def elsewhere(model: Net) -> None:
        model.stem[0].weight.data = torch.zeros_like(model.stem[0].weight)

    def others(model: Net) -> None:
        model.load_state_dict(Net(mlp_head(16)).state_dict(), assign=True)

    for change in (elsewhere, others):
        model = Net(mlp_head(16)).eval()
        explainer = camscope.Explainer(model)
        with explainer.watching() as seen:
            model(x)
        change(model)
        with pytest.raises(InputError, match="weights have changed"):
            explainer.from_output(seen)


def test_an_output_that_is_written_to_is_no_longer_what_the_model_said():
    model, x = Net(mlp_head(16)).eval(), batch(2, 3, 16, 16)
    explainer = camscope.Explainer(model)
    with explainer.watching() as seen:
        output = model(x)
    output[:, 0] = 100
    with pytest.raises(InputError, match="written to since, in place"):
        explainer.from_output(seen)


@pytest.mark.parametrize("without", [torch.no_grad, torch.inference_mode])
def test_an_output_on_no_graph_is_the_users_own(without):
    model, x = make_tiny_cnn(), batch(2, 3, 32, 32)
    explainer = camscope.Explainer(model)
    with without(), explainer.watching(methods="cam") as seen:
        output = model(x)
        output[:, 0] = 100
    found, called = explainer.from_output(seen), explainer(x, methods="cam")
    same(found, called)
    assert found.probabilities.equal(called.probabilities)


def test_a_model_is_watched_once_at_a_time():
    whole, x = nn.Sequential(make_tiny_cnn(), nn.Linear(5, 3)).eval(), batch(1, 3, 32, 32)
    explainer, of_part = camscope.Explainer(whole), camscope.Explainer(whole[0])
    for other in (explainer, of_part):
        with (
            explainer.watching() as seen,
            pytest.raises(InputError, match=r"watched already.*methods=\[…\]"),
            other.watching(layers="0"),
        ):
            raise AssertionError("must not get here")
    with explainer.watching() as seen:
        whole(x)
        found = of_part(x)  # a call is no watching
    same(explainer.from_output(seen), explainer(x))
    same(found, of_part(x))


def test_a_hook_that_changes_what_the_model_returns_is_refused():
    model, x = Net(mlp_head(16)).eval(), batch(2, 3, 16, 16)
    explainer = camscope.Explainer(model)
    handle = model.register_forward_hook(lambda _module, _inputs, output: output * 2)
    with pytest.raises(ModelError, match="forward hook on the model itself"), explainer.watching():
        model(x)
    handle.remove()
    seeing = model.register_forward_hook(lambda _module, _inputs, output: None)  # changes nothing
    with explainer.watching() as seen:
        model(x)
    same(explainer.from_output(seen), explainer(x))
    seeing.remove()
    assert not model._forward_hooks
