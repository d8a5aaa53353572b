"""The command. Exit status 0: all done; 1: some inputs failed, each named, the rest done; 2: wrong usage."""

from camscope.cli.app import main
from camscope.cli.process import command

__all__ = ["command", "main"]
