"""Who may import whom (DESIGN §2), read from the source; and what importing camscope loads."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import camscope

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "camscope"
FILES = sorted(SOURCE.rglob("*.py"))
FRAMEWORKS = {"torch", "torchvision", "timm", "jax", "keras", "tensorflow", "onnxruntime", "transformers"}


def module_of(file: Path) -> str:
    parts = file.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(file: Path) -> set[str]:
    """Every module a file imports, anywhere in it, in full: also lazily, also for types only."""
    package = module_of(file).split(".")
    if file.name != "__init__.py":
        package = package[:-1]
    found = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            whole = ".".join([*base, *([node.module] if node.module else [])])
            found |= {whole} | {
                f"{whole}.{alias.name}" for alias in node.names if is_module(whole, alias.name)
            }
    return found


def is_module(package: str, name: str) -> bool:
    path = SOURCE.parent / Path(*package.split("."))
    return (path / f"{name}.py").exists() or (path / name / "__init__.py").exists()


def room_of(module: str) -> str:
    """`camscope.models.torch.anatomy.head` is in the room `models`."""
    return module.split(".")[1] if "." in module else ""


def rooms_used_by(room: str) -> dict[str, set[str]]:
    """For each file of a room: the other rooms it imports."""
    used = {}
    for file in FILES:
        if room_of(module_of(file)) == room:
            inside = {name for name in imports_of(file) if name.split(".")[0] == "camscope"}
            used[module_of(file)] = {room_of(name) for name in inside} - {room, ""}
    assert used, f"there is no room {room}"
    return used


def frameworks_of(room: str) -> dict[str, set[str]]:
    files = [file for file in FILES if room_of(module_of(file)) == room]
    return {module_of(file): {name.split(".")[0] for name in imports_of(file)} & FRAMEWORKS for file in files}


def breaches(used: dict[str, set[str]], forbidden: set[str]) -> dict[str, set[str]]:
    return {module: names & forbidden for module, names in used.items() if names & forbidden}


def test_the_reader_of_imports_sees_all_kinds(tmp_path, monkeypatch):
    """A test of this test: absolute, relative, of a module by name, and inside a function."""
    home = tmp_path / "camscope" / "methods"
    home.mkdir(parents=True)
    (home / "gradient.py").touch()
    monkeypatch.setattr(sys.modules[__name__], "SOURCE", tmp_path / "camscope")
    (home / "new.py").write_text(
        "import torch.nn\nfrom camscope.models import x\nfrom . import gradient\n"
        "def f():\n    from ..cli.app import y\n"
    )
    assert imports_of(home / "new.py") == {
        "torch.nn",
        "camscope.models",
        "camscope.methods",
        "camscope.methods.gradient",
        "camscope.cli.app",
    }


def test_methods_know_no_framework_and_no_model():
    forbidden = {"models", "render", "cli", "explainer", "explanation", "images", "targets", "libraries"}
    assert not breaches(rooms_used_by("methods"), forbidden)
    assert not breaches(frameworks_of("methods"), FRAMEWORKS)


@pytest.mark.parametrize("room", ["arrays", "evidence", "resample", "scaling", "components", "targets"])
def test_the_shared_maths_knows_no_framework(room):
    assert not breaches(frameworks_of(room), FRAMEWORKS)
    forbidden = {"models", "methods", "render", "cli", "explainer", "explanation"}
    assert not breaches(rooms_used_by(room), forbidden)


def test_models_know_no_method():
    forbidden = {"methods", "render", "cli", "explainer", "explanation"}
    assert not breaches(rooms_used_by("models"), forbidden)


def test_compositions_know_no_framework_and_no_model():
    forbidden = {"models", "render", "cli", "explainer", "planner", "explanation", "images", "libraries"}
    assert not breaches(rooms_used_by("composition"), forbidden)
    assert not breaches(frameworks_of("composition"), FRAMEWORKS)


def test_only_the_planner_knows_both_methods_and_models():
    both = {
        module_of(file)
        for file in FILES
        if {"methods", "models"}
        <= {room_of(name) for name in imports_of(file) if name.startswith("camscope.")}
    }
    # the package itself only lists where its public names live
    assert both == {"camscope", "camscope.engine.planner"}


@pytest.mark.parametrize("room", ["render", "images"])
def test_these_rooms_use_nothing_but_the_errors(room):
    assert not {
        module: used - {"errors"} for module, used in rooms_used_by(room).items() if used - {"errors"}
    }


def test_the_framework_free_part_of_models_is_so():
    for name in ("adapter", "batch", "grid", "layers", "reading"):
        assert not {i.split(".")[0] for i in imports_of(SOURCE / "models" / f"{name}.py")} & FRAMEWORKS


def test_nothing_outside_the_command_imports_it():
    rooms = {room_of(module_of(file)) for file in FILES} - {"cli", "", "__main__"}
    assert not {room: found for room in rooms if (found := breaches(rooms_used_by(room), {"cli"}))}


def test_only_the_command_prints():
    printing = {
        module_of(file)
        for file in FILES
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    }
    assert {room_of(module) for module in printing} <= {"cli"}


# ------------------------------------------------------------------ what importing loads

HEAVY = [*FRAMEWORKS, "matplotlib", "cmap", "scipy", "skimage", "PIL", "numpy", "pandas", "IPython"]


def loaded_by(code: str, names: list[str]) -> list[str]:
    """Which of these modules a fresh Python has loaded after this code."""
    code += f"\nimport sys; print('LOADED', *[n for n in {names!r} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, *loaded = done.stdout.splitlines()[-1].split()
    assert first == "LOADED"
    return loaded


def test_importing_camscope_loads_nothing_heavy():
    assert loaded_by("import camscope; dir(camscope); camscope.__all__", HEAVY) == []


@pytest.mark.parametrize(
    "code",
    [
        "import camscope; camscope.list_methods()",
        "import camscope; camscope.Class(3), camscope.PerImage, camscope.CamscopeError",
        "import camscope; camscope.Explainer, camscope.Explanation, camscope.explain",
    ],
)
def test_its_names_load_no_framework_either(code):
    assert loaded_by(code, [*FRAMEWORKS, "matplotlib", "skimage"]) == []


def test_the_commands_help_loads_no_framework():
    code = """
