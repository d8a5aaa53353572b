"""What was found out on one input is tried on every other before it is used there, row by row and number by number.

Small networks in float64, each with one trait that a first photo hides; maps against autograd and brute force.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import camscope
from camscope import AllClasses, Class, PerImage
from camscope.models.torch.hooks.modules import versions

EXACT = 1e-9
"""Of the largest value of the map of one image and target."""


def gap(a: torch.Tensor) -> torch.Tensor:
    return a.mean((2, 3))


class Net(nn.Module):
    """A convolution `c`, a ReLU `r`, a linear layer `fc`; the forward of each network is what its name says."""

    def __init__(
        self,
        forward: Callable[[Net, torch.Tensor], Any],
        *,
        channels: int = 8,
        outputs: int = 3,
        seed: int = 0,
    ) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.k = nn.Conv2d(3, channels, 1)
            self.c = nn.Conv2d(3, channels, 3, padding=1)
            self.q = nn.Linear(channels, channels)
            self.fc = nn.Linear(channels, outputs)
        self.r = nn.ReLU()
        self._forward = forward
        self.double().eval().requires_grad_(False)

    def forward(self, x: torch.Tensor) -> Any:
        return self._forward(self, x)


def photos(count: int = 2, size: int = 6, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((count, 3, size, size), generator=generator, dtype=torch.float64)


def answers(net: Net, x: torch.Tensor, altered: torch.Tensor) -> torch.Tensor:
    """The whole model's answers to altered outputs of `r`, each variant of the one image by itself."""
    rows = []
    for one in altered:
        handle = net.r.register_forward_hook(lambda _m, _i, _o, one=one: one[None].clone())
        rows.append(net(x))
        handle.remove()
    return torch.cat(rows)


def activations(net: Net, x: torch.Tensor) -> torch.Tensor:
    """What `r` puts out, one image at a time."""
    seen: list[torch.Tensor] = []
    handle = net.r.register_forward_hook(lambda _m, _i, output: seen.append(output.clone()))
    for one in x.split(1):
        net(one)
    handle.remove()
    return torch.cat(seen)


def ablation_cam(net: Net, x: torch.Tensor, target: int) -> torch.Tensor:
    """Σ_k (y − y_k) / |y| A^k, each channel taken away in a forward of its own."""
    maps = []
    for one, A in zip(x.split(1), activations(net, x), strict=True):
        y = net(one)[0, target]
        without = A * (1 - torch.eye(len(A), dtype=A.dtype))[..., None, None]
        drops = (y - answers(net, one, without)[:, target]) / (y.abs() if y != 0 else 1)
        maps.append(torch.einsum("k,khw->hw", drops, A))
    return torch.stack(maps)


def recipro_cam(net: Net, x: torch.Tensor, target: int) -> torch.Tensor:
    """What the model says to each position alone."""
    maps = []
    for one, A in zip(x.split(1), activations(net, x), strict=True):
        space = A.shape[1:]
        alone = torch.eye(space.numel(), dtype=A.dtype).reshape(-1, 1, *space) * A
        maps.append(answers(net, one, alone)[:, target].reshape(space))
    return torch.stack(maps)


def grad_cam(net: Net, x: torch.Tensor, target: int) -> torch.Tensor:
    """Σ_k (mean gradient)_k A^k, by autograd through the whole model."""
    maps = []
    for one in x.split(1):
        leaves: list[torch.Tensor] = []

        def start(_m: nn.Module, _i: Any, output: torch.Tensor, leaves: list[torch.Tensor] = leaves) -> Any:
            leaves.append(output.detach().clone().requires_grad_())
            return leaves[0].clone()

        handle = net.r.register_forward_hook(start)
        y = net(one)
        handle.remove()
        (g,) = torch.autograd.grad(y[:, target].sum(), leaves)
        maps.append((g.mean((2, 3), keepdim=True) * leaves[0]).sum(1)[0].detach())
    return torch.stack(maps)


def maps(
    explainer: camscope.Explainer | nn.Module, x: torch.Tensor, method: str, targets: Any, **options: Any
) -> torch.Tensor:
    if isinstance(explainer, nn.Module):
        explainer = camscope.Explainer(explainer, **options)
    return explainer(x, methods=method, layers="r", targets=targets).maps()


