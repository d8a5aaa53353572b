"""Shares of a run, made apart without knowing of each other, as one run."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Sequence

from camscope.errors import InputError
from camscope.runs.finishing import finish
from camscope.runs.input_list import Share
from camscope.runs.needed_packages import check_installed
from camscope.runs.run_plan import PLAN, Plan
from camscope.runs.run_store import RunStore, Unfinished
from camscope.runs.sources.remote_files import content
from camscope.runs.store_paths import BucketPath, StorePath, absolute, names_in, store_path, written_whole


def merge(parts: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str]) -> StorePath:
    """Join the shares of a run into one store. Merged again after a kill, it goes on.

        camscope.runs.merge(["run-1", "run-2"], out="run")

    Args:
        parts: the folders of all shares; or one folder that they are in.
        out: the folder of the whole run.

    Returns:
        The folder.

    Raises:
        InputError: if shares are of several plans, one is missing, not finished or there twice, or the folder cannot be
            written.
    """
    named = [store_path(os.fspath(one)) for one in parts]
    given = named
    own = store_path(os.fspath(out))
    if len(given) == 1 and not (given[0] / PLAN).is_file():
        inside = (given[0] / name for name in sorted(name for name, _ in names_in(given[0])))
        given = [one for one in inside if absolute(one) != absolute(own) and (one / PLAN).is_file()]
    if not given:
        of_which = f" in '{named[0]}'" if named else ""
        raise InputError(
            f"There is no share of a run{of_which} to merge. Give the folders that camscope run --shard 1/2 and its "
            "like wrote to, or the one folder that these are in."
        )
    check_installed()
    plans = {path: Plan.read(path) for path in given}
    (first, plan), *others = plans.items()
    for path, other in others:
        if other.identity != plan.identity:
            changed = [one for one in plan.asked.changes(other.asked) if not one.startswith("the share")]
            told = "; ".join(changed) or "the data"
            raise InputError(f"'{path}' is of another plan than '{first}'. They differ in {told}.")
    _check_all_there(plans)
    whole = dataclasses.replace(plan, asked=dataclasses.replace(plan.asked, share=str(Share())))
    store = RunStore(own)
    with store.held():
        if store.is_begun and Plan.read(store.path).identity != plan.identity:
            raise InputError(f"'{store.path}' is a run of another plan. Take another folder.")
        whole.write(store.path)
        done, _ = store.finished(whole)
        for path, part in plans.items():
            for shard in Share.read(part.asked.share).shards(plan.shards):
                if not done[shard]:
                    _take(RunStore(path).shard(shard), store.shard(shard))
        _join_inputs(plans, store, whole)
        finish(store, whole)
    return store.path


def _check_all_there(plans: dict[StorePath, Plan]) -> None:
    shares: dict[Share, StorePath] = {}
    counts = {Share.read(plan.asked.share).count for plan in plans.values()}
    if len(counts) > 1:
        raise InputError(
            f"These are shares of {' and of '.join(map(str, sorted(counts)))}, which do not fit together."
        )
    for path, plan in plans.items():
        share = Share.read(plan.asked.share)
        if share in shares:
            raise InputError(f"'{path}' and '{shares[share]}' are both the share {share}. Give one of them.")
        shares[share] = path
        missing = Unfinished(share.shards(plan.shards), RunStore(path).finished(plan)[0])
        if len(missing):
            raise InputError(
                f"'{path}' is not finished: {len(missing)} of its {len(share.shards(plan.shards))} shards are missing. "
                "Run its camscope run again, it goes on."
            )
    count = counts.pop()
    absent = [str(Share(n, count)) for n in range(1, count + 1) if Share(n, count) not in shares]
    if absent:
        raise InputError(
            f"Of {count} shares {len(absent)} are missing: {', '.join(absent[:8])}. Run them first, the same "
            f"with --shard {absent[0]} into a folder of its own; then give all of them."
        )


def _take(source: StorePath, target: StorePath) -> None:
    """Put a shard into its place: as the same file where both are on one disk, else as a copy."""
    try:
        with written_whole(target) as aside:
            if isinstance(source, BucketPath):
                aside.write_bytes(content(source.url))
                return
            try:
                os.link(source, aside)
            except OSError:
                shutil.copyfile(source, aside)
    except OSError as error:
        raise InputError(
            f"'{target}' cannot be written: {error.strerror or error}. Make room, and merge again: it goes on."
        ) from error


def _join_inputs(plans: dict[StorePath, Plan], store: RunStore, plan: Plan) -> None:
    """Write the list of inputs of the whole run, from those of its shares."""
    size = plan.asked.shard_size
    lists = {
        Share.read(part.asked.share).number - 1: RunStore(path).inputs(size, Share.read(part.asked.share))
        for path, part in plans.items()
    }
    every = (one for shard in range(plan.shards) for one in lists[shard % len(lists)].of_shard(shard))
    store.inputs(size, Share()).write(every, 0)
