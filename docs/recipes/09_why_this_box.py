"""
Why this box? A small detector, one instance at a time
======================================================

A detector says *an elephant, here*, many times in one picture. The map of a class cannot tell two elephants apart: it
shows what speaks for elephants anywhere. The map of an **instance** asks for one box: which pixels made this box an
elephant?

Here a small FCOS of torchvision learns silhouettes of animals on photos of grass, gravel and bricks, in minutes and
offline. It is known where every animal is, so it can be measured whether the map of a box is in the box. With
``--data street.jpg`` a detector with published weights explains a photo of yours.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torchvision.models.detection import FCOS
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.fcos import FCOSHead
from torchvision.ops import box_iou

import camscope
from pasted_silhouettes import scenes

parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
)
parser.add_argument("--data", type=Path, help="a photo for a detector of torchvision's")
parser.add_argument(
    "--out",
    type=Path,
    default=Path("camscope-out/why-this-box"),
    help="where the pictures go",
)
parser.add_argument("--steps", type=int, default=1200, help="of the training")
parser.add_argument("--held-out", type=int, default=60, help="scenes to measure on")
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
args.out.mkdir(parents=True, exist_ok=True)
torch.manual_seed(args.seed)

# %%
# The scenes
# ----------
# Two to four animals, light or dark, large or small, on a photo of grass, gravel or bricks.

ANIMALS = ["bird", "cat", "elephant", "giraffe", "horse"]
SIZE = (96, 160)
BATCH = 8
made = scenes(ANIMALS, size=SIZE, seed=args.seed)
held_out = [next(made) for _ in range(args.held_out)]


def as_tensor(picture):
    """A grey picture as the detector takes it: three channels, 0 to 1."""
    return torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1) / 255


def as_truth(animals, boxes):
    """What is in a scene, as torchvision's detectors learn it."""
    labels = [ANIMALS.index(animal) for animal in animals]
    return {
        "labels": torch.tensor(labels),
        "boxes": torch.tensor(boxes, dtype=torch.float32),
    }


# %%
# The detector
# ------------
# Four groups of convolutions, a feature pyramid of two levels, and the head that FCOS has: for each position of each
# level a score for each class, and a box. It is torchvision's own class, only smaller, so all of this goes for
# ``fcos_resnet50_fpn`` as well.


