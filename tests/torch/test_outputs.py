"""What a model returns is read for what it means: logits, probabilities, one logit, many labels, a number."""

from __future__ import annotations

from collections import namedtuple
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional

import camscope
from camscope import Class
from tests.torch.nets import HAND_MADE, Apply, Net, batch, case_name, gap_head, mlp_head

X = batch(2, 3, 16, 16, dtype=torch.float64)


def net(*after: nn.Module, classes: int = 5, head=None) -> nn.Module:
    head = mlp_head(16, classes) if head is None else head(classes)
    return Net(nn.Sequential(*head, *after)).double().eval()


def explained(model: nn.Module, targets=(0, 2), **options) -> camscope.Explanation:
    return camscope.explain(
        model, X, methods=HAND_MADE, layers=["stem", "body"], targets=list(targets), **options
    )


def assert_same(e: camscope.Explanation, expected: camscope.Explanation) -> None:
    torch.testing.assert_close(e.scores, expected.scores, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(e.logits, expected.logits, rtol=1e-9, atol=1e-12)
    for key, maps in e.raw.items():
        torch.testing.assert_close(maps, expected.raw[key], rtol=1e-8, atol=1e-12)


# ---------------------------------------------------------------------- softmax and sigmoid at the end


@pytest.mark.parametrize("head", [lambda n: mlp_head(16, n), gap_head], ids=["mlp", "gap"])
@pytest.mark.parametrize("final", [nn.Softmax(1), nn.LogSoftmax(1)], ids=["softmax", "log-softmax"])
def test_a_softmax_module_at_the_end_is_seen_through(final, head):
    plain, ended = explained(net(head=head)), explained(net(final, head=head))
    assert_same(ended, plain)
    torch.testing.assert_close(ended.probabilities, plain.probabilities)
    torch.testing.assert_close(ended.probabilities.sum(1), torch.ones(2, dtype=torch.float64))


def test_a_softmax_by_hand_is_recognised_and_said():
    """The logits cannot be reached, but each less the mean of all can: log p less its own mean."""
    e = explained(net(Apply(lambda z: z.exp() / z.exp().sum(1, keepdim=True))))
    expected = explained(net(Apply(lambda z: z - z.mean(1, keepdim=True))))
    assert any("softmax probabilities" in note for note in e.notes)
    torch.testing.assert_close(e.scores, expected.scores)
    torch.testing.assert_close(e.probabilities, expected.probabilities)
    for key, maps in e.raw.items():
        torch.testing.assert_close(maps, expected.raw[key], rtol=1e-6, atol=1e-10)
    assert not any("softmax" in note for note in explained(net()).notes)


def test_a_sigmoid_module_at_the_end_means_many_labels():
    plain, ended = explained(net(), task="multilabel"), explained(net(nn.Sigmoid()))
    assert ended.provenance["task"] == "multilabel"
    assert_same(ended, plain)
    torch.testing.assert_close(ended.probabilities, ended.logits.sigmoid())


def test_many_labels_have_a_sigmoid_each_and_their_own_gradient():
    model = net()
    e = explained(model, [Class(2), Class(2, "probability"), Class(2, "log-probability")], task="multilabel")
    z = model(X).detach()
    torch.testing.assert_close(e.scores, torch.stack([z, z.sigmoid(), functional.logsigmoid(z)], 2)[:, 2])
    p = z[:, 2].sigmoid()[:, None, None]
    logit, probability, log_probability = e.maps("hirescam", "body").unbind(1)
    torch.testing.assert_close(probability, p * (1 - p) * logit, rtol=1e-9, atol=1e-14)
    torch.testing.assert_close(log_probability, (1 - p) * logit, rtol=1e-9, atol=1e-14)
    torch.testing.assert_close(e.probabilities, z.sigmoid())


def test_a_multi_class_model_has_a_softmax():
    model = net()
    e = explained(model, [Class(2, "probability")])
    torch.testing.assert_close(e.scores[:, 0], model(X).softmax(1)[:, 2].detach())
    assert e.provenance["task"] == "multiclass"


# ---------------------------------------------------------------------- one logit


@pytest.mark.parametrize("head", [lambda n: mlp_head(16, n), gap_head], ids=["mlp", "gap"])
@pytest.mark.parametrize(
    "after",
    [(), (nn.Sigmoid(),), (nn.Flatten(0),), (nn.Sigmoid(), nn.Flatten(0))],
    ids=["(b, 1)", "sigmoid", "(b,)", "sigmoid, (b,)"],
)
def test_one_logit_is_two_classes_and_evidence_for_the_negative_is_minus_the_logit(after, head):
    model = net(*after, classes=1, head=head)
    e = explained(model, [0, 1, Class(1, "probability"), Class(0, "probability"), -Class(1)])
    z = net(classes=1, head=head)(X).detach()[:, 0]
    assert e.provenance["task"] == "binary"
    torch.testing.assert_close(e.logits, torch.stack([-z, z], 1))
    torch.testing.assert_close(e.scores, torch.stack([-z, z, z.sigmoid(), (-z).sigmoid(), -z], 1))
    torch.testing.assert_close(e.probabilities.sum(1), torch.ones(2, dtype=torch.float64))
    for method in ("gradcam", "hirescam", "xgradcam"):
        against, evidence, *_, minus = e.maps(method, "body").unbind(1)
        torch.testing.assert_close(against, -evidence, rtol=1e-12, atol=1e-15)
        torch.testing.assert_close(minus, -evidence, rtol=1e-12, atol=1e-15)


def test_one_logit_with_names_is_explained_by_name():
    e = camscope.explain(net(classes=1), X, targets=["dog", "not:dog", "cat"], class_names=["cat", "dog"])
    assert [t.label for t in e.targets[0]] == ["dog", "not dog", "cat"]
    torch.testing.assert_close(e.maps()[:, 1], e.maps()[:, 2])


def test_a_regression_has_no_probability():
    model = net(classes=1)
    e = explained(model, [0], task="regression")
    torch.testing.assert_close(e.scores, model(X).detach())
    assert e.probabilities is None
    assert e.logits.shape == (2, 1)
    assert e.top(1)[0][3] is None
    for score in ("probability", "log-probability"):
        with pytest.raises(camscope.TargetError, match=f"regression has no {score}"):
            explained(model, [Class(0, score)], task="regression")


def test_a_regression_of_several_numbers_is_explained_one_by_one():
    model = net(classes=3)
    e = explained(model, [2, -Class(0)], task="regression")
    z = model(X).detach()
    torch.testing.assert_close(e.scores, torch.stack([z[:, 2], -z[:, 0]], 1))


def test_binary_is_refused_for_several_logits():
    with pytest.raises(camscope.ModelError, match="task='binary' is for one logit; this model puts out 5"):
        explained(net(), task="binary")


# ---------------------------------------------------------------------- outputs that are no tensor


class Output(dict):
    """As Hugging Face's ModelOutput: keys and attributes."""

    __getattr__ = dict.__getitem__


Named = namedtuple("Named", ["hidden", "logits"])


@pytest.mark.parametrize(
    "wrap",
    [
        lambda z: {"logits": z, "hidden": z * 2},
        lambda z: Output(loss=None, logits=z),
        lambda z: SimpleNamespace(logits=z),
        lambda z: Named(z * 2, z),
    ],
    ids=["dict", "ModelOutput", "object", "named tuple"],
)
def test_an_output_that_says_where_its_logits_are_is_understood(wrap):
    assert_same(explained(net(Apply(wrap))), explained(net()))


def test_a_tuple_is_refused_with_the_way_to_say_which():
    model = net(Apply(lambda z: (z, z * 2)))
    with pytest.raises(
        camscope.ModelError, match=r"returns tuple of \(1, 5\), \(1, 5\), not a tensor.*out\[0\]"
    ):
        explained(model)
    for output in (lambda out: out[0], 0):
        assert_same(explained(model, output=output), explained(net()))
    with pytest.raises(camscope.ModelError, match=r"output=2 is not in what the model returns, tuple of"):
        explained(model, output=2)


@pytest.mark.parametrize("wrap", [lambda z: [z], lambda z: (z,), lambda z: (z, [z * 2, z * 3])])
def test_the_only_tensor_of_several_things_is_the_logits(wrap):
    """Hidden states in a list behind the logits, as MONAI's ViT has them, are no second tensor."""
    assert_same(explained(net(Apply(wrap))), explained(net()))


def test_what_may_be_a_state_is_not_taken_for_logits():
    model = net(Apply(lambda z: (z[:, None].expand(-1, 4, -1), (z, z))))
    with pytest.raises(camscope.ModelError, match=r"returns tuple of \(1, 4, 5\), tuple, not a tensor"):
        explained(model)


def test_the_logits_may_be_named():
    model = net(Apply(lambda z: {"scores": z, "hidden": z * 2}))
    assert_same(explained(model, output="scores"), explained(net()))
    with pytest.raises(
        camscope.ModelError, match=r"output='score' is not in .* dict with keys \['hidden', 'scores'\]"
    ):
        explained(model, output="score")
    doubled = explained(model, output=lambda out: out["hidden"])
    torch.testing.assert_close(doubled.scores, 2 * explained(net()).scores)


def test_a_dict_without_logits_is_refused_naming_its_keys():
    model = net(Apply(lambda z: {"scores": z, "boxes": None}))
    with pytest.raises(camscope.ModelError, match=r"returns dict with keys \['boxes', 'scores'\]"):
        explained(model)
    assert_same(explained(model, output=lambda out: out["scores"]), explained(net()))


def test_a_callable_target_gets_what_the_model_returned():
    model = net(Apply(lambda z: (z, z * 2)))
    e = explained(model, [lambda out: out[1][:, 3]], output=lambda out: out[0])
    expected = explained(net(), [3])
    torch.testing.assert_close(e.scores, 2 * expected.scores)
    torch.testing.assert_close(e.maps("hirescam", "body"), 2 * expected.maps("hirescam", "body"))


def test_an_output_selector_that_gives_no_tensor_or_no_class_axis_is_refused():
    with pytest.raises(camscope.ModelError, match="not a tensor"):
        explained(net(), output=lambda _: None)
    with pytest.raises(camscope.ModelError, match=r"shape \(2, 12, 16\); class scores need \(batch, class\)"):
        camscope.explain(Net(nn.Flatten(2)), X, layers="stem")


# ---------------------------------------------------------------------- targets that do not fit the output


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        (5, "no class 5: the model has 5, 0 to 4"),
        (-6, "no class -6"),
        ("tabby", "class names are not known"),
        (camscope.TopK(6), "only 5 classes"),
        ([], "list of targets is empty"),
        (torch.tensor([1, 2]), r"PerImage\(list\)"),
        (camscope.PerImage([1, 2, 3]), "3 targets, the batch 2 images"),
        (camscope.PerImage([[1], [1, 2]]), r"counts differ: \[1, 2\]"),
        (lambda z: 3, "it returned int"),
        (lambda z: z[:, :1], r"it returned shape \(2, 1\)"),
    ],
    ids=case_name,
)
def test_a_target_that_does_not_fit_is_refused(targets, words):
    with pytest.raises(camscope.TargetError, match=words):
        camscope.explain(net(), X, targets=targets)


