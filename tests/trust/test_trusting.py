"""Explainer.trust: what is run, what is said, and what cannot be judged."""

import gc
import tracemalloc
import weakref

import numpy as np
import pytest
import torch
from torch import nn

import camscope
from camscope.errors import CamscopeError, InputError, LayerError, MethodError
from camscope.imputing import Blur, Neighbours
from camscope.trust import Verdict, list_checks
from tests.metrics.small_models import Additive, classifier
from tests.texts import CORPUS, TextCNN, split, vocabulary_of
from tests.trust.statistics_twins import CENTRE, MEAN

pytestmark = pytest.mark.filterwarnings("ignore::camscope.CamscopeWarning")

X = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 2, 14, 14)))


@pytest.fixture(scope="module")
def judgement():
    _, explainer = classifier()
    return explainer.trust(
        X, methods=["gradcam", "layercam"], layers=["features.1", "features.3"], targets=[0, 2]
    )


def test_there_is_a_row_for_every_image_target_method_and_layer(judgement):
    found = [(row.image, row.target, row.method, row.layer) for row in judgement.rows]
    expected = [
        (image, target, method, layer)
        for image in range(2)
        for target in ("class 0", "class 2")
        for method in ("gradcam", "layercam")
        for layer in ("features.1", "features.3")
    ]
    assert sorted(found) == sorted(expected)
    assert [row[0] for row in found] == sorted(row[0] for row in found)
    for row in judgement.rows:
        assert not row.why
        assert set(row.by_imputer) == {"blur", "road"}
        assert row.fidelity.value == pytest.approx(np.mean(list(row.by_imputer.values())))
        assert row.fidelity.low <= row.fidelity.value <= row.fidelity.high
        assert set(row.baselines) == {CENTRE, MEAN}
        assert 0 < row.p <= 1
        for compared in row.baselines.values():
            assert compared.difference.value == pytest.approx(row.fidelity.value - compared.fidelity.value)
            assert compared.difference.low <= compared.difference.value
    assert judgement.score == "log-probability"
    assert set(judgement.explanation.methods) == {"gradcam", "layercam"}
    assert judgement.explanation.scores.shape == (2, 2)


def test_maps_are_those_of_a_call(judgement):
    _, explainer = classifier()
    e = explainer(X, methods=["gradcam", "layercam"], layers=["features.1", "features.3"], targets=[0, 2])
    assert set(e.raw) == set(judgement.explanation.raw)
    for key, maps in e.raw.items():
        torch.testing.assert_close(judgement.explanation.raw[key], maps)


def test_drops_are_those_of_log_probabilities_of_the_image_without_the_cells(judgement):
    net, _ = classifier()
    probed = judgement.probes[1, (7, 7)]
    assert probed.removed.shape == (128, 7, 7)
    for probe in (0, 1, 77):
        imputer = {"blur": Blur(), "road": Neighbours()}[probed.imputers[probe]]
        pixels = probed.removed[probe].repeat(2, 0).repeat(2, 1)[None]
        with torch.no_grad():
            before, after = (net(x).log_softmax(1)[0] for x in (X[1:], imputer(X[1:], pixels)))
        np.testing.assert_allclose(probed.drops[probe], (before - after)[[0, 2]], atol=1e-9)
        assert probed.top[probe] == int(after.argmax())
    np.testing.assert_allclose(probed.clean, before[[0, 2]], atol=1e-12)
    np.testing.assert_allclose(probed.kept_probability, np.exp(-probed.drops).mean(0), atol=1e-9)
    assert set(probed.imputers) == {"blur", "road"}
    assert probed.imputers.count("blur") == 64
    logits = net(X)
    assert probed.changed == np.mean(probed.top != int(logits[1].argmax()))


