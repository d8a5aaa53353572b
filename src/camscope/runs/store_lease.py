"""A run in a bucket that one process at a time writes, also if it is killed: a lease that is renewed."""

from __future__ import annotations

import json
import os
import platform
import threading
import time
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from camscope.errors import CamscopeWarning, InputError
from camscope.runs.sources.remote_files import content, file_system, patiently, words_of
from camscope.runs.store_paths import BucketPath

LEASE = ".lease"
"""The object by which a run is held. It goes when the process ends well; a killed one leaves it."""

RENEWED = 10.0
"""Seconds after which it is written again."""

_MISSED = 3
"""What was not renewed so many times is of a process that is dead."""


@contextmanager
def leased(path: BucketPath, *, taken: str) -> Iterator[None]:
    """Keep other processes out of a run in a bucket.

    A killed process leaves its lease. Of this machine's it is seen at once that the process is dead; of another
    machine's by waiting whether it renews its lease. Should two processes write one run nevertheless, because the
    network stood still, nothing is lost: both write the same shards.

    Args:
        path: of the run.
        taken: what is said if another process holds it.

    Raises:
        InputError: if another process holds it, or it cannot be written.
    """
    lease = path / LEASE
    own = {"holder": uuid.uuid4().hex, "pid": os.getpid(), **_machine()}
    try:
        while not _written(lease, own, anew=True):
            if _is_alive(lease):
                raise InputError(taken)
            lease.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"'{path}' cannot be written: {words_of(error, path.url)}.") from error
    ended = threading.Event()
    keeper = threading.Thread(target=_keep, args=(lease, own, ended), daemon=True)
    keeper.start()
    try:
        yield
    finally:
        ended.set()
        keeper.join()
        with suppress(OSError, InputError):
            lease.unlink(missing_ok=True)


def _machine() -> dict[str, str]:
    """By which a machine is known, until it begins anew."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return {"host": platform.node(), "boot": boot.read_text().strip() if boot.exists() else ""}


def _keep(lease: BucketPath, own: dict[str, Any], ended: threading.Event) -> None:
    while not ended.wait(RENEWED):
        with suppress(OSError, InputError):  # the next time, perhaps
            _written(lease, {**own, "renewed": time.time()}, anew=False)


def _written(lease: BucketPath, own: dict[str, Any], *, anew: bool) -> bool:
    """Write the lease; where it is to be new, False if there is one."""
    files, place = file_system(lease.url)
    mode = {"mode": "create"} if anew else {}
    try:
        patiently(lambda: files.pipe_file(place, json.dumps(own).encode(), **mode), lease.url, "written")
    except FileExistsError:
        return bool((_read(lease) or {}).get("holder") == own["holder"])  # the answer to a first try was lost
    return True


def _is_alive(lease: BucketPath) -> bool:
    """Whether the process that holds a lease still does."""
    first = _read(lease)
    if first is None:
        return False
    if all(first.get(name) == value for name, value in _machine().items()) and first.get("boot"):
        return Path(f"/proc/{first.get('pid')}").exists()
    wait = RENEWED * _MISSED
    warnings.warn(
        f"'{lease.parent}' is held by process {first.get('pid')} of {first.get('host')}; in {wait:.0f} seconds it is "
        "known whether that is still alive.",
        CamscopeWarning,
        stacklevel=2,
    )
    time.sleep(wait)
    return _read(lease) not in (None, first)


def _read(lease: BucketPath) -> dict[str, Any] | None:
    """What a lease says; None if it is gone."""
    if not lease.is_file():
        return None
    try:
        return dict(json.loads(content(lease.url)))
    except (ValueError, OSError):  # gone meanwhile, or half
        return {}
