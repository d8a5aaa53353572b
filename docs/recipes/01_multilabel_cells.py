"""
Several labels at once: where in the cell is the protein?
=========================================================

A picture of a cell can have several labels: the protein is in the nucleoli *and* in the membrane. Each label has a
sigmoid and a map of its own. This page trains a ResNet-18-like network with fastai on a table of ids and labels,
shows the maps of all classes in one figure, puts two of them side by side, and measures whether they lie where the
structures are.

It is the recipe of the Human Protein Atlas notebooks. With their data::

    python docs/recipes/01_multilabel_cells.py --data train.csv --images 512x512jpgs --path "{ID}.jpg" --model resnet18

Offline, cells are drawn: eight structures, one to three in each picture. What was drawn where is known.
"""

import argparse
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from fastai.vision import all as fastai
from PIL import Image, ImageFilter

import camscope
import drawn_cells
from camscope.arrays import relu, resize, scaled, to_numpy
from camscope.render import Panel, figure
from camscope.training import read_labelled, split
from camscope.training.statistics import measured
from small_network import small

parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
)
parser.add_argument("--data", help="a table with a column of labels such as 0|16")
parser.add_argument("--images", type=Path, help="the folder of the pictures")
parser.add_argument(
    "--path", default="{ID}.jpg", help='the file of a row, such as "{ID}.jpg"'
)
parser.add_argument("--labels", default="Label", help="the column of labels")
parser.add_argument(
    "--out", type=Path, default=Path("camscope-out/cells"), help="where pictures go"
)
parser.add_argument(
    "--model", default="small", choices=["small", "resnet18", "resnet34"]
)
parser.add_argument(
    "--size", type=int, help="side in pixels; by default 96, or 448 of a ResNet"
)
parser.add_argument("--count", type=int, default=700, help="how many cells to draw")
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
args.out.mkdir(parents=True, exist_ok=True)
warnings.filterwarnings("ignore", category=UserWarning, module="fastai")

# %%
# The table
# ---------
# A row has an id and its labels, joined by ``|``. The pictures lie somewhere else, so the table is read with a
# template for their names. One fold of five is held out, and chosen so that every *label* is held out in proportion,
# the rarest first (Sechidis et al. 2011): a random fifth may miss a rare label altogether.

kept = tempfile.TemporaryDirectory()
if args.data:
    table, images, names = args.data, args.images, None
else:
    table = drawn_cells.write(Path(kept.name), args.count)
    images, names = table.parent / "jpgs", drawn_cells.STRUCTURES
cells = read_labelled(
    table, images=images, path=args.path, labels=args.labels, separator="|"
)
names = list(names or cells.classes)
parts = split(cells, folds=5, fold=0, seed=args.seed)
print(f"{len(parts.train)} pictures to learn from, {len(parts.val)} held out")
for name, known, held in zip(
    names,
    cells.targets[parts.train].sum(0),
    cells.targets[parts.val].sum(0),
    strict=True,
):
    print(f"{name:>20}: {known} and {held}")

# %%
# Measured statistics
# -------------------
# Microscope pictures are mostly black. ImageNet's mean and deviation do not fit them, so they are measured, on
# training pictures only.

size = args.size or (96 if args.model == "small" else 448)
prepared = camscope.Preprocessing(
    input_size=(size, size),
    resize=(size, size),
    crop="squash",
    mean=(0,) * 3,
    std=(1,) * 3,
)
statistics = measured(prepared, cells, parts.train)
print("mean", np.round(statistics.mean, 3), "deviation", np.round(statistics.std, 3))

# %%
# The learner
# -----------
# Pictures are cropped at random, turned, mirrored both ways and lit differently: a cell has no upper side. The loss
# is a sigmoid and a cross-entropy for each class. The head pools once, by average, and has no hidden layer; below it
# is seen why.

