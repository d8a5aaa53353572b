"""Networks of a few lines with the structure of ultralytics', written from the formats that its pages describe.

A numbered sequence, each module naming what it reads (`f`); a head with a list of branches for boxes and one for
classes, a branch for each level; and what the head returns for each task.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

NAMES = {0: "cat", 1: "dog", 2: "cow"}


class Unit(nn.Sequential):
    """A convolution, its norm, and the activation that all of them share."""

    shared = nn.SiLU()

    def __init__(self, inside: int, out: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inside, out, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(out), self.shared
        )


class Concat(nn.Module):
    """Several maps behind one another, as channels."""

    def forward(self, maps: list[torch.Tensor]) -> torch.Tensor:
        return torch.cat(maps, 1)


def flat(maps: list[torch.Tensor]) -> torch.Tensor:
    """(batch, value, cell): level by level, each row by row."""
    return torch.cat([one.flatten(2) for one in maps], 2)


class Head(nn.Module):
    """Boxes and class scores for every cell of every level.

    Args:
        channels: of each level.
        classes: how many.
        extra: what else each anchor has: mask coefficients, keypoints, an angle.
        ranked: put out the likeliest only, (batch, detection, 6 …), from a branch that no gradient leaves backwards.
        kind: "masks", "poses" or "turned"; says how the extra numbers are made and returned.
    """

    def __init__(
        self, channels: list[int], classes: int = 3, *, kind: str = "", ranked: bool = False
    ) -> None:
        super().__init__()
        self.nc, self.bins, self.kind, self.ranked = classes, 4, kind, ranked
        self.stride = torch.tensor([8.0, 16.0, 32.0])
        extra = {"": 0, "masks": 32, "poses": 2 * 3, "turned": 1}[kind]
        self.cv2 = nn.ModuleList(nn.Sequential(Unit(c, 8), Unit(8, 8), nn.Conv2d(8, 16, 1)) for c in channels)
        self.cv3 = nn.ModuleList(
            nn.Sequential(Unit(c, 8), Unit(8, 8), nn.Conv2d(8, classes, 1)) for c in channels
        )
        if ranked:
            self.one2one_cv2, self.one2one_cv3 = copy.deepcopy(self.cv2), copy.deepcopy(self.cv3)
            for branch in self.one2one_cv3:
                nn.init.normal_(branch[-1].weight, std=0.2)
        if extra:
            self.cv4 = nn.ModuleList(nn.Sequential(Unit(c, 8), nn.Conv2d(8, extra, 1)) for c in channels)
        if kind == "masks":
            self.proto = Unit(channels[0], 32)

    def forward(self, x: list[torch.Tensor]) -> Any:
        features = [one.detach() for one in x] if self.ranked else x
        ways = (self.one2one_cv2, self.one2one_cv3) if self.ranked else (self.cv2, self.cv3)
        sides, scores = ([branch(f) for branch, f in zip(way, features, strict=True)] for way in ways)
        raw = [torch.cat([s, c], 1) for s, c in zip(sides, scores, strict=True)]
        more = [branch(f) for branch, f in zip(self.cv4, x, strict=True)] if self.kind else []
        angle = ((flat(more).sigmoid() - 0.25) * torch.pi) if self.kind == "turned" else None
        boxes = self.boxes(flat(sides), [one.shape[2:] for one in x], angle)
        rows = torch.cat(
            [boxes, flat(scores).sigmoid(), *([flat(more) if angle is None else angle] if more else [])], 1
        )
        if self.ranked:
            rows = self.likeliest(rows.mT)
        if self.kind == "masks":
            proto = self.proto(x[0])
            return ((rows, proto), {"one2one": raw}) if self.ranked else (rows, (raw, proto))
        return rows, raw

    def boxes(self, sides: torch.Tensor, grids: list[Any], angle: torch.Tensor | None) -> torch.Tensor:
        """Centre and size in pixels, from the expected distances of the four sides to the middle of the cell."""
        batch, _, cells = sides.shape
        shares = sides.view(batch, 4, self.bins, cells).softmax(2)
        left, up, right, down = (shares * torch.arange(self.bins).view(1, 1, -1, 1)).sum(2).unbind(1)
        middles = torch.cat(
            [
                torch.stack(
                    torch.meshgrid(torch.arange(w) + 0.5, torch.arange(h) + 0.5, indexing="xy"), 0
                ).flatten(1)
                for h, w in grids
            ],
            1,
        )
        strides = torch.cat(
            [torch.full((h * w,), float(s)) for (h, w), s in zip(grids, self.stride, strict=True)]
        )
        across, along = (right - left) / 2, (down - up) / 2
        if angle is not None:
            cos, sin = angle[:, 0].cos(), angle[:, 0].sin()
            across, along = across * cos - along * sin, across * sin + along * cos
        return torch.stack([middles[0] + across, middles[1] + along, left + right, up + down], 1) * strides

    def likeliest(self, rows: torch.Tensor, most: int = 20) -> torch.Tensor:
        """Corners (of turned boxes centre and size), score, class, and what else there is, of the likeliest pairs."""
        boxes, scores, more = rows.split([4, self.nc, rows.shape[2] - 4 - self.nc], 2)
        if self.kind != "turned":
            boxes = torch.cat([boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2], 2)
        found, place = scores.flatten(1).topk(most)
        anchor, which = place // self.nc, place % self.nc

        def of(values: torch.Tensor) -> torch.Tensor:
            return values.gather(1, anchor[..., None].expand(-1, -1, values.shape[2]))

        return torch.cat([of(boxes), found[..., None], which[..., None].float(), of(more)], 2)


class Queries(nn.Module):
    """Fifteen queries that look at all levels: (batch, query, 4 + classes), boxes in shares of the input.

    Or (batch, detection, 6), the likeliest pairs of a query and a class.
    """

    def __init__(self, channels: list[int], classes: int = 3, *, ranked: bool = False) -> None:
        super().__init__()
        self.nc, self.ranked = classes, ranked
        self.input_proj = nn.ModuleList(nn.Conv2d(c, 8, 1) for c in channels)
        self.rank, self.scores, self.boxes = nn.Linear(8, classes), nn.Linear(8, classes), nn.Linear(8, 4)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: list[torch.Tensor]) -> Any:
        tokens = torch.cat([p(f).flatten(2) for p, f in zip(self.input_proj, x, strict=True)], 2).mT
        place = self.rank(tokens).amax(2).topk(15).indices
        queries = tokens.gather(1, place[..., None].expand(-1, -1, 8))
        queries = queries + self.attention(queries, tokens, tokens)[0]
        logits, boxes = self.scores(queries), self.boxes(queries).sigmoid()
        rows = torch.cat([boxes, logits.sigmoid()], 2)
        if self.ranked:
            found, pair = logits.sigmoid().flatten(1).topk(15)
            of = boxes.gather(1, (pair // self.nc)[..., None].expand(-1, -1, 4))
            rows = torch.cat([of, found[..., None], (pair % self.nc)[..., None].float()], 2)
        return rows, (boxes[None], logits[None], None)


class Classify(nn.Module):
    """Probabilities, and the logits beside them."""

    def __init__(self, inside: int, classes: int = 3) -> None:
        super().__init__()
        self.conv, self.linear = Unit(inside, 16, 1), nn.Linear(16, classes)

    def forward(self, x: torch.Tensor) -> Any:
        logits = self.linear(self.conv(x).mean((2, 3)))
        return logits.softmax(1), logits


class Network(nn.Module):
    """Runs a numbered sequence."""

    def __init__(self, parts: list[tuple[Any, nn.Module]], names: Any = None) -> None:
        super().__init__()
        for number, (reads, part) in enumerate(parts):
            part.f, part.i = reads, number
        self.model = nn.Sequential(*(part for _, part in parts))
        self.names = names or NAMES
        self.stride = torch.tensor([8.0, 16.0, 32.0])

    def forward(self, x: torch.Tensor) -> Any:
        kept: list[torch.Tensor] = []
        for part in self.model:
            if part.f != -1:
                x = kept[part.f] if isinstance(part.f, int) else [x if j == -1 else kept[j] for j in part.f]
            x = part(x)
            kept.append(x)
        return x


class Yolo(nn.Module):
    """What a user holds: called, it would predict from files; attributes it lacks are the network's."""

    def __init__(self, network: nn.Module, **overrides: Any) -> None:
        super().__init__()
        self.model, self.overrides, self.predictor = network, overrides, None
        self.ckpt_path = "somewhere/yolo-alike.pt"

    def forward(self, *_: Any) -> Any:
        raise AssertionError("a YOLO object predicts from files; its network is what can be explained")

    def __getattr__(self, name: str) -> Any:
        return self._modules["model"] if name == "model" else getattr(self._modules["model"], name)


