"""Methods that run the part after the layer again: against loops that run it literally, and closed forms."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from camscope.errors import MethodError
from camscope.evidence import Evidence, LinearHead, ModelEvidence, Responses
from camscope.methods import get_method
from tests.reruns import (
    CLASSES,
    Net,
    Runner,
    as_jax,
    as_numpy,
    as_torch,
    close,
    maps_of,
    only,
    seen,
)

METHODS = ["ablationcam", "reciprocam", "reciprocam-gaussian", "vit-reciprocam"]
HEADS = ["linear", "mlp", "conv"]
NDIMS = [1, 2, 3]


def literal(net, one, classes=CLASSES):
    """`one(A of an image, its classes) -> target *space`, image by image."""
    A = net.prefix(net.x)
    return np.stack([one(A[b], classes[b]).numpy() for b in range(len(A))])


def each_position(a):
    return itertools.product(*(range(n) for n in a.shape[1:]))


# ------------------------------------------------------------------ Ablation-CAM and LIFT-CAM


def ablated(net, a, classes):
    """Eq. 2 and 3, one channel after the other."""
    y = net.suffix(a[None])[0, classes]
    out = torch.zeros(len(classes), *a.shape[1:], dtype=a.dtype)
    for k in range(len(a)):
        without = a.clone()
        without[k] = 0
        y_k = net.suffix(without[None])[0, classes]
        for t in range(len(classes)):
            out[t] += (y[t] - y_k[t]) / y[t].abs() * a[k]
    return out


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("ndim", NDIMS)
def test_ablation_is_the_literal_loop(ndim, head, signed):
    net = Net(ndim, head, signed=signed)
    close(maps_of("ablationcam", seen(net)), literal(net, lambda a, c: ablated(net, a, c)))


@pytest.mark.parametrize("ndim", NDIMS)
def test_ablation_in_closed_form_is_the_rerun_and_is_editing_the_head(ndim):
    net = Net(ndim)
    evidence = seen(net, head=True)
    closed = maps_of("ablationcam", evidence)
    assert evidence.suffix.counts == [], "behind a linear head no channel is run"
    close(closed, maps_of("ablationcam", seen(net)))

    def edited(a, classes):
        linear = net.suffix[1]
        y = net.suffix(a[None])[0, classes]
        kept = linear.weight.clone()
        out = torch.zeros(len(classes), *a.shape[1:], dtype=a.dtype)
        for k in range(len(a)):
            linear.weight[:, k] = 0
            y_k = net.suffix(a[None])[0, classes]
            linear.weight.copy_(kept)
            out += ((y - y_k) / y.abs()).reshape(-1, *[1] * (a.ndim - 1)) * a[k]
        return out

    close(closed, literal(net, edited))


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_ablation_keeps_its_sign_where_the_score_is_negative(head):
    """Lower the score by a constant until it is negative: no channel's importance changes, only the divisor does."""
    net = Net(2, head)
    scores = seen(net).model.responses.scores
    before = maps_of("ablationcam", seen(net, head=head == "linear")) * np.abs(scores)[..., None, None]
    net.suffix[-1].bias -= 100
    low = seen(net, head=head == "linear")
    assert (low.model.responses.scores < 0).all()
    after = maps_of("ablationcam", low) * np.abs(low.model.responses.scores)[..., None, None]
    close(after, before, 1e-9)


@pytest.mark.parametrize("head", HEADS)
def test_ablation_does_not_depend_on_the_scale_of_the_score(head):
    net = Net(2, head)
    before = maps_of("ablationcam", seen(net))
    net.suffix[-1].weight *= 7
    net.suffix[-1].bias *= 7
    close(maps_of("ablationcam", seen(net)), before)


def test_ablation_of_a_score_of_zero_divides_by_one():
    """Two channels that cancel exactly."""
    net = Net(2, channels=2, classes=1)
    net.suffix[1].weight.copy_(torch.tensor([[1.0, -1.0]]))
    net.suffix[1].bias.zero_()
    A = net.prefix(net.x)[:, :1].repeat(1, 2, 1, 1)
    A[:, 1] = A[:, 1].flip(2)  # another map of the same mean
    A = A.mul(1024).round().div(1024)  # whose sum is exact in any order
    suffix = Runner(net.suffix, np.array([[0], [0]]))
    assert (net.suffix(A) == 0).all()
    mean = A.mean((2, 3))[:, 0].numpy()[:, None, None]
    for head in (None, LinearHead(np.array([[[1.0, -1.0]]] * 2), A.numpy(), pools_activations=True)):
        nothing = Responses(np.zeros((2, 1)), np.zeros((2, 1)), np.zeros((2, 1)))
        model = ModelEvidence(net.x.numpy(), nothing)
        mine = maps_of("ablationcam", Evidence(A.numpy(), head=head, suffix=suffix, model=model))[:, 0]
        close(mine, mean * (A[:, 0] - A[:, 1]).numpy())