block = fastai.DataBlock(
    blocks=(fastai.ImageBlock, fastai.MultiCategoryBlock(vocab=names)),
    get_x=lambda i: cells.sources[i],
    get_y=lambda i: [names[c] for c in np.flatnonzero(cells.targets[i])],
    splitter=fastai.IndexSplitter(parts.val),
    item_tfms=fastai.RandomResizedCrop(size, min_scale=0.75, ratio=(1, 1)),
    batch_tfms=[
        *fastai.aug_transforms(
            flip_vert=True, max_rotate=10, max_zoom=1.1, max_lighting=0.2, max_warp=0
        ),
        fastai.Normalize.from_stats(statistics.mean, statistics.std),
    ],
)
fastai.set_seed(args.seed, reproducible=True)
loaders = block.dataloaders(range(len(cells)), bs=32, num_workers=0)


def learner(**head):
    """A trained learner with one head or another; in half precision where there is a GPU."""
    fastai.set_seed(args.seed, reproducible=True)
    if args.model == "small":
        made = fastai.vision_learner(
            loaders, small, pretrained=False, metrics=fastai.APScoreMulti(), **head
        )
    else:
        made = fastai.vision_learner(
            loaders, getattr(fastai, args.model), metrics=fastai.APScoreMulti(), **head
        )
    if torch.cuda.is_available():
        made.to_fp16()
    with made.no_bar(), made.no_logging():
        if args.model == "small":
            made.fit_one_cycle(args.epochs, 1e-2)
        else:
            made.fine_tune(args.epochs)
        made.precision = made.validate()[1]
    return made


learn = learner(concat_pool=False, lin_ftrs=[])
print(f"mean average precision on the held-out pictures: {learn.precision:.3f}")

# %%
# All classes
# -----------
# The head is average pooling, a batch norm and a linear layer, so the class activation map of every class is exact,
# and all of them cost one forward and no backward:
#
# .. math:: M_c(i, j) = \sum_k \, \tilde{W}_{ck} A^k_{ij}, \qquad
#           S_c = \frac{1}{Z} \, \sum_{ij} \, M_c(i, j) + \tilde{b}_c, \qquad
#           p_c = \frac{1}{1 + e^{-S_c}}
#
# camscope takes the transforms, the names and the sigmoid from the learner. ``scale="image"`` gives all maps one
# scale: an absent class should look absent. The picture is the one with several labels of which the network is
# surest.


with learn.no_bar():
    probabilities, truth = (values.numpy() for values in learn.get_preds())
right = np.where(truth == 1, probabilities, 1 - probabilities).min(
    1
)  # of the label it is least sure of
shown = int(parts.val[np.where(truth.sum(1) > 1, right, 0).argmax()])
file = cells.sources[shown]
e = camscope.explain(learn, file, targets=camscope.AllClasses(), methods="cam")
print("drawn:", [names[c] for c in np.flatnonzero(cells.targets[shown])])
e.figure(scale="image", width=7.5).savefig(args.out / "all-classes.png", dpi=200)

# %%
# Beside each name stands its probability. They do not sum to one: each is a question of its own.
#
# Two classes side by side
# ------------------------
# On one scale a structure that is spread out (a membrane, filaments) looks weak beside a compact one: there is little
# evidence at each place, and it is the mean over all places that makes the score. Side by side each map fills its own
# scale, which is the default.

two = [names[c] for c in np.flatnonzero(cells.targets[shown])[:2]]
side_by_side = camscope.explain(learn, file, targets=two, methods="cam")
side_by_side.figure(width=7.5).savefig(args.out / "two-classes.png", dpi=200)

# %%
# Is it there?
# ------------
# For the drawn cells the truth is known. Over held-out pictures: which share of a class's map lies within half a grid
# cell of its structure, and which share would a map without any idea of it have (that of the area)? And does the peak
# lie there?


def near(mask, by):
    """The mask, grown by some pixels."""
    return np.asarray(Image.fromarray(mask).filter(ImageFilter.MaxFilter(2 * by + 1)))