def backbone_and_neck() -> list[tuple[Any, nn.Module]]:
    """Strides 2, 4, 8, 16, 32; then up to 8 and down again, with the pyramid at 10, 12 and 14."""
    return [
        (-1, Unit(3, 8, stride=2)),
        (-1, Unit(8, 8, stride=2)),
        (-1, Unit(8, 8, stride=2)),  # stride 8
        (-1, Unit(8, 12, stride=2)),  # stride 16
        (-1, Unit(12, 16, stride=2)),  # stride 32
        (-1, nn.Upsample(scale_factor=2)),
        ([-1, 3], Concat()),
        (-1, Unit(28, 12)),
        (-1, nn.Upsample(scale_factor=2)),
        ([-1, 2], Concat()),
        (-1, Unit(20, 8)),
        ([10, 7], Down(8)),
        (-1, Unit(20, 12)),
        ([12, 4], Down(12)),
        (-1, Unit(28, 16)),
    ]


class Down(nn.Module):
    """A finer map at half its resolution, with a coarser one."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.smaller = Unit(channels, channels, stride=2)

    def forward(self, maps: list[torch.Tensor]) -> torch.Tensor:
        return torch.cat([self.smaller(maps[0]), maps[1]], 1)


LEVELS, CHANNELS = [10, 12, 14], [8, 12, 16]

HEADS: dict[str, Any] = {
    "detect": lambda: Head(CHANNELS),
    "segment": lambda: Head(CHANNELS, kind="masks"),
    "pose": lambda: Head(CHANNELS, kind="poses"),
    "obb": lambda: Head(CHANNELS, kind="turned"),
    "end to end": lambda: Head(CHANNELS, ranked=True),
    "end to end, segment": lambda: Head(CHANNELS, kind="masks", ranked=True),
    "end to end, obb": lambda: Head(CHANNELS, kind="turned", ranked=True),
    "queries": lambda: Queries(CHANNELS),
    "queries, ranked": lambda: Queries(CHANNELS, ranked=True),
}


def alike(name: str) -> Network:
    """A seeded detector whose scores are well apart."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1)
        net = Network([*backbone_and_neck(), (LEVELS, HEADS[name]())])
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0  # statistics as after training
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                module.weight.mul_(3)
        net.train()(torch.rand(2, 3, 64, 96))
    return net.eval()


