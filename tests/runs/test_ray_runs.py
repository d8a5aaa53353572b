"""Runs on a Ray cluster: the same store as of one machine, whatever dies; each worker writes down what it computes."""

from __future__ import annotations

import builtins
import os
import signal
import sys
import time
from pathlib import Path

import pytest
import torch

import camscope
from camscope.errors import InputError, MissingExtraError, ModelError
from camscope.runs import run
from camscope.runs.ray_cluster import places
from camscope.runs.run_store import number_of
from tests.runs.counted import Counts, numbered_photos
from tests.runs.killable import Running
from tests.runs.test_run_store import files_in, rows_in

pytestmark = pytest.mark.slow

SIZE = 8
COUNT = 25 * SIZE


@pytest.fixture(scope="module")
def cluster():
    """A head that does no work, and three nodes of one core."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(3):
        cluster.add_node(num_cpus=1)
    yield cluster
    cluster.shutdown()


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return numbered_photos(tmp_path_factory.mktemp("numbered") / "photos", COUNT)


@pytest.fixture(scope="module")
def local(photos, tmp_path_factory) -> Path:
    """What one machine makes of them."""
    folder = tmp_path_factory.mktemp("local")
    options = {"shard_size": SIZE, "batch": 4, "workers": 1, "progress": False}
    run(photos, model=Counts(folder / "counts").spec, out=folder / "run", **options)
    return folder / "run"


def begin(cluster, photos, counts, out, **options):
    given = {"shard_size": SIZE, "batch": 4, "workers": 1, "progress": False, "actors": 3, **options}
    printing = builtins.print
    try:
        return run(photos, model=counts.spec, out=out, engine="ray", address=cluster.address, **given)
    finally:
        assert builtins.print is printing


def check_same(out: Path, local: Path) -> None:
    """All that is kept is the same, byte for byte, but for what names the model's file and the time."""
    one, other = files_in(out), files_in(local)
    assert one.keys() == other.keys()
    columns = [{k: v for k, v in row.items() if k != "target_about"} for row in rows_in(out)]
    assert columns == [{k: v for k, v in row.items() if k != "target_about"} for row in rows_in(local)]


def finished(out: Path) -> set[int]:
    folder = out / "shards"
    found = [number_of(file.name) for file in folder.iterdir()] if folder.is_dir() else []
    return {number for number in found if number is not None}