def test_every_image_is_asked_about_its_own_top_class_and_its_own_probabilities():
    net, explainer = classifier()
    x = torch.from_numpy(np.random.default_rng(3).normal(size=(40, 2, 14, 14)))
    with torch.no_grad():
        logits = net(x)
    two = [int((logits.argmax(1) == one).nonzero()[0]) for one in logits.argmax(1).unique()[:2]]
    found = explainer.trust(x[two], layers="features.3", probes=32, targets=[0, 1])
    for image, number in enumerate(two):
        probed, top = found.probes[image, (7, 7)], logits[number].topk(2).indices.tolist()
        assert probed.changed == np.mean(probed.top != top[0])
        np.testing.assert_allclose(probed.clean, logits[number].log_softmax(0)[:2], atol=1e-12)
        np.testing.assert_allclose(probed.kept_probability, np.exp(-probed.drops).mean(0), atol=1e-9)
        (check,) = next(row for row in found.rows if row.image == image).checks
        assert check.says.startswith(f"between the maps of class {top[0]} and class {top[1]}")


def test_all_maps_of_a_grid_share_the_probes_and_the_model_answers_no_more():
    net, explainer = classifier()
    explainer.trust(X[:1], methods="gradcam", layers="features.3", probes=32)  # what is found out once
    runs = {}
    for methods, targets in (("gradcam", 0), (["gradcam", "layercam", "hirescam"], [0, 1, 2, 3])):
        net.seen = 0
        explainer.trust(X, methods=methods, targets=targets, layers="features.3", probes=40)
        runs[str(methods)] = net.seen
    first, more = runs.values()
    assert first == more
    assert 2 * 40 < first <= 2 * 40 + 3 * 2
    done = []
    explainer.trust(
        X,
        methods="gradcam",
        layers=["features.1", "features.3"],
        probes=33,
        progress=lambda *told: done.append(told),
    )
    assert done[0] == (0, 4 * 33)
    assert done[-1] == (4 * 33, 4 * 33)
    assert [count for count, _ in done] == sorted(count for count, _ in done)


def test_what_is_said_of_a_map_depends_on_nothing_else_that_is_asked_for(judgement):
    _, explainer = classifier()
    alone = explainer.trust(X[1:], methods="layercam", layers="features.3", targets=2).rows[0]
    (same,) = (
        row
        for row in judgement.rows
        if (row.image, row.method, row.layer, row.target) == (1, "layercam", "features.3", "class 2")
    )
    assert alone.fidelity == same.fidelity
    assert (alone.p, alone.ceiling, alone.verdict) == (same.p, same.ceiling, same.verdict)
    assert alone.baselines == same.baselines


def test_the_model_and_the_random_state_are_as_they_were():
    net, explainer = classifier()
    net.train()
    net.features[0].weight.grad = torch.ones_like(net.features[0].weight)
    state = {name: value.clone() for name, value in net.state_dict().items()}
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    explainer.trust(X, probes=32, layers="features.3")
    assert all(module.training for module in net.modules())
    assert all(parameter.requires_grad for parameter in net.parameters())
    assert (net.features[0].weight.grad == 1).all()
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])


def test_the_same_seed_says_the_same_and_another_draws_others():
    _, explainer = classifier()
    options = {"methods": "gradcam", "layers": "features.3", "probes": 32}
    found = [explainer.trust(X[:1], seed=seed, **options) for seed in (1, 1, 2)]
    one, again, other = (judgement.rows[0] for judgement in found)
    assert one == again
    assert one.fidelity.value != other.fidelity.value
    removed = [judgement.probes[0, (7, 7)].removed for judgement in found]
    assert np.array_equal(removed[0], removed[1])
    assert not np.array_equal(removed[0], removed[2])


# ------------------------------------------------------------------ other scores and other shapes


def test_a_regression_that_is_additive_in_pixels_has_maps_that_reach_their_ceiling():
    """Where the first layer's cells are pixels, grouped to 14 × 14, and what is removed is put back by zeros."""
    torch.manual_seed(1)
    weights = torch.zeros(28, 28)
    weights[4:12, 14:22] = torch.rand(8, 8)
    explainer = camscope.Explainer(Additive(weights), task="regression")
    found = explainer.trust(
        torch.ones(1, 1, 28, 28) + torch.randn(1, 1, 28, 28), methods="hirescam", layers="first"
    )
    (row,) = found.rows
    assert found.score.startswith("the score itself")
    assert np.isnan(found.probes[0, (14, 14)].changed)
    assert np.isnan(found.probes[0, (14, 14)].kept_probability).all()
    assert (found.probes[0, (14, 14)].top == -1).all()
    assert row.verdict == Verdict.BEATS
    assert row.checks[0].passed is None
    assert "no two classes" in row.checks[0].says


