"""Programs in files: written, and run as whoever gets them will run them."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch.export import ExportedProgram

from camscope.errors import MissingExtraError, ModelError
from camscope.models.map_programs import INPUT, OUTPUTS, ProgramOutputs, Written
from camscope.models.torch.exporting.tracing import BATCH_AXIS, reason_of

_MOST_IN_ONE_FILE = 2 * 1024**3 - 64 * 1024**2
"""Bytes of weights that fit into an ONNX file with everything else: the format ends at 2 GB."""

_SEED = 2**40 + 1


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        packages: what it takes to write one.
        write: writes a program, with facts.
    """

    packages: tuple[str, ...]
    write: Callable[[ExportedProgram, Path, Mapping[str, str]], Written]

    def check(self, suffix: str) -> None:
        """Refuse to write one where a package is missing.

        Raises:
            MissingExtraError: saying what to install.
        """
        if not all(importlib.util.find_spec(package) for package in self.packages):
            raise MissingExtraError(f"Writing {suffix} files", "export")


def _write_onnx(program: ExportedProgram, path: Path, facts: Mapping[str, str]) -> Written:
    """Write an ONNX file: one, unless the weights do not fit into one.

    Raises:
        ModelError: if an operation of the model has no counterpart in ONNX.
    """
    with _quietly():
        try:
            found = torch.onnx.export(
                program,
                (),
                dynamo=True,
                verbose=False,
                input_names=[INPUT],
                output_names=list(OUTPUTS),
                dynamic_shapes=({0: BATCH_AXIS},),
            )
        except Exception as error:
            raise ModelError(
                f"This model cannot be written as ONNX. PyTorch says: {reason_of(error)} A '.pt2' file holds more "
                "operations, and another layer may need fewer."
            ) from error
    assert found is not None
    found.model.metadata_props.clear()
    found.model.metadata_props.update(facts)
    found.model.doc_string = None
    for node in found.model.graph.all_nodes():  # where in whose file each operation was called
        node.metadata_props.clear()
    size = sum(tensor.nbytes for tensor in _weights(program))
    found.save(path, external_data=size > _MOST_IN_ONE_FILE)
    if importlib.util.find_spec("onnxruntime") is None:
        return Written(
            _running(program),
            "PyTorch",
            "ONNX Runtime is not installed, so the file itself was not run: what it was written from was, in PyTorch. "
            "pip install onnxruntime",
        )
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(x: Float[np.ndarray, "batch ..."]) -> ProgramOutputs:
        return ProgramOutputs(*session.run(list(OUTPUTS), {INPUT: x}))

    return Written(run, f"ONNX Runtime {onnxruntime.__version__}")


def _write_pt2(program: ExportedProgram, path: Path, facts: Mapping[str, str]) -> Written:
    """Write PyTorch's own file, and read it again."""
    with _quietly():
        torch.export.save(program, path, extra_files=dict(facts))
        again = torch.export.load(path)
    return Written(_running(again), f"PyTorch {torch.__version__}, read again")


def _running(program: ExportedProgram) -> Callable[[Float[np.ndarray, "batch ..."]], ProgramOutputs]:
    """Runs a program in PyTorch."""
    module = program.module()
    device = next((tensor.device for tensor in _weights(program)), torch.device("cpu"))

    def run(x: Float[np.ndarray, "batch ..."]) -> ProgramOutputs:
        # random numbers are others than in camscope's own run, so that a program that draws some is noticed
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(_SEED)
            return ProgramOutputs(*(out.cpu().numpy() for out in module(torch.from_numpy(x).to(device))))

    return run


def _weights(program: ExportedProgram) -> Iterator[torch.Tensor]:
    yield from program.state_dict.values()
    yield from (value for value in program.constants.values() if isinstance(value, torch.Tensor))


@contextmanager
def _quietly() -> Iterator[None]:
    """Without what PyTorch says to those who work on its exporter."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)


KINDS: Mapping[str, Kind] = {
    ".onnx": Kind(("onnx", "onnxscript"), _write_onnx),
    ".pt2": Kind((), _write_pt2),
}
"""By suffix."""
