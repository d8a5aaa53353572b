"""One network explained by camscope, and every number of it held against the truth."""

from __future__ import annotations

import random
import re
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

import camscope
from benchmarks.fuzz.heads import ENDING_MODULES, readings
from benchmarks.fuzz.networks import Network, Recipe
from benchmarks.fuzz.oracles import ALTERED, GRADIENTS, UndecidedError, expected, linear_map
from benchmarks.fuzz.truth import Truth
from benchmarks.fuzz.untouched import Before
from benchmarks.fuzz.wanted import Wanted

TOLERANCE = 1e-4
METHODS = (*GRADIENTS, *ALTERED, "scorecam", "eigencam")
AGNOSTIC = ("eigencam",)

EQUAL, REFUSED, NEEDLESS, UNDECIDED, WRONG, RAW = (
    "equal",
    "refused, as it should be",
    "refused, though there is a map",
    "not decided",
    "WRONG",
    "raw error",
)


@dataclass(frozen=True)
class Finding:
    """What became of one map, or of one other check.

    Attributes:
        result: one of the words above.
        about: what was asked for: a method and a layer, or the check.
        why: what is wrong, or the message of an error.
    """

    result: str
    about: str
    why: str = ""

    @property
    def kind(self) -> str:
        """The same without names and numbers, by which findings are counted and a smaller network is told alike."""
        return re.sub(r"'[^' ]*'|\d[\d.e×-]*", "·", self.why.partition(" | ")[0])[:110]


