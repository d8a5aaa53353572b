"""`python -m camscope` is the command `camscope`."""

from camscope.cli import command

command()