def same(found: torch.Tensor, expected: torch.Tensor) -> None:
    """Each image's map of each target is right, measured by itself."""
    assert found.shape == expected.shape
    size = expected.abs().amax((-2, -1), keepdim=True)
    assert (size > 0).all(), "nothing to compare"
    assert ((found - expected).abs() <= EXACT * size).all(), ((found - expected).abs() / size).amax((-2, -1))


def stacked(
    brute: Callable[[Net, torch.Tensor, int], torch.Tensor], net: Net, x: torch.Tensor, targets: Sequence[int]
):
    return torch.stack([brute(net, x, target) for target in targets], 1)


# ------------------------------------------------------------------ plans


def branch(net: Net, x: torch.Tensor) -> torch.Tensor:
    """A bright image takes a branch, image by image, that reads `k` too."""
    k, a = net.k(x), net.r(net.c(x))
    if bool((x.mean((1, 2, 3)) > 0).any()):
        a = a + k.abs() * (x.mean((1, 2, 3)) > 0)[:, None, None, None]
    return net.fc(a.amax((2, 3)))


def gated_branch(net: Net, x: torch.Tensor) -> torch.Tensor:
    """The same, but of `k` only a comparison is read, in which NaN does not show."""
    k, a = net.k(x), net.r(net.c(x))
    if bool((x.mean((1, 2, 3)) > 0).any()):
        a = a * ((k > 0) | (x.mean((1, 2, 3)) <= 0)[:, None, None, None])
    return net.fc(a.amax((2, 3)))


DARK_THEN_BRIGHT = torch.cat([-photos(1).abs(), photos(1, seed=2).abs()])


@pytest.mark.parametrize(
    ("method", "brute"), [("ablationcam", ablation_cam), ("reciprocam(of=logit)", recipro_cam)]
)
@pytest.mark.parametrize("first", [0, 1], ids=["dark first", "bright first"])
@pytest.mark.parametrize("forward", [branch, gated_branch])
def test_a_plan_found_on_one_photo_is_tried_on_the_next(method, brute, first, forward):
    net = Net(forward)
    explainer = camscope.Explainer(net)
    for image in (first, 1 - first):
        x = DARK_THEN_BRIGHT[image : image + 1]
        same(maps(explainer, x, method, [0, 1, 2]), stacked(brute, net, x, [0, 1, 2]))


@pytest.mark.parametrize(
    ("method", "brute"), [("ablationcam", ablation_cam), ("reciprocam(of=logit)", recipro_cam)]
)
def test_a_logit_that_has_lost_its_axis_is_re_run(method, brute):
    """Behind a max, where there is no closed form."""
    lost = Net(lambda net, x: net.fc(net.r(net.c(x)).amax((2, 3)))[:, 0])
    x, kept = photos(), Net(lambda net, x: net.fc(net.r(net.c(x)).amax((2, 3)))[:, :1])
    same(maps(lost, x, method, [1]), stacked(brute, kept, x, [0]))


@pytest.mark.parametrize("method", ["gradcam", "ablationcam", "eigencam"])
def test_a_layer_that_gets_some_of_the_images_only_is_refused(method):
    """An expert; the first image, which stands for all where layers are looked for, goes through it."""

    def experts(net: Net, x: torch.Tensor) -> torch.Tensor:
        bright, a = x.mean((1, 2, 3)) > 0, net.c(x)
        return net.fc(gap(a.clone().masked_scatter(bright[:, None, None, None], net.r(a[bright]))))

    explainer = camscope.Explainer(Net(experts))
    both = DARK_THEN_BRIGHT.flip(0)
    assert maps(explainer, both[:1], method, [0]).shape == (1, 1, 6, 6)
    with pytest.raises(camscope.LayerError, match="'r' put out 1 rows for 2 images"):
        maps(explainer, both, method, [0])


