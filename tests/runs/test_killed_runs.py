"""Runs that are killed, stopped, or given photos that kill: nothing is lost, nothing is done twice."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest

import camscope
from camscope.images import Preprocessing
from camscope.runs import reader_processes
from camscope.runs.reader_processes import Readers
from camscope.runs.reading_one import Reading, ReadPhoto, Unread
from camscope.runs.sources.finding_inputs import find_inputs
from camscope.runs.sources.one_input import Input
from tests.runs.conftest import write_photos
from tests.runs.killable import Running
from tests.runs.test_run_store import files_in, rows_in

pytestmark = pytest.mark.slow

SQUASHED = Preprocessing(input_size=(32, 32), resize=(32, 32), crop="squash")


def shard_stats(out: Path) -> dict[str, tuple[int, int]]:
    """By which a file is known that was not written again."""
    found = list((out / "shards").glob("*.parquet")) if (out / "shards").is_dir() else []
    return {file.name: (file.stat().st_ino, file.stat().st_mtime_ns) for file in found}


def killed_at_random(photos: Path, out: Path, kills: int, longest: float, seed: int) -> tuple[int, dict]:
    """Kill a run so often, each time at a random moment of it; gives the kills that met one, and the first files."""
    chance = random.Random(seed)
    first: dict[str, tuple[int, int]] = {}
    met = 0
    for _ in range(kills):
        running = Running(photos, out)
        running.process.join(chance.uniform(0, longest))
        met += running.process.is_alive()
        running.process.kill()
        running.end()
        now = shard_stats(out)
        assert {name: now.get(name) for name in first} == first  # none lost, none written again
        first |= now
    return met, first


def check_killed(photos: Path, tmp_path: Path, kills: int, longest: float) -> None:
    met, first = killed_at_random(photos, tmp_path / "run", kills, longest, seed=kills)
    last = Running(photos, tmp_path / "run")
    heard = last.heard()
    count = len(list(find_inputs(str(photos))))
    assert heard[-1] == ("done", count - 8 * len(first), True)  # only what was not there was computed
    assert last.end() == 0
    assert {name: shard_stats(tmp_path / "run").get(name) for name in first} == first
    whole = Running(photos, tmp_path / "whole")
    assert whole.heard()[-1] == ("done", count, True)
    one, other = files_in(tmp_path / "run"), files_in(tmp_path / "whole")
    assert one.keys() == other.keys()  # nothing is left of killed writes either
    assert [name for name in one if one[name] != other[name]] in ([], ["plan.json"])
    assert rows_in(tmp_path / "run") == rows_in(tmp_path / "whole")
    assert met > 0


def test_a_run_that_is_killed_at_random_ends_as_one_that_is_not(tmp_path):
    check_killed(write_photos(tmp_path / "photos", 64), tmp_path, kills=4, longest=3.0)


def test_the_same_of_fifty_kills_and_two_thousand_images(tmp_path):
    check_killed(write_photos(tmp_path / "photos", 2000), tmp_path, kills=50, longest=2.0)


def test_ctrl_c_ends_after_the_shard_and_the_run_goes_on(tmp_path):
    photos = write_photos(tmp_path / "photos", 240)
    running = Running(photos, tmp_path / "run")
    assert [running.hears(), running.hears()] == [0, 8]
    running.signal(signal.SIGINT)
    *_, (word, now, complete) = running.heard()
    assert running.end() == 0
    assert (word, complete) == ("done", False)
    assert 8 <= now < 240
    assert len(shard_stats(tmp_path / "run")) * 8 == now
    opened = camscope.runs.open(tmp_path / "run")
    assert not opened.is_complete
    assert "shards are there" in repr(opened)
    assert Running(photos, tmp_path / "run").heard()[-1] == ("done", 240 - now, True)


# ------------------------------------------------------------------ readers


@pytest.fixture
def poisoned(tmp_path, monkeypatch):
    """What reads is a program in which some photos do what decoders have done: crash, be killed, never end."""
    (tmp_path / "poison.py").write_text(
        "import os, signal, sys, time\n"
        "from camscope.runs import reading_one, reading_worker\n"
        "own = reading_one.read_input\n"
        "def read_input(one, reading):\n"
        "    name = os.path.basename(one.source)\n"
        "    if name == '1.png': os.kill(os.getpid(), signal.SIGSEGV)\n"
        "    if name == '2.png': os.kill(os.getpid(), signal.SIGKILL)\n"
        "    if name == '3.png': time.sleep(600)\n"
        "    if name == '5.png': print('a decoder prints')\n"
        "    if name == '6.png': os._exit(3)\n"
        "    return own(one, reading)\n"
        "reading_worker.read_input = read_input\n"
        "reading_worker.work()\n"
    )
    begin = reader_processes.subprocess.Popen

    def poison(command, **options):
        assert command == [sys.executable, "-m", "camscope.runs.reading_worker"]
        return begin([sys.executable, str(tmp_path / "poison.py")], **options)

    monkeypatch.setattr(reader_processes.subprocess, "Popen", poison)


def test_a_photo_that_kills_its_reader_is_named_and_the_others_are_read(poisoned, folder):
    inputs = list(find_inputs(str(folder)))
    with Readers(2, Reading(SQUASHED), ahead=8, patience=10) as readers:
        found = {Path(one.source).stem: read for one, read in readers.read(inputs)}
    assert list(found) == [Path(one.source).stem for one in inputs]  # in order
    lost = {name: read.reason for name, read in found.items() if isinstance(read, Unread)}
    assert lost.keys() == {"1", "2", "3", "6"}
    assert "crashed (SIGSEGV), twice" in lost["1"]
    assert "was killed, as the system does where memory runs out" in lost["2"]
    assert "was not done after 10 seconds, twice" in lost["3"]
    assert "ended with status 3, twice" in lost["6"]


def test_a_poisoned_photo_is_a_row_of_the_run(poisoned, explainer, tmp_path):
    photos = write_photos(tmp_path / "photos", 3)
    done = camscope.runs.run(photos, model=explainer, out=tmp_path / "run", workers=1, progress=False)
    assert (done.complete, done.progress.failed) == (True, 2)
    assert [row["status"] for row in rows_in(tmp_path / "run")] == ["ok", "failed", "failed"]


def test_a_reader_that_is_killed_once_costs_nothing(folder):
    """As the system does where another program takes the memory."""
    inputs = list(find_inputs(str(folder)))
    with Readers(1, Reading(SQUASHED), ahead=4) as readers:
        stream = readers.read(inputs)
        found = [next(stream)]
        (worker,) = readers._all
        os.kill(worker._process.pid, signal.SIGKILL)
        found += stream
    assert all(isinstance(read, ReadPhoto) for _, read in found)
    assert len(found) == len(inputs)


def test_readers_give_way_to_the_model_and_do_not_hear_ctrl_c(folder):
    """Linux shares processors between sessions before it looks who gives way, so theirs is this one."""
    with Readers(1, Reading(SQUASHED), ahead=1) as readers:
        next(readers.read(find_inputs(str(folder))))
        (worker,) = readers._all
        reader = worker._process.pid
        assert os.getsid(reader) == os.getsid(0)
        assert os.getpgid(reader) == reader != os.getpgid(0)
        assert os.getpriority(os.PRIO_PROCESS, reader) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 10)


def test_no_reader_is_left_when_a_run_is_killed(tmp_path):
    """Neither do they outlive the process that they read for."""
    running = Running(write_photos(tmp_path / "photos", 96), tmp_path / "run")
    assert running.hears() == 0
    assert running.hears() == 8
    children = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children")
    threads = Path(f"/proc/{running.process.pid}/task").glob("*/children")
    readers = [int(pid) for file in threads for pid in file.read_text().split()]
    assert children.exists()
    assert readers
    running.process.kill()
    running.end()
    deadline = time.monotonic() + 60
    while any(is_running(pid) for pid in readers):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_only_so_many_are_read_ahead(folder):
    taken = []

    def inputs():
        for one in find_inputs([str(folder)] * 4):
            taken.append(one)
            yield one

    with Readers(1, Reading(SQUASHED), ahead=5) as readers:
        stream = readers.read(inputs())
        for count in range(1, 9):
            next(stream)
            assert len(taken) <= count + 5


def test_photos_stay_as_they_are_where_the_library_prepares_them(photos, tmp_path):
    from PIL import Image

    Image.fromarray(photos["cat"]).save(tmp_path / "cat.png")
    with Readers(1, Reading(None), ahead=1) as readers:
        ((one, read),) = readers.read([Input(str(tmp_path / "cat.png"))])
    assert isinstance(read, ReadPhoto)
    assert (read.pixels == photos["cat"]).all()
    assert read.photo(one.source).size == photos["cat"].shape[:2]
