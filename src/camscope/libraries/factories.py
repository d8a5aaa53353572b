"""Models that a user's file makes: FILE.py:FACTORY."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import inspect
import sys
from pathlib import Path
from typing import Any

from camscope.errors import ModelError, nearest
from camscope.libraries.registry import recognise
from camscope.models.registry import framework_of, known_frameworks


def is_factory(spec: str) -> bool:
    """Whether a model's name is that of a user's file, by its looks."""
    return ".py" in spec


def file_of(spec: str) -> Path:
    """The file of `FILE.py:FACTORY`.

    Raises:
        ModelError: if no function is named, or there is no such file.
    """
    file, _, factory = spec.rpartition(":")
    if not factory or not file.endswith(".py"):
        raise ModelError(f"{spec!r}: say which function of the file builds the model, FILE.py:FACTORY.")
    path = Path(file)
    if not path.is_file():
        raise ModelError(f"There is no file {file}.")
    return path


def digest_of(spec: str) -> str:
    """The SHA-256 of the file of `FILE.py:FACTORY`, by which a change of it is seen.

    Raises:
        ModelError: see `file_of`.
    """
    return hashlib.sha256(file_of(spec).read_bytes()).hexdigest()


def from_file(spec: str, *, classes: int | None = None) -> Any:
    """What a file's factory makes. What the file prints goes to stderr: stdout may be read by a program.

    Args:
        spec: `FILE.py:FACTORY`, a function without arguments that returns the model, or the model itself.
        classes: for how many classes the model is wanted: then the factory must take `num_classes`, or make a model
            of so many by itself.

    Raises:
        ModelError: if there is no such file or factory, or it fails or makes no model.
    """
    path, factory = file_of(spec), spec.rpartition(":")[2]
    module = _run(path)
    if not hasattr(module, factory):
        public = [name for name in vars(module) if not name.startswith("_")]
        raise ModelError(f"{path} has no {factory!r}.{nearest(factory, public)}")
    made = getattr(module, factory)
    if not _holds_a_model(made):
        wanted = {"num_classes": classes} if classes is not None and _takes_classes(made) else {}
        given = f"num_classes={classes}" if wanted else ""
        try:
            with contextlib.redirect_stdout(sys.stderr):
                made = made(**wanted)
        except (Exception, SystemExit) as error:
            how = f"{factory}({given})" if wanted else f"{factory}() without arguments"
            raise ModelError(f"{spec}: calling {how} failed: {_what_happened(error)}") from error
    if not _holds_a_model(made):
        raise ModelError(
            f"{spec}: {factory} gave {type(made).__name__}; expected a model of {', '.join(known_frameworks())} "
            "(or a pipeline or learner of one)."
        )
    return made


def _run(path: Path) -> Any:
    """The module of a file."""
    found = importlib.util.spec_from_file_location(f"camscope_user_{path.stem}", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = (
        module  # the import system does the same, since dataclasses and pickles look their module up
    )
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        with contextlib.redirect_stdout(sys.stderr):
            found.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise ModelError(f"{path} could not be run: {_what_happened(error)}") from error
    finally:
        sys.path.remove(str(path.parent.resolve()))
    return module


def _takes_classes(factory: Any) -> bool:
    try:
        return "num_classes" in inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return False


def _what_happened(error: BaseException) -> str:
    """An error in the user's file, in words."""
    if isinstance(error, SystemExit):
        return f"it ended the program by sys.exit({'' if error.code is None else repr(error.code)})"
    return f"{type(error).__name__}: {error}"


def _holds_a_model(made: Any) -> bool:
    """Whether an object is a model, or something that a library wraps around one."""
    return framework_of(recognise(made)[0]) is not None
