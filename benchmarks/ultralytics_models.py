"""The ultralytics package's own networks, with random weights: is what is explained what they return?

    python -m benchmarks.ultralytics_models [NAME …]

The package must be installed; camscope does not need it, and the tests have look-alikes of a few lines. Its models are
made from their descriptions, `yolov8n` or `yolo11n-seg`, and nothing is downloaded. Norms get the statistics of one
batch and the last layer of classes larger weights, so that scores are well apart. For each model: what it returns, its
most likely instance and its probability as it was found, the largest difference to the score that was returned, how the
maps are, and the milliseconds of a plain forward and of both maps, on one thread.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

import camscope
from camscope import Explainer

SIZE = (256, 320)
TASKS = ("", "-seg", "-pose", "-obb", "-cls")
NAMES = (
    *(f"{family}{task}" for family in ("yolov8n", "yolo11n", "yolo12n", "yolo26n") for task in TASKS),
    "yolov9t",
    "yolov10n",
    "rtdetr-l",
    "rtdetr-resnet50",
)


def build(name: str) -> Any:
    """The object that a user holds, its scores well apart; those of the later versions end to end."""
    from ultralytics import RTDETR, YOLO

    torch.manual_seed(0)
    model = (RTDETR if name.startswith("rtdetr") else YOLO)(f"{name}.yaml")
    net, head = model.model, model.model.model[-1]
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    for place, module in head.named_modules():
        if isinstance(module, nn.Conv2d) and module.bias is not None and "cv3" in place:
            nn.init.normal_(module.weight, std=0.05)
        if isinstance(module, nn.Conv2d) and module.bias is not None and "cv2" in place:
            nn.init.constant_(module.bias, 2.0)  # sides away from the middle, so that boxes have an area
    if not name.startswith("rtdetr"):  # whose training takes labels
        net.train()
        with torch.no_grad():
            net(torch.rand(2, 3, *SIZE))
    if name.startswith(("yolo26", "yolov10")) and hasattr(head, "one2one_cv3"):
        head.end2end = True
    net.eval()
    return model


def returned_score(out: Any, probability: torch.Tensor) -> float:
    """The largest score in what was returned: of classes in the rows behind the box, or of detections."""
    y = out
    while not isinstance(y, torch.Tensor):
        y = y[0]
    if y.ndim == 2:
        return float(y[0].max())
    if y.shape[2] > y.shape[1] or y.shape[1] > 400:  # (batch, 4 + classes …, anchor)
        return float(y[0, 4 : 4 + probability.shape[1]].max())
    return float(y[0, :, 4].max()) if y.shape[2] != 4 + probability.shape[1] else float(y[0, :, 4:].max())


def milliseconds(run: Callable[[], Any]) -> float:
    """The best of three."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return 1000 * min(times)


def row(name: str) -> str:
    """A model's line of the table."""
    model, x = build(name), torch.rand(1, 3, *SIZE)
    explainer = Explainer(model)
    e = explainer(x)
    with torch.no_grad():
        out = model.model(x)
        plain = milliseconds(lambda: model.model(x))
    probability = e.probability(0, 0) or 0.0
    off = abs(returned_score(out, e.probabilities) - probability)
    both = milliseconds(lambda: explainer(x))
    states = ", ".join(f"{layer}: {statuses[0][0]}" for (_, layer), statuses in e.status.items())
    found = f"{e.targets[0][0].label} | {probability:.3f} | {off:.0e}"
    return f"| {name} | {found} | {states} | {plain:.0f} | {both:.0f} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "names", nargs="*", help="such as yolov8n or yolo11n-seg; all that are known by default"
    )
    names = parser.parse_args().names or NAMES
    torch.set_num_threads(1)
    print("| model | instance | probability | off by | maps | forward, ms | explained, ms |")
    print("|---|---|---|---|---|---|---|")
    for name in names:
        try:
            print(row(name), flush=True)
        except (camscope.CamscopeError, FileNotFoundError) as error:
            print(f"| {name} | {type(error).__name__}: {str(error)[:200]} |", flush=True)


if __name__ == "__main__":
    main()
