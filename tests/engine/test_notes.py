"""Notes: each comes when it should, and does not come when it should not; likewise every status."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import camscope
from camscope import Preprocessing
from camscope.engine.notes import Notes
from camscope.errors import CamscopeWarning
from camscope.evidence import Evidence, FullGradients, LinearHead, ModelEvidence, Responses
from camscope.libraries import ModelInfo
from camscope.methods import get_method, list_methods
from tests.cli.brightness import bright

RNG = np.random.default_rng(0)
A = RNG.random((2, 4, 3, 3)) + 0.1
SIGNED = A - 0.5
W = RNG.standard_normal((2, 3, 4))


def seen(*, signed: bool = False, head: bool = True, pools: bool = True, linear: bool = True) -> Evidence:
    activations = SIGNED if signed else A
    made = LinearHead(W, activations, pools_activations=pools, linear=linear) if head else None
    return Evidence(activations, head=made)


def of(names: list[str], **what: bool) -> tuple[str, ...]:
    notes = Notes()
    notes.of_evidence([get_method(name) for name in names], "deep", seen(**what))
    return notes.all


# ------------------------------------------------------------------ the same map behind a linear head

GROUPS: dict[tuple[bool, bool], set[frozenset[str]]] = {
    (signed, linear): {
        frozenset({"cam", "gradcam", "hirescam", "xgradcam", *(["shapley"] if linear else [])}),
        frozenset({"layercam", "gradcam++-official", *([] if signed else ["gradcam-elementwise"])}),
        *([frozenset({"ablationcam", "liftcam"})] if linear else []),
    }
    for signed, linear in itertools.product((False, True), repeat=2)
}
"""Which are the same by (signed activations, scores that are logits). METHODS §1.0, by hand."""


@pytest.mark.parametrize(("signed", "linear"), GROUPS)
def test_of_every_two_methods_it_is_told_whether_they_are_the_same(signed, linear):
    names = [m.base for m in list_methods() if m.scope == "layer"]
    for a, b in itertools.combinations(names, 2):
        told = [note for note in of([a, b], signed=signed, linear=linear) if "the same map" in note]
        same = any({a, b} <= group for group in GROUPS[signed, linear])
        assert bool(told) == same, (a, b)
        assert not told or f"deep is pooled into one linear layer, where {a}, {b} are" in told[0]


@pytest.mark.parametrize(("signed", "linear"), GROUPS)
def test_all_that_are_the_same_are_told_together(signed, linear):
    names = [m.base for m in list_methods() if m.scope == "layer"]
    told = [note for note in of(names, signed=signed, linear=linear) if "the same map" in note]
    found = {frozenset(note.partition("where ")[2].partition(" are")[0].split(", ")) for note in told}
    assert found == GROUPS[signed, linear]


@pytest.mark.parametrize("what", [{"head": False}, {"pools": False}])
def test_without_such_a_head_nothing_is_the_same(what):
    """Where the ReLU of the layer is pooled, CAM's map is of that, and Grad-CAM's of the layer."""
    assert not any("the same map" in note for note in of(["cam", "gradcam", "hirescam"], **what))


@pytest.mark.parametrize(("signed", "linear"), GROUPS)
def test_what_is_told_to_be_the_same_is_the_same(signed, linear):
    """The facts that the register states, in numbers: a positive factor for each image and target, or none."""
    activations = SIGNED if signed else A
    gradients = W[..., None, None] / 9
    zeros = np.zeros((2, 3, 4, 1, 1))
    scores = np.einsum("btc,bc->bt", W, activations.mean((2, 3))) + 0.3
    evidence = Evidence(
        activations,
        gradients,
        curvature=zeros,
        head=LinearHead(W, activations, pools_activations=True),
        model=ModelEvidence(np.zeros((2, 1)), Responses(scores, scores, scores)),
    )
    told = set().union(*GROUPS[signed, True])
    maps = {name: np.asarray(get_method(name)(evidence)).reshape(6, 9) for name in told}
    for group in GROUPS[signed, linear]:
        first, *others = (maps[name] for name in group)
        for other in others:
            lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(other, axis=1)
            np.testing.assert_allclose((first * other).sum(1), lengths, rtol=1e-9)
    if signed:
        a, b = maps["layercam"], np.asarray(get_method("gradcam-elementwise")(evidence)).reshape(6, 9)
        assert not np.allclose((a * b).sum(1), np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))


# ------------------------------------------------------------------ negative activations


@pytest.mark.parametrize("m", [m for m in list_methods() if m.scope == "layer"], ids=lambda m: m.base)
def test_negative_activations_are_told_to_methods_that_presume_none(m):
    told = any("negative activations" in note for note in of([m.base], signed=True, head=False))
    assert told == m.nonnegative
    assert not any("negative activations" in note for note in of([m.base], signed=False, head=False))


def test_negative_activations_name_all_that_it_concerns_and_no_others():
    (note,) = of(["gradcam", "gradcam++", "xgradcam"], signed=True, head=False)
    assert "deep has negative activations, for which gradcam++, xgradcam are not defined" in note
    (note,) = of(["fem"], signed=True, head=False)
    assert "for which fem is not defined" in note


@pytest.mark.parametrize(("method", "layer", "told"), [("gradcam++", "cells", True), ("gradcam++", "seen", False),
                                                      ("gradcam", "cells", False)])  # fmt: skip
def test_negative_activations_of_a_real_layer_are_a_warning(method, layer, told):
    """`cells` is before the ReLU, `seen` after it."""
    photo = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        e = camscope.explain(bright(), photo, methods=method, layers=layer)
    assert any("negative activations" in note for note in e.notes) == told
    said = [w for w in caught if issubclass(w.category, CamscopeWarning)]
    assert any("negative activations" in str(w.message) for w in said) == told


# ------------------------------------------------------------------ parts that do not add up


def parts(gap: list[list[float]]) -> ModelEvidence:
    gaps = np.array(gap)
    nothing = np.zeros_like(gaps)
    inputs = np.zeros((*gaps.shape, 1, 2, 2))
    full = FullGradients(inputs, (), nothing, gaps)
    return ModelEvidence(
        np.zeros((len(gaps), 1, 2, 2)), Responses(nothing, nothing, nothing), full_gradients=full
    )


def of_model(names: list[str], evidence: ModelEvidence) -> tuple[str, ...]:
    notes = Notes()
    notes.of_model([get_method(name) for name in names], evidence)
    return notes.all


@pytest.mark.parametrize(
    ("gap", "told"),
    [
        ([[0.0]], False),
        ([[0.009]], False),
        ([[0.011]], True),
        ([[0.0, 0.5], [0.0, 0.0]], True),
        ([[1.0]], True),
    ],
)
def test_parts_that_do_not_add_up_are_told(gap, told):
    """The largest gap of any image and target counts."""
    notes = of_model(["rise", "fullgrad"], parts(gap))
    assert len(notes) == told
    if told:
        assert notes[0].startswith("fullgrad: the parts do not add up")
        assert f"({max(map(max, gap)):.0%} is missing)" in notes[0]
        assert "balanced(fullgrad)" in notes[0]


def test_of_a_model_without_parts_nothing_is_told():
    nothing = np.zeros((1, 1))
    assert (
        of_model(["rise"], ModelEvidence(np.zeros((1, 1, 2, 2)), Responses(nothing, nothing, nothing))) == ()
    )


def small(activation: nn.Module) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1),
            activation,
            nn.Conv2d(6, 6, 3, padding=1),
            activation,
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(6, 3),
        )
    return model.eval()


@pytest.mark.parametrize("method", ["fullgrad", "smooth(fullgrad, n=2, average=gradients)"])
@pytest.mark.parametrize(("activation", "told"), [(nn.ReLU(), False), (nn.GroupNorm(2, 6), True)])
def test_a_real_model_says_whether_its_parts_add_up(activation, told, method):
    x = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    e = camscope.explain(small(activation), x, methods=method, targets=[0, 1])
    assert any("do not add up" in note for note in e.notes) == told


# ------------------------------------------------------------------ tensors that look unprepared

IMAGENET = Preprocessing((8, 8), 8)


def of_inputs(x: np.ndarray, *, prepared: bool = False, **info: Any) -> tuple[str, ...]:
    notes = Notes()
    notes.of_inputs(x, prepared, ModelInfo(**{"preprocessing": IMAGENET, **info}))
    return notes.all


FRACTIONS = RNG.random((1, 3, 8, 8))
NORMALISED = (FRACTIONS - 0.5) / 0.25
UNPREPARED = "it seems not to be prepared"


@pytest.mark.parametrize(
    ("x", "told"),
    [
        (NORMALISED, False),
        (FRACTIONS, True),
        (FRACTIONS * 255, True),
        (FRACTIONS - 0.01, False),  # below zero: something was subtracted
        (FRACTIONS * 1.1, False),
        (NORMALISED * 20, True),
    ],
)
def test_values_that_no_preprocessing_makes_are_told(x, told):
    notes = of_inputs(x)
    assert any(UNPREPARED in note for note in notes) == told
    assert len(notes) == told
    if told:
        assert f"between {x.min():.3g} and {x.max():.3g}" in notes[0]


def test_photos_are_prepared_whatever_they_look_like():
    assert of_inputs(FRACTIONS, prepared=True) == ()


def test_a_presumed_preprocessing_is_no_ground_for_a_complaint():
    assert of_inputs(FRACTIONS, note="ImageNet's was presumed") == ()
    assert of_inputs(FRACTIONS, preprocessing=None) == ()


def test_bytes_are_told_also_where_the_preprocessing_is_presumed():
    whole = np.rint(FRACTIONS * 255)
    (note,) = of_inputs(whole, note="ImageNet's was presumed")
    assert note.startswith("The tensor holds whole numbers from ")
    assert of_inputs(whole + 0.5, note="ImageNet's was presumed") == ()
    assert of_inputs(whole, note="ImageNet's was presumed", preprocessing=None) == ()
    assert of_inputs(np.rint(FRACTIONS), note="ImageNet's was presumed") == ()  # a mask


def test_it_is_told_what_the_values_look_like():
    assert "(these look like values from 0 to 1, not normalised)" in of_inputs(FRACTIONS)[0]
    assert "(these look like the bytes of photos, not divided by 255)" in of_inputs(FRACTIONS * 255)[0]
    assert "look like" not in of_inputs(NORMALISED * 20)[0]


def test_a_blank_baseline_is_no_photo_that_was_not_prepared():
    assert of_inputs(np.zeros((1, 3, 8, 8))) == ()


def test_a_model_of_fractions_takes_fractions():
    """Mean 0 and deviation 1: the values of a prepared photo lie between 0 and 1."""
    plain = Preprocessing((8, 8), 8, mean=(0.0,) * 3, std=(1.0,) * 3)
    assert of_inputs(FRACTIONS, preprocessing=plain) == ()
    assert any(UNPREPARED in note for note in of_inputs(FRACTIONS * 255, preprocessing=plain))


def test_a_model_of_bytes_takes_bytes():
    as_bytes = Preprocessing((8, 8), 8, mean=(0.0,) * 3, std=(1 / 255,) * 3)
    assert of_inputs(FRACTIONS * 255, preprocessing=as_bytes) == ()


def test_another_size_is_told():
    (note,) = of_inputs(np.zeros((1, 3, 8, 10)) - 1)
    assert note == "The tensor is 8×10; the model's own preprocessing makes 8×8."
    assert of_inputs(np.zeros((1, 3, 8, 8)) - 1) == ()


@pytest.mark.parametrize("shape", [(1, 3, 8), (1, 4, 8, 8), (1, 3, 2, 8, 8)])
def test_of_what_is_no_picture_nothing_is_told(shape):
    assert of_inputs(np.ones(shape)) == ()


def test_where_a_library_says_what_values_lie_between_that_counts():
    """Of a detector, which prepares its inputs by itself."""
    assert of_inputs(FRACTIONS, preprocessing=None, values=(0.0, 1.0)) == ()
    assert any(UNPREPARED in n for n in of_inputs(FRACTIONS * 255, preprocessing=None, values=(0.0, 1.0)))
    assert any(UNPREPARED in n for n in of_inputs(FRACTIONS, preprocessing=None, values=(-2.0, 2.0)))
    assert any(
        UNPREPARED in n
        for n in of_inputs(FRACTIONS * 255, preprocessing=None, values=(0.0, 1.0), prepared=True)
    )


# ------------------------------------------------------------------ warnings of a method's own


def test_guided_gradcam_warns_and_nothing_else_does():
    assert [m.base for m in list_methods() if m.warning] == ["guided-gradcam"]
    x = torch.randn(1, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    for method, told in (("guided-gradcam", True), ("gradcam", False)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            e = camscope.explain(small(nn.ReLU()), x, methods=method)
        assert any("randomisation tests" in note for note in e.notes) == told
        assert any("randomisation tests" in str(w.message) for w in caught) == told


def test_each_note_comes_once_in_order_and_only_urgent_ones_warn():
    notes = Notes()
    for note, urgent in (("b", False), ("a", True), ("b", True), ("", True)):
        notes.add(note, urgent=urgent)
    assert notes.all == ("b", "a")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        notes.warn()
    assert [str(w.message) for w in caught] == ["a"]


# ------------------------------------------------------------------ statuses


class Parts(nn.Module):
    """Class 0 of the first channel; 1 against it; 2 of nothing; 3 of one that is flat; 4 of all but the layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 2, 1)
        self.relu = nn.ReLU()
        with torch.no_grad():
            self.layer.weight.copy_(torch.tensor([1.0, 0.0]).reshape(2, 1, 1, 1))
            self.layer.bias.copy_(torch.tensor([0.0, 1.0]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = self.relu(self.layer(x))
        pooled = a.mean((2, 3))
        nothing, flat = 0 * pooled[:, 0], pooled[:, 1]
        return torch.stack([pooled[:, 0], -pooled[:, 0], nothing, flat, x.mean((1, 2, 3))], 1)


STATUSES = ["ok", "all-negative", "no-gradient", "flat", "no-gradient"]


@pytest.mark.parametrize("method", ["gradcam", "hirescam", "layercam"])
def test_every_status_is_true_of_its_map_and_of_no_other(method):
    x = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)) + 0.1
    e = camscope.explain(Parts().eval(), x, methods=method, layers="relu", targets=[0, 1, 2, 3, 4])
    # of LayerCAM evidence against is no evidence: a map of zeros, whose gradient is none
    expected = ["flat" if method == "layercam" and s == "all-negative" else s for s in STATUSES]
    for image in range(2):
        assert [str(s) for s in e.status[method, "relu"][image]] == expected
    free = e.gradient_free[method, "relu"]
    assert free.tolist() == [[False, False, True, False, True]] * 2


