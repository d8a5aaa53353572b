"""The command's frame: which subcommands there are, and what an error looks like."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import version

from cyclopts import App, CycloptsError
from rich.console import Console

from camscope.errors import CamscopeError

app = App(
    name="camscope",
    help="Show where a model looks: class activation maps, exact and fast.",
    version=lambda: f"camscope {version('camscope')}",
    version_flags=["--version"],
    help_epilogue="Try: camscope explain sample:cat",
)
# imported when they run, so that the command starts fast
app.command("camscope.cli.explain:explain", name="explain")
app.command("camscope.cli.layers:layers", name="layers")
app.command("camscope.cli.methods:methods", name="methods")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    errors = Console(stderr=True)
    try:
        status = app(arguments, exit_on_error=False, print_error=True, error_console=errors)
    except CycloptsError:
        return 2  # cyclopts has said what is wrong
    except CamscopeError as error:
        say_error(str(error), errors)
        return 2
    except KeyboardInterrupt:
        say_error("Stopped.", errors)
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output went away: nobody to tell
        return 1
    return int(status or 0)


def say_error(message: str, console: Console | None = None) -> None:
    """One clear error on stderr."""
    (console or Console(stderr=True)).print(f"[bold red]error:[/] {_escaped(message)}", soft_wrap=True, highlight=False)


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
