"""The commands that README and site show run, from top to bottom of a page, in a folder that has what they name.

Published weights are not here: a model of timm, torchvision or keras.applications that a page names without weights of
its own runs with random ones.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

import pytest

from camscope.cli import main
from tests.documented_world import prepared, with_all_of
from tests.test_documented_code import PAGES, ROOT, commands

NOT_RUN: Mapping[str, str] = {
    "camscope app": "a server, which runs until it is ended; tests/app starts it",
    "camscope choose": "at least 50 photos, and a quarter of an hour; tests/cli/test_choose_command.py runs it",
    "camscope train --resume": "goes on with a run that was stopped; tests/cli/test_train.py stops some",
    "camscope explain photo.jpg --as choice.json": "what `choose` has left; tests/cli/test_choose_command.py runs it",
    "camscope explain street.jpg --model FILE.py:YOLO_FACTORY": "stands for a file of the reader's",
    "camscope run photos/ --model timm:resnet50 --out run --engine ray": "a cluster; tests/runs has one",
    "camscope run photos/ --model timm:resnet50 --device cuda": "a GPU, and Slurm's variable",
    "camscope runs merge": "what the shares before it have left; tests/runs merges some",
    "camscope run s3://": "a bucket; tests/runs has a server of one",
    "camscope browse s3://": "likewise",
}
"""Beginnings of commands, and why they are not run here."""

EXTRAS: Mapping[str, str] = {
    "app": "app",
    "train": "train",
    "run": "runs",
    "browse": "runs",
    "runs": "runs",
    "export": "export",
    "hf:": "transformers",
    "keras:": "keras",
    "onnx:": "onnx",
}
"""What a command, or a model of this kind, needs besides the core, PyTorch and pictures."""

_INSTALLED = re.compile(r"camscope\[([a-z0-9,]+)\]")

SHORTER: Mapping[str, tuple[str, ...]] = {
    "train": ("--epochs", "2", "--size", "32", "--workers", "0"),
    "trust": ("--probes", "32"),
}
"""What is added to a command that would take long."""


def run_of(line: str) -> list[str]:
    """The words of a command as it is run here."""
    words = shlex.split(line)[1:]
    named = next((word for word in words if word.startswith(("timm:", "torchvision:", "keras:ResNet"))), "")
    if named and "--weights" not in words:
        words += ["--weights", "random"]
    return [*words, *SHORTER.get(words[0], ())]


def reason(line: str) -> str | None:
    """Why a command is not run here; None if it is."""
    return next((why for beginning, why in NOT_RUN.items() if line.startswith(beginning)), None)


WITH_COMMANDS = [
    page for page in PAGES if any(not reason(line) for line in commands(page.read_text("utf-8")))
]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::camscope.CamscopeWarning")
@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_run_from_top_to_bottom(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    prepared(tmp_path)
    for line in commands(page.read_text("utf-8")):
        if reason(line):
            continue
        with_all_of(line, tmp_path)
        status = main(run_of(line))
        assert status == 0, f"{line}\n{capsys.readouterr().err}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_says_what_its_commands_need_to_be_installed(page):
    text = page.read_text("utf-8")
    brought = {one for listed in _INSTALLED.findall(text) for one in listed.split(",")}
    lacking = {
        f"{begun} needs [{extra}]"
        for line in commands(text)
        for begun, extra in EXTRAS.items()
        if f"camscope {begun} " in f"{line} " or (begun.endswith(":") and f" --model {begun}" in line)
        if extra not in brought
    }
    assert not lacking


def test_what_is_not_run_is_on_some_page():
    shown = [line for page in PAGES for line in commands(page.read_text("utf-8"))]
    assert all(any(line.startswith(beginning) for line in shown) for beginning in NOT_RUN)


def test_a_name_without_weights_here_gets_random_ones():
    assert run_of("camscope layers --model timm:resnet50")[-2:] == ["--weights", "random"]
    assert (
        run_of("camscope explain a.jpg --model timm:resnet50 --weights b.safetensors")[-1] == "b.safetensors"
    )
    assert run_of("camscope explain a.jpg") == ["explain", "a.jpg"]