def test_ablation_of_a_score_that_is_not_linear_takes_no_closed_form():
    """A probability behind a linear head: the head's weights are then its derivative, and nothing sums up."""
    net = Net()
    evidence = seen(net, head=True)
    A = net.prefix(net.x)
    runs = Runner(nn.Sequential(net.suffix, nn.Softmax(1)), CLASSES)
    head = replace(evidence.head, linear=False)
    mine = maps_of("ablationcam", Evidence(evidence.activations, head=head, suffix=runs))
    assert runs.counts == [7, 7]
    net.suffix = nn.Sequential(*net.suffix, nn.Softmax(1))
    close(mine, np.stack([ablated(net, A[b], CLASSES[b]).numpy() for b in range(2)]))


def test_lift_cam_of_a_score_that_is_not_linear_is_refused():
    evidence = seen(Net(), head=True)
    with pytest.raises(MethodError, match=r"logits only.*ablationcam"):
        maps_of("liftcam", replace(evidence, head=replace(evidence.head, linear=False)))


def without_channels(dead):
    """Makes these channels of the images zero."""

    def edit(activations):
        A = activations.clone()
        for image, channel in dead:
            A[image, channel] = 0
        return A

    return edit


def test_ablation_skips_dead_channels_and_nothing_changes():
    net = Net(2, "mlp")
    edit = without_channels([(0, 1), (0, 4), (1, 1)])
    evidence = seen(net, edit=edit)
    mine = maps_of("ablationcam", evidence)
    assert evidence.suffix.counts == [5, 6]  # the live ones, and the activations as they are
    A = edit(net.prefix(net.x))
    close(mine, np.stack([ablated(net, A[b], CLASSES[b]).numpy() for b in range(2)]))


def test_ablation_of_an_image_whose_activations_are_all_zero_is_zero():
    evidence = seen(Net(2, "mlp"), edit=without_channels([(0, k) for k in range(6)]))
    mine = maps_of("ablationcam", evidence)
    assert evidence.suffix.counts == [1, 7]
    assert (mine[0] == 0).all()
    assert (mine[1] != 0).any()


def test_a_channel_that_is_no_number_shows_in_the_map():
    def edit(activations):
        A = activations.clone()
        A[0, 2, 1, 1] = math.nan
        return A

    for name in METHODS:
        mine = maps_of(name, seen(Net(2, "mlp"), edit=edit))
        assert np.isnan(mine[0]).any(), name
        assert np.isfinite(mine[1]).all(), name


def test_lift_weights_are_the_exact_shapley_values():
    net = Net(2, channels=4)
    A = net.prefix(net.x)
    weights = np.zeros((2, 3, 4))
    for b, k in itertools.product(range(2), range(4)):
        others = [i for i in range(4) if i != k]
        for size in range(4):
            for group in itertools.combinations(others, size):
                share = math.factorial(size) * math.factorial(3 - size) / math.factorial(4)
                for sign, members in ((1, [*group, k]), (-1, list(group))):
                    kept = torch.zeros_like(A[b])
                    kept[members] = A[b, members]
                    weights[b, :, k] += sign * share * net.suffix(kept[None])[0, CLASSES[b]].numpy()
    close(maps_of("liftcam", seen(net, head=True)), np.einsum("btk,bkhw->bthw", weights, A.numpy()))


def test_ablation_of_pooled_features_that_are_rectified_first():
    """A head that pools relu(A) (DenseNet): without channel k its feature is gone, and so is relu of it."""
    net = Net(2, signed=True)
    A = net.prefix(net.x)
    linear = net.suffix[1]
    net.suffix = nn.Sequential(nn.ReLU(), *net.suffix)
    evidence = seen(net)
    head = LinearHead(linear.weight[CLASSES].numpy(), A.clamp(min=0).numpy(), pools_activations=False)
    closed = replace(evidence, head=head, suffix=Runner(net.suffix, CLASSES), shared={})
    close(maps_of("ablationcam", closed), maps_of("ablationcam", evidence))
    assert closed.suffix.counts == []


