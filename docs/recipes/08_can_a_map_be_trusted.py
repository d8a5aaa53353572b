"""
Can this map be trusted? Three that look good, one that looks poor
==================================================================

A heatmap always looks like something, and a person always finds a reason for it. So a map has to be asked: does the
model's score fall where the map says that its evidence is, and more so than where the same map would lie by chance,
than in the middle of the photo, than where the layer is active at all?

Here four maps of the demo model are asked, on photos that scikit-image ships. Three look right and fail. One looks
wrong and passes. With ``--data photos/`` all methods are asked on photos of yours.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np

import camscope
from camscope import render
from camscope.arrays import blurred
from camscope.trust.fidelities import fidelities, halves_of, masses
from camscope.trust.other_places import moves

parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
)
parser.add_argument("--data", type=Path, help="a folder of photos")
parser.add_argument(
    "--out",
    type=Path,
    default=Path("camscope-out/trust"),
    help="where the figures go",
)
parser.add_argument(
    "--probes", type=int, help="how often parts of each photo are removed"
)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
args.out.mkdir(parents=True, exist_ok=True)
# a method that fails the tests of this page says so whenever it is asked for
warnings.simplefilter("ignore", camscope.CamscopeWarning)
explainer = camscope.Explainer("demo")


def ask(photo, target=None, methods="gradcam"):
    """What is said of the maps of one photo, and the same in words."""
    found = explainer.trust(
        photo,
        methods=methods,
        targets=target,
        probes=args.probes,
        seed=args.seed,
        progress=False,
    )
    print(found.verdict, "\n")
    return found


def show(found, name, **which):
    """The figure of a verdict, as a file."""
    render.save(found.figure(**which), args.out / f"{name}.png", dpi=120)


# %%
# How a map is asked
# ------------------
# Parts of the photo are removed at random, one in five cells of the map's own grid, 128 times. In half of the copies
# they are filled by a blurred photo, in the other half by what the pixels around them say (ROAD). Each time the model
# says how probable the class is now. **Fidelity** is the rank correlation of two numbers: how much of the map's
# evidence was removed, and how much of the log-probability was lost.
#
# The first photo shows how to read the figure. Left, the map. In the middle its fidelity; the dashed outline is the
# **ceiling**, what a map that was fitted to these very probes explains of others; no heatmap on this grid does better.
# Below it two maps that know less: a blob in the **centre**, and the **mean activation** of the layer, which knows no
# class. The grey range is **chance**: the same map, shifted, mirrored and turned. Right, the probes themselves, a point
# each.

tripod = ask("sample:camera", "tripod")
show(tripod, "1-tripod")

# %%
# The model is asked once for all methods, so asking four of them costs what one does. A figure of several maps has a
# row for each. Guided Grad-CAM draws the tripod line by line, and the lines say nothing: they are those of the photo.

methods = ask(
    "sample:camera", "tripod", ["gradcam", "layercam", "eigencam", "guided-gradcam"]
)
show(methods, "2-methods")

# %%
# It looks good, and fails: the map that needs no class
# -----------------------------------------------------
# EigenCAM's map of the tripod could be Grad-CAM's: the same colours in the same place, nearly the same fidelity. But
# the mean activation of the layer does nearly as well, and it was never told what to look for. Nor was EigenCAM, whose
# map is the same for every class. That both find the tripod says what there is to see in the photo, not what speaks for
# *tripod*.

show(methods, "3-eigencam", method="eigencam")

# %%
# It looks good, and fails: the cat's face
# ----------------------------------------
# The top class of this photo is *tiger cat*, and Grad-CAM lies on the face. What else could it be? But the model sways
# between three kinds of cats, and which of them wins is not decided by the places that the map shows. The same map
# turned and shifted explains as much.

cat = ask("sample:cat", "tiger cat")
show(cat, "4-cat")

# %%
# It looks good, and fails: a cup on a cup
# ----------------------------------------
# A cup of coffee. The model says *espresso*, and that map says where. Of *cup*, which is the second class, the map lies
# on the cup as well. So all is well? Take the cup away, and *cup* becomes **more** probable: what lies there speaks for
# *espresso* in the first place. The map of a class that did not win mostly shows the winner.

coffee = ask("sample:coffee", ["espresso", "cup"])
show(coffee, "5-cup", target=1)

# %%
# It looks poor, and passes: the corner
# -------------------------------------
# A portrait of an astronaut. The model says *football helmet*, which is wrong, and is not sure. The map leaves out the
# face, the suit and the middle, and lights up a ball in the corner: a map that one would throw away. It is the best of
# all on this page. The ball is a helmet, and the model does say *football helmet* because of it. A map is about the
# model. That the model is wrong is no fault of the map, and here it is the map that shows why.

astronaut = ask("sample:astronaut", "football helmet")
show(astronaut, "6-corner")

# %%
# Why "better than a random map" is the wrong question
# ----------------------------------------------------
# The usual baseline is a map whose cells are shuffled. That is a low bar: a smooth map beats what is not smooth, be it
# that it has seen the photo or not. Here 1,000 maps of blurred noise are held against the probes of three photos of
# this page: how many are "significantly better" (p ≤ 0.025) than they are with their own cells shuffled, and how many
# are better than at other places. One in forty is what one asks for. The second is near it, the first is well
# above it, by as much as the maps are smooth and the photo is.

noise = np.random.default_rng(args.seed).normal(size=(1, 1000, 31, 31))
# cut out of the middle, since at its edges what is blurred has larger values
smooth = blurred(noise, (1.5, 1.5))[0][:, 12:19, 12:19].reshape(1000, -1)


def share_called_better(found, orders):
    """Of how many maps the fidelity is in the top 2.5 % of what they have in other orders of their cells."""
    probed = found.probes[0, (7, 7)]
    removed = probed.removed.reshape(len(probed.removed), -1).astype(float)
    halves, drops = halves_of(probed.imputers), probed.drops[:, 0][None]
    own = fidelities(masses(smooth, removed), drops, halves)
    others = np.stack(
        [fidelities(masses(one[orders], removed), drops, halves) for one in smooth]
    )
    p = (1 + (others >= own[:, None]).sum(1)) / (1 + len(orders))
    return (p <= 0.025).mean()


random = np.random.default_rng(args.seed)
shuffled = np.stack([random.permutation(49) for _ in range(195)])
elsewhere = moves((7, 7), args.seed)[::2]
by_shuffling, by_moving = (
    float(
        np.mean([share_called_better(f, orders) for f in (tripod, coffee, astronaut)])
    )
    for orders in (shuffled, elsewhere)
)
print(f"better than shuffled: {by_shuffling:.1%} of maps that never saw the photo")
print(f"better than elsewhere: {by_moving:.1%} of them")

# %%
# What can mislead
# ----------------
# - **A verdict is about one photo, one class and one model.** Of several photos count how often a map says where; fewer
#   than 50 are too few to say which method is better.
# - **No better than the centre** does not say that a map is wrong. Where the thing is in the middle, the middle is
#   right, and nothing shows that the map has found it.
# - **"Cannot be told from chance" is not "is chance".** With more probes (``--probes 512``) small effects show.
# - **A low ceiling** says that no heatmap of this grid explains the score: the evidence is spread out, or it is in what
#   parts have in common. The share of the ceiling is what a map can be blamed for.
# - **What was removed is guessed.** A blurred part is no missing part. The figure has a mark for each way to fill them;
#   if they disagree, the verdict rests on how parts are removed.
#
# The same on the command line: ``camscope trust sample:astronaut --method gradcam,layercam``.

if args.data:
    yours = explainer.trust(
        sorted(str(file) for file in args.data.iterdir()),
        methods=["gradcam", "layercam", "eigencam"],
        probes=args.probes,
        seed=args.seed,
    )
    print(yours)
    show(yours, "yours")