@pytest.mark.parametrize(
    ("shape", "conv", "grid"),
    [
        ((1, 2, 64), nn.Conv1d, (32,)),
        ((1, 2, 8, 10, 12), nn.Conv3d, (4, 5, 6)),
        ((1, 2, 12, 20), nn.Conv2d, (6, 10)),
    ],
)
def test_signals_volumes_and_inputs_that_are_not_square(shape, conv, grid):
    torch.manual_seed(0)
    net = nn.Sequential(conv(2, 4, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(2), Mean(), nn.Linear(4, 3))
    found = camscope.Explainer(net).trust(torch.randn(shape), methods="gradcam", layers="1", probes=64)
    assert list(found.probes) == [(0, grid)]
    assert not found.rows[0].why


class Mean(nn.Module):
    def forward(self, x):
        return x.mean(-1)


def test_a_function_is_probed_by_its_own_value_beside_a_class():
    _, explainer = classifier()

    def margin(logits):
        return logits[:, 0] - logits[:, 1]

    found = explainer.trust(X[:1], targets=[1, margin], layers="features.3", probes=32)
    assert found.score == "log-probability; of margin the score itself, since it has no probability"
    net, _ = classifier()
    with torch.no_grad():
        np.testing.assert_allclose(found.probes[0, (7, 7)].clean[1], float(margin(net(X[:1]))[0]), atol=1e-9)


def test_texts_are_probed_by_their_words_left_out_each_by_its_own_tokens():
    words = vocabulary_of(CORPUS, 1)
    torch.manual_seed(0)
    explainer = camscope.Explainer(TextCNN(len(words)).eval(), tokenizer=camscope.Vocabulary(words))
    long, short = "a film I loved , wonderful and moving " * 3, "the plot was dull"
    found = explainer.trust([short, long], targets=0, methods="gradcam", progress=False)
    told, judged = found.rows
    assert told.verdict == Verdict.UNJUDGED
    assert "longer text" in told.why
    assert judged.image == 1
    assert not judged.why
    ((key, probed),) = found.probes.items()
    assert key == (1, (24,))
    assert set(probed.imputers) == {"the token <unk>"}
    assert "without 20 % of 24 cells, filled by the token <unk> (128)" in repr(found)
    assert "gradcam in text 0: The map has 4 cells" in repr(found)
    alone = explainer.trust(long, targets=0, methods="gradcam", progress=False).rows[0]
    assert (alone.fidelity.value, alone.p) == pytest.approx((judged.fidelity.value, judged.p))
    numbers = torch.tensor([words[word] for word in split(long)])
    net = explainer._model.adapter.model
    with torch.no_grad():
        before, after = (
            net(ids[None]).log_softmax(1)[0, 0]
            for ids in (numbers, torch.where(torch.from_numpy(probed.removed[5]), 0, numbers))
        )
    assert probed.drops[5, 0] == pytest.approx(float(before - after), abs=1e-5)


def test_methods_of_the_whole_model_are_judged_on_cells_of_their_own_map():
    _, explainer = classifier()
    found = explainer.trust(X[:1], methods=["rise(n=64)", "gradcam"], layers="features.3", probes=32)
    assert set(found.probes) == {(0, (14, 14)), (0, (7, 7))}
    assert {row.method for row in found.rows if not row.why} == {"rise(n=64)", "gradcam"}


def test_where_no_layer_has_a_grid_there_is_no_mean_activation_to_beat():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(2 * 14 * 14, 16), nn.ReLU(), nn.Linear(16, 3))
    (row,) = camscope.Explainer(net).trust(X[:1].float(), methods="rise(n=64)", probes=32).rows
    assert not row.why
    assert set(row.baselines) == {CENTRE}
    assert "no mean activation" in row.notes[0]


def test_a_baseline_is_no_better_than_itself():
    _, explainer = classifier()
    found = explainer.trust(X, methods=["centre", "mean-activation"], layers="features.3", checks="fidelity")
    assert [row.image for row in found.rows] == [0, 0, 1, 1]
    for row in found.rows:
        assert row.baselines[row.method].difference.value == pytest.approx(0, abs=1e-12)
        assert row.verdict != Verdict.BEATS
        assert row.notes == (f"{row.method} does not depend on the class.",)