def test_what_python_reads_without_an_operation_is_kept():
    def listed(net: Net, x: torch.Tensor) -> torch.Tensor:
        k, a = net.k(x), net.r(net.c(x))
        bright = [max(numbers) > 1 for numbers in k.flatten(1).tolist()]
        return net.fc(torch.where(torch.tensor(bright)[:, None], a.amax((2, 3)), gap(a) * 2))

    net = Net(listed, seed=2)
    x = DARK_THEN_BRIGHT.flip(0)  # of the first of which nothing is above 1
    e = camscope.explain(net, x, methods="reciprocam(of=logit)", layers="r", targets=[0, 1])
    same(e.maps(), stacked(recipro_cam, net, x, [0, 1]))
    assert not any("cannot be run by itself" in note for note in e.notes)


def test_in_one_batch_the_image_that_differs_is_run_whole_and_that_is_said():
    net = Net(branch)
    explainer = camscope.Explainer(net)
    explainer(
        DARK_THEN_BRIGHT[:1], methods="ablationcam", layers="r", targets=0
    )  # the plan is a dark image's
    e = explainer(
        DARK_THEN_BRIGHT, methods=["ablationcam", "reciprocam(of=logit)"], layers="r", targets=[0, 1]
    )
    same(e.maps("ablationcam"), stacked(ablation_cam, net, DARK_THEN_BRIGHT, [0, 1]))
    same(e.maps("reciprocam(of=logit)"), stacked(recipro_cam, net, DARK_THEN_BRIGHT, [0, 1]))
    (note,) = [note for note in e.notes if "cannot be run by itself" in note]
    assert "for some images" in note


def test_what_only_one_altered_copy_uses_is_noticed_when_it_is_used():
    """The trial does not come across it. What is not kept is NaN, and where that is used the whole model is run."""
    x = photos(1)
    strongest = activations(Net(branch), x).sum(1).max()

    def faint(net: Net, x: torch.Tensor) -> torch.Tensor:
        """Where all activations together are less than half of the strongest position's, `k` is used."""
        k, a = net.k(x), net.r(net.c(x))
        little = a.sum((1, 2, 3)) < strongest / 2
        if bool(little.any()):
            a = a + k.abs() * little[:, None, None, None]
        return net.fc(a.amax((2, 3)))

    net = Net(faint)
    e = camscope.explain(net, x, methods="reciprocam(of=logit)", layers="r", targets=[0, 1])
    same(e.maps(), stacked(recipro_cam, net, x, [0, 1]))
    assert any("cannot be run by itself" in note for note in e.notes)


def test_a_layer_that_is_called_more_often_for_altered_activations_is_refused():
    def again(net: Net, x: torch.Tensor) -> torch.Tensor:
        a = net.r(net.c(x))
        while bool((gap(a).amax(1) < 0.1).any()):
            a = net.r(a + 1)
        return net.fc(a.amax((2, 3)))

    with pytest.raises(
        camscope.ModelError, match=r"'r' is called 2 times on altered activations and 1 times before"
    ):
        camscope.explain(Net(again), photos(), methods="reciprocam(of=logit)", layers="r", targets=0)


# ------------------------------------------------------------------ channels side by side


def excite(net: Net, x: torch.Tensor) -> torch.Tensor:
    """Squeeze and excitation: `q` reads the channels side by side, and so does what it gates."""
    a = net.r(net.c(x))
    return net.fc(gap(a) * (8 * net.q(gap(a))).sigmoid())


