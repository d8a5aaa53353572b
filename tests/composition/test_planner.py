"""What is asked for together is gathered in the fewest passes, and is what it would be asked for one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import nn

import camscope
from camscope import Preprocessing
from camscope.composition import parse
from camscope.errors import CamscopeError, LayerError
from camscope.models.torch import observation
from camscope.models.torch.backwards.curvature import curvature
from camscope.targets import Class, Contrast, PerImage, TopK
from tests.composition.test_fusion import LAYERS, deep
from tests.torch.nets import Backwards, Net, batch, gap_head, mlp_head

pytestmark = pytest.mark.filterwarnings("ignore::camscope.errors.CamscopeWarning")
X = batch(3, 3, 16, 16, dtype=torch.float64)
BLACK = Preprocessing((16, 16), 16, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.5))


class Counted:
    """A network that counts: forwards and images through its stem and its head, and backwards through its head."""

    def __init__(self, *, linear: bool = False) -> None:
        self.model = Net(gap_head() if linear else mlp_head(16)).double().eval()
        self.counter = Backwards()
        self.sizes: list[int] = []
        self.model.head.insert(0, self.counter)
        self.model.stem.register_forward_pre_hook(lambda _m, inputs: self.sizes.append(len(inputs[0])))
        self.explainer = camscope.Explainer(self.model, preprocessing=BLACK)

    def passes(self, methods: str | Sequence[str], x: torch.Tensor = X, **call: Any) -> tuple[int, int]:
        """How many forwards and backwards a call takes, what is found out about a model only once left out."""
        call.setdefault("layers", "body")
        self.explainer(x, methods=methods, **call)
        self.counter.backwards = 0
        self.sizes.clear()
        self.explainer(x, methods=methods, **call)
        return len(self.sizes), self.counter.backwards


PLAIN = ["gradcam", "hirescam", "layercam", "gradcam++", "gradcam++-official", "xgradcam", "eigengradcam"]
AGNOSTIC = ["eigencam", "kpcacam", "fem", "mean-activation", "random", "centre"]


def test_many_plain_methods_layers_and_targets_take_one_forward_and_a_backward_per_target():
    assert Counted().passes([*PLAIN, *AGNOSTIC], targets=TopK(3), layers=["stem", "body"]) == (1, 3)


def test_behind_a_linear_head_all_targets_share_one_backward_through_the_pooling():
    methods = [*PLAIN, *AGNOSTIC, "cam"]
    assert Counted(linear=True).passes(methods, targets=TopK(3)) == (1, 1)
    # whether the head stays linear without a channel is tried: two runs of the whole model on altered copies of all
    # images, and for each image the part after the layer twice, where what is in front of it does not run again
    assert Counted(linear=True).passes([*methods, "ablationcam", "liftcam"], targets=TopK(3)) == (
        3 + 2 * 3,
        1,
    )


def test_finer_behind_a_linear_head_shares_that_backward():
    methods = ["gradcam", "finer(gradcam)", "finer(cam)", "rest(gradcam)"]
    assert Counted(linear=True).passes(methods, targets=[1, 2]) == (1, 1)
    assert Counted(linear=True).passes([*methods, "finer(ablationcam)"], targets=[1, 2]) == (3 + 2 * 3, 1)


@pytest.mark.parametrize(
    ("methods", "forwards", "backwards"),
    [
        ("eigencam", 1, 0),
        ("gradcam", 1, 2),
        (["gradcam", "gradcam"], 1, 2),
        (["gradcam", "layercam", "eigencam"], 1, 2),
        # other targets are other backwards, of the same forward; whoever wants the same ones shares them
        (["gradcam", "finer(gradcam)"], 1, 4),
        (["finer(gradcam)", "finer(layercam)", "finercam"], 1, 2),
        (["finer(gradcam)", "finer(gradcam, gamma=1)"], 1, 4),
        (["gradcam", "finer(gradcam)", "rest(gradcam)", "rest(finer(gradcam))"], 1, 8),
        # other gradients are another forward
        (["balanced(gradcam)", "balanced(layercam)"], 2, 2),
        (["gradcam", "balanced(gradcam)"], 2, 4),
        (["balanced(gradcam)", "balanced(finer(gradcam))"], 2, 4),
        # fusions need nothing of their own
        (["fuse(layercam)", "fuse(layercam, product)", "refinecam", "layercam"], 1, 2),
        # 16 copies of three images: 15 at a time, so four batches, whoever wants them
        ("smooth(gradcam)", 1 + 4, 4 * 2),
        (["smooth(gradcam)", "smooth(layercam)", "smooth(eigencam)", "gradcam"], 1 + 4, 2 + 4 * 2),
        (["smooth(gradcam)", "smooth(fuse(gradcam))", "fuse(smooth(gradcam))"], 1 + 4, 4 * 2),
        (["smooth(gradcam)", "smooth(gradcam, sigma=0.1)"], 1 + 8, 8 * 2),
        (["smooth(eigencam)", "smooth(fem)"], 1 + 4, 0),
        ("smooth(gradcam, n=5)", 1 + 1, 2),
        ("smooth(gradcam, n=6)", 1 + 2, 2 * 2),
        # the clean activations once more
        ("smooth(gradcam, average=gradients)", 1 + 4 + 1, 4 * 2),
        (["smoothgradcam++", "smooth(gradcam, average=gradients)"], 1 + 4 + 1, 4 * 2),
        ("augment(gradcam)", 1 + 2, 2 * 2),
        (["augment(gradcam)", "augmented-gradcam", "augment(layercam)"], 1 + 2, 2 * 2),
        ("path(gradcam)", 1 + 4, 4 * 2),
        (["integrated-gradcam", "path(hirescam)"], 1 + 4, 4 * 2),
        # copies of copies: twice three images are six, of which two copies fit
        ("smooth(augment(gradcam), n=2)", 1 + 3, 3 * 2),
    ],
)  # fmt: skip
def test_passes(methods, forwards, backwards):
    layers = ["stem", "body"] if "fuse" in str(methods) or "refinecam" in str(methods) else "body"
    assert Counted().passes(methods, targets=[1, 2], layers=layers) == (forwards, backwards)


def test_every_size_is_one_forward_and_a_backward_per_target():
    net = Counted(linear=True)
    net.model.head.insert(1, nn.Softplus())  # no linear head, and takes any size
    assert net.passes("multiscale(gradcam)", targets=[1, 2]) == (1 + 3, 3 * 2)
    assert net.passes(["multiscale(gradcam)", "multiscale(layercam)", "gradcam"], targets=[1, 2]) == (
        1 + 3,
        2 + 3 * 2,
    )
    assert net.passes(["multiscale(gradcam)", "multiscale(finer(gradcam))"], targets=[1, 2]) == (1 + 6, 6 * 2)


def test_copies_never_run_in_larger_batches_than_the_users_or_sixteen():
    net = Counted()
    net.passes(["smooth(gradcam, n=40)"], X[:1], targets=1)
    assert net.sizes == [1, 16, 16, 8]
    net.passes(["smooth(gradcam, n=2)"], batch(20, 3, 16, 16, dtype=torch.float64), targets=1)
    assert net.sizes == [20, 20, 20]


def test_one_sweep_of_masked_inputs_serves_all_targets_and_all_who_mask_alike():
    net = Counted()
    net.passes("scorecam", X[:1], targets=1)
    alone = sum(net.sizes)
    net.passes(
        ["scorecam", "scorecam-paper", "scorecam-paper-logit", "pcam+"], X[:1], targets=[0, 1, 2, 3, 4]
    )
    together = sum(net.sizes)
    net.passes(["pcam+"], X[:1], targets=1)
    assert together <= alone + sum(net.sizes)
    assert alone <= 1 + 12 + 1  # an input for each channel


def test_one_sweep_of_re_runs_serves_all_targets():
    net = Counted()
    heads = []
    net.model.head.register_forward_pre_hook(lambda _m, inputs: heads.append(len(inputs[0])))
    for targets in ([1], [0, 1, 2, 3, 4]):
        net.passes("reciprocam", X[:1], targets=targets)
        heads.clear()
        net.explainer(X[:1], methods=["reciprocam", "reciprocam(of=logit)"], targets=targets, layers="body")
        # the forward, each position once, and two altered copies that try the plan: whole, and from the layer
        assert sum(heads) == 1 + 16 + 2 + 2


def test_a_method_gets_what_it_needs_at_its_own_layers_only(monkeypatch):
    """Second derivatives at the one layer of shapley, not at all that a fusion combines."""
    taken: list[int] = []

    def spy(score: torch.Tensor, layers: Sequence[torch.Tensor], sources: Sequence[Any]) -> Any:
        taken.append(len(layers))
        return curvature(score, layers, sources)

    monkeypatch.setattr(observation, "curvature", spy)
    x = batch(2, 3, 32, 32, dtype=torch.float64)
    together = camscope.explain(deep(), x, methods=["shapley", "fuse(layercam)"], targets=[1, 4])
    assert taken == [1, 1]
    for method in ("shapley", "fuse(layercam)"):
        close(
            together.maps(method), camscope.explain(deep(), x, methods=method, targets=[1, 4]).maps(), method
        )


def test_attention_is_missed_before_any_work():
    """Refused on one image, before the batch runs."""
    counted = Counted()
    with pytest.raises(CamscopeError, match="No attention was seen"):
        counted.explainer(X[:2], methods=["gradcam", "rollout"])
    assert 2 not in counted.sizes


def test_nothing_before_the_first_layer_has_a_graph():
    """With wrappers, too."""
    net = Counted()
    graphs = []
    net.model.stem.register_forward_hook(lambda _m, _i, output: graphs.append(output.requires_grad))
    net.passes(
        ["gradcam", "smooth(gradcam)", "augment(layercam)", "path(gradcam)", "balanced(gradcam)"], targets=1
    )
    assert graphs
    assert not any(graphs)


# ------------------------------------------------------------------ together is one by one


EVERYTHING = [
    *PLAIN,
    *AGNOSTIC,
    "gradcam-elementwise",
    "shapley",
    "guided-gradcam",
    "ablationcam",
    "reciprocam",
    "vit-reciprocam",
    "scorecam(top=3)",
    "gscorecam(top=3)",
    "groupcam(groups=3)",
    "pcam",
    "opticam(steps=2)",
    "rise(n=8)",
    "fullgrad",
    "balanced(fullgrad)",
    "finer(gradcam)",
    "finer(reciprocam)",
    "finer(rise(n=8))",
    "rest(layercam)",
    "rest(finer(fullgrad))",
    "balanced(gradcam)",
    "smooth(layercam, n=7)",
    "smooth(ablationcam, n=2)",
    "smooth(rise(n=8), n=2)",
    "smooth(gradcam, n=7, average=gradients)",
    "smoothgradcam++",
    "augment(gradcam)",
    "multiscale(gradcam, [1])",
    "path(gradcam, n=3)",
]
TARGETS: dict[str, Any] = {
    "top": None,
    "several": [1, TopK(2), -Class(3), Class(2, "probability"), Contrast(0, against=[3, 4])],
    "per image": PerImage([[0, 1], [1, 2], [4, 0]]),
}


@pytest.fixture(scope="module")
def explainer() -> camscope.Explainer:
    return camscope.Explainer(Net(mlp_head(16)).double().eval(), preprocessing=BLACK)


def close(found: torch.Tensor, expected: torch.Tensor, what: Any, tolerance: float = 1e-9) -> None:
    assert found.shape == expected.shape, what
    assert (found - expected).abs().max() <= tolerance * expected.abs().max(), what


@pytest.mark.parametrize("targets", ["top", "several", "per image"])
def test_many_methods_in_one_call_are_each_by_itself(explainer, targets):
    wanted = TARGETS[targets]
    if targets == "several":  # what is contrasted already is not contrasted again
        wanted = wanted[:-1]
    call: dict[str, Any] = {"targets": wanted, "layers": "body"}
    together = explainer(X, methods=EVERYTHING, **call)
    seen = set()
    for name in EVERYTHING:
        for key, maps in explainer(X, methods=name, **call).raw.items():
            close(together.raw[key], maps, key)
            seen.add(key)
    assert seen == set(together.raw)


SOME = [
    "gradcam",
    "ablationcam",
    "reciprocam",
    "scorecam(top=3)",
    "rise(n=8)",
    "fullgrad",
    "shapley",
    "opticam(steps=2)",
    "smooth(layercam, n=2)",
    "smoothgradcam++",
    "finer(gradcam++)",
    "balanced(gradcam)",
    "groupcam(groups=3)",
]


def test_many_targets_in_one_call_are_each_by_itself(explainer):
    """Also a contrast and a callable among them, for the methods that can have any target."""
    targets: list[Any] = [*TARGETS["several"], lambda raw: raw[:, 2] * raw[:, 3]]
    methods = [name for name in SOME if "finer" not in name]
    together = explainer(X, methods=methods, targets=targets, layers="body")
    starts = [0, 1, 3, 4, 5, 6]
    for target, start, end in zip(targets, starts, [*starts[1:], 7], strict=True):
        alone = explainer(X, methods=methods, targets=target, layers="body")
        for key, maps in alone.raw.items():
            close(together.raw[key][:, start:end], maps, (key, target))


def test_many_layers_in_one_call_are_each_by_itself(explainer):
    layers = ["stem", "body.1", "body"]
    together = explainer(X, methods=SOME, targets=[1, 4], layers=layers)
    for layer in layers:
        for key, maps in explainer(X, methods=SOME, targets=[1, 4], layers=layer).raw.items():
            close(together.raw[key], maps, key)


@pytest.mark.parametrize("name", EVERYTHING)
def test_a_batch_is_its_images_one_by_one(explainer, name):
    if name == "random":
        pytest.skip("image i gets the i-th draw, as it says")
    classes = [1, 4, 2]
    together = explainer(X, methods=name, targets=PerImage(classes), layers="body")
    for key, maps in together.raw.items():
        rows = [
            explainer(X[i : i + 1], methods=name, targets=c, layers="body").raw[key]
            for i, c in enumerate(classes)
        ]
        close(maps, torch.cat(rows), key, 1e-7 if "opticam" in name else 1e-9)


def test_targets_taken_a_few_at_a_time_are_all_at_once(explainer, monkeypatch):
    call: dict[str, Any] = {"methods": SOME, "targets": [0, 1, 2, 3, 4], "layers": ["stem", "body"]}
    whole = explainer(X, **call)
    monkeypatch.setattr("camscope.models.torch.observation._GRADIENT_BUDGET", 1)
    monkeypatch.setattr("camscope.models.torch.observation._WHOLE_GRADIENTS", 2)
    pieces = explainer(X, **call)
    for key, maps in whole.raw.items():
        close(pieces.raw[key], maps, key)


def test_copies_taken_one_at_a_time_are_all_at_once(explainer, monkeypatch):
    names = [name for name in EVERYTHING if parse(name).name.startswith(("smooth", "augment", "path"))]
    call: dict[str, Any] = {"methods": names, "targets": [1, 4], "layers": "body"}
    whole = explainer(X, **call)
    monkeypatch.setattr("camscope.engine.copies._TOGETHER", 1)
    pieces = explainer(X, **call)
    for key, maps in whole.raw.items():
        close(pieces.raw[key], maps, key)


def test_the_order_of_methods_is_that_of_the_result(explainer):
    names = ["smooth(gradcam, n=2)", "eigencam", "balanced(gradcam)", "gradcam", "finer(gradcam)"]
    for order in (names, names[::-1]):
        e = explainer(X, methods=order, targets=1, layers=["body", "stem"])
        assert list(e.raw) == [(name, layer) for name in order for layer in ("body", "stem")]
        assert e.methods == tuple(order)


def test_scores_are_of_the_targets_that_were_asked_for(explainer):
    """Whatever compositions make of them inside."""
    e = explainer(X, methods=["finer(gradcam)", "rest(gradcam)", "smooth(gradcam, n=2)"], targets=[1, 4])
    assert torch.equal(e.scores, e.logits[:, [1, 4]])
    assert [target.label for target in e.targets[0]] == ["class 1", "class 4"]


def test_kept_channels_are_of_the_targets_that_were_asked_for(explainer):
    plain = explainer(X, methods="gradcam", targets=[1, 4], layers=["stem", "body"], channels=3)
    for methods in (
        "finer(gradcam)",
        "eigencam",
        "rise(n=4)",
        "smooth(gradcam, n=2)",
        ["fuse(layercam)", "gradcam"],
    ):
        e = explainer(X, methods=methods, targets=[1, 4], layers=["stem", "body"], channels=3)
        assert set(e.channels) == {"stem", "body"}
        for layer, kept in e.channels.items():
            assert torch.equal(kept.index, plain.channels[layer].index)
            close(kept.contributions, plain.channels[layer].contributions, (methods, layer))


# ------------------------------------------------------------------ blank maps are no results


def blind() -> nn.Module:
    """Behind `last` only a token that stands for no position is used: its positions reach no class."""

    class Blind(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = deep(linear=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = self.net.body(self.net.stem(x))
            self.net.last(h)
            return self.net.head(torch.tanh(h))

    return Blind().double().eval()


BLANK = [
    "gradcam",
    "finer(layercam)",
    "rest(gradcam)",
    "balanced(gradcam)",
    "smooth(gradcam, n=2)",
    "smooth(gradcam++, n=2, average=gradients)",
    "augment(gradcam)",
    "multiscale(gradcam, [1])",
    "path(gradcam, zero, 2)",
    "ablationcam",
    "reciprocam",
    "smooth(ablationcam, n=2)",
]


@pytest.mark.parametrize("method", BLANK)
def test_a_layer_that_reaches_no_class_is_refused_by_whatever_needs_that(method):
    """And one that does is named, instead of a blank map."""
    x = batch(2, 3, 32, 32, dtype=torch.float64)
    with pytest.raises(LayerError, match=r"positions of 'net\.last' do not reach the score.*Use 'net\.body"):
        camscope.explain(blind(), x, methods=["eigencam", method], targets=1, layers=["net.body", "net.last"])


@pytest.mark.parametrize("wrapped", ["{}", "smooth({}, n=2)", "augment({})"])
@pytest.mark.parametrize("how", ["max", "product", "mean", "cascade"])
def test_nor_is_it_fused(how, wrapped):
    x = batch(2, 3, 32, 32, dtype=torch.float64)
    method = wrapped.format(f"fuse(gradcam, {how})")
    with pytest.raises(LayerError, match=r"positions of 'net\.last' do not reach the score"):
        camscope.explain(blind(), x, methods=method, targets=1, layers=["net.body", "net.last"])


def test_what_knows_no_class_may_look_at_any_layer():
    x = batch(2, 3, 32, 32, dtype=torch.float64)
    e = camscope.explain(blind(), x, methods=["eigencam", "smooth(fem(k=1), n=2)"], layers="net.last")
    assert all(m.any() for m in e.raw.values())


def test_a_map_that_happens_to_be_blank_is_a_result():
    """A class without evidence anywhere: said by its status, not refused."""
    model = deep(linear=True)
    with torch.no_grad():
        model.head[-1].weight[1] = 0
    methods = ["gradcam", "smooth(gradcam, n=2)", "ablationcam", "reciprocam(of=logit)", "fuse(gradcam)"]
    e = camscope.explain(
        model, batch(2, 3, 32, 32, dtype=torch.float64), methods=methods, targets=1, layers=LAYERS
    )
    assert {str(s) for rows in e.status.values() for row in rows for s in row} <= {"flat", "no-gradient"}


# ------------------------------------------------------------------ what cannot be had


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("cam", "needs a head that is global average pooling and one linear layer"),
        ("liftcam", "Use 'ablationcam': the same map wherever both exist"),
        ("finer(cam)", "cam needs a head"),
        ("smooth(cam, n=2)", "cam needs a head"),
        ("rollout", "attention"),
        ("smooth(chefer, n=2)", "attention"),
        ("balanced(legrad)", "attention"),
    ],
)
def test_what_the_model_cannot_give_is_said(method, words):
    """Of the whole call: no part of it comes out blank."""
    with pytest.raises(CamscopeError, match=words):
        camscope.explain(Net(mlp_head(16)).double().eval(), X, methods=["gradcam", method])


def test_notes_are_of_what_was_asked_for():
    """What is the same map up to a constant, and what is not defined for these activations, inside wrappers too."""
    model = Net(gap_head()).double().eval()
    e = camscope.explain(model, X, methods=["gradcam", "hirescam", "eigencam"], layers="body")
    assert any("gradcam, hirescam are the same map up to a positive constant" in note for note in e.notes)
    signed = camscope.explain(model, X, methods="smooth(gradcam++, n=2)", layers="body.1")
    assert any("body.1 has negative activations, for which gradcam++ is" in note for note in signed.notes)
    plain = camscope.explain(model, X, methods=["gradcam", "eigencam"], layers="body")
    assert not any("same map" in note for note in plain.notes)


@pytest.mark.parametrize(
    "method", ["smooth(gradcam++, n=2, average=gradients)", "multiscale(gradcam++, [1])"]
)
def test_notes_of_averaged_evidence(method):
    e = camscope.explain(Net(gap_head()).double().eval(), X, methods=method, layers="body.1")
    assert any("negative activations" in note for note in e.notes)