def test_a_dead_layer_is_flat_and_its_gradient_is_not_to_blame():
    """Activations of zero give maps of zero although the score depends on the layer; and only where they are zero."""
    x = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)) + 0.1
    x[0] = -x[0]
    e = camscope.explain(Parts().eval(), x, methods="gradcam", layers="relu", targets=[0, 2])
    assert [[str(s) for s in row] for row in e.status["gradcam", "relu"]] == [
        ["flat", "no-gradient"],
        ["ok", "no-gradient"],
    ]


def test_what_is_zero_where_it_is_not_negative_is_no_evidence_either():
    """A ReLU leaves positions at zero: the map against them is zero there, and negative elsewhere."""
    x = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0)) + 0.1
    x[..., :4] *= -1
    e = camscope.explain(Parts().eval(), x, methods="gradcam", layers="relu", targets=[0, 1])
    assert e.maps().amax((2, 3)).tolist()[0][1] == 0
    assert [str(s) for s in e.status["gradcam", "relu"][0]] == ["ok", "all-negative"]


def test_a_method_without_gradients_never_blames_the_gradient():
    x = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0)) + 0.1
    e = camscope.explain(Parts().eval(), x, methods=["eigencam", "reciprocam"], layers="relu", targets=[0, 2])
    assert not e.gradient_free
    assert "no-gradient" not in {str(s) for rows in e.status.values() for row in rows for s in row}