# ------------------------------------------------------------------ Recipro-CAM


def weights_around(space, centre):
    """1/16 … 1/4: products of ½ at the centre and ¼ beside it."""
    out = torch.zeros(space, dtype=torch.float64)
    for ij in itertools.product(*(range(n) for n in space)):
        distances = [abs(i - c) for i, c in zip(ij, centre, strict=True)]
        if max(distances) <= 1:
            out[ij] = math.prod(0.5 if d == 0 else 0.25 for d in distances)
    return out


def altered(name, a, ij):
    if name == "reciprocam":
        kept = torch.zeros_like(a)
        kept[(slice(None), *ij)] = a[(slice(None), *ij)]
        return kept
    weights = weights_around(a.shape[1:], ij)
    if name == "vit-reciprocam":
        return a * weights
    vector = a[(slice(None), *ij)]
    return vector.reshape(-1, *[1] * (a.ndim - 1)) * weights


def reciprocal(net, name, of, a, classes):
    out = torch.zeros(len(classes), *a.shape[1:], dtype=a.dtype)
    for ij in each_position(a):
        logits = net.suffix(altered(name, a, ij)[None])[0]
        answer = logits if of == "logit" else logits.softmax(0)
        for t, c in enumerate(classes):
            out[(t, *ij)] = answer[c]
    return out


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("ndim", NDIMS)
def test_recipro_is_the_literal_loop(ndim, head):
    net = Net(ndim, head, signed=True)
    evidence = seen(net)
    for name, of in itertools.product(["reciprocam", "reciprocam-gaussian"], ["probability", "logit"]):
        expected = literal(net, lambda a, c: reciprocal(net, name, of, a, c))  # noqa: B023
        close(maps_of(name, evidence, of=of), expected)
    expected = literal(net, lambda a, c: reciprocal(net, "vit-reciprocam", "logit", a, c))
    close(maps_of("vit-reciprocam", evidence), expected)
    positions = math.prod(evidence.activations.shape[2:])
    assert evidence.suffix.counts == [positions] * 6, "one sweep per image and form, whatever is asked of it"


@pytest.mark.parametrize("ndim", NDIMS)
def test_recipro_on_logits_behind_a_linear_head_is_cam(ndim):
    net = Net(ndim)
    evidence = seen(net, head=True)
    positions = math.prod(evidence.activations.shape[2:])
    bias = net.suffix[1].bias.numpy()[CLASSES].reshape(2, 3, *[1] * ndim)
    close(maps_of("reciprocam", evidence, of="logit"), maps_of("cam", evidence) / positions + bias)


def test_gaussian_weights_of_the_plane_are_the_published_ones():
    sixteenths = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16
    np.testing.assert_array_equal(weights_around((3, 3), (1, 1)), sixteenths)
    identity = Runner(nn.Flatten(), np.arange(9)[None])  # a suffix that shows what came to it
    e = Evidence(np.ones((1, 1, 3, 3)), suffix=identity)
    mine = maps_of("reciprocam-gaussian", e, of="logit")
    np.testing.assert_array_equal(mine[0, :, 1, 1], sixteenths.ravel())


class Block(nn.Module):
    """The last block of a ViT without its MLP: x + attention(norm1(x)), read from the CLS token."""

    def __init__(self, width=8, classes=4):
        super().__init__()
        torch.manual_seed(0)
        self.norm1, self.norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.head = nn.Linear(width, classes)
        for p in self.parameters():
            nn.init.normal_(p, std=0.7)
        self.double().requires_grad_(False).eval()

    def after_norm1(self, residual, normed):
        read = residual + self.attention(normed, normed, normed, need_weights=False)[0]
        return self.head(self.norm(read)[:, 0])


