"""Asks an installed command, in a folder of its own, what it must answer with nothing but its own package there.

python tests/asking_the_wheel.py .venv-wheel/bin/camscope
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ASKED = (
    (["--version"], 0, "camscope 0."),
    (["methods"], 0, "gradcam"),
    (["explain", "--help"], 0, "--method"),
    (["explain", "sample:cat"], 2, "pip install"),  # no framework is there: what to install is said
)


def main(command: Path) -> None:
    """Ask, and end with an error at the first answer that is not right."""
    with tempfile.TemporaryDirectory() as folder:
        for words, status, wanted in ASKED:
            ran = subprocess.run([command, *words], cwd=folder, capture_output=True, text=True, check=False)
            answer = ran.stdout + ran.stderr
            if ran.returncode != status or wanted not in answer:
                sys.exit(f"camscope {' '.join(words)} ended with {ran.returncode}, and said:\n{answer}")


main(Path(sys.argv[1]).absolute())
