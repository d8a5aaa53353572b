"""Small real networks, cut at a layer, and the evidence of them: for methods that run a model again.

Networks run in torch, float64. What they answer comes back in the array library the evidence is of.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from camscope.evidence import Evidence, LinearHead, ModelEvidence, Responses, SuffixRerun
from camscope.methods import get_method

CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
SIZES = {1: (21,), 2: (12, 15), 3: (6, 9, 6)}
"""Inputs. The layer's grid is half of that along each axis, rounded up."""


def as_numpy(values, dtype="float64"):
    return np.asarray(values, dtype=dtype)


def as_torch(values, dtype="float64"):
    return torch.as_tensor(np.asarray(values, dtype=dtype))


def as_jax(values, dtype="float64"):
    import jax.numpy as jnp

    return jnp.asarray(values, dtype=dtype)


class Net(nn.Module):
    """`prefix` to the target layer, `suffix` from it to the logits."""

    def __init__(self, ndim=2, head="linear", channels=6, classes=4, seed=0, signed=False, stride=2):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            conv = CONV[ndim](2, channels, 3, stride=stride, padding=1 if stride == 2 else 0)
            self.prefix = nn.Sequential(conv) if signed else nn.Sequential(conv, nn.ReLU())
            positions = int(np.prod([-(-n // stride) for n in SIZES[ndim]]))
            if head == "linear":
                self.suffix = nn.Sequential(Pool(), nn.Linear(channels, classes))
            elif head == "mlp":
                self.suffix = nn.Sequential(
                    nn.Flatten(), nn.Linear(channels * positions, 9), nn.ReLU(), nn.Linear(9, classes)
                )
            else:
                self.suffix = nn.Sequential(
                    CONV[ndim](channels, 7, 3, padding=1), nn.Tanh(), Pool(), nn.Linear(7, classes)
                )
            for p in self.prefix.parameters():
                nn.init.normal_(p, std=0.5)
            for p in self.suffix.parameters():  # no answer all but certain: what is left out must show
                nn.init.normal_(p, std=0.3 if p.ndim == 1 else p[0].numel() ** -0.5)
            x = torch.randn(2, 2, *SIZES[ndim])
        self.double().requires_grad_(False).eval()
        self.x = x.double()

    def forward(self, x):
        return self.suffix(self.prefix(x))


class Pool(nn.Module):
    def forward(self, x):
        return x.flatten(2).mean(2)


@dataclass
class Runner(SuffixRerun):
    """An honest `Rerun`: runs everything, in chunks, and remembers how much that was."""

    run: nn.Module
    classes: np.ndarray
    convert: object = as_numpy
    dtype: str = "float64"
    chunk: int = 5
    counts: list = field(default_factory=list)

    def __call__(self, image, count, variants):
        assert count > 0
        self.counts.append(count)
        rows = []
        for start in range(0, count, self.chunk):
            made = variants(np.arange(start, min(start + self.chunk, count)))
            rows.append(self.run(as_torch(made)))
        return self.answers(torch.cat(rows), self.classes[image])

    def answers(self, logits, classes):
        given = logits[:, classes], logits.softmax(1)[:, classes], logits.log_softmax(1)[:, classes]
        return Responses(*map(self.give, given))

    def give(self, values):
        return self.convert(values.detach().numpy(), self.dtype)

    @property
    def total(self):
        return sum(self.counts)


CLASSES = np.array([[0, 2, 3], [3, 1, 0]])
"""Three targets for each of the two images, not the same."""


def seen(
    net, convert=as_numpy, dtype="float64", *, classes=CLASSES, chunk=5, head=False, x=None, seed=0, edit=None
):
    """What a planner would give: the evidence of `net.prefix`'s output for these classes.

    Args:
        edit: changes the activations before anything is seen of them (to make channels dead, say).
    """
    x = net.x if x is None else x
    A = net.prefix(x)
    A = A if edit is None else edit(A)

    def give(values):
        return convert(values.detach().numpy(), dtype)

    rows = np.arange(len(x))[:, None]
    leaf = A.clone().requires_grad_()
    logits = net.suffix(leaf)
    clean = logits.detach()
    p = clean.softmax(1)
    gradients = torch.stack(
        [
            torch.autograd.grad(logits[rows[:, 0], classes[:, t]].sum(), leaf, retain_graph=True)[0]
            for t in range(classes.shape[1])
        ],
        dim=1,
    )

    def masked_gradients(inputs, target):
        given = as_torch(inputs).requires_grad_()
        scores = net(given)[rows[:, 0], classes[:, target]]
        return give(scores), give(torch.autograd.grad(scores.sum(), given)[0])

    linear = None
    if head:
        linear = LinearHead(give(net.suffix[1].weight[classes]), give(A), pools_activations=True)
    return Evidence(
        activations=give(A),
        gradients=give(gradients),
        head=linear,
        suffix=Runner(net.suffix, classes, convert, dtype, chunk),
        model=ModelEvidence(
            inputs=give(x),
            responses=Responses(
                give(clean[rows, classes]), give(p[rows, classes]), give(p.log()[rows, classes])
            ),
            masked=Runner(net, classes, convert, dtype, chunk),
            masked_gradients=masked_gradients,
            seed=seed,
        ),
        seed=seed,
    )


def maps_of(name, evidence, **parameters):
    m = get_method(name).with_parameters(**parameters)
    return np.asarray(m(evidence.model if m.scope == "model" else evidence))


def close(a, b, tolerance=1e-10):
    """Equal to `tolerance` of the largest value, which is not nothing."""
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape
    scale = np.abs(b).max()
    assert scale > 0
    np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * scale)


def only(evidence_of, image, net, **options):
    """The evidence of one image of the batch by itself."""
    return evidence_of(net, x=net.x[image : image + 1], classes=CLASSES[image : image + 1], **options)
