"""The command's frame: which subcommands there are, and what an error looks like."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version

from cyclopts import App, CycloptsError
from rich.console import Console
from rich.markup import escape

from camscope.cli.option_words import OPTIONS
from camscope.cli.output import console
from camscope.errors import CamscopeError, read_as_options

STOPPED = 130
"""The exit status of a command that Ctrl-C ended."""

app = App(
    name="camscope",
    help="Show where a model looks: class activation maps, exact and fast.",
    version=lambda: f"camscope {version('camscope')}",
    version_flags=["--version"],
    help_epilogue="Try: camscope explain sample:cat",
    result_action="return_value",  # main returns the exit status; who calls it exits
)
# imported when they run, so that the command starts fast
app.command(
    "camscope.cli.explain:explain",
    name="explain",
    help="Explain photos, texts or sounds: which parts of each drove the model's scores.",
    usage="Usage: camscope explain PHOTO-OR-TEXT... [OPTIONS]",
)
app.command(
    "camscope.cli.make_report:report",
    name="report",
    help="Make a report of where a model looks: one HTML file that opens offline in any browser.",
    usage="Usage: camscope report PHOTO-OR-TEXT... [OPTIONS]",
)
app.command(
    "camscope.cli.open_app:open_app",
    name="app",
    help="Open a page on this machine: drop photos, compare maps, ask about them, look through runs.",
    usage="Usage: camscope app [PHOTO|FOLDER|RUN...] [OPTIONS]",
)
app.command(
    "camscope.cli.find_concepts:concepts",
    name="concepts",
    help="Find the concepts that a layer's features in some photos are made of.",
    usage="Usage: camscope concepts PHOTO... [OPTIONS]",
)
app.command(
    "camscope.cli.trust_maps:trust",
    name="trust",
    help="Say whether a map can be trusted: a sentence, with the evidence beside it.",
    usage="Usage: camscope trust PHOTO... [OPTIONS]",
)
app.command(
    "camscope.cli.choose_method:choose",
    name="choose",
    help="Choose the method and layer that serve a model on your photos, with how sure that is.",
    usage="Usage: camscope choose FOLDER [OPTIONS]",
)
app.command(
    "camscope.cli.train_model:train",
    name="train",
    help="Train or fine-tune an image classifier that is ready to be explained.",
    usage="Usage: camscope train DATA [OPTIONS]",
)
app.command(
    "camscope.cli.evolve:evolve",
    name="evolve",
    help="Show how a model learned to look: the maps of a training, step by step, and how they settle.",
    usage="Usage: camscope evolve RUN [OPTIONS]",
)
app.command(
    "camscope.cli.run_images:run_images",
    name="run",
    help="Explain a folder, a table or a bucket of images into a store that cannot be lost.",
    usage="Usage: camscope run DATA... --out RUN [OPTIONS]",
)
app.command(
    "camscope.cli.browse:browse",
    name="browse",
    help="Look at a run: a table, a contact sheet, mean maps of classes, unusual images.",
    usage="Usage: camscope browse RUN [OPTIONS]",
)
runs = App(name="runs", help="Join the shares of a run.", result_action="return_value")
runs.command(
    "camscope.cli.run_images:merge_runs",
    name="merge",
    help="Join the shares of a run, made with --shard, into one run.",
    usage="Usage: camscope runs merge RUN... --out RUN",
)
app.command(runs)
app.command(
    "camscope.cli.export_model:export",
    name="export",
    help="Write a model with its maps as one file that runs without camscope: ONNX, or PyTorch's .pt2.",
    usage="Usage: camscope export --model MODEL --out FILE [OPTIONS]",
)
app.command(
    "camscope.cli.list_layers:layers",
    name="layers",
    help="List the layers that have a spatial grid, and mark the one chosen when none is named.",
)
app.command(
    "camscope.cli.list_methods:methods",
    name="methods",
    help="List the methods, or those that a model offers: paper, needs, cost and one honest line of advice.",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    errors = console(stderr=True)
    try:
        with read_as_options(OPTIONS):
            status = app(arguments, exit_on_error=False, print_error=True, error_console=errors)
    except CycloptsError:
        return 2  # cyclopts has said what is wrong
    except CamscopeError as error:
        say_error(str(error), errors)
        return 2
    except KeyboardInterrupt:
        say_error("Stopped.", errors)
        return STOPPED
    except BrokenPipeError:
        # the reader of our output went away (`| head`): nobody to tell, nor at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    finally:
        gc.unfreeze()  # see `camscope.cli.collecting.loading`
    return int(status or 0)


def say_error(message: str, errors: Console | None = None) -> None:
    """One clear error on stderr."""
    (errors or console(stderr=True)).print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True)
