"""A recipe, which prints as the Python that makes it again, and the network and photos that come of it."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields

import torch
from torch import nn

from benchmarks.fuzz.heads import ENDING_MODULES, Classifier, Head
from benchmarks.fuzz.places import Place
from benchmarks.fuzz.steps import Branches, Conv, Embed, Join, Step, ToFirst, Windows


@dataclass(frozen=True)
class Recipe:
    """All there is to know of a network and what it is run on.

    Attributes:
        seed: of its weights and photos.
        kind: which of `drawing.KINDS` drew it.
        channels, space: of the input, `batch channel *space`; `batch time feature` if it is a sequence.
        sequence: whether it is.
        steps: from the input to the features.
        heads: of the features; several come back as a dictionary or a tuple.
        returns: `tensor`, `tuple` or `dict`.
        task: what the user says that the outputs mean.
        photos: what the inputs are: `photo`, `black`, `half` (nothing on one side), `light`, `dark`, `bright`.
        one_by_one: whether the photos come one after another, since numbers decide for a whole batch.
        training: whether the model comes in training mode.
    """

    seed: int
    kind: str
    channels: int
    space: tuple[int, ...]
    steps: tuple[Step, ...]
    heads: tuple[Head, ...]
    sequence: bool = False
    returns: str = "tensor"
    task: str | None = None
    photos: tuple[str, ...] = ("photo", "photo")
    one_by_one: bool = False
    training: bool = False

    @property
    def input(self) -> Place:
        """Where the input keeps its positions."""
        return Place("tokens" if self.sequence else "first", self.channels, self.space)

    @property
    def resizable(self) -> bool:
        """Whether the network takes inputs of another size."""
        fixed = any(isinstance(step, (Embed, Join, ToFirst, Windows)) for step in self.steps)
        return not fixed and all(head.pool != "flat" for head in self.heads)

    @property
    def features_decide(self) -> bool:
        """Whether the mean of some features, over the whole batch, decides what is run."""
        return self.one_by_one and any(isinstance(step, Branches) and not step.photo for step in self.steps)

    def __str__(self) -> str:
        lines = [f"Recipe({self.seed}, {self.kind!r}, {self.channels}, {self.space}, ("]
        lines += [f"    {_short(step)}," for step in self.steps]
        lines += ["), ("]
        lines += [f"    {_short(head)}," for head in self.heads]
        rest = [
            f"{f.name}={getattr(self, f.name)!r}"
            for f in fields(self)[6:]
            if getattr(self, f.name) != f.default
        ]
        return "\n".join([*lines, f"), {', '.join(rest)})"])

    def batch(self) -> torch.Tensor:
        """The photos."""
        return torch.stack([self._photo(number, what) for number, what in enumerate(self.photos)])

    def _photo(self, number: int, what: str) -> torch.Tensor:
        shape = (*self.space, self.channels) if self.sequence else (self.channels, *self.space)
        with _seeded(self.seed, f"photo {number}"):
            x = torch.randn(shape, dtype=torch.float64)
        if what == "half":
            x[..., : x.shape[-1] // 2] = 0
        shift = {"light": 0.7, "dark": -0.7}.get(what, 0.0)
        return (x - x.mean() + shift if shift else x) * {"black": 0.0, "bright": 30.0}.get(what, 1.0)


def _short(step: Step) -> str:
    """A step as Python, what it has by default left out."""
    given = [
        f"{f.name}={v!r}"
        for f in fields(step)
        if (v := getattr(step, f.name)) != f.default and f.name != "name"
    ]
    return f"{type(step).__name__}({', '.join([repr(step.name)] * bool(step.name) + given)})"


@contextmanager
def _seeded(seed: int, what: str) -> Iterator[None]:
    """PyTorch's random numbers as they always are for this."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(zlib.crc32(f"{seed} {what}".encode()))
        yield


class Network(nn.Module):
    """The network of a recipe, in float64 and eval mode.

    Attributes:
        recipe: of it.
        places: where every module keeps its positions, by its name.
        photo: what the network was last run on.
        kept: the second tensors of the modules that return two.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.places: dict[str, Place] = {}
        self.kept: dict[str, torch.Tensor] = {}
        self._at: list[Place] = []
        at = recipe.input
        for step in recipe.steps:
            self._at.append(at)
            self._add(step, at)
            at = step.out(at)
        self._at.append(at)
        for head in recipe.heads:
            self._add(head, at)
            if head.activation and head.activation not in self._modules:
                self.add_module(head.activation, ENDING_MODULES[head.end]())
                self.places[head.activation] = Place("vector", head.classes)
        self.double().eval()

    def forward(self, x: torch.Tensor) -> object:
        """What the recipe says that it returns."""
        features = self._features(x)
        ended = [head.ended(self, head.run(self, features, self._at[-1])) for head in self.recipe.heads]
        if self.recipe.returns == "tensor":
            return ended[0]
        if self.recipe.returns == "tuple":
            return tuple(ended)
        return {head.name: end for head, end in zip(self.recipe.heads, ended, strict=True)}

    def scores(self, x: torch.Tensor, head: int = 0) -> torch.Tensor:
        """What a head's classifier puts out, before a softmax or sigmoid. For the truth; camscope does not know it."""
        features = self._features(x)
        return [one.run(self, features, self._at[-1]) for one in self.recipe.heads][head]

    def classifier(self, head: int) -> Classifier:
        """The module of a head."""
        found = self._modules[self.recipe.heads[head].name]
        assert isinstance(found, Classifier)
        return found

    def _features(self, x: torch.Tensor) -> torch.Tensor:
        self.photo, self.kept = x, {}
        for step, at in zip(self.recipe.steps, self._at, strict=False):
            x = step.run(self, x, at)
        return x

    def _add(self, step: Step, at: Place) -> None:
        """Build a step's module, unless a step before has it already, and note where it keeps its positions."""
        if not step.name:
            return
        self.places.pop(step.name, None)
        if step.name not in self._modules:
            with _seeded(self.recipe.seed, step.name):
                module = step.module(at)
                assert module is not None
                _draw_weights(module)
                if isinstance(step, Conv) and step.dead:
                    module.weight.data[: step.dead], module.bias.data[: step.dead] = 0, -1
            self.add_module(step.name, module)
        module = self._modules[step.name]
        there = {name for name, _ in module.named_modules()}
        inside = getattr(module, "inside", {})
        self.places |= {f"{step.name}.{name}": place for name, place in inside.items() if name in there}
        self.places[step.name] = step.out(at)


def _draw_weights(module: nn.Module) -> None:
    """Weights that keep the size of what goes through, and biases that matter; of norms as they are."""
    for part in module.modules():
        if isinstance(part, (nn.Linear, nn.Conv1d, nn.Conv2d)):
            nn.init.normal_(part.weight, std=(1.6 / part.weight[0].numel()) ** 0.5)
            nn.init.normal_(part.bias, std=0.2)
