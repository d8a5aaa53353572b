"""The engines of runs by name."""

from __future__ import annotations

from camscope.errors import InputError, keyword, nearest
from camscope.runs.local_engine import LocalEngine
from camscope.runs.ray_engine import RayEngine
from camscope.runs.shard_engine import Engine

LOCAL, RAY = "local", "ray"


def engine_named(name: str, address: str | None, actors: int | None) -> Engine:
    """The engine of a name.

    Args:
        name: `local` or `ray`.
        address: of the cluster.
        actors: how many workers there are.

    Raises:
        InputError: if there is none of that name, or it takes no address.
    """
    if name == RAY:
        return RayEngine(address, actors)
    if name != LOCAL:
        raise InputError(
            f"There is no engine {name!r}, only {LOCAL!r} and {RAY!r}.{nearest(name, (LOCAL, RAY))}"
        )
    given = {"address": address, "actors": actors}
    for one, value in given.items():
        if value is not None:
            raise InputError(f"{keyword(one, value)} is of a cluster: say {keyword('engine', RAY)} too.")
    return LocalEngine()
