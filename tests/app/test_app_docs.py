"""The page about the app: what it tells to type into a shell runs as it stands."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.app.conftest import png

pytest.importorskip("fastapi", reason="needs the app extra")
PAGE = Path(__file__).parents[2] / "docs" / "app.md"


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_what_the_page_says_runs(served, tmp_path):
    blocks = re.findall(r"^```bash\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 10
    (tmp_path / "photo.jpg").write_bytes(png(size=(36, 36)))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    script = "\necho; echo ----\n".join(blocks)
    done = subprocess.run(
        ["bash", "-eu", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "A": served.base, "T": served.session.token, "PATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    state, _, _, maps, choices, scores, cells, trusted, rows, wrong = done.stdout.split("----")
    assert json.loads(state)["models"][0]["id"] == "m1"
    assert maps.count("gradcam pooled") == 3
    assert "automatic" in choices
    assert json.loads(scores)["removed"] > 0
    assert json.loads(cells)["exact"]
    assert "event: verdict" in trusted
    for line in rows.strip().splitlines():
        assert "error" not in line[:12]
    assert json.loads(wrong)["kind"] == "MethodError"
    assert "error" not in "".join((state, choices, scores, cells))[:12]
