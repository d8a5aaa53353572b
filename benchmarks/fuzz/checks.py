"""One network explained by camscope in every way, and all of it checked."""

from __future__ import annotations

import random
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

import camscope
from benchmarks.fuzz.findings import WRONG, Finding
from benchmarks.fuzz.judging import Judge, off
from benchmarks.fuzz.networks import Network, Recipe
from benchmarks.fuzz.oracles import ALTERED, GRADIENTS
from benchmarks.fuzz.subject import Subject
from benchmarks.fuzz.truth import Truth
from benchmarks.fuzz.untouched import Before
from benchmarks.fuzz.wanted import EachImage, Wanted

METHODS = (*GRADIENTS, *ALTERED, "scorecam", "eigencam", "mean-activation")

SAME = 1e-8
"""How far maps may be apart that are made in the same way, as a share of their largest value."""


def examine(recipe: Recipe) -> list[Finding]:
    """Explain a recipe's network in every way, and check it all."""
    findings: list[Finding] = []
    net, x = Network(recipe), recipe.batch()
    r = random.Random(recipe.seed)
    _given(net, r)
    clean = [_tensors(net(part)) for part in _parts(recipe, x)]
    before = Before(net, x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(len(recipe.heads)):
            subject = Subject(net, number, findings)
            for part in _parts(recipe, x):
                _one_batch(subject, part, r)
            if recipe.resizable and r.random() < 0.3:
                _another_size(subject, r)
            if not recipe.one_by_one and r.random() < 0.5:
                _another_order(subject, x)
    findings += [Finding(WRONG, "the model afterwards", f"changed: {change}") for change in before.changes()]
    for part, was in zip(_parts(recipe, x), clean, strict=True):
        if not all(map(torch.equal, _tensors(net(part)), was)):
            findings.append(Finding(WRONG, "the model afterwards", "puts out something else"))
    return findings


def _parts(recipe: Recipe, x: torch.Tensor) -> Sequence[torch.Tensor]:
    return x.split(1) if recipe.one_by_one else [x]


def _tensors(returned: Any) -> list[torch.Tensor]:
    if isinstance(returned, torch.Tensor):
        return [returned]
    return list(returned.values() if isinstance(returned, dict) else returned)


def _given(net: Network, r: random.Random) -> None:
    """Some parameters frozen, some with a gradient, as a user's model may come."""
    for p in net.parameters():
        p.requires_grad_(r.random() < 0.8)
        if r.random() < 0.3:
            p.grad = torch.ones_like(p)


def _one_batch(subject: Subject, x: torch.Tensor, r: random.Random) -> None:
    """All checks on one batch."""
    judge = Judge(subject, x, _targets(subject, r))
    good = [name for name in subject.net.places if judge.truth(name).exists]
    bad = [name for name in subject.net.places if not judge.truth(name).exists]
    _automatic(subject, judge, good)
    layers = r.sample(good, min(3 if subject.recipe.one_by_one else 2, len(good)))
    explained = judge.together(layers, METHODS)
    for layer in layers:
        judge.alone(layer, "cam")
    if explained is not None:
        _again(subject, judge, layers, explained, r)
        _each_image(subject, x, layers[:1], r)
    for name in r.sample(bad, min(1, len(bad))):
        judge.alone(name, "gradcam")
    _listed(subject, x)


def _targets(subject: Subject, r: random.Random) -> list[Wanted]:
    """A logit, and one or two of the other kinds of targets."""
    which, other = r.randrange(subject.classes), r.randrange(subject.classes)
    options = [Wanted(other), Wanted(other, sign=-1), Wanted(None)]
    if subject.recipe.task != "regression":
        options += [Wanted(other, "probability"), Wanted(other, "log-probability"), Wanted(other, "rest")]
    if other != which:
        options += [Wanted(which, against=other), Wanted(which, against=other, sign=-1)]
    return [Wanted(which), *r.sample(options, 2 if r.random() < 0.5 else 1)]


def _automatic(subject: Subject, judge: Judge, good: Sequence[str]) -> None:
    """The layer that is chosen by itself, and the layers that a fusion chooses."""
    some = any(judge.truth(name).reaches() for name in good)
    with subject.noting("the automatic choice", needless=some):
        e = judge.explain(None, ["gradcam", "hirescam", "layercam", "eigencam"])
        judge.judge(e, e.layers[0], "automatic ")
    with subject.noting("a fusion"):
        e = judge.explain(None, ["layercam-fused"])
        for name in e.provenance["layers"]["fused"]:
            if not judge.truth(name).exists:
                subject.note(WRONG, f"a fusion with {name}", "which has no grid")


def _again(
    subject: Subject, judge: Judge, layers: Sequence[str], first: camscope.Explanation, r: random.Random
) -> None:
    """A second call with fewer methods gives the same maps; and so do one layer, method and target alone."""
    second = judge.explain(layers, r.sample(METHODS, 3))
    for key, maps in second.raw.items():
        if off(maps, first.raw[key]) > SAME:
            subject.note(
                WRONG, " at ".join(key), f"the second call differs | {off(maps, first.raw[key]):.2g} off"
            )
    method, layer = r.choice(list(first.raw))
    number = r.randrange(first.scores.shape[1])
    alone, beside = (
        judge.explain([layer], [method], slice(number, number + 1)).maps(),
        first.raw[method, layer],
    )
    difference = off(alone, beside if beside.shape[1] == 1 else beside[:, number : number + 1])
    if difference > SAME:
        subject.note(WRONG, f"{method} at {layer}", f"alone it is another map | {difference:.2g} off")


def _each_image(subject: Subject, x: torch.Tensor, layers: Sequence[str], r: random.Random) -> None:
    """A target of its own for each image."""
    own = (Wanted(r.randrange(subject.classes), sign=r.choice([1, -1])) for _ in x)
    Judge(subject, x, [EachImage(tuple(own))]).together(layers, ["gradcam", "ablationcam", "scorecam"])


def _another_size(subject: Subject, r: random.Random) -> None:
    """Photos of another size, by the same Explainer."""
    recipe = replace(subject.recipe, space=tuple(n + 4 for n in subject.recipe.space))
    known, x = Network(recipe), recipe.batch()
    for part in _parts(recipe, x):
        judge = Judge(subject, part, [Wanted(r.randrange(subject.classes))], known)
        good = [name for name in known.places if judge.truth(name).exists]
        judge.together(r.sample(good, min(1, len(good))), ["gradcam", "ablationcam", "scorecam"])


def _listed(subject: Subject, x: torch.Tensor) -> None:
    """The grids of all layers, as camscope finds them on the first image.

    A layer that another image was seen to go through is listed too: the model has it.
    """
    with subject.noting("the list of layers"):
        for layer in subject.layers(x[:1]):
            photos = (x[:1], *(one[None] for one in subject.recipe.batch()))
            of_each = [Truth(subject.net, photo, layer.module, subject.number) for photo in photos]
            truth = next((one for one in of_each if one.exists), of_each[0])
            about = f"the grid of {layer.name}"
            if not truth.exists:
                subject.note(WRONG, about, f"there is none ({truth.place.layout})")
                continue
            found, right = layer.grid.canonical(truth.output), truth.place.canonical(truth.output)
            if found.shape != right.shape or not torch.equal(found, right):
                why = f"it is another ({truth.place.layout}) | {layer.grid.describe()} for {truth.place}"
                subject.note(WRONG, about, why)


def _another_order(subject: Subject, x: torch.Tensor) -> None:
    """The automatic choice of a new Explainer is the same with the last photo first, and so are the grids it lists."""
    found: list[Any] = []
    for photos in (x, x.flip(0)):
        explainer = subject.new_explainer()
        try:
            listed = {layer.name: layer.grid for layer in subject.layers(photos, explainer)}
            found.append((subject.explain(photos, explainer=explainer, targets=[0]).layers, listed))
        except camscope.CamscopeError as error:
            found.append(str(error))
        except Exception:  # noted where it was met first
            return
    if found[0] != found[1]:
        subject.note(WRONG, "the automatic choice", f"the first photo decides | {found[0]} or {found[1]}")