def test_the_mean_activation_to_beat_is_that_of_the_maps_own_layer():
    _, explainer = classifier()
    options = {"layers": ["features.1", "features.3"], "probes": 32, "checks": "fidelity"}
    rows = explainer.trust(X[:1], methods=["gradcam", "mean-activation"], **options).rows
    found = {(row.method, row.layer): row for row in rows}
    for layer in options["layers"]:
        beside = found["gradcam", layer].baselines[MEAN].fidelity
        assert beside == found["mean-activation", layer].fidelity
    assert len({row.fidelity.value for row in rows}) == 4


# ------------------------------------------------------------------ further tests


def test_the_class_test_is_one_less_the_rank_correlation_of_the_two_likeliest(judgement):
    from scipy import stats

    _net, explainer = classifier()
    e = explainer(X, methods=["gradcam", "layercam"], layers=["features.1", "features.3"], targets="top2")
    for row in judgement.rows:
        (check,) = row.checks
        top, second = e.raw[row.method, row.layer][row.image].numpy().reshape(2, -1)
        assert check.name == "class"
        assert check.number.value == pytest.approx(1 - stats.spearmanr(top, second)[0])
    same = explainer.trust(X[:1], methods="mean-activation", checks="class", layers="features.3").rows[0]
    assert same.checks[0].passed is False
    assert "does not follow the class" in same.checks[0].says
    assert same.verdict == Verdict.UNJUDGED
    assert "Fidelity was not asked for" in same.why


def test_srg_is_that_of_the_metric():
    _, explainer = classifier()
    found = explainer.trust(X, checks=["srg"], layers=["features.1", "features.3"])
    e = explainer(X, layers=["features.1", "features.3"])
    measured = camscope.metrics.srg(explainer, X, e)
    for row in found.rows:
        assert row.checks[0].number.value == measured[f"gradcam at {row.layer}"][row.image, 0]


# ------------------------------------------------------------------ what cannot be judged, and what is refused


def unjudged(explainer, x, **options):
    (row,) = explainer.trust(x, **{"probes": 32, "checks": "fidelity", **options}).rows
    assert row.verdict == Verdict.UNJUDGED
    assert np.isnan(row.fidelity.value)
    return row.why