import sys, camscope.cli
sys.argv = ["camscope", "--help"]
try:
    camscope.cli.main()
except SystemExit as end:
    assert not end.code
"""
    assert loaded_by(code, [*FRAMEWORKS, "matplotlib", "skimage", "scipy"]) == []


# ------------------------------------------------------------------ the public names


@pytest.mark.parametrize("name", camscope.__all__)
def test_every_public_name_is_there(name):
    value = getattr(camscope, name)
    assert value.__name__ == name
    assert value.__module__.startswith("camscope.")
    assert name in dir(camscope)


def test_the_public_names_mypy_sees_are_those_there_are():
    tree = ast.parse((SOURCE / "__init__.py").read_text("utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.asname for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == {*camscope.__all__}


def test_a_name_that_does_not_exist_says_so():
    with pytest.raises(AttributeError, match="has no attribute 'explian'"):
        camscope.explian  # noqa: B018


# ------------------------------------------------------------------ the repository


def test_no_tracked_file_names_a_host_of_a_package_registry():
    """Where packages come from is the installer's to know: a mirror's address would break elsewhere."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    hosts = re.compile(
        rb"https?://[^\s\"'<>)]*(pypi|pythonhosted|registry\.npmjs|yarnpkg|artifactory|jfrog|nexus|devpi|download\.pytorch"
        rb"|conda\.anaconda|/simple/)"
    )
    named = [
        name
        for name in listed.stdout.split("\0")
        if name and (ROOT / name).is_file() and name != "tests/test_architecture.py"
        if hosts.search((ROOT / name).read_bytes())
    ]
    assert named == []