# ------------------------------------------------------------------ which sizes count


class TopBySize(nn.Module):
    """Class 0 is on top at 8×8, class 1 at any other size; where an input's first pixel is dark it is class 2."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Conv2d(1, 3, 1), nn.ReLU())
        with torch.no_grad():
            self.layer[0].weight.copy_(torch.tensor([1.0, 2.0, 3.0]).reshape(3, 1, 1, 1))
            self.layer[0].bias.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = self.layer(x)
        place = torch.linspace(0.5, 1.5, a.shape[-1])
        pooled = (a * place * a).mean((2, 3))
        bonus = torch.tensor([10.0, 0, 0]) if x.shape[-1] == 8 else torch.tensor([0.0, 10, 0])
        dark = torch.tensor([0.0, 0, 100]) * (x[:, 0, 0, 0] < 0.05)[:, None]
        return pooled + bonus + dark


def up(m: torch.Tensor, size: int) -> torch.Tensor:
    return nn.functional.interpolate(m, (size, size), mode="bilinear", align_corners=False)


def at(x: torch.Tensor, c: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Activations and the gradient of class c, at the grid of a 12×12 input."""
    model = TopBySize()
    a = model.layer(x).detach().requires_grad_()
    place = torch.linspace(0.5, 1.5, a.shape[-1])
    (g,) = torch.autograd.grad((a * place * a).mean((2, 3))[:, c].sum(), a)
    return up(a.detach(), 12), up(g, 12)


