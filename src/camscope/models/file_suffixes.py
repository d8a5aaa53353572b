"""What is in a model's file by its suffix, for messages to whoever gave it where another was expected."""

from __future__ import annotations

PROGRAM = ".pt2"
"""The suffix of programs that `torch.export` wrote."""


def why_no_program(file: object) -> str:
    """Why a program of `torch.export` cannot be explained, and what works.

    Args:
        file: its path, or another name for it.
    """
    return (
        f"{file} is a program of torch.export: a list of operations without the layers that maps are made at. It gives "
        "what it was exported with (torch.export.load(FILE).module()(x)), and nothing more can be made of it. To have "
        "a file that can be explained, export to .onnx, and give that as 'onnx:FILE.onnx'; or give the model that it "
        "was made of."
    )
