"""Every public function with three or more parameters says in its docstring what each of them is."""

import ast
import re
from functools import cache, cached_property
from pathlib import Path

import camscope
from camscope import errors

SOURCE = Path(camscope.__file__).parent

FEW = 3  # from this many parameters on, a signature alone no longer tells


class Function:
    """A function of the source, where it stands, and the class that holds it."""

    def __init__(self, node: ast.FunctionDef | ast.AsyncFunctionDef, path: Path, holder: ast.ClassDef | None):
        self.node, self.path, self.holder = node, path, holder

    @property
    def place(self) -> str:
        name = f"{self.holder.name}.{self.node.name}" if self.holder else self.node.name
        return f"{self.path.relative_to(SOURCE.parent)}:{self.node.lineno} {name}"

    @property
    def parameters(self) -> list[str]:
        """The names of the parameters, without self or cls."""
        arguments = self.node.args
        static = any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in self.node.decorator_list)
        positional = [*arguments.posonlyargs, *arguments.args][1 if self.holder and not static else 0 :]
        rest = [each for each in (arguments.vararg, arguments.kwarg) if each]
        return [each.arg for each in [*positional, *arguments.kwonlyargs, *rest]]

    @cached_property
    def described(self) -> set[str]:
        """The parameters that the `Args:` section of the docstring names."""
        return described_arguments(ast.get_docstring(self.node) or "")

    @property
    def is_exempt(self) -> bool:
        """Whether it is an overload, or a command, whose parameters cyclopts reads from a NumPy-style section."""
        overload = any("overload" in ast.unparse(decorator) for decorator in self.node.decorator_list)
        return overload or "\nParameters\n---" in (ast.get_docstring(self.node) or "")


def described_arguments(docstring: str) -> set[str]:
    section = re.search(r"^Args:\n((?:[ ]+.*\n?|\n)+)", docstring, re.MULTILINE)
    if section is None:
        return set()
    lines = section.group(1).splitlines()
    indent = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
    heads = [re.match(rf" {{{indent}}}([\w*][\w*, ]*?)(?: \(.*?\))?:", line) for line in lines]
    return {name.strip(" *") for head in heads if head for name in head.group(1).split(",")}


def functions_of(path: Path) -> list[Function]:
    """Public functions of a file and public methods of its classes; functions inside functions are nobody's."""
    found = []

    def walk(body: list[ast.stmt], holder: ast.ClassDef | None) -> None:
        for node in body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                walk(node.body, node)
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not node.name.startswith("_"):
                found.append(Function(node, path, holder))
            elif isinstance(node, (ast.If, ast.Try)):
                walk(node.body, holder)

    walk(ast.parse(path.read_text()).body, None)
    return found


@cache
def every_function() -> list[Function]:
    return [function for path in sorted(SOURCE.rglob("*.py")) for function in functions_of(path)]


def inherits_its_docs(
    function: Function, holders: dict[str, ast.ClassDef], documented: set[tuple[str, ...]]
) -> bool:
    """Whether a base class of this method's class, any number of classes up, documents the same method.

    What a protocol documents holds for every method of that name and these parameters, whatever its class derives from.
    """
    if function.holder and ("Protocol", function.node.name, *function.parameters) in documented:
        return True
    bases, seen = [function.holder] if function.holder else [], set()
    while bases:
        holder = bases.pop()
        for base in holder.bases:
            name = ast.unparse(base).split("[")[0].split(".")[-1]
            if (name, function.node.name) in documented:
                return True
            if name in holders and name not in seen:
                seen.add(name)
                bases.append(holders[name])
    return False


def undocumented(functions: list[Function]) -> list[tuple[Function, list[str]]]:
    """The functions that owe a description, each with the parameters that it does not describe."""
    holders = {f.holder.name: f.holder for f in functions if f.holder}
    documented = {
        (f.holder.name, f.node.name)
        for f in functions
        if f.holder and f.parameters and f.described >= set(f.parameters)
    }
    documented |= {
        ("Protocol", f.node.name, *f.parameters)
        for f in functions
        if f.holder and (f.holder.name, f.node.name) in documented
        if any(ast.unparse(base) == "Protocol" for base in f.holder.bases)
    }
    missing = []
    for function in functions:
        undescribed = [name for name in function.parameters if name not in function.described]
        if len(function.parameters) < FEW or not undescribed or function.is_exempt:
            continue
        if not inherits_its_docs(function, holders, documented):
            missing.append((function, undescribed))
    return missing


def room_of(function: Function) -> str:
    return function.path.relative_to(SOURCE).parts[0]


def raises_on_purpose(function: Function) -> bool:
    """Whether the body itself, and not a function inside it, raises one of our errors by name."""
    found, waiting = False, list(function.node.body)
    while waiting:
        node: ast.AST = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.Lambda, ast.ClassDef)):
            continue
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            name = ast.unparse(node.exc.func).split(".")[-1]
            found |= isinstance(getattr(errors, name, None), type)
        waiting += ast.iter_child_nodes(node)
    return found


def test_every_public_function_with_three_parameters_describes_them():
    missing = undocumented(every_function())
    listing = "\n".join(f"{function.place}: {', '.join(names)}" for function, names in missing)
    assert not missing, f"these lack a description in an Args: section (Google style):\n{listing}"


def test_every_public_function_with_three_parameters_that_raises_says_what():
    silent = [
        function.place
        for function in every_function()
        if len(function.parameters) >= FEW
        and not function.is_exempt
        and raises_on_purpose(function)
        and "Raises:" not in (ast.get_docstring(function.node) or "")
    ]
    assert not silent, "these raise an error and have no Raises: section:\n" + "\n".join(silent)


def test_the_walk_finds_what_lacks(tmp_path):
    """A test of this test: a function and methods that lack a description, that inherit one, and that need none."""
    (tmp_path / "room.py").write_text(EXAMPLE, "utf-8")
    functions = functions_of(tmp_path / "room.py")
    assert {f.node.name: names for f, names in undocumented(functions)} == {
        "bare": ["b", "rest"],
        "lonely": ["a", "b", "c"],
    }
    assert [f.node.name for f in functions if raises_on_purpose(f)] == ["lonely"]


EXAMPLE = '''
def bare(a, b, *rest):
    """Lacks two.

    Args:
        a: is described,
            b: in its second line
    """

def _private(a, b, c): ...

def short(a, b): ...

class Base:
    def run(self, a, b, c):
        """Describes all.

        Args:
            a, b: two at once.
            c (int): with its type.
        """

class Child(Base):
    def run(self, a, b, c):
        """Inherits."""

    @staticmethod
    def lonely(a, b, c):
        def inner(): raise ModelError("…")
        raise InputError("…")

class Stub(Protocol):
    def read(self, a, b, c):
        """Describes all.

        Args:
            a: one.
            b: two.
            c: three.
        """

class Other:
    def read(self, a, b, c): ...

class Grandchild(Child):
    def run(self, a, b, c):
        """Inherits too."""
        def inner(): raise ModelError("…")
        raise NotImplementedError("…")
'''
