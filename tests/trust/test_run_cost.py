"""What the tests of maps cost is told before they are run, and is what is run."""

import numpy as np
import pytest
import torch

import camscope
from camscope.trust import Cost, RunCost
from tests.metrics.small_models import classifier
from tests.texts import CORPUS, TextCNN, vocabulary_of

pytestmark = pytest.mark.filterwarnings("ignore::camscope.CamscopeWarning")

X = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 2, 14, 14)))


class Asked(camscope.Explainer):
    """Counts, by itself, what it explains and which altered inputs its model answers."""

    explained = altered = 0

    def __call__(self, inputs, **options):
        e = super().__call__(inputs, **options)
        type(self).explained += len(e)
        return e

    def altering(self, inputs, **options):
        context = super().altering(inputs, **options)
        owner = type(self)

        class Context:
            def __enter__(self):
                seen = context.__enter__()
                run = seen.masked

                def masked(image, count, variants):
                    owner.altered += count
                    return run(image, count, variants)

                object.__setattr__(seen, "masked", masked)
                return seen

            def __exit__(self, *error):
                return context.__exit__(*error)

        return Context()


def asked_of(explainer, x, **options):
    """What was told, what the bar came to, and what was run besides the maps."""
    Asked.explained = Asked.altered = 0
    told, steps = [], []
    found = explainer.trust(x, tell=told.append, progress=lambda *step: steps.append(step), **options)
    (cost,) = told
    return cost, steps, RunCost({"all": Cost(Asked.altered, Asked.explained - len(found.explanation))})


@pytest.mark.parametrize("checks", ["fidelity", "class", "weights", "stability", "srg", "all"])
def test_what_is_told_is_what_is_run(checks):
    net, _ = classifier()
    cost, steps, ran = asked_of(
        Asked(net),
        X,
        methods=["rise(n=8)", "layercam", "centre"],
        targets=[0, 2, 2],
        probes=32,
        checks=checks,
    )
    assert (cost.altered, cost.again) == (ran.altered, ran.again)
    assert steps[0] == (0, cost.steps)
    assert steps[-1] == (cost.steps, cost.steps)
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    assert (cost.steps > 0) == (checks != "class")


def test_by_hand():
    net, _ = classifier()
    told = []
    camscope.Explainer(net).trust(
        X, methods="gradcam", targets=[0, 2], probes=32, checks="all", tell=told.append
    )
    assert told[0].by_test == {
        "fidelity": Cost(altered=2 * 32),
        "class": Cost(),
        "weights": Cost(again=2 * 10),
        "stability": Cost(again=2 * 8),
        "srg": Cost(altered=2 * 2 * 10),
    }
    assert str(told[0]) == (
        "The model is run on 104 altered inputs (64 for fidelity, 40 for srg) and explains 36 inputs "
        "(16 for stability, 20 for weights) once more"
    )


def test_what_a_test_will_not_say_costs_nothing():
    torch.manual_seed(0)
    words = vocabulary_of(CORPUS, 1)
    explainer = Asked(TextCNN(len(words)).eval(), tokenizer=camscope.Vocabulary(words))
    cost, _, ran = asked_of(explainer, CORPUS[0], targets=0, methods="gradcam", checks="stability")
    assert cost.steps == 0 == ran.altered + ran.again
    assert str(cost) == "The model is not run again"
    small = X[:, :, :8, :8]
    net, _ = classifier()
    cost, _, ran = asked_of(Asked(net), small, targets=0, checks=["stability", "srg"], methods="gradcam")
    assert (cost.by_test["stability"], ran.again) == (Cost(), 0)
    assert cost.altered == ran.altered == 20


def test_flat_maps_are_altered_by_nothing_and_equal_ones_once():
    net, _ = classifier()
    with torch.no_grad():
        net.head.weight[1] = 0
        net.head.weight[3] = net.head.weight[2]
    cost, _, ran = asked_of(Asked(net), X[:1], targets=[0, 1, 2, 3], checks="srg", methods=["gradcam"])
    assert cost.altered == ran.altered == 20