def test_vit_recipro_at_the_last_norm1_is_the_original():
    """The original weighs the block's input too; a head that reads CLS alone never sees the patches of that."""
    with torch.random.fork_rng(devices=[]):
        block = Block()
        tokens = torch.randn(1, 1 + 12, 8, dtype=torch.float64)
    classes = np.array([[2, 0]])
    normed = block.norm1(tokens)
    original = np.zeros((1, 2, 3, 4))
    for ij in itertools.product(range(3), range(4)):
        weights = torch.cat([torch.ones(1), weights_around((3, 4), ij).flatten()])[:, None]
        logits = block.after_norm1(tokens * weights, normed * weights)[0]
        original[(0, slice(None), *ij)] = logits[classes[0]]

    def suffix(grid):  # as an adapter does: prefix tokens and the residual stream as they were
        patches = torch.cat([normed[:, :1].expand(len(grid), -1, -1), grid.flatten(2).mT], dim=1)
        return block.after_norm1(tokens.expand(len(grid), -1, -1), patches)

    grid = normed[:, 1:].mT.reshape(1, 8, 3, 4).numpy()
    close(maps_of("vit-reciprocam", Evidence(grid, suffix=Runner(suffix, classes))), original)


# ------------------------------------------------------------------ all of them


@pytest.mark.parametrize("name", METHODS)
def test_the_size_of_chunks_does_not_matter(name):
    net = Net(2, "conv")
    close(maps_of(name, seen(net, chunk=1)), maps_of(name, seen(net, chunk=1000)), 1e-12)


@pytest.mark.parametrize("name", METHODS)
def test_a_batch_is_its_images_one_by_one(name):
    net = Net(2, "mlp")
    together = maps_of(name, seen(net))
    for image in range(2):
        close(maps_of(name, only(seen, image, net))[0], together[image], 1e-12)


@pytest.mark.parametrize("convert", [as_torch, as_jax])
@pytest.mark.parametrize("head", [False, True])
@pytest.mark.parametrize("name", [*METHODS, "liftcam"])
def test_every_array_library_gives_the_same(name, head, convert):
    if name == "liftcam" and not head:
        pytest.skip("refused without a linear head")
    for ndim in NDIMS:
        net = Net(ndim)
        expected = maps_of(name, seen(net, as_numpy, "float32", head=head))
        found = get_method(name)(seen(net, convert, "float32", head=head))
        assert type(found) is type(convert([0.0], "float32"))
        assert "float32" in str(found.dtype)
        close(found, expected, 2e-5)


# ------------------------------------------------------------------ against pytorch-grad-cam


def peer(net, classes):
    """Its AblationCAM before ReLU and scaling."""
    from pytorch_grad_cam import AblationCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    net = net.float()
    A = net.prefix(net.x.float())
    with AblationCAM(net, [net.prefix]) as cam:
        targets = [ClassifierOutputTarget(int(c)) for c in classes]
        weights = cam.get_cam_weights(net.x.float(), net.prefix, targets, A, None)
    net.double()
    return np.einsum("bk,bkhw->bhw", weights, A.numpy())


def positive(net):
    """A net whose scores are positive, as the peer wants them."""
    net.suffix[-1].bias += 100
    return net


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_parity_with_pytorch_grad_cam(head):
    net = positive(Net(2, head))
    mine = maps_of("ablationcam", seen(net, classes=CLASSES[:, :1]))[:, 0]
    close(peer(net, CLASSES[:, 0]), mine, 1e-3)  # it subtracts scores near 100 in single precision


def test_defect_of_pytorch_grad_cam_on_signed_activations():
    """It does not take a channel away there: it puts in the least activation minus ten million."""
    net = positive(Net(2, "mlp", signed=True))
    mine = maps_of("ablationcam", seen(net, classes=CLASSES[:, :1]))[:, 0]
    theirs = peer(net, CLASSES[:, 0])
    if np.abs(theirs - mine).max() < 1e-2 * np.abs(mine).max():
        pytest.skip("fixed upstream")
    assert np.abs(theirs).max() > 1e4 * np.abs(mine).max()


def test_defect_of_pytorch_grad_cam_on_negative_scores():
    """It divides by the score itself: a negative one turns evidence for into evidence against."""
    net = Net(2, "mlp")
    net.suffix[-1].bias -= 100
    mine = maps_of("ablationcam", seen(net, classes=CLASSES[:, :1]))[:, 0]
    theirs = peer(net, CLASSES[:, 0])
    if np.abs(theirs - mine).max() < 1e-2 * np.abs(mine).max():
        pytest.skip("fixed upstream")
    close(-theirs, mine, 1e-3)