def classifier() -> Network:
    """A seeded classifier."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return Network([*backbone_and_neck()[:5], (-1, Classify(16))]).eval()


class Down8(nn.Sequential):
    """How much redder than blue, and how much bluer than red, each square of 8 pixels is."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 2, 8, 8, bias=False), nn.ReLU())
        self[0].weight.data = (
            torch.tensor([[1.0, 0, -1], [-1, 0, 1]])[..., None, None].expand(-1, -1, 8, 8) / 64
        )


class Mean2(nn.Sequential):
    """Each channel at half the resolution."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(2, 2, 2, 2, bias=False), nn.ReLU())
        self[0].weight.data = torch.eye(2)[..., None, None].expand(-1, -1, 2, 2) / 4


def planted() -> Network:
    """A cat is a red square; blue up to 32 pixels beside it, farther than the head sees, makes it likelier.

    The strides are 8, 16 and 32. The head's first class is a weighed sum of red and of that blue, each a mean over 5×5
    cells.
    """
    wide = nn.Conv2d(4, 2, 5, padding=2, bias=False)  # channels: red and blue of stride 32, and of stride 16
    wide.weight.data.zero_()
    wide.weight.data[1, 3] = 1.0
    joined = nn.Conv2d(4, 2, 1, bias=False)  # nothing and the blue around, then red and blue of stride 8
    joined.weight.data = torch.tensor([[0.0, 0, 1, 0], [0, 1, 0, 0]])[..., None, None]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head = Head([2, 2, 2], classes=2)
    for level in range(3):
        mean = torch.eye(2)[..., None, None].expand(-1, -1, 3, 3) / 9
        last = nn.Conv2d(2, 2, 1)
        last.weight.data = torch.tensor([[40.0, 4.0], [0.0, 0.0]])[..., None, None]
        last.bias.data = torch.tensor([-3.0 if level == 0 else -40.0, -8.0])
        branch = nn.Sequential(*(nn.Conv2d(2, 2, 3, padding=1, bias=False) for _ in range(2)), last)
        branch[0].weight.data, branch[1].weight.data = mean, mean.clone()
        head.cv3[level] = branch
    parts = [
        (-1, Down8()),
        (-1, Mean2()),
        (-1, Mean2()),
        (-1, nn.Upsample(scale_factor=2)),
        ([-1, 1], Concat()),
        (-1, wide),
        (-1, nn.Upsample(scale_factor=2)),
        ([-1, 0], Concat()),
        (-1, joined),
        (-1, Mean2()),
        (-1, Mean2()),
        ([8, 9, 10], head),
    ]
    return Network(parts, ["cat", "dog"]).eval()


def planted_for_photos() -> Yolo:
    """The planted network as a user holds one, at an input of 128 pixels."""
    return Yolo(planted(), imgsz=128)
