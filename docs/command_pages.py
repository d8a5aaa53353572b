"""The help of each command as a part of a page: a directive that prints what `camscope COMMAND --help` prints."""

from __future__ import annotations

import io
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from rich.console import Console

from camscope.cli.app import app as command

_WIDTH = 100


class CommandHelp(Directive):
    """`.. command-help:: explain`."""

    required_arguments = 0
    optional_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """The help in a block that keeps its lines."""
        words = self.arguments[0].split() if self.arguments else []
        text = help_of(words)
        return [nodes.literal_block(text, text, language="text")]


def help_of(words: list[str]) -> str:
    """What a command says of itself, in plain text."""
    drawn = io.StringIO()
    console = Console(file=drawn, width=_WIDTH, color_system=None, force_terminal=False)
    command.help_print(words, console=console)
    return drawn.getvalue()


def names() -> list[str]:
    """The commands, in the order the help lists them."""
    return [name for name in command if not name.startswith("-")]


def setup(app: Any) -> dict[str, bool]:
    """The directive."""
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True}
