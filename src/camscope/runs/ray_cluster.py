"""The cluster of a run: connected to, and asked how much it has."""

from __future__ import annotations

import builtins
import logging
import math
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from camscope.errors import InputError, keyword
from camscope.runs.needed_packages import ray_module

PATIENCE = 10.0
"""Seconds in which an address must answer."""

_CORES, _MOST_CORES = 4, 8
"""So many cores has a worker that has no GPU; so many at most one that has."""


@dataclass(frozen=True)
class Places:
    """How many workers there are to be, and what each of them has.

    Attributes:
        count: how many.
        cores: of each.
        gpus: of each: a part of one where several share it.
    """

    count: int
    cores: float
    gpus: float


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """Ray, connected to a cluster; one that the user's program has connected to before is taken, and left as it is.

    Args:
        address: `HOST:PORT` of its head; None for the one that this machine is in, or else a new one on this machine,
            which ends with the block.

    Raises:
        InputError: if it does not answer.
        MissingExtraError: if Ray is not installed.
    """
    printed = builtins.print
    ray = ray_module()
    if ray.is_initialized():
        yield ray
        return
    refuse_silent(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=None)
    except Exception as error:  # of Ray's, of its connections', of several kinds
        first = (str(error).strip().splitlines() or [""])[0]
        raise InputError(_no_answer(address or "Ray", f"{type(error).__name__}: {first}")) from error
    try:
        yield ray
    finally:
        with suppress(Exception):  # a head that is gone
            ray.shutdown()
        builtins.print = printed  # Ray puts one of its own in its place


def places(nodes: Sequence[Mapping[str, Any]], count: int | None, *, on_gpus: bool) -> Places:
    """How many workers a cluster is to have: one for each GPU, or for each four cores where there is none.

    Args:
        nodes: as Ray tells of them.
        count: of workers, if the user says it.
        on_gpus: whether workers may have GPUs.
    """
    alive = [one["Resources"] for one in nodes if one["Alive"]]
    gpus = sum(int(one.get("GPU", 0)) for one in alive) if on_gpus else 0
    if gpus:
        count = count or gpus
        share = 1 / math.ceil(count / gpus)
        cores = [one.get("CPU", 0) / one["GPU"] * share for one in alive if one.get("GPU", 0) >= 1]
        return Places(count, max(0, min(_MOST_CORES, math.floor(min(cores)))), share)
    own = [int(one["CPU"]) for one in alive if one.get("CPU", 0) >= 1]
    cores_each = min([_CORES, *own])
    return Places(count or max(1, sum(one // cores_each for one in own)), cores_each, 0)


def refuse_silent(address: str | None) -> None:
    """Refuse an address at which nothing listens, before Ray waits for it, long and in its own words.

    Args:
        address: of a cluster, as it was given.

    Raises:
        InputError: saying what is expected, or that nothing answers.
    """
    if address in (None, "auto", "local"):
        return
    assert address is not None
    if "://" in address:
        raise InputError(
            f"{keyword('address', address)}: a run is begun on a machine of the cluster, since it writes its plan "
            "where the workers do. Give HOST:PORT of the head, 6379 mostly; or send the command there: ray job submit "
            "--address http://HEAD:8265 -- camscope run …"
        )
    host, colon, port = address.rpartition(":")
    if not (colon and host and port.isdecimal()):
        raise InputError(f"{keyword('address', address)}: expected HOST:PORT of the head, 10.0.0.5:6379 say.")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE).close()
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise InputError(_no_answer(address, why)) from error


def _no_answer(address: str, why: str) -> str:
    return (
        f"No cluster answers at {address} ({why}). Is it up (ray status, on its head), is this the port of its head "
        "(6379 mostly, and not the dashboard's 8265), and may this machine reach it? One that says 'Token "
        "authentication is enabled' when it is started wants RAY_AUTH_MODE=token, and its ~/.ray/auth_token here. "
        f"Without {keyword('address')} the cluster is taken that this machine is in."
    )
