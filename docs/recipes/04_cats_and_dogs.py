"""
Cats and dogs with fastai, and the map that is none
===================================================

Chapter 18 of fastai's book looks into a cat-or-dog classifier with hooks: forward hooks for class activation maps,
backward hooks for Grad-CAM. Many notebooks took the recipe over. One step of it is wrong with fastai's default head,
and the picture looks fine all the same. Here are both: the picture, the proof that it is no class activation map, and
two that are.

Offline this page uses silhouettes of cats and dogs from the package animal-mnist. With ``--data
oxford-iiit-pet/images --model resnet34`` it is the book's own example.
"""

import argparse
import tempfile
import warnings
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch
from fastai.vision import all as fastai

import camscope
from camscope.arrays import relu, resize, scaled, to_numpy
from camscope.render import Panel, figure
from pasted_silhouettes import pictures
from small_network import small

parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
)
parser.add_argument(
    "--data",
    type=Path,
    help="a folder of pictures; names of cats begin with a capital letter",
)
parser.add_argument(
    "--out",
    type=Path,
    default=Path("camscope-out/cats-and-dogs"),
    help="where pictures go",
)
parser.add_argument(
    "--model", default="small", choices=["small", "resnet18", "resnet34"]
)
parser.add_argument(
    "--size",
    type=int,
    help="side of the pictures in pixels; by default 64, or 224 of a ResNet",
)
parser.add_argument("--images", type=int, default=1600, help="how many silhouettes")
parser.add_argument("--epochs", type=int, default=5)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
args.out.mkdir(parents=True, exist_ok=True)
warnings.filterwarnings("ignore", category=UserWarning, module="fastai")

# %%
# The data
# --------
# In the pets' dataset the name of a cat's breed begins with a capital letter, that of a dog's does not. The
# silhouettes are pasted anywhere on photos of grass, gravel and bricks, and written to files that keep to these
# names. So everything below is the same for both, and for these pictures it is known where the animal is.


def is_cat(file_name):
    return "cat" if file_name[0].isupper() else "dog"


