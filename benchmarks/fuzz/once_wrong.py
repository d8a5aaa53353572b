"""Networks that the fuzz found something wrong with, once: it begins with these, so that the same is never wrong again.

A change of what a seed draws leaves them as they are.
"""

from __future__ import annotations

from benchmarks.fuzz.heads import Head
from benchmarks.fuzz.networks import Recipe
from benchmarks.fuzz.steps import (
    Act,
    Block,
    Conv,
    Embed,
    Latents,
    Norm,
    RectifiedShortcut,
    Recurrent,
    Residual,
    ToFirst,
)

ONCE_WRONG = (
    # a hidden ReLU that rests beside its biases was taken for a linear head
    Recipe(
        1500250,
        "convnet",
        3,
        (8, 8),
        (
            Conv("conv1", dead=3),
            Act(in_place=True),
            Conv("conv2", channels=12, kernel=1, dead=1),
            Act("act3", in_place=True),
            Residual("res4", shortcut=True, add="way + out"),
            Conv("conv5", channels=4, kernel=1, dead=3),
            Act("act6", in_place=True),
        ),
        (Head("head", pool="module", classes=5, hidden=6),),
    ),
    # the channels of learned tokens were taken for six positions with others among them
    Recipe(
        1500382,
        "nowhere",
        1,
        (12,),
        (
            Conv("patch1", channels=9, stride=2),
            Embed("embed2", others=(0,)),
            Latents("latents3"),
            Block("block4"),
        ),
        (Head("head", classes=3, end="Sigmoid"), Head("other", classes=3, end="Sigmoid")),
        returns="tuple",
    ),
    # a re-run that was wrong answered as the model does to both altered copies: a hidden layer was asleep
    Recipe(
        1500392,
        "convnet",
        1,
        (9, 14),
        (
            Conv("conv1", stride=2),
            Norm("norm2"),
            Act("act3"),
            Conv("conv4"),
            RectifiedShortcut("pre5"),
            Act("act6", kind="silu", in_place=True),
            Conv("conv7"),
            Act("act8"),
            Conv("conv7"),
            Act("act9", in_place=True),
            Conv("conv10"),
            Act("act11", kind="gelu"),
            Conv("conv10"),
            Act("act12"),
        ),
        (Head("head", classes=3, hidden=6, end="sigmoid"),),
        photos=("photo", "black"),
    ),
    # of two heads that are certain the other one's logits were taken
    Recipe(
        1500473,
        "tokens",
        3,
        (14, 10),
        (
            Conv("patch1", channels=12, stride=2),
            Embed("embed2", others=(0, 1), columns=True),
            Block("block3"),
            ToFirst(),
            Conv("conv4", channels=4),
            Act("act5", kind="gelu"),
        ),
        (
            Head("head", pool="sum", classes=1, rectify=True, hidden=6, end="Sigmoid"),
            Head("other", pool="flat", classes=1, end="Sigmoid"),
        ),
        returns="tuple",
        photos=("bright", "bright"),
    ),
    # twenty steps of time were taken for six times three patches and two tokens in front
    Recipe(
        1500541,
        "sequence",
        16,
        (16,),
        (Recurrent("rnn1", channels=6),),
        (Head("head", classes=3),),
        sequence=True,
        photos=("bright", "photo"),
        training=True,
    ),
)
