"""The bugs that `benchmarks.mutants` plants are where they are said to be. Whether tests notice them, that tells."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.planted_bugs import BUGS

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("file", sorted({bug.file for bug in BUGS}))
def test_each_bug_can_be_planted(file):
    """A change of the code that a bug was in asks for the same bug in the new code."""
    text = (ROOT / file).read_text("utf-8")
    for bug in BUGS:
        if bug.file == file:
            assert text.count(bug.old) == 1, f"stale: {bug.breaks}"
            assert all((ROOT / test).exists() for test in bug.tests), bug.tests
