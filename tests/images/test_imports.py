"""The images room is light: reading a sample loads no framework."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
from camscope.images import IMAGENET, read_photo
IMAGENET(read_photo("sample:cat"))
heavy = ("torch", "timm", "torchvision", "matplotlib", "skimage", "scipy")
print([name for name in heavy if name in sys.modules])
"""


def test_no_framework_is_imported():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