kept = tempfile.TemporaryDirectory()
folder = args.data or Path(kept.name)
if not args.data:
    for number, (animal, picture, _) in enumerate(
        pictures(["cat", "dog"], args.images // 2)
    ):
        picture.save(folder / f"{'Cat' if animal == 'cat' else 'dog'}_{number}.png")
size = args.size or (64 if args.model == "small" else 224)
files = sorted(fastai.get_image_files(folder))
fastai.set_seed(args.seed, reproducible=True)
loaders = fastai.ImageDataLoaders.from_name_func(
    folder,
    files,
    label_func=is_cat,
    valid_pct=0.2,
    seed=args.seed,
    item_tfms=fastai.Resize(size),
    batch_tfms=[fastai.Flip(), fastai.Normalize.from_stats(*fastai.imagenet_stats)],
    bs=16,
    num_workers=0,
)
print(
    f"{len(loaders.train_ds)} pictures to learn from, {len(loaders.valid_ds)} held out, {size} × {size}"
)

# %%
# The learner, as in the book
# ---------------------------
# ``vision_learner`` cuts a network behind its last convolution and puts its own head there. A ResNet with published
# weights is fine-tuned. The small network is trained from scratch; like ResNet-18 and -34 it ends with 512 channels.


def learner(**head):
    """A trained learner with one head or another."""
    fastai.set_seed(args.seed, reproducible=True)
    if args.model == "small":
        made = fastai.vision_learner(
            loaders,
            partial(small, last_stride=1),
            pretrained=False,
            metrics=fastai.accuracy,
            **head,
        )
    else:
        made = fastai.vision_learner(
            loaders, getattr(fastai, args.model), metrics=fastai.accuracy, **head
        )
    with made.no_bar(), made.no_logging():
        if args.model == "small":
            made.fit_one_cycle(args.epochs, 5e-3)
        else:
            made.fine_tune(args.epochs)
        made.accuracy = made.validate()[1]
    return made


learn = learner()
print(f"{learn.accuracy:.1%} of the held-out pictures right")
print(learn.model[1])

# %%
# Read the head from top to bottom. It pools twice, average and maximum; then comes a linear layer to 512 *hidden
# units*, a ReLU, a batch norm, and a second linear layer to the two classes.
#
# Hooks, by hand and by ``record``
# --------------------------------
# A hook sees what a layer puts out, or which gradient comes back to it. As context managers they cannot be forgotten:
# a hook that stays makes the next training slower, and its results wrong.


@contextmanager
def outputs_of(module):
    """What a module puts out in this context."""
    seen = []
    handle = module.register_forward_hook(
        lambda _module, _inputs, output: seen.append(output.detach().clone())
    )
    try:
        yield seen
    finally:
        handle.remove()


@contextmanager
def gradients_of(module):
    """The gradients that come back to a module's output in this context."""
    seen = []
    handle = module.register_full_backward_hook(
        lambda _module, _inputs, outputs: seen.append(outputs[0].clone())
    )
    try:
        yield seen
    finally:
        handle.remove()


body, head = learn.model[0], learn.model[1]
learn.model.eval()
file = next(f for f in loaders.valid_ds.items if is_cat(f.name) == "dog")
x = fastai.first(loaders.test_dl([file]))[0].as_subclass(torch.Tensor).requires_grad_()
dog = loaders.vocab.o2i["dog"]
with outputs_of(body) as activations, gradients_of(body) as gradients:
    learn.model(x)[0, dog].backward()
learn.model.zero_grad()
A, G = activations[0], gradients[0]

with camscope.record(learn.model, layers=["0"]) as seen:
    learn.model(x)[0, dog].backward()
learn.model.zero_grad()
hooks_differ = max(
    (seen["0"].activations - A).abs().max(), (seen["0"].gradients - G).abs().max()
).item()
print(
    f"activations {tuple(A.shape)}; by hand and by camscope.record they differ by {hooks_differ:.1e}"
)

# %%
# The same numbers. ``record`` takes layers by name, takes its hooks away by itself, and keeps what a layer put out
# even where the next one writes over it (``ReLU(inplace=True)``).
#
# The picture that is none
# ------------------------
# The notebooks now take the weights of the last layer, ``learn.model[1][-1].weight``, and sum the channels with them:
#
# .. math:: \mathrm{picture}_c(i, j) = \sum_k \, W_{ck} A^k_{ij}
#
# The formula is that of CAM (Zhou et al., CVPR 2016). But CAM needs a head that is *average pooling and one linear
# layer*: only there is :math:`W_{ck}` the weight of channel *k*. Here it is the weight of hidden unit *k*, which is
# made of all channels. ``einsum`` does not complain, since there happen to be 512 of each. With a ResNet-50 (2,048
# channels) it would.

W = head[-1].weight.detach()
theirs = torch.einsum("ck,bkij->bcij", W, A)
grad_cam = camscope.explain(
    learn, file, targets=["dog", "cat"], methods="gradcam", layers="0"
)
right = grad_cam.maps()


def heat(maps):
    """Heatmaps for a figure: without evidence against, at the size of the picture."""
    return to_numpy(scaled(resize(relu(maps.double()), (size, size))))[0]


photo = grad_cam.input_image().picture
names = ["dog", "cat"]
order = [loaders.vocab.o2i[name] for name in names]
rows = [
    [Panel(photo, None, "Picture")]
    + [
        Panel(photo, heat(theirs)[c], name)
        for name, c in zip(names, order, strict=True)
    ],
    [Panel(photo, None, "Picture")]
    + [Panel(photo, heat(right)[t], name) for t, name in enumerate(names)],
]
compared = figure(
    rows,
    row_labels=["the einsum", "Grad-CAM"],
    caption="default head of fastai · last convolution",
    width=7.5,
)
compared.savefig(args.out / "einsum-and-gradcam.png", dpi=200)

# %%
# The proof, in three numbers
# ---------------------------
# **Hidden units have no order.** Deal the 512 hidden units anew: permute the rows of the first linear layer, the
# batch norm behind it, and the columns of the second linear layer alike. It is the same network: every output is the
# same. A map of what the network looks at cannot change. The einsum's picture does.

first, norm, last = head[4], head[6], head[8]
state = {name: value.clone() for name, value in head.state_dict().items()}
deal = torch.randperm(512, generator=torch.Generator().manual_seed(args.seed))
with torch.no_grad():
    before = learn.model(x)
    first.weight.copy_(first.weight[deal])
    for values in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        values.copy_(values[deal])
    last.weight.copy_(last.weight[:, deal])
    outputs_differ = (learn.model(x) - before).abs().max().item()
    dealt = torch.einsum("ck,bkij->bcij", last.weight, A)
dealt_right = camscope.explain(
    learn, file, targets=["dog", "cat"], methods="gradcam", layers="0"
).maps()
head.load_state_dict(state)


def alike(one, other):
    """The correlation of two maps."""
    return np.corrcoef(to_numpy(one).ravel(), to_numpy(other).ravel())[0, 1]


einsum_alike = alike(theirs[0, dog], dealt[0, dog])
gradcam_alike = alike(right[0, 0], dealt_right[0, 0])
print(
    f"outputs of the network with its hidden units dealt anew differ by {outputs_differ:.1e}"
)
print(f"Grad-CAM before and after: correlation {gradcam_alike:.3f}")
print(f"the einsum before and after: correlation {einsum_alike:.3f}")

# %%
# **It does not add up.** The mean of a CAM over its positions is the logit, less the bias (here there is none).

logits = before[0, order]
print("logits                ", [f"{value:+.2f}" for value in logits.tolist()])
print("mean of the einsum    ", [f"{theirs[0, c].mean():+.2f}" for c in order])

# %%
# **It does not agree with the gradient.** Grad-CAM is right for any head, and equal to CAM up to a factor where a CAM
# exists.

with_gradcam = [alike(theirs[0, c], right[0, t]) for t, c in enumerate(order)]
print(
    "correlation of the einsum with Grad-CAM:",
    [f"{value:+.2f}" for value in with_gradcam],
)
try:
    camscope.explain(learn, file, methods="cam")
    refused = ""
except camscope.MethodError as error:
    refused = str(error)
print("camscope, asked for CAM:", refused)

# %%
# Right: Grad-CAM, at the last group and at the one before
# --------------------------------------------------------
#
# .. math:: L_c = \mathrm{ReLU}\left(\sum_k \, \alpha^c_k A^k\right), \qquad
#           \alpha^c_k = \frac{1}{Z} \, \sum_{ij} \, \frac{\partial S_c}{\partial A^k_{ij}}
#
# By hand it is a line; camscope gives the same.

alpha = G.mean(dim=(2, 3), keepdim=True)
by_hand = (alpha * A).sum(1)
by_hand_differs = (by_hand[0] - right[0, 0]).abs().max().item()
print(f"by hand and by camscope: {by_hand_differs:.1e}")
groups = [f"0.{len(body) - 2}", f"0.{len(body) - 1}"]
both = camscope.explain(
    learn, file, targets=["dog", "cat"], methods="gradcam", layers=groups
)
both.figure().savefig(args.out / "two-groups.png", dpi=200)

# %%
# The second-to-last group comes earlier: it says more of edges than of animals. In a ResNet its grid is twice as
# fine.
#
# Right: a head that has a CAM
# ----------------------------
# ``concat_pool=False`` pools once, ``lin_ftrs=[]`` leaves the hidden layer out. What remains is average pooling →
# batch norm → dropout → linear. The batch norm is a factor and a shift for each channel, so it is folded into the
# weights:
#
# .. math:: \tilde{W}_{ck} = W_{ck} \frac{\gamma_k}{\sqrt{\sigma_k^2 + \epsilon}}, \qquad
#           \tilde{b}_c = b_c + \sum_k \, W_{ck} \left(
#           \beta_k - \frac{\gamma_k \mu_k}{\sqrt{\sigma_k^2 + \epsilon}}\right)

plain = learner(concat_pool=False, lin_ftrs=[])
print(f"{plain.accuracy:.1%} of the held-out pictures right")
norm, linear = plain.model[1][2], plain.model[1][4]
gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
folded = (linear.weight * gain).detach()
bias = (linear.weight @ (norm.bias - gain * norm.running_mean)).detach()
plain.model.eval()
with torch.no_grad(), outputs_of(plain.model[0]) as activations:
    logits = plain.model(x)[0]
cam = torch.einsum("ck,bkij->bcij", folded, activations[0])
e = camscope.explain(
    plain, file, targets=["dog", "cat"], methods=["cam", "gradcam"], layers="0"
)
sums_differ = (cam[0].mean(dim=(1, 2)) + bias - logits).abs().max().item()
cams_differ = ((cam[0, order] - e.maps("cam")[0]).abs().max() / cam.abs().max()).item()
print(f"mean of the map + bias, and logit: they differ by {sums_differ:.1e}")
print(
    f"the map by hand, and by camscope: they differ by {cams_differ:.1e} of the largest value"
)
e.figure(by="targets", method="cam", scale="signed", width=7.5).savefig(
    args.out / "cam.png", dpi=200
)

# %%
# Orange is evidence for a class, blue against it. With two classes and a softmax the two maps are near mirror images.
# ``first_bn=False`` leaves the batch norm out too, and there is nothing to fold.
#
# What can mislead
# ----------------
# * **A picture that looks right proves nothing.** The einsum's lies on the animal as well, because the activations
#   do, whatever they are summed with. It may even look better than the right one. Ask for a number that must hold:
#   the sum, or the gradient.
# * **Shapes that fit prove nothing.** 512 channels and 512 hidden units are a coincidence.
# * **A map after ReLU hides the evidence against.** Look at the signed map before you say that something was not
#   looked at.
# * **Silhouettes have no inside.** What tells a cat from a dog is on the outline; colour well inside it is the blur
#   of a coarse grid. And that there is *nothing* beside the animal can speak for a class too, all over the ground.
# * **A frame of colour along the border** is no animal either: convolutions pad with zeros, and a network trained from
#   scratch uses what it finds there.
