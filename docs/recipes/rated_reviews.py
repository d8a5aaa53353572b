"""Rated snippets of film reviews.

The snippets (Hutto & Gilbert, ICWSM 2014; from rottentomatoes.com by Pang & Lee, ACL 2005) and the lexicon lie in the
source distribution of vaderSentiment 3.3.2, which pip fetches into a folder; nothing of it is kept here.
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
    """The package's data; pip is asked unless the package is in the folder already.

    Raises:
        OSError: if pip cannot have it; the message is pip's.
    """
    if not list(folder.glob("*.tar.gz")):
        download(folder)
    return read(next(folder.glob("*.tar.gz")))


def download(folder: Path) -> None:
    """Have pip put the package into a folder.

    Raises:
        OSError: if pip cannot have it; the message is pip's.
    """
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-binary",
        ":all:",
        "--no-deps",
    ]
    options = [
        "--quiet",
        "--retries",
        "0",
        "--timeout",
        "10",
        "--disable-pip-version-check",
    ]
    ran = subprocess.run(
        [*command, *options, "--dest", str(folder), PACKAGE],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if ran.returncode or not list(folder.glob("*.tar.gz")):
        raise OSError((ran.stderr.strip().splitlines() or ["pip gave no reason"])[-1])


def read(package: Path) -> Reviews:
    """The snippets and the lexicon in the package's file."""
    with tarfile.open(package) as files:
        lexicon = _member(files, "vaderSentiment/vader_lexicon.txt").decode()
        with tarfile.open(
            fileobj=io.BytesIO(_member(files, "hutto_ICWSM_2014.tar.gz"))
        ) as inner:
            rated = _member(
                inner, "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"
            ).decode("utf-8")
    rows = [line.split("\t") for line in rated.splitlines()]
    words = (line.split("\t") for line in lexicon.splitlines())
    return Reviews(
        [(row[2], float(row[1])) for row in rows if len(row) == 3],
        {w[0]: float(w[1]) for w in words},
    )


def _member(files: tarfile.TarFile, name: str) -> bytes:
    (found,) = (member for member in files.getnames() if member.endswith(name))
    file = files.extractfile(found)
    assert file is not None
    return file.read()


if __name__ == "__main__":
    place = Path(sys.argv[1])
    place.mkdir(parents=True, exist_ok=True)
    fetch(place)