def test_a_callable_that_does_not_depend_on_the_output_is_refused_behind_a_linear_head_and_else_said():
    def constant(_: torch.Tensor) -> torch.Tensor:
        return torch.ones(2, dtype=torch.float64)

    with pytest.raises(camscope.TargetError, match="does not depend on the model's output"):
        camscope.explain(net(head=gap_head), X, targets=constant, layers="body")
    e = camscope.explain(net(), X, targets=constant, layers="body")
    assert e.status["gradcam", "body"] == (("no-gradient",),) * 2


def test_names_must_be_as_many_as_classes():
    with pytest.raises(camscope.TargetError, match="3 names, the model has 5 classes"):
        explained(net(), class_names=["a", "b", "c"])
    with pytest.raises(camscope.TargetError, match=r"2 classes.*one-logit model has two classes"):
        explained(net(classes=1), class_names=["yes"])


def test_a_misspelt_class_names_the_nearest():
    names = ["tabby", "tiger cat", "beagle", "boxer", "toaster"]
    with pytest.raises(camscope.TargetError, match=r"no class 'tabbi'. Did you mean 'tabby'"):
        explained(net(), ["tabbi"], class_names=names)
    e = explained(net(), ["tiger cat", "-boxer"], class_names=names)
    assert [t.index for t in e.targets[0]] == [1, 3]


def test_logits_that_happen_to_sum_to_one_on_an_image_are_still_logits():
    """A black image leaves the bias alone, which is non-negative and sums to one; noise tells."""
    model = nn.Sequential(nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    nn.init.constant_(model[0].bias, 0.2)
    x = torch.zeros(1, 3, 16, 16)
    e = camscope.explain(model, x, methods="mean-activation")
    torch.testing.assert_close(e.logits, model(x).detach())
    assert not any("softmax" in note for note in e.notes)


def test_an_optimised_copy_tells_how_the_output_was_read_too():
    model, x = Net(gap_head(1)), batch(1, 3, 16, 16)
    plain = camscope.explain(model, x).notes
    assert any("yes/no" in note for note in plain)
    assert camscope.explain(model, x, optimised=True).notes == plain
