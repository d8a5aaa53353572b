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
FRAMEWORKS = {
    "torch",
    "torchvision",
    "timm",
    "jax",
    "keras",
    "tensorflow",
    "onnx",
    "onnxruntime",
    "transformers",
}


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


ROOMS = [
    "errors",
    "keywords",
    "undoing",
    "fair_lock",
    "cores",
    "plugins",
    "surviving",
    "arrays",
    "imputing",
    "evidence",
    "outputs",
    "targets",
    "images",
    "text",
    "signals",
    "render",
    "methods",
    "composition",
    "models",
    "libraries",
    "inputs",
    "results",
    "metrics",
    "trust",
    "engine",
    "exporting",
    "watching",
    "training",
    "runs",
    "app",
    "cli",
]
"""From the ground up: a room imports only from rooms before it. New rooms go where their imports allow."""

TORCH_ROOMS = ["precision", "hooks", "anatomy", "reruns", "backwards", "attention"]
"""The same inside of `models/torch`, whose other modules stand above all of these."""

HALL = {"__init__", "__main__", "errors", "keywords", "undoing", "fair_lock", "cores", "plugins", "evidence"}
"""The modules that are in no room."""

SAME_NAME = {"__init__", "adapter", "doorway", "registry"}
"""File names that mean the same thing in every room."""


def inside(file: Path) -> set[str]:
    """The modules of camscope that a file imports."""
    return {name for name in imports_of(file) if name.split(".")[0] == "camscope"}


def rooms_used_by(room: str) -> dict[str, set[str]]:
    """For each file of a room: the other rooms it imports."""
    used = {
        module_of(file): {room_of(name) for name in inside(file)} - {room, ""}
        for file in FILES
        if room_of(module_of(file)) == room
    }
    assert used, f"there is no room {room}"
    return used


def upward(room: str, order: list[str], used: dict[str, set[str]]) -> dict[str, set[str]]:
    """The imports that run back up, file by file."""
    allowed = set(order[: order.index(room)])
    return {module: names - allowed for module, names in used.items() if names - allowed}


def frameworks_of(*rooms: str) -> dict[str, set[str]]:
    """The files of some rooms that import a framework, also lazily."""
    files = [file for file in FILES if room_of(module_of(file)) in rooms]
    found = {
        module_of(file): {name.split(".")[0] for name in imports_of(file)} & FRAMEWORKS for file in files
    }
    return {module: names for module, names in found.items() if names}


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


def test_an_upward_import_is_seen():
    """A test of this test too."""
    used = {"camscope.methods.new": {"arrays", "models"}, "camscope.methods.old": {"arrays", "evidence"}}
    assert upward("methods", ROOMS, used) == {"camscope.methods.new": {"models"}}


def test_every_room_has_its_place_in_the_order():
    rooms = {room_of(module_of(file)) for file in FILES} - {"", "__main__"}
    assert rooms == set(ROOMS)


def test_no_loose_modules_stand_in_the_hall():
    assert {file.stem for file in SOURCE.glob("*.py")} == HALL


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_from_rooms_below_it(room):
    assert upward(room, ROOMS, rooms_used_by(room)) == {}


def test_the_rooms_of_pytorch_have_an_order_too():
    home = "camscope.models.torch."
    for room in TORCH_ROOMS:
        used = {}
        for file in FILES:
            module = module_of(file)
            if module.removeprefix(home).split(".")[0] == room and module.startswith(home):
                names = {n.removeprefix(home).split(".")[0] for n in inside(file) if n.startswith(home)}
                used[module] = names - {room}
        assert used, f"there is no room {room}"
        assert upward(room, TORCH_ROOMS, used) == {}


def test_no_file_is_part_of_a_circle():
    """Also inside a room, and also where the import is in a function."""
    graph = {module_of(file): inside(file) - {module_of(file)} for file in FILES}
    graph.pop("camscope")
    # a package's front re-exports what is behind it: who imports the package means what it names
    behind = {m for m in graph if any(other.startswith(f"{m}.") for other in graph)}
    edges = {
        module: {n for n in names if n in graph and n not in behind and not module.startswith(f"{n}.")}
        for module, names in graph.items()
    }
    done: set[str] = set()

    def walk(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " → ".join([*path[path.index(module) :], module])
        if module not in done:
            for name in edges[module]:
                walk(name, (*path, module))
            done.add(module)

    for module in edges:
        walk(module, ())


def test_no_two_files_of_one_name_mean_different_things():
    names = [file.stem for file in FILES if file.stem not in SAME_NAME]
    assert sorted({name for name in names if names.count(name) > 1}) == []


def test_only_adapters_libraries_and_training_know_frameworks():
    rooms = [room for room in ROOMS if room not in ("models", "libraries", "watching", "training")]
    assert frameworks_of(*rooms) == {}


def test_the_framework_free_part_of_models_is_so():
    for file in (SOURCE / "models").glob("*.py"):
        assert not {name.split(".")[0] for name in imports_of(file)} & FRAMEWORKS, file


def test_methods_know_no_model_and_models_no_method():
    assert not any("methods" in used for used in rooms_used_by("models").values())
    assert not any("models" in used for used in rooms_used_by("methods").values())


@pytest.mark.parametrize("room", ["render", "images"])
def test_these_rooms_use_nothing_but_the_errors(room):
    assert set().union(*rooms_used_by(room).values()) <= {"errors"}


def test_only_the_command_prints():
    printing = {
        module_of(file)
        for file in FILES
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    }
    assert {room_of(module) for module in printing} <= {"cli"}


def defaults_in(tree: ast.AST) -> set[ast.AST]:
    """What parameters have as their defaults."""
    functions = (node.args for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    return {default for args in functions for default in [*args.defaults, *args.kw_defaults] if default}


def test_names_of_methods_are_hard_wired_nowhere():
    """Outside of where methods and named compositions are registered, no code asks for one by its name.

    A parameter may have one as its default, and a room's front names what it hands on: `training.cam`.
    """
    names = {m.name for m in camscope.list_methods()} | {m.method.base for m in camscope.list_methods()}
    named = [
        f"{module_of(file)}:{node.lineno} {node.value}"
        for file in FILES
        if room_of(module_of(file)) not in ("methods",) and module_of(file) != "camscope.composition.named"
        if file.name != "__init__.py"
        for tree in [ast.parse(file.read_text("utf-8"))]
        for node in set(ast.walk(tree)) - defaults_in(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if node.value in names - {"random", "attention"}  # words of their own: untrained weights, a need
    ]
    assert named == []


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
        "import camscope; camscope.Recorder, camscope.History; from camscope.watching import callbacks",
        "import camscope.training; camscope.training.__all__",
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