def group(given, width):
    """Two convolutions with batch norm and ReLU; the first halves the picture."""
    layers = []
    for channels, stride in ((given, 2), (width, 1)):
        layers += [
            nn.Conv2d(channels, width, 3, stride, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers)


WIDTHS = [16, 32, 64, 96]
body = nn.Sequential(*map(group, [3, *WIDTHS], WIDTHS))
backbone = BackboneWithFPN(body, {"2": "fine", "3": "coarse"}, WIDTHS[2:], 64)
backbone.fpn.extra_blocks = None
detector = FCOS(
    backbone,
    num_classes=len(ANIMALS),
    min_size=SIZE[0],
    max_size=SIZE[1],
    image_mean=[0.4] * 3,
    image_std=[0.25] * 3,
    anchor_generator=AnchorGenerator(sizes=((8,), (16,)), aspect_ratios=((1.0,),) * 2),
    head=FCOSHead(64, 1, len(ANIMALS), num_convs=2),
    score_thresh=0.5,
)

# %%
# The training
# ------------
# torchvision's detectors give their own losses. The learning rate goes up and down once.

detector.train()
optimizer = torch.optim.AdamW(detector.parameters(), weight_decay=0.01)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.004, args.steps)
for step in range(args.steps):
    batch = [next(made) for _ in range(BATCH)]
    losses = detector(
        [as_tensor(picture) for picture, _, _ in batch],
        [as_truth(animals, boxes) for _, animals, boxes in batch],
    )
    optimizer.zero_grad()
    sum(losses.values()).backward()
    nn.utils.clip_grad_norm_(detector.parameters(), 1.0)
    optimizer.step()
    schedule.step()
    if (step + 1) % max(args.steps // 6, 1) == 0:
        shown = ", ".join(f"{name} {loss:.2f}" for name, loss in losses.items())
        print(f"step {step + 1}: {shown}", flush=True)
detector.eval()

# %%
# What it finds
# -------------
# On scenes that it has never seen. A detection is right if it names an animal that is there and their boxes overlap
# by half.


def right_animal(box, label, truth):
    """The number of the animal that a detection has found; None if there is none."""
    overlap = box_iou(box[None], truth["boxes"])[0]
    overlap[truth["labels"] != label] = 0
    return int(overlap.argmax()) if overlap.max() > 0.5 else None


inputs = torch.stack([as_tensor(picture) for picture, _, _ in held_out])
truths = [as_truth(animals, boxes) for _, animals, boxes in held_out]
with torch.no_grad():
    found = detector(list(inputs))
there = sum(len(truth["labels"]) for truth in truths)
matched = [
    [
        (number, right_animal(box, label, truth))
        for number, (box, label) in enumerate(
            zip(one["boxes"], one["labels"], strict=True)
        )
    ]
    for one, truth in zip(found, truths, strict=True)
]
detections = sum(map(len, matched))
right = [
    [(number, animal) for number, animal in one if animal is not None]
    for one in matched
]
seen = sum(len({animal for _, animal in one}) for one in right)
print(
    f"{seen} of {there} animals found; {sum(map(len, right))} of {detections} boxes right"
)

# %%
# Why this box?
# -------------
# ``Instance(0)`` is the likeliest detection, ``Instance(1)`` the next one, and ``Instance(box=…)`` is one by its place.
# Its score is the class's logit at the position of the pyramid that the box came from, taken before overlapping boxes
# are removed, and its map is **ODAM**: gradient × activation at each position of that level of the pyramid,
#
# .. math:: M_i(y, x) = \sum_k \, \frac{\partial s_i}{\partial A^k_{yx}} \, A^k_{yx}
#
# where Grad-CAM would take the mean of the gradients over the whole picture first, and lose the place.

explainer = camscope.Explainer(detector, class_names=ANIMALS)


def alike(scene):
    """Whether all that was found in a scene is three animals, two of them of a kind."""
    labels = truths[scene]["labels"].tolist()
    as_many = len(labels) == len(found[scene]["boxes"]) == len(right[scene]) == 3
    return as_many and len(set(labels)) == 2


chosen = next((scene for scene in range(args.held_out) if alike(scene)), 0)
shown = inputs[chosen : chosen + 1]
count = min(3, len(found[chosen]["boxes"]))
e = explainer(shown, targets=[camscope.Instance(number) for number in range(count)])
e.figure(width=9).savefig(args.out / "instances.png", dpi=200)

# %%
# The class of two of them, asked for as a class: its score is that of its best candidate, so the map of *this* one is
# called the class's, and the other is not in it.

labels = found[chosen]["labels"].tolist()
twice = max(set(labels), key=labels.count, default=0)
by_class = explainer(shown, targets=[twice])
by_class.figure(width=5).savefig(args.out / "class.png", dpi=200)

# %%
# Is the map in the box?
# ----------------------
# It is known where the animals are. Of each right detection: the share of its map that lies in the animal's box, and
# that in the boxes of the others; beside it what a uniform map would have there, which is the share of the area, and
# Grad-CAM of the same instance. Then the same for the same network before it had learned anything.


def shares(explainer, scene, boxes, method):
    """The share of each map in each animal's box: detection × animal."""
    targets = [camscope.Instance(box) for box in boxes]
    maps = explainer(inputs[scene : scene + 1], targets=targets, methods=method)
    heat = maps.heatmaps()[0]
    parts = [
        heat[:, y0:y1, x0:x1].sum((1, 2)) / heat.sum((1, 2)).clamp(min=1e-9)
        for x0, y0, x1, y1 in truths[scene]["boxes"].int().tolist()
    ]
    return torch.stack(parts, dim=1)


def measured(explainer, method):
    """Of all right detections, the mean share in the own box, in those of other animals, and in a uniform map."""
    own, others, area = [], [], []
    for scene, pairs in enumerate(right):
        if not pairs:
            continue
        numbers, animals = zip(*pairs, strict=True)
        boxes = found[scene]["boxes"][list(numbers)].tolist()
        rows = shares(explainer, scene, boxes, method)
        for row, animal in zip(rows, animals, strict=True):
            own.append(float(row[animal]))
            others.append(float(row.sum() - row[animal]))
        x0, y0, x1, y1 = truths[scene]["boxes"][list(animals)].T
        area += ((x1 - x0) * (y1 - y0) / (SIZE[0] * SIZE[1])).tolist()
    return tuple(float(np.mean(values)) for values in (own, others, area))


looked = {
    "ODAM": measured(explainer, "hirescam"),
    "Grad-CAM": measured(explainer, "gradcam"),
}
for name, (own, others, area) in looked.items():
    print(
        f"{name}: {own:.2f} in its own box (area {area:.2f}), {others:.2f} in the others'"
    )

# %%
# A detector with published weights
# ---------------------------------
# With ``--data street.jpg`` it is torchvision's Faster R-CNN on a photo of yours. On the command line it is
# ``camscope explain street.jpg --model torchvision:fasterrcnn_resnet50_fpn --target instance:0``.

if args.data:
    large = camscope.explain(
        "torchvision:fasterrcnn_resnet50_fpn",
        str(args.data),
        targets=[camscope.Instance(0), camscope.Instance(1)],
    )
    large.figure().savefig(args.out / "yours.png", dpi=200)

# %%
# What can mislead
# ----------------
# * **In its box is half built in.** Behind a level of the pyramid stand two convolutions of 3 × 3 cells, so the map of
#   a candidate can hardly lie far from it. What it tells is where *inside*: heads and legs, here, not the middle.
# * **The norms reach everywhere.** The head's group norms take their mean over the whole picture. Hence the faint glow
#   on the ground: it is in the formula, and no sign that the network looks there.
# * **A class is its best candidate**, so its map is about one animal though two are there. Ask for each instance.
# * **Numbers of instances are ranks.** In another photo ``Instance(1)`` is something else; ``Instance(box=…)`` stays.
# * **Silhouettes are no photos.** That this network finds what it should says nothing of a detector for streets; how
#   to ask is the same.
