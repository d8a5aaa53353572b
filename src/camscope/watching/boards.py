"""Boards that people look at while a model trains: TensorBoard, Weights & Biases, MLflow. Each gets pictures."""

from __future__ import annotations

import sys
from typing import Any, Protocol

import numpy as np
from PIL import Image

from camscope.errors import InputError
from camscope.watching.heat import enlarged, overlays
from camscope.watching.looks import Look
from camscope.watching.watched_samples import Samples


class Board(Protocol):
    """Shows looks."""

    def show(self, samples: Samples, look: Look) -> None:
        """Show a look."""
        ...


class TensorBoard:
    """A `SummaryWriter`: an image for each sample, with a slider over the steps, and the curve of each probability.

    Args:
        writer: it.
    """

    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def show(self, samples: Samples, look: Look) -> None:
        """Show a look."""
        step = look.moment.step
        for tag, picture, _ in _strips(samples, look):
            self._writer.add_image(f"camscope/{tag}", np.asarray(picture), step, dataformats="HWC")
        for name, titles, row in zip(samples.names, look.titles, look.probabilities, strict=True):
            for title, probability in zip(titles, row, strict=True):
                if np.isfinite(probability):
                    self._writer.add_scalar(f"camscope/probability/{name} {title}", float(probability), step)


class WeightsAndBiases:
    """A run of Weights & Biases. Pictures go to the step that the training logs next, so its own counting stays.

    Args:
        run: it.
    """

    def __init__(self, run: Any) -> None:
        self._run = run

    def show(self, samples: Samples, look: Look) -> None:
        """Show a look."""
        import wandb

        pictures = {
            f"camscope/{tag}": wandb.Image(picture, caption=caption)
            for tag, picture, caption in _strips(samples, look)
        }
        self._run.log({**pictures, "camscope/step": look.moment.step}, commit=False)


class MLflow:
    """The module `mlflow`, which logs to its active run.

    Args:
        module: it.
    """

    def __init__(self, module: Any) -> None:
        self._mlflow = module

    def show(self, samples: Samples, look: Look) -> None:
        """Show a look."""
        for tag, picture, _ in _strips(samples, look):
            self._mlflow.log_image(picture, key=f"camscope/{tag}", step=look.moment.step)


def boards_of(given: Any) -> list[Board]:
    """Boards from what people have: a writer, a run, a module, or a list of these.

    Raises:
        InputError: if one is none of these.
    """
    return [_board_of(one) for one in (given if isinstance(given, (list, tuple)) else [given])]


def active_boards() -> list[Board]:
    """The boards of runs that are active in this process: W&B's and MLflow's, if they were imported."""
    found: list[Board] = []
    wandb, mlflow = sys.modules.get("wandb"), sys.modules.get("mlflow")
    if getattr(wandb, "run", None) is not None:
        found.append(WeightsAndBiases(wandb.run))  # type: ignore[union-attr]
    if hasattr(mlflow, "active_run") and mlflow.active_run() is not None:  # type: ignore[union-attr]
        found.append(MLflow(mlflow))
    return found


def is_writer(given: Any) -> bool:
    """Whether it is a `SummaryWriter`, of PyTorch or of tensorboardX."""
    return hasattr(given, "add_image") and hasattr(given, "add_scalar")


def _board_of(given: Any) -> Board:
    if is_writer(given):
        return TensorBoard(given)
    if type(given).__module__.split(".")[0] == "wandb":
        return WeightsAndBiases(given)
    if hasattr(given, "log_image") and hasattr(given, "active_run"):
        return MLflow(given)
    raise InputError(
        f"{given!r} is no board: expected a SummaryWriter of TensorBoard, a run of Weights & Biases (what wandb.init "
        "returns), or the module mlflow."
    )


def _strips(samples: Samples, look: Look) -> list[tuple[str, Image.Image, str]]:
    """For each sample its name, the input with the overlay of each target beside it, and what they are called."""
    if samples.pictures is None:
        return []
    scales = look.scales.reshape(*look.scales.shape, *[1] * (look.maps.ndim - 2))
    maps = look.maps.astype(np.float32) * scales
    return [
        (name, _side_by_side([enlarged(picture), *row]), "input, " + ", ".join(titles))
        for name, picture, row, titles in zip(
            samples.names, samples.pictures, overlays(maps, samples), look.titles, strict=True
        )
    ]


def _side_by_side(pictures: list[Image.Image]) -> Image.Image:
    width, height = pictures[0].size
    gap = width // 32
    sheet = Image.new("RGB", (len(pictures) * (width + gap) - gap, height), "white")
    for place, picture in enumerate(pictures):
        sheet.paste(picture, (place * (width + gap), 0))
    return sheet