def test_maps_that_say_nothing_are_told_apart():
    net, explainer = classifier()
    with torch.no_grad():
        net.head.weight.zero_()
    assert "does not depend on this layer" in unjudged(explainer, X[:1], layers="features.3")
    pixels = nn.Sequential(nn.Conv2d(2, 3, 1), nn.Sigmoid(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    blank = torch.ones(1, 2, 14, 14)
    assert "flat" in unjudged(camscope.Explainer(pixels), blank, layers="1", methods="mean-activation")


def test_a_score_that_does_not_move_a_grid_of_few_cells_and_a_model_that_only_guesses_are_told():
    class Fixed(nn.Sequential):
        def forward(self, x):
            return 0 * super().forward(x).mean((2, 3)) + torch.tensor([1.0, 2.0])

    fixed = camscope.Explainer(Fixed(nn.Conv2d(2, 2, 3, padding=1)))
    assert "does not move" in unjudged(fixed, X[:1].float(), layers="0", methods="mean-activation")

    certain, sure = classifier()
    certain.register_forward_hook(lambda module, args, logits: logits - torch.tensor([0, 0, 1e16, 0]))
    said = unjudged(sure, X[:1], layers="features.3", targets=2)
    assert "gives class 2 no probability here" in said
    assert "there is none to lose. Explain a class that it thinks possible" in said

    coarse = nn.Sequential(nn.Conv2d(2, 3, 7, stride=7), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    why = unjudged(camscope.Explainer(coarse), X[:1].float(), layers="1", methods="gradcam")
    assert "2×2 cells" in why

    class Guessing(nn.Sequential):
        def forward(self, x):
            return torch.sin(1e4 * super().forward(x).mean((2, 3)))

    torch.manual_seed(0)
    guessing = camscope.Explainer(Guessing(nn.Conv2d(2, 8, 3, padding=1), nn.MaxPool2d(2)).double())
    done = []
    options = {"layers": "1", "methods": "eigencam", "probes": 128, "checks": "fidelity"}
    judgement = guessing.trust(X[:1], progress=lambda *told: done.append(told), **options)
    assert "10% of the image removed" in judgement.rows[0].why
    assert "another top class" in judgement.rows[0].why
    probed = judgement.probes[0, (7, 7)]
    assert set(probed.removed.sum((1, 2)).tolist()) == {5}  # of 49 cells, where it was 10
    assert done[-1] == (256, 256)  # once with fewer cells


def test_of_a_class_that_is_all_but_impossible_it_is_told():
    net, explainer = classifier()
    probable = explainer.trust(X[:1], targets=[2, camscope.targets.Class(2, sign=-1)])
    shift = net.register_forward_hook(lambda module, args, logits: logits - torch.tensor([0, 0, 60, 0]))
    judgement = explainer.trust(X[:1], targets=[2, camscope.targets.Class(2, sign=-1)])
    shift.remove()
    words = "gives class 2 a probability of less than 0.01% here"
    assert [words in " ".join(repr(j).split()) for j in (probable, judgement)] == [False, True]
    assert [any(words in note for note in row.notes) for row in judgement.rows] == [True, False]
    assert not any("a probability" in note for note in judgement.rows[1].notes)
    assert not judgement.rows[0].why


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"probes": 3}, InputError, "32 at least"),
        ({"probes": True}, InputError, "32 at least"),
        ({"probes": 64.0}, InputError, "32 at least"),
        ({"checks": "nonsense"}, InputError, "fidelity, class, srg"),
        ({"checks": ["fidelity", "clas"]}, InputError, "Did you mean 'class'"),
        ({"checks": []}, InputError, "There are fidelity"),
        ({"seed": -1}, InputError, "seed=-1: expected a whole number"),
        ({"seed": None}, InputError, "seed=None: expected a whole number"),
        ({"methods": "gradcamm"}, MethodError, "gradcam"),
        ({"layers": "features.33"}, LayerError, "features.3"),
        ({"methods": []}, MethodError, "list of methods is empty"),
        ({"targets": 99}, CamscopeError, "99"),
        ({"check": "class", "checks": "class"}, CamscopeError, "these are the same"),
        ({"image": 1}, CamscopeError, "takes no 'image'"),
    ],
)
def test_mistakes_are_named_before_the_model_is_probed(options, error, words):
    net, explainer = classifier()
    net.seen = 0
    with pytest.raises(error, match=words):
        explainer.trust(X, **options)
    assert net.seen < 32


def test_tests_can_be_asked_for_by_one_word_and_are_listed():
    _, explainer = classifier()
    found = explainer.trust(X[:1], check="fidelity", probes=32, layer="features.3", method="gradcam")
    assert found.rows[0].checks == ()
    assert list_checks()[:2] == ("fidelity", "class")


@pytest.mark.slow
def test_memory_is_flat_over_many_inputs():
    """What is kept from one to the next (the moves of a grid, ROAD's matrices) is bounded."""
    _, explainer = classifier()
    alive = []

    def judge(times):
        for _ in range(times):
            found = explainer.trust(X[:1], probes=128, layer="features.3", checks="fidelity", progress=False)
            alive.extend(weakref.ref(one) for one in (found, found.explanation, *found.probes.values()))
            del found
        gc.collect()
        ours = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, "*/camscope/*")])
        return sum(trace.size for trace in ours.traces)

    tracemalloc.start()
    try:
        judge(5)
        first = judge(1)
        grown = judge(25) - first
    finally:
        tracemalloc.stop()
    assert not any(one() is not None for one in alive)
    assert grown < 20_000  # the drops of the probes alone would be 25,600


def test_all_is_every_test_as_in_the_command():
    _, explainer = classifier()
    found = explainer.trust(X[:1], checks="all", probes=32, layer="features.3", method="gradcam")
    assert {one.name for one in found.rows[0].checks} == {*list_checks()} - {"fidelity"}
