"""
DenseNet-121 in plain PyTorch
=============================

A network from torchvision, a head of one's own, a training loop of one's own; then the top class, its class
activation map, and the overlay. And one trap that DenseNet sets: its last ReLU is not where a hook sees it.

Offline the classes are three materials: photos of brick, grass and gravel that scikit-image ships, whose left halves
are learnt from and whose right halves are looked at. With ``--data FOLDER`` it is a folder with a folder of photos
for each class, and ``--weights imagenet`` begins with the published weights.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage import data as photos
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import models, transforms

import camscope
from camscope.training import read_labelled, split

parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
)
parser.add_argument(
    "--data", type=Path, help="a folder with a folder of photos for each class"
)
parser.add_argument("--weights", default="random", choices=["random", "imagenet"])
parser.add_argument(
    "--out", type=Path, default=Path("camscope-out/densenet"), help="where pictures go"
)
parser.add_argument("--steps", type=int, default=60, help="optimiser steps")
parser.add_argument("--batch", type=int, default=12)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
args.out.mkdir(parents=True, exist_ok=True)
torch.manual_seed(args.seed)
device = "cuda" if torch.cuda.is_available() else "cpu"

# %%
# The data
# --------
# A crop of 64 × 64 pixels is enough for a material. The mosaic at the end has all three in known places.

MATERIALS = ["brick", "grass", "gravel"]
mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
normalise = [transforms.ToTensor(), transforms.Normalize(mean, std)]


class Photos(Dataset):
    """Photos with labels, each cropped at random."""

    def __init__(self, items, transform):
        self.items, self.transform = items, transform

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        photo, label = self.items[i]
        return self.transform(photo), label


if args.data:
    labelled = read_labelled(args.data)
    parts, classes = split(labelled, seed=args.seed), list(labelled.classes)
    known = [(labelled.photo(i).pixels, int(labelled.labels[i])) for i in parts.train]
    held_out = [(labelled.photo(i).pixels, int(labelled.labels[i])) for i in parts.val]
    crop = [
        transforms.RandomResizedCrop(224, (0.5, 1)),
        transforms.RandomHorizontalFlip(),
        *normalise,
    ]
    whole = [transforms.Resize(256), transforms.CenterCrop(224), *normalise]
    size, mosaic = 224, None
else:
    classes, halves = (
        MATERIALS,
        [np.stack([getattr(photos, m)()] * 3, axis=2) for m in MATERIALS],
    )
    known = [(Image.fromarray(half[:, :256]), c) for c, half in enumerate(halves)] * 40
    held_out = [
        (Image.fromarray(half[:, 256:]), c) for c, half in enumerate(halves)
    ] * 20
    crop = [transforms.RandomCrop(64), transforms.RandomHorizontalFlip(), *normalise]
    whole, size = [transforms.RandomCrop(64), *normalise], 256
    mosaic = np.concatenate(
        [
            halves[0][:256, 256:384],
            np.concatenate([halves[1][:128, 384:], halves[2][:128, 384:]]),
        ],
        axis=1,
    )

# %%
# The network
# -----------
# torchvision's ``features``, then ReLU, the mean over all places, and one linear layer: the head that class
# activation maps are made for.


class Net(nn.Module):
    """DenseNet-121 with a head of its own."""

    def __init__(self, classes, weights=None):
        super().__init__()
        self.features = models.densenet121(weights=weights).features
        self.dropout = nn.Dropout(0.2)
        self.classifier = nn.Linear(1024, classes)

    def forward(self, x):
        """Photos to logits."""
        activations = torch.relu(self.features(x))
        return self.classifier(self.dropout(activations.mean(dim=(2, 3))))


model = Net(len(classes), "IMAGENET1K_V1" if args.weights == "imagenet" else None).to(
    device
)
optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
loader = DataLoader(
    Photos(known, transforms.Compose(crop)), args.batch, shuffle=True, drop_last=True
)
step, losses = 0, []
while step < args.steps:
    for x, y in loader:
        model.train()
        loss = nn.functional.cross_entropy(model(x.to(device)), y.to(device))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
        step += 1
        if step % 20 == 0:
            print(f"step {step}: loss {np.mean(losses[-20:]):.3f}")
        if step == args.steps:
            break

model.eval()
with torch.no_grad():
    right = sum(
        (model(x.to(device)).argmax(1).cpu() == y).sum().item()
        for x, y in DataLoader(Photos(held_out, transforms.Compose(whole)), args.batch)
    )
accuracy = right / len(held_out)
print(f"{accuracy:.1%} of {len(held_out)} held-out crops right")

# %%
# Top class, map, overlay
# -----------------------
# The network is convolutional up to its mean, so it takes a larger picture than it learnt from.

photo = Image.fromarray(mosaic) if mosaic is not None else held_out[0][0]
prepared = camscope.Preprocessing(
    input_size=(size, size),
    resize=(size, size),
    crop="squash",
    mean=mean,
    std=std,
    interpolation="bilinear",
)
explainer = camscope.Explainer(model, preprocessing=prepared, class_names=classes)
e = explainer(photo, methods="cam", targets=camscope.AllClasses())
for _, name, logit, probability in e.top(3):
    print(f"{name:>8}: logit {logit:+.2f}, probability {probability:.1%}")
e.figure(scale="image", width=7.5).savefig(args.out / "classes.png", dpi=200)

# %%
# One overlay alone, for a slide:

top = e.top(1)[0][0]
e.overlay(target=top, colorbar=True).save(args.out / "overlay.png")

# %%
# By hand, and the trap
# ---------------------
#
# .. math:: M_c(i, j) = \sum_k \, w^c_k A^k_{ij}, \qquad S_c = \frac{1}{Z} \, \sum_{ij} \, M_c(i, j) + b_c
#
# :math:`A` is what goes into the mean. In torchvision's DenseNet, and here, ``features`` ends with a *batch norm*;
# the ReLU behind it is a function in ``forward``, so a hook on ``features`` sees values before it, many below zero. A
# map of these looks much the same and is wrong. The sum tells.

x = torch.from_numpy(prepared(camscope.images.to_photo(photo)))[None].to(device)
with torch.no_grad(), camscope.record(model, layers=["features"]) as seen:
    logits = model(x)[0]
before_relu = seen["features"].activations
w, b = model.classifier.weight.detach(), model.classifier.bias.detach()
wrong = torch.einsum("ck,bkij->bcij", w, before_relu)[0]
cam = torch.einsum("ck,bkij->bcij", w, before_relu.relu())[0]
with_relu = (cam.mean((1, 2)) + b - logits).abs().max().item()
without_relu = (wrong.mean((1, 2)) + b - logits).abs().max().item()
same_map = (cam - e.maps()[0]).abs().max().item()
print(
    f"mean of the map + bias, and logit: {with_relu:.1e} apart with the ReLU, {without_relu:.2f} without"
)
print(f"by hand and by camscope: {same_map:.1e} apart; its layer is {e.layers[0]!r}")

# %%
# Does it look in the right place?
# --------------------------------
# In the mosaic brick is at the left, grass at the top right, gravel below it. What share of each class's map lies on
# its material, and what would be chance?

on_it = []
if mosaic is not None:
    place = np.zeros((3, 256, 256), dtype=bool)
    place[0, :, :128] = place[1, :128, 128:] = place[2, 128:, 128:] = True
    heat = e.photo_heatmaps()
    on_it = [(heat[c] * place[c]).sum() / max(heat[c].sum(), 1e-9) for c in range(3)]
    for name, share, area in zip(classes, on_it, place.mean((1, 2)), strict=True):
        print(
            f"{name:>8}: {share:.2f} of the map on the material, which is {area:.2f} of the picture"
        )

# %%
# What can mislead
# ----------------
# * **The grid has 8 × 8 cells of 32 pixels**, and each sees far beyond itself. The soft border between two materials
#   is the grid's, not the network's doubt.
# * **A larger picture than in training** is a different input: a mean over three materials never occurred there. The
#   probabilities of the mosaic mean little; where the maps lie means much.
# * **Three classes share the evidence.** A softmax compares them: ``camscope.Contrast("brick", "gravel")`` shows what
#   tells two apart.