@pytest.mark.parametrize(
    "dead", [(), (0, 31 // 3, 2 * 31 // 3)], ids=["all alive", "those tried first are dead"]
)
def test_channels_side_by_side_are_tried_all_and_on_every_image(dead):
    net = Net(excite, channels=32)
    for k in dead:
        net.c.weight[k], net.c.bias[k] = 0, -1
    x = photos()
    same(maps(net, x, "ablationcam", [0, 1]), stacked(ablation_cam, net, x, [0, 1]))


def test_a_second_reader_that_the_first_image_did_not_have_is_seen():
    """`q` reads the channels side by side; a bright image adds something of the channels past it."""

    def past(net: Net, x: torch.Tensor) -> torch.Tensor:
        a = net.r(net.c(x))
        bright = (x.mean((1, 2, 3)) > 0).double()[:, None]
        return net.fc(net.q(gap(a)).tanh()) + bright * a[:, :3].amax((2, 3))

    net = Net(past)
    explainer = camscope.Explainer(net)
    for x in (DARK_THEN_BRIGHT[:1], DARK_THEN_BRIGHT):
        same(maps(explainer, x, "ablationcam", [0, 1]), stacked(ablation_cam, net, x, [0, 1]))


def test_a_branch_that_only_some_image_lets_the_channels_decide_is_seen():
    """What the linear layer reads is not kept, and NaN is not zero: the other head would never be asked."""

    def asked_of_bright(net: Net, x: torch.Tensor) -> torch.Tensor:
        def is_missing(pooled: torch.Tensor) -> bool:
            return bool((pooled[1] == 0) & (pooled.sum() > 1.5))

        pooled = gap(net.r(net.c(x)))
        rows = zip(net.fc(pooled).tanh(), pooled, x.mean((1, 2, 3)) > 0, strict=True)
        return torch.stack([net.q(b)[:3] if bright and is_missing(b) else a for a, b, bright in rows])

    net = Net(asked_of_bright, seed=1)
    explainer = camscope.Explainer(net)
    for x in (DARK_THEN_BRIGHT[:1], DARK_THEN_BRIGHT):
        same(maps(explainer, x, "ablationcam", [0, 1]), stacked(ablation_cam, net, x, [0, 1]))


# ------------------------------------------------------------------ the linear head


def rectified_logits(net: Net, x: torch.Tensor) -> torch.Tensor:
    return net.fc(gap(net.r(net.c(x)))).relu()


def clamped_logits(net: Net, x: torch.Tensor) -> torch.Tensor:
    return net.fc(gap(net.r(net.c(x)))).clamp(max=0.7)


def bias_so_that_logits_are(net: Net, x: torch.Tensor, value: float) -> None:
    net.fc.bias[:] = value - (gap(activations(net, x)) @ net.fc.weight.T)[0]


@pytest.mark.parametrize(
    ("forward", "logit"), [(rectified_logits, 0.01), (clamped_logits, 0.69)], ids=["ReLU", "clamp"]
)
def test_a_head_that_is_linear_at_the_photo_only_is_not_extrapolated(forward, logit):
    """At the photo it is linear in numbers, and so are its gradients; a channel taken away is another matter."""
    net, x = Net(forward), photos(1)
    bias_so_that_logits_are(net, x, logit)
    explainer = camscope.Explainer(net, task="regression")
    for targets in (0, 1, 2, [0, 1, 2]):
        listed = [targets] if isinstance(targets, int) else targets
        same(maps(explainer, x, "ablationcam", targets), stacked(ablation_cam, net, x, listed))
        same(maps(explainer, x, "gradcam", targets), stacked(grad_cam, net, x, listed))
    with pytest.raises(
        camscope.MethodError, match=r"linear at these inputs, but not once channels.*ablationcam"
    ):
        maps(explainer, x, "liftcam", 0)
    assert explainer(x, methods="cam", layers="r", targets=0).maps().any()  # the gradient's map, which is had


def sure_or_asked_again(net: Net, x: torch.Tensor) -> torch.Tensor:
    """By row: a linear head where it is sure, another one where it is not."""
    pooled = gap(net.r(net.c(x)))
    said = net.fc(pooled)
    return torch.stack(
        [a if a.max() > 0.1 else net.q(b)[:3].relu() for a, b in zip(said, pooled, strict=True)]
    )


def one_is_missing(numbers: Callable[[torch.Tensor], Any]) -> Callable[[Net, torch.Tensor], torch.Tensor]:
    """By row: another head where one channel is zero and the others are not, which Python reads in some way."""

    def forward(net: Net, x: torch.Tensor) -> torch.Tensor:
        pooled = gap(net.r(net.c(x)))
        rows = zip(net.fc(pooled), pooled, numbers(pooled), strict=True)
        return torch.stack([a if n[1] > 0 or sum(n) < 1.5 else net.q(b)[:3] for a, b, n in rows])

    return forward


def gated_logits(net: Net, x: torch.Tensor) -> torch.Tensor:
    z = net.fc(gap(net.r(net.c(x))))
    return z * (z.sum(1, keepdim=True) > -0.3)


def logits_cut_off(net: Net, x: torch.Tensor) -> torch.Tensor:
    z = net.fc(gap(net.r(net.c(x))))
    return z.masked_fill(z < -0.4, -0.4)


@pytest.mark.parametrize(
    ("forward", "seed"),
    [
        *((sure_or_asked_again, seed) for seed in (1, 3, 20, 51, 69, 82, 87, 97, 98, 102, 105)),
        (one_is_missing(torch.Tensor.tolist), 1),
        (one_is_missing(lambda pooled: pooled.detach().numpy()), 7),
        (one_is_missing(lambda pooled: np.asarray(pooled.detach())), 11),
        (gated_logits, 29),
        (logits_cut_off, 25),
    ],
)
def test_a_branch_that_any_channel_decides_is_seen(forward, seed):
    """Without one channel another head answers; without half of them, or the one that says most, it does not."""
    net, x = Net(forward, seed=seed), photos(seed=seed)
    same(maps(net, x, "ablationcam", [0]), stacked(ablation_cam, net, x, [0]))


@pytest.mark.parametrize("cut", [torch.clamp, lambda z, min: functional.relu(z - min) + min])
def test_logits_that_one_channel_alone_would_cut_off_are_run(cut):
    """Without halves of the channels, and without all that speak for the targets, the second is no lower than this."""
    net = Net(lambda net, x: cut(net.fc(gap(net.r(net.c(x)))), min=-0.35), seed=1)
    x = photos(1, seed=1)
    found = maps(net, x, "ablationcam", [0, 1], task="regression")
    same(found[:, 1:], stacked(ablation_cam, net, x, [1]))


def test_one_image_of_the_batch_whose_head_is_not_linear_when_altered_is_enough():
    def bright_clamped(net: Net, x: torch.Tensor) -> torch.Tensor:
        z = net.fc(gap(net.r(net.c(x))))
        return torch.where((x.mean((1, 2, 3)) > 0)[:, None], z.clamp(max=0.7), z)

    net, x = Net(bright_clamped), DARK_THEN_BRIGHT
    bias_so_that_logits_are(net, x[1:], 0.69)
    for images in (x, x.flip(0)):
        same(maps(net, images, "ablationcam", [0, 1]), stacked(ablation_cam, net, images, [0, 1]))


def linear(net: Net, x: torch.Tensor) -> torch.Tensor:
    return net.fc(gap(net.r(net.c(x))))


def test_a_head_that_is_linear_everywhere_keeps_its_closed_form():
    """The trial is one that can be passed: no channel is run by itself, and LIFT-CAM exists."""
    net, x = Net(linear), photos()
    rows: list[int] = []
    explainer = camscope.Explainer(net)
    explainer(x, layers="r", methods="ablationcam", targets=[0, 1])
    handle = net.fc.register_forward_pre_hook(lambda _m, inputs: rows.append(len(inputs[0])))
    e = explainer(x, layers="r", methods=["ablationcam", "liftcam"], targets=[0, 1])
    handle.remove()
    assert len(rows) <= 1 + 4 + 4
    same(e.maps("ablationcam"), stacked(ablation_cam, net, x, [0, 1]))


@pytest.mark.parametrize(
    "forward",
    [
        lambda net, x: net.fc(functional.adaptive_avg_pool2d(net.r(net.c(x)), 1).flatten(1)),
        lambda net, x: net.fc(net.r(net.c(x)).sum((2, 3)) / 36).softmax(1),
        lambda net, x: net.fc(net.r(net.c(x)).flatten(2).transpose(1, 2).mean(1)) * 1.0,
        lambda net, x: gap(net.fc(net.r(net.c(x)).movedim(1, -1)).movedim(-1, 1)),
        lambda net, x: net.fc(functional.dropout(gap(net.r(net.c(x))), 0.5, net.training)).sigmoid(),
        lambda net, x: net.fc(gap(functional.relu6(net.r(net.c(x))))),
        lambda net, x: net.fc(gap(net.r(net.c(x)))).masked_fill(
            torch.tensor([True, False, False]), -torch.inf
        ),
    ],
)
@pytest.mark.parametrize(
    "mode", [torch.enable_grad, torch.inference_mode], ids=["as usual", "inference mode"]
)
def test_whatever_makes_its_logits_by_sums_keeps_its_closed_form(forward, mode):
    """LIFT-CAM exists nowhere else. What the model is made of may be functions."""
    net, x = Net(forward), photos()
    with mode():
        assert maps(net, x, "liftcam", [1]).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_closed_forms_in_lower_precision_are_had_too(dtype):
    net, x = Net(linear).to(dtype), photos().to(dtype)
    assert maps(net, x, "liftcam", [1]).any()


@pytest.mark.parametrize(
    "with_others", [False, True], ids=["alone", "beside a probability and its curvature"]
)
def test_a_relu_after_a_relu_sends_nothing_back_to_zeros(with_others):
    net, x = Net(lambda net, x: net.fc(gap(functional.relu(net.r(net.c(x)))))), photos()
    targets = [1, Class(0, of="probability")] if with_others else [1]
    e = camscope.explain(net, x, methods=["gradcam", "shapley"], layers="r", targets=targets)
    same(e.maps("gradcam")[:, :1], stacked(grad_cam, net, x, [1]))
    assert not any("are the same map" in note for note in e.notes)


def test_the_relu_that_the_layer_stands_for_is_no_second_one():
    """Behind `c+relu` the head is linear, whatever else is asked for."""
    net, x = Net(lambda net, x: net.fc(gap(functional.relu(net.c(x))))), photos()
    alone = camscope.explain(net, x, methods="gradcam", layers="c+relu", targets=1).maps()
    targets = [1, Class(0, of="probability")]
    beside = camscope.explain(net, x, methods=["gradcam", "shapley"], layers="c+relu", targets=targets)
    same(beside.maps("gradcam")[:, :1], alone)
    same(alone[:, 0], torch.einsum("k,bkhw->bhw", net.fc.weight[1] / 36, net.c(x).relu()))


# ------------------------------------------------------------------ tolerances


def price_and_flags(net: Net, x: torch.Tensor) -> torch.Tensor:
    z = net.fc(gap(net.r(net.c(x))))
    return torch.cat([z[:, :1], z[:, 1:].softmax(1)], 1)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_large_output_hides_no_small_one(dtype):
    net, x = Net(price_and_flags, outputs=5), photos()
    net.fc.weight[0] *= 1e5
    expected = stacked(grad_cam, net, x, range(5))
    found = maps(net.to(dtype), x.to(dtype), "gradcam", list(range(5)), task="regression").double()
    size = expected.abs().amax((-2, -1), keepdim=True)
    tolerance = {torch.float64: EXACT, torch.float32: 1e-4, torch.bfloat16: 0.1}[dtype]
    assert ((found - expected).abs() <= tolerance * size).all()
    with pytest.raises(camscope.MethodError, match="cam needs a head"):
        maps(net, x.to(dtype), "cam", 0, task="regression")


def test_a_bright_image_hides_no_dark_one():
    """The head is linear on the bright image, whose logits are far from the bend, and not on the other."""

    def bent(net: Net, x: torch.Tensor) -> torch.Tensor:
        z = net.fc(gap(net.r(net.c(x))))
        return torch.where(z.abs() < 50, z * 1.5, z)

    net, x = Net(bent), photos()
    x[0] *= 1e12
    assert (net(x[:1]).abs() > 50).all()
    same(maps(net, x, "gradcam", [0, 1]), stacked(grad_cam, net, x, [0, 1]))


def test_a_bright_image_hides_no_other_pooling_of_a_dark_one():
    def bent(net: Net, x: torch.Tensor) -> torch.Tensor:
        a = net.r(net.c(x))
        bright = (gap(a).amax(1) > 50)[:, None]
        return net.fc(torch.where(bright, gap(a), a.amax((2, 3))))

    net, x = Net(bent), photos()
    x[0] *= 1e12
    assert maps(net, x[:1], "cam", 0).any()
    with pytest.raises(camscope.MethodError, match="cam needs a head"):
        maps(net, x, "cam", 0)
    same(maps(net, x, "gradcam", [0, 1]), stacked(grad_cam, net, x, [0, 1]))


@pytest.mark.parametrize(("dtype", "off"), [(torch.float64, 2e-9), (torch.float32, 2e-3)])
@pytest.mark.parametrize("where", ["logits", "pooled"])
def test_a_little_off_is_no_linear_head(where, off, dtype):
    """The tolerance is that of rounding."""

    def scaled(net: Net, x: torch.Tensor) -> torch.Tensor:
        pooled = gap(net.r(net.c(x)))
        return net.fc(pooled) * (1 + off) if where == "logits" else net.fc(pooled * (1 + off))

    net, x = Net(scaled).to(dtype), photos().to(dtype)
    with pytest.raises(camscope.MethodError, match="cam needs a head"):
        maps(net, x, "cam", 0)
    assert maps(Net(linear).to(dtype), x, "cam", 0).any()


# ------------------------------------------------------------------ targets in turns, and of each image


def test_each_chunk_of_targets_has_the_head_of_its_own(monkeypatch):
    """`r` has a linear head; `c` takes a backward for each target, so that the targets come in turns."""
    monkeypatch.setattr("camscope.models.torch.observation._GRADIENT_BUDGET", 1)
    net, x = Net(linear, outputs=5), photos()
    e = camscope.explain(net, x, methods=["gradcam", "cam"], layers="r", targets=AllClasses())
    same(e.maps("gradcam"), stacked(grad_cam, net, x, range(5)))
    both = camscope.explain(net, x, methods="gradcam", layers=["r", "c"], targets=AllClasses())
    same(both.maps(layer="r"), stacked(grad_cam, net, x, range(5)))


def test_re_runs_score_each_image_by_its_own_target_and_sign():
    net, x = Net(excite), photos()
    found = maps(net, x, "ablationcam", PerImage([Class(1), -Class(1)]))
    expected = stacked(ablation_cam, net, x, [1])
    same(found, torch.stack([expected[0], -expected[1]]))


# ------------------------------------------------------------------ weights that are written past PyTorch


def trained() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 3),
        ).eval()