@pytest.fixture(scope="module")
def inputs() -> torch.Tensor:
    x = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)) + 0.2
    x[1, 0, 0, 0] = 0
    x[1, 0, 1, 1] = x[1, 0, 0, 1] = x[1, 0, 1, 0] = 0
    return x


def expected(x: torch.Tensor, image: int, c: int, counts: tuple[bool, bool]) -> torch.Tensor:
    """HiResCAM of the means over what counts."""
    seen = [at(one[image : image + 1], c) for one, count in zip((x, up(x, 12)), counts, strict=True) if count]
    mean_a, mean_g = (sum(parts) / len(seen) for parts in zip(*seen, strict=True))
    return (mean_a * mean_g).sum(1)[0]


COUNTS = {
    (0, 0): (True, False), (0, 1): (False, True), (0, 2): (True, True),
    (1, 0): (True, True), (1, 1): (True, True), (1, 2): (True, True),
}  # fmt: skip
"""By image and class, whether 8×8 and 12×12 count: where the class is on top; both where it is so at neither size."""


def test_a_size_counts_where_its_top_class_is_the_target(inputs):
    x = inputs
    e = camscope.explain(
        TopBySize().eval(), x, methods="multiscale(hirescam, [1, 1.5])", targets=[0, 1, 2], layers="layer"
    )
    for (image, c), counts in COUNTS.items():
        found = e.maps()[image, c]
        torch.testing.assert_close(found, expected(x, image, c, counts), rtol=1e-5, atol=1e-7)
        for other in itertools.product((True, False), repeat=2):
            if any(other) and other != counts:
                assert not torch.allclose(found, expected(x, image, c, other), rtol=1e-2), (image, c, other)


def test_a_function_of_ones_own_counts_at_every_size(inputs):
    """Beside a class of which one size counts."""
    x = inputs
    e = camscope.explain(
        TopBySize().eval(),
        x,
        methods="multiscale(hirescam, [1, 1.5])",
        targets=[0, lambda output: output[:, 0]],
        layers="layer",
    )
    for image in range(2):
        for t, counts in enumerate((COUNTS[image, 0], (True, True))):
            torch.testing.assert_close(
                e.maps()[image, t], expected(x, image, 0, counts), rtol=1e-5, atol=1e-7
            )
