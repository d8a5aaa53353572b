"""
A network from scratch, and when it learns where to look
========================================================

The CIFAR-10 tutorial trains a small network that ends in global average pooling, and compares its maps after 5 and
after 50 epochs. Here is the same with a recorder that keeps the maps from the first step on: a few held-out pictures
are looked at after steps 1, 2, 4, 8 … and after each epoch, and the training goes on as if nobody looked.

Offline the pictures are silhouettes of animals on photos of grass, gravel and bricks. It is known where the animal
is, so looking can be measured. With ``--data cifar10/ --epochs 50 --at 5 50`` (a folder with a folder of pictures for
each class) it is the tutorial's.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

import camscope
from camscope.training import LabelledImages, fit, read_labelled
from pasted_silhouettes import pictures

parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
)
parser.add_argument(
    "--data", type=Path, help="a folder with a folder of pictures for each class"
)
parser.add_argument(
    "--out",
    type=Path,
    default=Path("camscope-out/gap-network"),
    help="where pictures and the run go",
)
parser.add_argument(
    "--each", type=int, default=300, help="how many pictures of each animal"
)
parser.add_argument("--epochs", type=int, default=12)
parser.add_argument(
    "--at", type=int, nargs=2, default=(2, 12), help="two epochs to compare"
)
parser.add_argument(
    "--googlenet", type=Path, help="a photo for GoogLeNet with its published weights"
)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
args.out.mkdir(parents=True, exist_ok=True)

# %%
# The data
# --------

ANIMALS = ["bird", "cat", "elephant", "giraffe", "horse"]
if args.data:
    labelled, boxes = read_labelled(args.data), None
else:
    names, images, where = zip(
        *pictures(ANIMALS, args.each, side=40, seed=args.seed), strict=True
    )
    labelled = LabelledImages(
        sources=list(images),
        names=tuple(f"{name} {i}" for i, name in enumerate(names)),
        classes=tuple(ANIMALS),
        targets=np.array(names)[:, None] == np.array(ANIMALS),
        origin="silhouettes on photos",
    )
    boxes = dict(zip(labelled.names, where, strict=True))
print(
    f"{len(labelled)} pictures:",
    ", ".join(f"{count} {name}" for name, count in labelled.counts.items()),
)

# %%
# The network, and its training
# -----------------------------
# ``gapnet`` is convolutions, global average pooling (GAP) and one linear layer. ``fit`` trains it: a fifth of the
# pictures is held out, the learning rate goes up and down once, pictures are cropped and mirrored at random. The
# recorder is on by default. All of it is also one command: ``camscope train DATA --epochs 12``.

run = fit(
    labelled,
    model="gapnet",
    epochs=args.epochs,
    seed=args.seed,
    out=args.out,
    workers=0,
)
accuracy = run.best["accuracy"]
print(f"{accuracy:.1%} of the held-out pictures right, in epoch {run.best['epoch']}")

# %%
# The identity
# ------------
#
# .. math:: S_c = \sum_k \, w^c_k \frac{1}{Z} \, \sum_{ij} \, A^k_{ij} + b_c
#           = \frac{1}{Z} \, \sum_{ij} \, M_c(i, j) + b_c, \qquad
#           M_c(i, j) = \sum_k \, w^c_k A^k_{ij}
#
# Mean and sum may change places, and that is the whole of class activation mapping: the score *is* the mean of the
# map, plus a bias. In numbers, for held-out pictures and all classes:

history = camscope.History.open(run.folder)
samples = history.samples
explainer = run.explainer()
watched = [labelled.sources[labelled.names.index(name)] for name in samples.names]
e = explainer(watched, methods="cam", targets=camscope.AllClasses())
bias = run.model.head.bias.detach()
sums = e.maps().mean(dim=(2, 3)) + bias
identity = (sums - e.logits).abs().max().item()
for name, total, logit in zip(
    run.classes, sums[0].tolist(), e.logits[0].tolist(), strict=True
):
    print(f"{name:>9}: mean of the map + bias {total:+.4f}, logit {logit:+.4f}")
print(f"largest difference over {sums.numel()} pairs: {identity:.1e}")

# %%
# From the first step on
# ----------------------
# Each row is a picture, each column a moment; the number is the probability of its true class then. On the command
# line it is ``camscope evolve RUN``; with ``--at 5,50`` it has two epochs.

rows = list(range(0, len(samples), 2))[:6]
moments = history.chosen_steps(6)
history.figure(samples=rows, steps=moments, width=7.5).savefig(
    args.out / "steps.png", dpi=200
)

# %%
# At first a map is noise of random weights. Then the network finds anything that helps, often far too much of the
# ground; then the animal. Two epochs side by side, as in the tutorial:

two = history.at_epochs(args.at)
two.figure(samples=rows, width=5.5).savefig(args.out / "two-epochs.png", dpi=200)

# %%
# And as a film:

history.animation(args.out / "film.webp")

# %%
# When does looking settle?
# -------------------------
# How alike is each map to the last one, which share of it lies in the animal's box, and does its peak? The curves tell
# more than two epochs can: when the maps stop changing, and where they went astray in between. Look for the dip where
# the learning rate is highest.


def scaled_box(name):
    """The animal's box in pixels of the model's input."""
    rows, columns = (
        n / side
        for n, side in zip(samples.input_size, watched[0].size[::-1], strict=True)
    )
    left, top, right, bottom = boxes[name]
    return left * columns, top * rows, right * columns, bottom * rows


in_boxes = None if boxes is None else [scaled_box(name) for name in samples.names]
history.curve_figure(box=in_boxes).savefig(args.out / "settling.png", dpi=200)
settled = history.settling(box=in_boxes)

# %%
# GoogLeNet, which came with a GAP head in 2014
# ---------------------------------------------
# With ``--googlenet photo.jpg`` the published network looks at a photo of yours. The network is the same kind:
# convolutions, average, one linear layer.

if args.googlenet:
    big = camscope.explain(
        "torchvision:googlenet",
        Image.open(args.googlenet),
        methods="cam",
        targets=camscope.TopK(3),
    )
    big.figure().savefig(args.out / "googlenet.png", dpi=200)

# %%
# What can mislead
# ----------------
# * **Two epochs are two anecdotes.** Between them a map may have come, gone and come back. Look at the curve.
# * **Each map fills its own scale** by default, so noise at step 1 looks as bright as evidence at the end.
#   ``scale="sample"`` gives a row one scale.
# * **The mean hides where.** A network without any idea of place can have the right score: half of the evidence on
#   the ground, if the ground is always the same. Vary the ground, as here, or look at the map.
# * **A sharp map is not a good one.** Compare with the box, not with your eye.
