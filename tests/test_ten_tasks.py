"""Ten things that a newcomer wants: each is found from the README in at most two clicks, and done by copying ten lines.

A task names what the newcomer has (their model, a photo), the words they look for in the README, and the lines they
copy from the page that stands in that row. The lines are the page's own, and run in a folder of their own, with nothing
besides what the newcomer has: what the lines use of libraries, they import.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType

import pytest

from camscope.methods import registry
from tests.documented_world import prepared
from tests.test_documented_code import commands

ROOT = Path(__file__).parents[1]
_LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
_BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)

TORCH = """import torch, torchvision
torch.manual_seed(0)
model = torchvision.models.resnet18().eval()
x = torch.randn(2, 3, 96, 96)
"""
DETECTOR = """import torch, torchvision
torch.manual_seed(0)
faster_rcnn = torchvision.models.detection.fasterrcnn_mobilenet_v3_large_320_fpn(
    weights=None, weights_backbone=None, num_classes=4, box_score_thresh=0.0).eval()
"""
TEXT = """from transformers import pipeline
from tests.texts import transformer, wordpiece
classifier = pipeline("text-classification", model=transformer(), tokenizer=wordpiece())
"""
FINE_TUNED = """import timm
from safetensors.torch import save_file
save_file(timm.create_model("resnet18", num_classes=2).state_dict(), "best.safetensors")
"""
KERAS = """import keras
from keras import layers
keras.Sequential([keras.Input((48, 48, 3)), layers.Conv2D(8, 3, activation="relu"),
    layers.GlobalAveragePooling2D(), layers.Dense(3)]).save("mine.keras")
"""


@dataclass(frozen=True)
class Task:
    """What a newcomer wants.

    Attributes:
        row: the words that stand in the README's row.
        page: that the row leads to.
        copied: what stands in the lines that are copied: of a block of Python, or of a command.
        has: what makes what they have before; of its names they have those that are no module, class or function.
        then: what is true afterwards.
    """

    row: str
    page: str
    copied: str
    has: str = ""
    then: str = "True"


TASKS = {
    "explain a fine-tuned timm model": Task(
        "a model you fine-tuned", "docs/guides/your_model.md", 'weights="best.safetensors"', FINE_TUNED
    ),
    "why this box": Task("why this box?", "docs/guides/detectors.md", "camscope.Instance(0)", DETECTOR),
    "which words": Task("which words?", "docs/guides/texts.md", ".words()", TEXT),
    "a folder overnight": Task(
        "a folder overnight",
        "docs/runs.md",
        "camscope run photos/",
        then="Path('run/index.parquet').is_file()",
    ),
    "trust": Task("a map, and doubts", "docs/trust.md", "camscope trust photo.jpg"),
    "a Keras file": Task("a Keras file", "docs/guides/frameworks.md", 'load_model("mine.keras")', KERAS),
    "export to ONNX": Task(
        "a deployment", "docs/guides/export.md", "InferenceSession", TORCH, "maps.shape[0] == len(x)"
    ),
    "a method of one's own": Task(
        "a method of your own",
        "docs/guides/methods.md",
        "@method(",
        TORCH,
        "e.methods == ('positive-gradcam',)",
    ),
    "from pytorch-grad-cam": Task(
        "code for another library",
        "docs/guides/coming_from.md",
        "ours = e.heatmaps()",
        TORCH,
        "ours.shape[-1] == 96",
    ),
    "a blank map": Task(
        "a blank map",
        "docs/guides/blank.md",
        "e.status[",
        TORCH,
        """repr(e.status["gradcam", "layer4"][0][0]) == "<Status.OK: 'ok'>\"""",
    ),
}


def clicks(page: str) -> dict[str, int]:
    """How many clicks away every page is."""
    found, ahead = {page: 0}, [page]
    while ahead:
        here = ahead.pop(0)
        for link in _LINK.findall((ROOT / here).read_text("utf-8")):
            there = (ROOT / here).parent.joinpath(link).resolve()
            name = str(there.relative_to(ROOT)) if there.is_relative_to(ROOT) else ""
            if there.is_file() and there.suffix == ".md" and name not in found:
                found[name] = found[here] + 1
                ahead.append(name)
    return found


def lines_of(task: Task) -> str:
    """What is copied."""
    page = (ROOT / task.page).read_text("utf-8")
    if task.copied.startswith("camscope "):
        return next(line for line in commands(page) if line.startswith(task.copied))
    return next(block for block in _BLOCK.findall(page) if task.copied in block)


def owned_by(task: Task) -> Mapping[str, object]:
    """What the newcomer has."""
    made: dict[str, object] = {}
    exec(task.has, made)
    return {
        name: one
        for name, one in made.items()
        if not isinstance(one, ModuleType | type | FunctionType) and name != "__builtins__"
    }


@pytest.mark.parametrize("name", TASKS)
def test_a_task_is_found_in_two_clicks(name):
    task, readme = TASKS[name], (ROOT / "README.md").read_text("utf-8")
    row = next(line for line in readme.splitlines() if line.startswith("|") and task.row in line)
    assert f"]({task.page})" in row
    assert clicks("README.md")[task.page] <= 2


@pytest.mark.parametrize("name", TASKS)
def test_a_task_takes_ten_lines(name):
    assert len([line for line in lines_of(TASKS[name]).splitlines() if line.strip()]) <= 10


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::camscope.CamscopeWarning")
@pytest.mark.parametrize("name", TASKS)
def test_a_task_is_done_by_its_lines(name, tmp_path, monkeypatch):
    task, copied = TASKS[name], lines_of(TASKS[name])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_methods", dict(registry._methods))
    prepared(tmp_path)
    names: dict[str, object] = {"__name__": "page"}
    if copied.startswith("camscope "):
        here = copied.replace("timm:resnet50", "demo")  # whose weights need no network
        ran = subprocess.run(
            [sys.executable, "-m", *here.split()], capture_output=True, text=True, check=False, cwd=tmp_path
        )
        assert ran.returncode == 0, ran.stderr
    else:
        names |= owned_by(task)
        exec(copied, names)
    assert eval(task.then, {"Path": Path, **names})


def test_clicks_are_counted():
    away = clicks("README.md")
    assert away["README.md"] == 0
    assert away["docs/guides/blank.md"] == 1
    assert "docs/changes.md" not in away or away["docs/changes.md"] > 0