def examine(recipe: Recipe) -> list[Finding]:
    """Explain a recipe's network in every way, and check it all."""
    findings: list[Finding] = []
    net, x = Network(recipe), recipe.batch()
    r = random.Random(recipe.seed)
    _given(net, r)
    clean = [net(row) for row in _parts(recipe, x)]
    before = Before(net, x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(len(recipe.heads)):
            explaining = _Explaining(net, number, findings)
            for part in _parts(recipe, x):
                explaining.everything(part, r)
    findings += [Finding(WRONG, "the model afterwards", f"changed: {change}") for change in before.changes()]
    for row, was in zip(_parts(recipe, x), clean, strict=True):
        if not all(map(torch.equal, _tensors(net(row)), _tensors(was))):
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


class _Explaining:
    """One head of a network.

    Args:
        net: the network.
        number: of the head.
        findings: takes what is found.
    """

    def __init__(self, net: Network, number: int, findings: list[Finding]) -> None:
        self.net, self.recipe, self.number, self.findings = net, net.recipe, number, findings
        self.head = self.recipe.heads[number]
        self.readings = readings(self.head, self.recipe.task)
        self.output = {"tensor": None, "tuple": number, "dict": self.head.name}[self.recipe.returns]
        self.explainer = self._explainer()

    def _explainer(self) -> camscope.Explainer:
        return camscope.Explainer(self.net, task=self.recipe.task, output=self.output)

    def _pick(self, raw: Any) -> torch.Tensor:
        return raw if self.output is None else raw[self.output]

    def note(self, result: str, about: str, why: str = "") -> None:
        """Note a finding."""
        self.findings.append(Finding(result, about, why))

    def everything(self, x: torch.Tensor, r: random.Random) -> None:
        """All checks on one batch."""
        truths = {name: Truth(self.net, x, name, self.number) for name in self.net.places}
        good = [name for name, truth in truths.items() if truth.exists]
        bad = [name for name, truth in truths.items() if not truth.exists]
        layers = r.sample(good, min(3 if self.recipe.one_by_one else 2, len(good)))
        wanted = self._wanted(r)
        asked = _Asked(self, x, wanted, truths)
        self._automatic(asked, any(truths[name].reaches() for name in good))
        explained = asked.together(layers, METHODS)
        if explained is not None:
            self._again(asked, layers, explained, r)
        for name in r.sample(bad, min(1, len(bad))):
            asked.at_no_grid(name)
        self._listed(x)
        if not self.recipe.one_by_one and self.recipe.photos[0] != "photo":
            self._in_another_order(x)

    def _wanted(self, r: random.Random) -> list[Wanted]:
        plain = self.recipe.task == "regression"
        classes = 2 if self.head.classes == 1 and not plain else self.head.classes
        which, other = r.randrange(classes), r.randrange(classes)
        options = [Wanted(other), Wanted(other, sign=-1), Wanted(None)]
        if not plain:
            options += [Wanted(other, "probability"), Wanted(other, "log-probability"), Wanted(other, "rest")]
        if other != which:
            options += [Wanted(which, against=other), Wanted(which, against=other, sign=-1)]
        return [Wanted(which), *r.sample(options, 2 if r.random() < 0.5 else 1)]

    def _automatic(self, asked: _Asked, some: bool) -> None:
        """The layer that is chosen by itself, for one map of each method and for a fusion."""
        try:
            e = asked.explain(None, ["gradcam", "hirescam", "layercam", "eigencam"])
        except camscope.CamscopeError as error:
            self.note(
                NEEDLESS if some and isinstance(error, camscope.LayerError) else REFUSED,
                "automatic",
                str(error),
            )
            return
        except Exception as error:
            self.note(RAW, "automatic", _short(error))
            return
        asked.judge(e, e.layers[0], "automatic ")
        try:
            e = asked.explain(None, ["layercam-fused"])
        except camscope.CamscopeError as error:
            self.note(REFUSED, "fused", str(error))
            return
        except Exception as error:
            self.note(RAW, "fused", _short(error))
            return
        for name in e.provenance["layers"]["fused"]:
            if not asked.truth(name).exists:
                self.note(WRONG, f"fused {name}", "fused, though it has no grid")

    def _again(self, asked: _Asked, layers: list[str], first: Any, r: random.Random) -> None:
        """The same call again; and one layer, method and target alone."""
        second = asked.explain(layers, METHODS)
        for key, maps in first.raw.items():
            if not torch.equal(maps, second.raw[key]):
                self.note(WRONG, " at ".join(key), "the second call differs from the first")
        (method, layer), number = r.choice(list(first.raw)), r.randrange(len(asked.wanted))
        alone = asked.explain([layer], [method], slice(number, number + 1)).raw[method, layer]
        beside = first.raw[method, layer]
        beside = beside if beside.shape[1] == 1 else beside[:, number : number + 1]
        if _off(alone, beside) > 1e-7:
            self.note(
                WRONG, f"{method} at {layer}", f"alone it is another map, {_off(alone, beside):.2g} off"
            )

    def _listed(self, x: torch.Tensor) -> None:
        """The grids of all layers, as camscope finds them."""
        try:
            with self._as_it_came():
                listed = self.explainer.layers(x[:1], every=True)[0]
        except camscope.CamscopeError as error:
            self.note(REFUSED, "the list of layers", str(error))
            return
        except Exception as error:
            self.note(RAW, "the list of layers", _short(error))
            return
        for layer in listed:
            truth = Truth(self.net, x[:1], layer.module, self.number)
            if not truth.exists:
                self.note(
                    WRONG, f"grid of {layer.name}", f"listed, though it has none ({truth.place.layout})"
                )
            elif not _same_grid(layer.grid, truth):
                self.note(
                    WRONG,
                    f"grid of {layer.name}",
                    f"listed as another grid ({truth.place.layout}) | {layer.grid.describe()}; it is {truth.place}",
                )

    def _in_another_order(self, x: torch.Tensor) -> None:
        """The automatic choice of a new Explainer, the last photo first."""
        found = []
        for photos in (x, x.flip(0)):
            try:
                with self._as_it_came():
                    found.append(self._explainer()(photos, targets=[0]).layers)
            except camscope.CamscopeError as error:
                found.append(str(error))
            except Exception:  # noted where it was met first
                return
        if found[0] != found[1]:
            self.note(WRONG, "automatic", f"the first photo decides | {found[0]} or {found[1]}")

    @contextmanager
    def _as_it_came(self) -> Iterator[None]:
        """The model in the mode that a user has it in; every second module, if it comes in training mode."""
        flags = [self.recipe.training and number % 2 == 0 for number, _ in enumerate(self.net.modules())]
        for module, flag in zip(self.net.modules(), flags, strict=True):
            module.training = flag
        try:
            yield
        finally:
            if [module.training for module in self.net.modules()] != flags:
                self.note(WRONG, "the model afterwards", "changed: training flags")
            self.net.eval()


class _Asked:
    """One batch and the targets asked for.

    Args:
        of: the head.
        x: the batch.
        wanted: the targets.
        truths: of every layer.
    """

    def __init__(
        self, of: _Explaining, x: torch.Tensor, wanted: list[Wanted], truths: dict[str, Truth]
    ) -> None:
        self.of, self.x, self.wanted, self._truths = of, x, wanted, truths
        self._maps: dict[Any, Any] = {}

    def truth(self, name: str) -> Truth:
        """Of a layer, which may be the ReLU of another."""
        if name not in self._truths:
            self._truths[name] = Truth(self.of.net, self.x, name, self.of.number)
        return self._truths[name]

    def explain(
        self, layers: Any, methods: Sequence[str], which: slice = slice(None)
    ) -> camscope.Explanation:
        """Ask camscope."""
        targets = [wanted.target(self.of._pick) for wanted in self.wanted[which]]
        with self.of._as_it_came():
            return self.of.explainer(self.x, methods=list(methods), layers=layers, targets=targets)

    def together(self, layers: list[str], methods: Sequence[str]) -> camscope.Explanation | None:
        """Everything in one call; each layer and method alone, where that is refused. CAM is always asked alone."""
        e = None
        try:
            e = self.explain(layers, methods)
        except Exception:
            for layer in layers:
                for method in methods:
                    self._alone(layer, method)
        else:
            for layer in layers:
                self.judge(e, layer)
        for layer in layers:
            self._alone(layer, "cam")
        return e

    def _alone(self, layer: str, method: str) -> None:
        about, truth = f"{method} at {layer}", self.truth(layer)
        try:
            e = self.explain([layer], [method])
        except camscope.TargetError as error:
            every = [
                wanted.goal(self.of.head, reading) for wanted in self.wanted for reading in self.of.readings
            ]
            self.of.note(REFUSED if None in every else WRONG, about, str(error))
        except camscope.CamscopeError as error:
            there = (
                truth.reaches() and not truth.entangled and not (method in ALTERED and truth.used_elsewhere)
            )
            if there and method == "cam":
                linear = self.of.head.end in (*ENDING_MODULES, "logits", "squeezed")
                there = linear and self._map(method, layer, 0, self.of.readings[0]) is not None
            self.of.note(NEEDLESS if there else REFUSED, about, str(error))
        except Exception as error:
            self.of.note(RAW, about, _short(error))
        else:
            self.judge(e, layer)

    def at_no_grid(self, layer: str) -> None:
        """A layer that has no grid must be refused."""
        try:
            e = self.explain([layer], ["gradcam"])
        except camscope.CamscopeError as error:
            self.of.note(REFUSED, f"gradcam at {layer}", str(error))
        except Exception as error:
            self.of.note(RAW, f"gradcam at {layer}", _short(error))
        else:
            shape, layout = tuple(e.maps().shape[2:]), self.truth(layer).place.layout
            self.of.note(
                WRONG, f"gradcam at {layer}", f"a map over {shape} of a layer that has none ({layout})"
            )

    def judge(self, e: camscope.Explanation, layer: str, how: str = "") -> None:
        """Every map of an explanation at a layer, and the scores and probabilities."""
        fitting = [reading for reading in self.of.readings if self._fits(e, reading)]
        if not fitting:
            self.of.note(
                WRONG,
                f"{how}score at {layer}",
                f"not the model's, which ends in {self.of.head.end} | {self._scores(e)}",
            )
            return
        truth = self.truth(layer)
        if not truth.exists:
            self.of.note(WRONG, f"{how}{layer}", f"a map of a layer that has none ({truth.place.layout})")
            return
        for method, at in e.raw:
            if at == layer:
                self.of.note(*self._compared(e.raw[method, at], method, layer, fitting, how))

    def _compared(
        self, maps: torch.Tensor, method: str, layer: str, fitting: list[Any], how: str
    ) -> tuple[str, str, str]:
        about, truth = f"{how}{method} at {layer}", self.truth(layer)
        if maps.shape[2:] != truth.activations.shape[2:]:
            space = tuple(truth.activations.shape[2:])
            return (
                WRONG,
                about,
                f"a map over {tuple(maps.shape[2:])}; the grid is {space} ({truth.place.layout})",
            )
        recipe = self.of.recipe
        if (method == "scorecam" and recipe.one_by_one) or (method in ALTERED and recipe.features_decide):
            return UNDECIDED, about, "altered copies run side by side decide for each other in this model"
        worst = 0.0
        for number in range(maps.shape[1]):
            options = []
            try:
                options = [self._map(method, layer, number, reading) for reading in fitting]
                if truth.ambiguous or (method in ALTERED and truth.used_elsewhere):
                    # its memory, or what is given on: both are honest
                    options += [
                        self._map(method, layer, number, reading, in_memory=True) for reading in fitting
                    ]
            except UndecidedError as reason:
                return UNDECIDED, about, str(reason)
            if None in [None if option is None else 0 for option in options]:
                return WRONG, about, "a map by a linear head, which this is not"
            worst = max(worst, min(_off(maps[:, number], option) for option in options))
        if worst > TOLERANCE:
            return WRONG, about, f"{worst:.2g} off"
        return EQUAL, about, ""

    def _map(
        self, method: str, layer: str, number: int, reading: Any, *, in_memory: bool = False
    ) -> torch.Tensor | None:
        key = method, layer, number, id(reading), in_memory
        if key not in self._maps:
            goal, truth = self.wanted[number].goal(self.of.head, reading), self.truth(layer)
            assert goal is not None
            if method == "cam":
                found = linear_map(truth, goal, self.of.net.get_submodule(self.of.head.name))
            else:
                found = expected(method, truth, goal, in_memory=in_memory)
            self._maps[key] = found
        return self._maps[key]

    def _fits(self, e: camscope.Explanation, reading: Any) -> bool:
        """Whether scores, logits and probabilities are those of a reading."""
        z = self.truth(next(iter(self.of.net.places))).z
        goals = [wanted.goal(self.of.head, reading) for wanted in self.wanted]
        if any(goal is None for goal in goals) or (e.probabilities is None) != (
            reading.probabilities is None
        ):
            return False
        goals = goals if len(goals) == e.scores.shape[1] else goals[:1]
        scores = torch.stack([goal.score(z) for goal in goals if goal is not None], 1)
        pairs = [(e.scores, scores), (e.logits, reading.logits(z).reshape(len(z), -1))]
        if reading.probabilities is not None:
            pairs.append((e.probabilities, reading.probabilities(z)))
        return all(a.shape == b.shape and torch.allclose(a, b, rtol=TOLERANCE, atol=1e-8) for a, b in pairs)

    def _scores(self, e: camscope.Explanation) -> str:
        given = None if e.probabilities is None else [round(p, 3) for p in e.probabilities[0].tolist()]
        z = self.truth(next(iter(self.of.net.places))).z[0]
        model = [round(p, 3) for p in self.of.readings[0].logits(z[None])[0].tolist()]
        logits = [round(p, 3) for p in e.logits[0].tolist()]
        return f"scores {e.scores[0].tolist()}, logits {logits}, probabilities {given}; logits are {model}"


def _same_grid(grid: Any, truth: Truth) -> bool:
    output = truth.output
    found = grid.canonical(output)
    return found.shape == truth.place.canonical(output).shape and torch.equal(
        found, truth.place.canonical(output)
    )


def _off(found: torch.Tensor, right: torch.Tensor) -> float:
    """How far a map is off, as a share of the largest value of each map; NaN counts as far."""
    found, right = found.flatten(1), right.flatten(1)
    scale = right.abs().amax(1).clamp(min=1e-8)
    off = ((found - right).abs().amax(1) / scale).max()
    return float(torch.nan_to_num(off, nan=9.0))


def _short(error: Exception) -> str:
    """An error in a line, and where it was raised."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    ours = [frame for frame in traceback.extract_tb(error.__traceback__) if "camscope" in frame.filename]
    place = (ours or [last])[-1]
    return (
        f"{type(error).__name__}: {str(error).splitlines()[0][:150]} ({place.filename[-40:]}:{place.lineno})"
    )


Check = Callable[[Recipe], list[Finding]]