def by_data(model: nn.Module) -> None:
    for p in model.parameters():
        p.data.neg_()


def by_numpy(model: nn.Module) -> None:
    model[5].weight.detach().numpy()[[0, 1]] = model[5].weight.detach().numpy()[[1, 0]]


def in_place(model: nn.Module) -> None:
    with torch.no_grad():
        model[0].weight.mul_(-1)


@pytest.mark.parametrize("write", [by_data, by_numpy, in_place], ids=lambda write: write.__name__)
def test_an_optimised_copy_and_the_digest_follow_the_weights(write):
    model, x = trained(), photos(1, 8).float()
    explainer = camscope.Explainer(model, optimised=True)
    before = explainer(x)
    write(model)
    after = explainer(x)
    torch.testing.assert_close(after.logits, model(x).detach(), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(after.logits, before.logits, rtol=1e-2)
    assert after.provenance["weights_sha256"] != before.provenance["weights_sha256"]


@pytest.mark.parametrize("shape", [(3,), (7, 5), (64, 33, 3, 3), (2, 1021, 40)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.int64, torch.uint8])
def test_whatever_changes_in_a_tensor_changes_its_version(shape, dtype):
    layer = nn.Module()
    values = torch.arange(1, np.prod(shape) + 1).reshape(shape).to(dtype)
    layer.register_buffer("values", values)
    seen = {versions(layer)}

    def changed() -> bool:
        now = versions(layer)
        fresh = now not in seen
        seen.add(now)
        return fresh

    assert not changed()
    first, last = values.data.view(-1)[:2], values.data.view(-1)[-1:]
    first += 1
    assert changed()
    if dtype != torch.uint8:
        values.data.neg_()
        assert changed()
        values.data.view(-1)[1::2].neg_()
        assert changed()
    last.zero_()
    assert changed()
    values.data.copy_(values.data.roll(1, 0))
    assert changed()


def test_a_model_that_stays_keeps_its_version_in_every_layout():
    model = trained()
    assert versions(model) == versions(model)
    values = versions(model)[1]
    model.to(memory_format=torch.channels_last)
    assert versions(model) == versions(model)
    assert len(versions(model)[1]) == len(values)
