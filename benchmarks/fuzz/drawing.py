"""Random recipes: what a seed draws, by the kind of network."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from benchmarks.fuzz import steps as s
from benchmarks.fuzz.heads import Head
from benchmarks.fuzz.networks import Recipe
from benchmarks.fuzz.places import Place
from benchmarks.fuzz.steps import Step

_SIZES = [(8, 8), (8, 8), (12, 12), (8, 12), (12, 8), (9, 14), (14, 10)]
_LENGTHS = [12, 16, 24, 33]


class Draw:
    """Draws the steps of one network, one after another, and follows where the positions are.

    Args:
        random: the seed's random numbers.
        at: of the input.
    """

    def __init__(self, random: random.Random, at: Place) -> None:
        self.random, self.at = random, at
        self.steps: list[Step] = []
        self._count = 0
        self._shared = random.random() < 0.3
        """Whether one ReLU module serves the whole network."""

    def add(self, step: Step) -> None:
        """Take a step."""
        self.steps.append(step)
        self.at = step.out(self.at)

    def name(self, what: str) -> str:
        """A new name."""
        self._count += 1
        return f"{what}{self._count}"

    def maybe(self, chance: float) -> bool:
        """Whether something with this chance happens."""
        return self.random.random() < chance

    def channels(self) -> int:
        """How many channels; sometimes as many as rows or columns."""
        return self.random.choice([4, 6, 8, 12, 16, *(n for n in self.at.space if 4 <= n <= 16)])

    def conv(self, channels: int | None = None, stride: int | None = None) -> None:
        """A convolution, perhaps a norm, and an activation."""
        stride = stride or (2 if min(self.at.space) >= 8 and self.maybe(0.4) else 1)
        dead = self.random.choice([0, 0, 0, 1, 3])
        self.add(
            s.Conv(
                self.name("conv"), channels or self.channels(), self.random.choice([1, 3, 3]), stride, dead
            )
        )
        if self.maybe(0.3):
            self.add(s.Norm(self.name("norm")))
        self.activation()

    def activation(self) -> None:
        """An activation: a module of its own or the shared one, a function; in place or not."""
        in_place = self.maybe(0.5)
        if self._shared and self.maybe(0.8):
            self.add(s.Act("relu", in_place=True))
        elif self.maybe(0.7):
            kind = self.random.choice(["relu", "relu", "relu", "silu", "gelu", "tanh"])
            self.add(s.Act(self.name("act"), kind, in_place and kind in ("relu", "silu")))
        else:
            self.add(s.Act(kind="relu", in_place=in_place))

    def others(self, counts: Sequence[int]) -> tuple[int, ...]:
        """Numbers of tokens that are no position: in front mostly; behind, in the middle, or anywhere."""
        count, positions = self.random.choice(counts), math.prod(self.at.space)
        where = self.random.choice(["front", "front", "front", "behind", "middle", "anywhere"])
        if where == "anywhere":
            return tuple(sorted(self.random.sample(range(positions + count), count)))
        start = {"front": 0, "behind": positions, "middle": positions // 2}[where]
        return tuple(range(start, start + count))

    def one(self) -> None:
        """Any step on `batch channel *space`."""
        several = min(self.at.space) >= 6
        options: list[Callable[[], None]] = [
            self.conv,
            self.conv,
            lambda: self.add(
                s.Residual(
                    self.name("res"),
                    self.maybe(0.3),
                    self.random.choice(["out += way", "out + way", "way + out"]),
                    self.maybe(0.7),
                )
            ),
            lambda: self.add(s.Gate(self.name("gate"))),
            lambda: self.add(s.Idle(self.name("idle"), self.maybe(0.5))),
            self.again,
        ]
        if several:
            options.append(lambda: self.add(s.Pool(self.name("pool"), self.random.choice(["max", "avg"]))))
        if self.maybe(0.3):
            options.append(self.rectified_shortcut)
        self.random.choice(options)()

    def again(self) -> None:
        """A convolution that keeps the shape, called twice."""
        step = s.Conv(self.name("conv"), self.at.channels)
        for _ in range(2):
            self.add(step)
            self.activation()

    def rectified_shortcut(self) -> None:
        """A convolution without activation, and an identity beside an activation in place."""
        self.add(s.Conv(self.name("conv"), self.at.channels))
        self.add(s.RectifiedShortcut(self.name("pre")))
        self.activation()


def _shape(r: random.Random) -> tuple[int, ...]:
    return r.choice(_SIZES)


def convnet(d: Draw) -> None:
    """Convolutions and what goes with them."""
    d.conv()
    for _ in range(d.random.randint(1, 3)):
        d.one()


def channels_last(d: Draw) -> None:
    """Blocks with channels last inside, or channels last to the end; channels often as many as rows and columns."""
    d.conv(stride=2 if min(d.at.space) > 12 else None)
    if d.maybe(0.7):
        d.add(s.Conv(d.name("conv"), d.random.choice([n for n in d.at.space if n <= 16] or [8])))
    for _ in range(d.random.randint(1, 2)):
        d.add(s.LastBlock(d.name("block")))
    if d.maybe(0.6):
        d.add(s.ToLast())
        d.add(s.LayerNorm(d.name("norm")))
        square = [n for n in d.at.space if n <= 16]
        d.add(s.Linear(d.name("fc"), d.random.choice([*square, 8])))
        d.add(s.Act(d.name("act"), "gelu"))
        if len(d.at.space) == 2 and all(n % 2 == 0 for n in d.at.space) and d.maybe(0.4):
            d.add(s.Windows(d.name("windows"), d.maybe(0.5)))
        if d.maybe(0.4):
            d.add(s.ToFirst())
            d.conv(stride=1)


def tokens(d: Draw) -> None:
    """A transformer, with 0 to 5 tokens that are no position, along the rows or down the columns."""
    stride = 2 if min(d.at.space) > 8 else 1
    width = d.random.choice([8, 12, 16, *(n // stride for n in d.at.space if 4 <= n // stride <= 16)])
    d.add(s.Conv(d.name("patch"), width, 3, stride))
    d.add(s.Embed(d.name("embed"), d.others([0, 0, 1, 1, 2, 5]), len(d.at.space) == 2 and d.maybe(0.3)))
    second = d.maybe(0.3)
    for _ in range(d.random.randint(1, 2)):
        d.add(s.Block(d.name("block"), second))
    if d.maybe(0.4):
        d.add(s.LayerNorm(d.name("norm")))
    if d.maybe(0.2):
        d.add(s.Linear(d.name("fc"), 8))
    if d.maybe(0.2):
        d.add(s.ToFirst())
        d.conv(stride=1)


def sequence(d: Draw) -> None:
    """An input `batch time feature`."""
    options = [
        lambda: d.add(
            s.Recurrent(d.name("rnn"), d.random.choice(["lstm", "gru"]), d.random.choice([6, 8, 12]))
        ),
        lambda: d.add(s.Block(d.name("block"))),
        lambda: (d.add(s.Linear(d.name("fc"), d.channels())), d.add(s.Act(d.name("act"), "gelu"))),
        lambda: d.add(s.LayerNorm(d.name("norm"))),
    ]
    # what mixes the features comes first: a norm or a way round keeps them apart, as good a space as time
    d.random.choice([options[0], options[2]])()
    for _ in range(d.random.randint(0, 2)):
        d.random.choice(options)()
    if d.maybe(0.3):
        d.add(s.ToFirst())
        d.conv(stride=1)


def skips(d: Draw) -> None:
    """An encoder that keeps what its decoder takes."""
    d.conv(stride=1)
    keep = s.Keep(d.name("enc"), d.channels(), d.random.choice(["attribute", "attribute", "second", "twice"]))
    d.add(keep)
    space = d.at.space
    d.conv(stride=2)
    if d.maybe(0.5):
        d.one()
    d.add(s.Join(d.name("join"), keep.name, keep.channels, space, d.channels()))
    d.activation()


_BY = ["batch", "used", "compared", "compared", "row", "experts"]


def branches(d: Draw) -> None:
    """Numbers decide what is used."""
    d.conv()
    if d.maybe(0.4):
        d.one()
    d.add(s.Branches(d.name("branch"), d.random.choice(_BY), d.maybe(0.85)))
    if d.maybe(0.5):
        d.one()


def nowhere(d: Draw) -> None:
    """Tokens that are no grid: shuffled, or a few that read all others."""
    d.add(s.Conv(d.name("patch"), d.random.choice([8, 9, 12, 16]), 3, 2 if min(d.at.space) > 8 else 1))
    if d.maybe(0.4):
        d.activation()
    d.add(s.Embed(d.name("embed"), d.others([0, 0, 1])))
    if d.maybe(0.5):
        d.add(s.Block(d.name("block")))
    if d.maybe(0.5):
        d.add(s.Shuffle())
    else:
        d.add(s.Latents(d.name("latents"), d.random.choice([4, 9, 12, 16])))
    d.add(s.Block(d.name("block")))


KINDS: dict[str, Callable[[Draw], None]] = {
    f.__name__.replace("_", "-"): f
    for f in (convnet, channels_last, tokens, sequence, skips, branches, nowhere)
}
_OFTEN = [*["convnet"] * 3, "channels-last", *["tokens"] * 2, "sequence", "skips", *["branches"] * 2]


def draw(seed: int, kind: str | None = None) -> Recipe:
    """The recipe of a seed.

    Args:
        seed: any number.
        kind: one of `KINDS`; None draws it too.
    """
    r = random.Random(seed)
    kind_drawn = r.choice([*_OFTEN, *KINDS])
    kind = kind or kind_drawn
    one_axis = kind == "sequence" or r.random() < 0.25
    space = (r.choice(_LENGTHS),) if one_axis else _shape(r)
    channels = r.choice([5, 8, 12, 16]) if kind == "sequence" else r.choice([1, 3])
    at = Place("tokens" if kind == "sequence" else "first", channels, space)
    d = Draw(r, at)
    KINDS[kind](d)
    heads, returns, task = _heads(d)
    count = r.choice([2, 2, 3])
    photos = [r.choice(["photo", "photo", "photo", "half", "bright"]) for _ in range(count)]
    if d.maybe(0.3):
        photos[r.randrange(count)] = "black"
    if any(
        head.end in ("sigmoid", "softmax") for head in heads
    ):  # whose logits can be had of no saturated ones
        photos = ["photo" if photo == "bright" else photo for photo in photos]
    by_numbers = [step.by for step in d.steps if isinstance(step, s.Branches)]
    if by_numbers:
        photos = [*r.sample(["light", "dark"], 2), "dark"][:count]
    return Recipe(
        seed,
        kind,
        channels,
        space,
        tuple(d.steps),
        heads,
        kind == "sequence",
        returns,
        task,
        tuple(photos),
        one_by_one=any(by not in ("row", "experts") for by in by_numbers),
        training=d.maybe(0.2),
    )


def _heads(d: Draw) -> tuple[tuple[Head, ...], str, str | None]:
    """The heads, how they come back, and what the user says of them."""
    r, count = d.random, 2 if d.maybe(0.2) else 1
    shared = d.maybe(0.6)
    found = []
    task = None
    for number in range(count):
        pools = ["mean", "mean", "mean"]
        if d.at.is_tokens:
            pools += ["class", "class"] if d.at.others else ["last", "mean"]
            pools += ["grid"] if d.at.layout == "tokens" else []
        elif d.at.layout == "first":
            pools += ["module", "module", "sum", "max", "conv"] + ["flat"] * (
                d.at.channels * d.at.space[0] < 200
            )
        ends = ["logits"] * 6 + [
            "Sigmoid",
            "Sigmoid",
            "sigmoid",
            "Softmax",
            "softmax",
            "LogSoftmax",
            "relu",
            "clamp",
        ]
        end = r.choice(ends) if number == 0 or not d.maybe(0.6) else found[0].end
        classes = r.choice([2, 3, 3, 5])
        if d.maybe(0.12):
            classes, end = 1, r.choice(["logits", "squeezed", "Sigmoid", "sigmoid"])
        elif d.maybe(0.03):
            end = "sigmoid times 4"
        pool = r.choice(pools)
        hidden = r.choice([0, 0, 0, 6]) if pool != "conv" else 0
        found.append(
            Head("head" if number == 0 else "other", pool, classes, d.maybe(0.15), hidden, end, shared)
        )
    if count == 1 and found[0].classes > 2 and d.maybe(0.06):
        found[0] = replace(found[0], end="price and shares")
        task = "regression"
    elif all(head.end in ("logits", "relu", "clamp") for head in found) and d.maybe(0.2):
        task = "regression" if d.maybe(0.4) or found[0].classes == 1 else "multilabel"
    return tuple(found), ("tensor" if count == 1 else r.choice(["tuple", "dict"])), task
