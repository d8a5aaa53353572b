"""A small network that trains, with all that a look could disturb; and one history that tests of reading share."""

from __future__ import annotations

import pytest
import torch
import torch._dynamo  # before TensorBoard loads TensorFlow: Triton, where it is loaded after it, ends the process
from torch import nn
from torch.nn import functional

import camscope

CLASSES = ["circle", "square", "cross"]


def network(seed: int = 0, classes: int = 3) -> nn.Sequential:
    """Batch norm and dropout behind a convolution, twice; GAP; linear. An input of 12² gives a grid of 6²."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout2d(0.2),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(8, classes),
    )


def data(count: int = 48) -> tuple[torch.Tensor, torch.Tensor]:
    """Images of 12² whose class is the place of a bright patch."""
    random = torch.Generator().manual_seed(1)
    x = 0.3 * torch.randn(count, 1, 12, 12, generator=random)
    y = torch.arange(count) % 3
    for image, label in zip(x, y, strict=True):
        image[:, 4 * label : 4 * label + 4, 4:8] += 2
    return x, y


def train(recorder: camscope.Recorder | None = None, *, epochs: int = 3, batch: int = 8):
    """A plain loop with momentum. Gives the model, the losses, and the optimiser."""
    model, (x, y) = network(), data()
    optimiser = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9, weight_decay=1e-3)
    losses = []
    if recorder is not None:
        recorder.start(model)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(batch):
            loss = functional.cross_entropy(model(x[rows]), y[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
            if recorder is not None:
                recorder.step(model, loss=loss, learning_rate=0.05)
        if recorder is not None:
            recorder.epoch(model, metric=1 - loss)
    return model, losses, optimiser


@pytest.fixture(scope="session")
def watched(tmp_path_factory):
    """The folder of a recorded training: three samples, one of each class; read only."""
    folder = tmp_path_factory.mktemp("watched") / "run" / "maps"
    x, y = data()
    train(camscope.Recorder(folder, x[:3], labels=y[:3], class_names=CLASSES), epochs=4)
    return folder
