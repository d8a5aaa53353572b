"""The command as a process of its own: what it need not do because it ends."""

from __future__ import annotations

import atexit
import os
import sys
from typing import NoReturn

from camscope.cli.app import main


def command() -> NoReturn:
    """Run the command, and end the process with its exit status.

    What a framework has loaded is not taken apart again, object by object: that takes longer than to explain a photo.
    """
    status = main()
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        status = 1
    os._exit(status)
