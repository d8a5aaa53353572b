"""`python -m camscope` is the command `camscope`."""

import sys

from camscope.cli import main

sys.exit(main())