def check_counted(counts: Counts, lost: int, *drivers: int | None) -> None:
    """Each shard was computed by one process; one more began those that a lost one was at, one each.

    Drivers explain a batch for the plan.
    """
    processes = {
        shard: [pid for pid in pids if pid not in (os.getpid(), *drivers)]
        for shard, pids in counts.processes(SIZE).items()
    }
    assert processes.keys() == set(range(COUNT // SIZE))
    assert sum(len(pids) - 1 for pids in processes.values()) <= lost


def test_a_node_and_a_worker_that_are_lost_cost_what_they_were_at(cluster, photos, local, tmp_path):
    """The store is that of one machine all the same."""
    counts = Counts(tmp_path / "counts", slow=0.2)
    node = cluster.add_node(num_cpus=1)
    hit = []

    def losing(progress):
        if progress.now >= 4 * SIZE and not hit:
            hit.append("node")
            cluster.remove_node(node, allow_graceful=False)
        if progress.now >= 8 * SIZE and hit == ["node"]:
            _, pid, _ = [line for line in counts.lines() if line[1] != os.getpid()][-1]
            os.kill(pid, signal.SIGKILL)
            hit.append(pid)

    done = begin(cluster, photos, counts, tmp_path / "run", actors=4, progress=losing)
    assert len(hit) == 2
    assert (done.complete, done.progress.now) == (True, COUNT)
    assert 1 <= len(done.progress.lost) <= 2  # there was a worker on that node, or none had begun
    check_same(tmp_path / "run", local)
    check_counted(counts, len(done.progress.lost))
    assert begin(cluster, photos, counts, tmp_path / "run").progress.now == 0


def test_a_driver_that_is_stopped_or_killed_goes_on(cluster, photos, local, tmp_path):
    counts, out = Counts(tmp_path / "counts", slow=0.1), tmp_path / "run"
    options = {"model": counts.spec, "engine": "ray", "address": cluster.address, "actors": 2}

    def begun(shards: int) -> Running:
        driver = Running(photos, out, **options)
        while (heard := driver.hears()) is not None and heard < shards * SIZE:
            pass
        return driver

    stopped = begun(2)
    stopped.signal(signal.SIGINT)
    word, now, complete = stopped.heard()[-1]
    assert (word, complete) == ("done", False)
    assert now == SIZE * len(finished(out)) < COUNT
    killed = begun(4)
    killed.process.kill()
    killed.end()
    before, then = finished(out), time.time_ns()
    assert len(before) < COUNT // SIZE
    again = Running(photos, out, **options)
    word, now, complete = again.heard()[-1]
    assert (word, complete) == ("done", True)
    assert now <= COUNT - SIZE * len(before)
    assert counts.after(then, before, SIZE) == []
    check_counted(counts, 2, *(one.process.pid for one in (stopped, killed, again)))
    check_same(out, local)


def test_a_model_that_cannot_be_sent_is_refused_with_what_can(cluster, photos, tmp_path):
    class Unsent(torch.nn.Sequential):
        def __reduce__(self):
            raise TypeError("cannot pickle a socket")

    model = Unsent(
        torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    )
    preprocessing = camscope.Preprocessing(input_size=(32, 32))
    with pytest.raises(ModelError, match=r"Unsent cannot be sent to a worker: .*socket.*FILE.py:FUNCTION"):
        run(
            photos, model=model.eval(), preprocessing=preprocessing, out=tmp_path / "run", engine="ray",
            address=cluster.address,
        )  # fmt: skip


def test_workers_that_have_something_else_than_the_driver_are_refused(cluster, photos, tmp_path):
    """The weights differ, as a file may between nodes; nothing is written then."""
    counts = Counts(tmp_path / "counts")
    file = Path(counts.spec.removesuffix(":counting"))
    text = file.read_text()
    file.write_text(text.replace("manual_seed(0)", "manual_seed(os.getpid())"))
    with pytest.raises(
        InputError, match=r"worker on .* cannot begin: .*the model's weights \(their digest\)"
    ):
        begin(cluster, photos, counts, tmp_path / "run")
    assert finished(tmp_path / "run") == set()


def test_a_shard_that_workers_are_lost_with_is_given_up_and_the_others_are_done(cluster, tmp_path):
    """As by the memory guard of the system, which kills with -9."""
    photos = numbered_photos(tmp_path / "photos", 4 * SIZE)
    counts, out = Counts(tmp_path / "counts"), tmp_path / "run"
    file = Path(counts.spec.removesuffix(":counting"))
    text = file.read_text()
    poison = f"if (pixels[:, 0, 0] == {SIZE + 1}).any(): os.kill(os.getpid(), 9)"
    file.write_text(text.replace("time.sleep(SLOW)", poison))
    with pytest.raises(
        InputError, match=r"1 shard\(s\) were given up \(number 1\): 3 workers were lost with each"
    ):
        begin(cluster, photos, counts, out)
    assert finished(out) == {0, 2, 3}
    file.write_text(text)
    assert begin(cluster, photos, counts, out, actors=1).progress.now == SIZE


# ------------------------------------------------------------------ without a cluster


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"engine": "ray", "address": "127.0.0.1:1"}, r"No cluster answers at 127.0.0.1:1 .*ray status"),
        ({"engine": "ray", "address": "head"}, "expected HOST:PORT"),
        ({"engine": "ray", "address": "ray://10.0.0.1:10001"}, "ray job submit"),
        ({"engine": "rya"}, "Did you mean 'ray'"),
        ({"address": "10.0.0.1:6379"}, "engine='ray' too"),
        ({"engine": "ray", "actors": 0}, "at least 1"),
    ],
)
def test_what_is_no_cluster_is_said(options, said, folder, explainer, tmp_path):
    with pytest.raises(InputError, match=said):
        run(folder, model=explainer, out=tmp_path / "run", progress=False, **options)


def test_without_ray_it_is_said_what_to_install(folder, explainer, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"camscope\[ray\]"):
        run(folder, model=explainer, out=tmp_path / "run", engine="ray")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("nodes", "count", "wanted"),
    [
        ([{"CPU": 16.0}], None, (4, 4, 0)),
        ([{"CPU": 16.0}, {"CPU": 2.0}, {}], None, (9, 2, 0)),
        ([{"CPU": 16.0, "GPU": 2.0}, {"CPU": 64.0}], None, (2, 8, 1)),
        ([{"CPU": 16.0, "GPU": 2.0}], 4, (4, 4, 0.5)),
        ([{"CPU": 1.0, "GPU": 1.0}], None, (1, 1, 1)),
        ([{}], None, (1, 4, 0)),
    ],
)
def test_workers_are_as_many_as_the_cluster_has_places(nodes, count, wanted):
    told = [{"Alive": True, "Resources": one} for one in nodes]
    dead = {"Alive": False, "Resources": {"CPU": 99.0, "GPU": 9.0}}
    found = places([*told, dead], count, on_gpus=True)
    assert (found.count, found.cores, found.gpus) == wanted