on_it, by_chance, peaks = [], [], []
if not args.data:
    grid = 8
    explainer = camscope.Explainer(learn)
    held_out = parts.val[:60].tolist()
    found = explainer(
        [cells.sources[i] for i in held_out],
        targets=camscope.AllClasses(),
        methods="cam",
    )
    heat = to_numpy(found.heatmaps())
    for row, i in enumerate(held_out):
        masks = np.load(table.parent / "truth" / f"{Path(cells.names[i]).stem}.npz")[
            "masks"
        ]
        for c in np.flatnonzero(cells.targets[i]):
            where = near(masks[c], grid // 2)
            on_it.append((heat[row, c] * where).sum() / max(heat[row, c].sum(), 1e-9))
            by_chance.append(where.mean())
            peaks.append(where.ravel()[heat[row, c].argmax()])
    print(
        f"share of the map on its structure: {np.mean(on_it):.2f}, of the area {np.mean(by_chance):.2f}"
    )
    print(f"the peak lies on it in {np.mean(peaks):.0%} of {len(peaks)} maps")

# %%
# The picture that is none
# ------------------------
# fastai's *default* head pools twice, by average and maximum, and then has a hidden layer of 512 units. Notebooks
# take the weights of its last layer, which belong to hidden units, and sum the 512 channels of the last convolution
# with them. That runs since both happen to be 512, and is no class activation map. :doc:`04_cats_and_dogs` proves it;
# here is what it does.

default = learner()
default.model.eval()
x = fastai.first(default.dls.test_dl([file]))[0].as_subclass(torch.Tensor)
with torch.no_grad(), camscope.record(default.model, layers=["0"]) as seen:
    logits = default.model(x)[0]
A, W = seen["0"].activations, default.model[1][-1].weight
theirs = torch.einsum("ck,bkij->bcij", W, A).detach()
grad_cam = camscope.explain(
    default, file, targets=camscope.AllClasses(), methods="gradcam", layers="0"
)

present = np.flatnonzero(cells.targets[shown])[:3]


def panels(maps):
    """The maps of the classes that are there, on the picture."""
    heat = to_numpy(scaled(resize(relu(maps.double()), x.shape[2:])))[0]
    return [Panel(grad_cam.input_image().picture, heat[c], names[c]) for c in present]


rows = [panels(theirs), panels(grad_cam.maps())]
compared = figure(
    rows,
    row_labels=["the einsum", "Grad-CAM"],
    caption="default head of fastai · last convolution",
    width=7.5,
)
compared.savefig(args.out / "einsum-and-gradcam.png", dpi=200)
ours = to_numpy(grad_cam.maps())[0]
alike = [
    np.corrcoef(one.ravel(), other.ravel())[0, 1]
    for one, other in zip(to_numpy(theirs)[0], ours, strict=True)
]
off = (theirs[0].mean((1, 2)) - logits).abs().mean().item()
print("correlation with Grad-CAM, class by class:", np.round(alike, 2))
print(
    f"mean of the picture and logit: {off:.2f} apart on average, and another for each class"
)

# %%
# For this head Grad-CAM is right, as for any. Better still is the head above, chosen before training, whose map is
# exact.

bias = e.logits[0] - e.maps()[0].mean((1, 2))
again = camscope.explain(
    learn, cells.sources[parts.val[0]], targets=camscope.AllClasses(), methods="cam"
)
exact = (again.maps()[0].mean((1, 2)) + bias - again.logits[0]).abs().max().item()
print(
    f"the right head: logit − mean of the map is the same bias for every picture, to {exact:.1e}"
)

# %%
# What can mislead
# ----------------
# * **One scale per map.** By default every map fills the whole scale, so that of a class with a probability of 1 %
#   glows as the others do. For a grid of classes use ``scale="image"``.
# * **The grid is coarse.** A cell of it is 8 pixels here and 32 in a ResNet: at 448 × 448 a vesicle is smaller than a
#   grid cell. The map says in which neighbourhood something is, not how it is shaped.
# * **Labels that come together** (a nucleus has a membrane) lend each other their maps: the network never had to tell
#   them apart. Look at pictures that have the one without the other.
# * **A softmax on a multi-label network** shows one winner. Say ``task="multilabel"`` where a model returns bare
#   logits and nothing tells what they mean; a fastai learner says it by its loss.
