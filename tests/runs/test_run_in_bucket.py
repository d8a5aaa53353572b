"""Runs of what lies in a bucket, and into one, against a real server of S3's on this machine."""

from __future__ import annotations

import http.client
import http.server
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from fsspec.core import url_to_fs

import camscope
from camscope.errors import CamscopeWarning, ImageError, InputError
from camscope.runs import run, store_lease
from camscope.runs.sources import remote_files
from camscope.runs.sources.finding_inputs import find_inputs
from camscope.runs.store_paths import BucketPath, store_path
from tests.runs.conftest import write_photos
from tests.runs.test_run_store import files_in, rows_in

pytestmark = pytest.mark.slow

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


class Troubled(http.server.ThreadingHTTPServer):
    """Stands before the server, counts what is asked, and answers with a fault where it is told to."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        self.behind = port
        self.faults: dict[str, float] = {}  # by the end of a path: how often it fails
        self.asked: Counter[str] = Counter()
        super().__init__(("127.0.0.1", 0), _Between)


class _Between(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Troubled

    def log_message(self, *args: object) -> None:
        pass

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        self.server.asked[f"{self.command} {path}"] += 1
        for end, left in self.server.faults.items():
            if path.endswith(end) and left > 0 and self.command == "GET":
                self.server.faults[end] = left - 1
                self._answer(500, {"Content-Type": "text/plain"}, b"fault")
                return
        behind = http.client.HTTPConnection("127.0.0.1", self.server.behind)
        behind.request(self.command, self.path, body, dict(self.headers))
        found = behind.getresponse()
        content = found.read()
        headers = {
            k: v for k, v in found.getheaders() if k.lower() not in ("transfer-encoding", "connection")
        }
        self._answer(found.status, headers, content)
        behind.close()

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "date", "server") or self.command == "HEAD":
                self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass_on  # noqa: N815


@pytest.fixture(scope="module")
def server():
    """Moto's server in a process of its own, behind one that can be told to fail."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    between = Troubled(port)
    threading.Thread(target=between.serve_forever, daemon=True).start()
    before = dict(os.environ)
    os.environ.update(KEYS, AWS_ENDPOINT_URL=f"http://127.0.0.1:{between.server_address[1]}")
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield between
    finally:
        os.environ.clear()
        os.environ.update(before)
        between.shutdown()
        between.server_close()
        process.kill()
        process.wait()


@pytest.fixture
def bucket(server, request):
    """A new bucket: its URL."""
    name = f"b{abs(hash(request.node.name)) % 10**9}"
    files, _ = url_to_fs(f"s3://{name}")
    files.mkdir(name)
    server.faults.clear()
    return f"s3://{name}"


@pytest.fixture
def stored(bucket, folder) -> str:
    """The 26 photos in a bucket: their URL."""
    files, place = url_to_fs(f"{bucket}/photos")
    files.put(f"{folder}/", f"{place}/", recursive=True)
    return f"{bucket}/photos"


def begin(data, explainer, out, **options):
    given = {"shard_size": 8, "batch": 4, "workers": 1, "progress": False, **options}
    return run(data, model=explainer, out=out, **given)


def test_a_run_in_a_bucket_is_that_of_a_folder(stored, bucket, folder, explainer, tmp_path):
    """Read from a bucket and written into one; what it keeps is the same but for where the photos lie."""
    out = f"{bucket}/run"
    done = begin(stored, explainer, out)
    assert (done.complete, done.progress.now, str(done.path)) == (True, 26, out)
    files, place = url_to_fs(out)
    files.get(f"{place}/", str(tmp_path / "copy") + "/", recursive=True)
    begin(folder, explainer, tmp_path / "run")
    copied, own = rows_in(tmp_path / "copy"), rows_in(tmp_path / "run")
    sources = sorted(one["source"] for one in copied)
    assert sources == sorted(
        f"{stored}/{Path(o['source']).parent.name}/{Path(o['source']).name}" for o in own
    )

    def kept(rows):
        there = {Path(row["source"]).name: row for row in rows}
        return {name: {k: row[k] for k in row if k not in ("id", "source")} for name, row in there.items()}

    # a bucket's order is another one, so batches are others, and the last bits of sums
    one, other = kept(copied), kept(own)
    assert one.keys() == other.keys()
    for name, row in one.items():
        assert row["file_digest"] == other[name]["file_digest"]
        assert row["map_shape"] == other[name]["map_shape"]
        assert row["map"] == pytest.approx(other[name]["map"], abs=1e-3)
    assert begin(stored, explainer, out).progress.now == 0
    assert files_in(tmp_path / "copy").keys() == files_in(tmp_path / "run").keys()


def test_it_is_asked_where_it_lies(stored, bucket, explainer):
    begin(stored, explainer, f"{bucket}/run")
    rows = camscope.runs.open(f"{bucket}/run")
    assert (len(rows), rows.is_complete) == (26, True)
    assert len(rows.where("label = 'ant'")) == 7
    first = rows.sort("area").limit(3)
    assert first.maps().shape[0] == 3
    assert first.to_arrow()["source"][0].as_py().startswith(stored)
    assert rows.explanation(3).figure() is not None
    with pytest.raises(InputError, match="There is no run"):
        camscope.runs.open(f"{bucket}/other")


def test_only_what_is_not_there_is_computed_again(stored, bucket, explainer):
    out = f"{bucket}/run"
    begin(stored, explainer, out)
    files, place = url_to_fs(out)
    names = sorted(files.ls(f"{place}/shards", detail=False, refresh=True))
    files.rm_file(names[1])
    files.pipe_file(names[2], files.cat_file(names[2])[:-50])
    files.rm_file(f"{place}/index.parquet")
    done = begin(stored, explainer, out)
    assert (done.torn, done.progress.now, done.complete) == ((2,), 16, True)


def test_shares_in_a_bucket_are_joined_in_one(stored, bucket, explainer, tmp_path):
    for n in (1, 2):
        begin(stored, explainer, f"{bucket}/parts/{n}", share=f"{n}/2")
    camscope.runs.merge([f"{bucket}/parts"], f"{bucket}/joined")
    camscope.runs.merge([f"{bucket}/parts/1", f"{bucket}/parts/2"], tmp_path / "joined")
    assert len(camscope.runs.open(f"{bucket}/joined")) == len(camscope.runs.open(tmp_path / "joined")) == 26


def test_a_bucket_is_listed_page_by_page(bucket, monkeypatch):
    files, place = url_to_fs(f"{bucket}/many")
    for n in range(7):
        files.pipe_file(f"{place}/a/{n}.png", b"x")
    files.pipe_file(f"{place}/a/.hidden/1.png", b"x")
    calls = []
    own = type(files).call_s3

    def in_threes(self, name, **asked):
        calls.append(name)
        return own(self, name, MaxKeys=3, **asked)

    monkeypatch.setattr(type(files), "call_s3", in_threes)
    stream = find_inputs(f"{bucket}/many")
    found = [next(stream)]
    assert len(calls) == 1
    found += stream
    assert len(calls) == 3
    assert [(one.source, one.label) for one in found] == [(f"{bucket}/many/a/{n}.png", "a") for n in range(7)]


def test_a_read_that_fails_twice_works_and_one_that_never_does_is_a_row(server, stored, bucket, explainer):
    server.faults = {"/ant/0.png": 2, "/bee/1.png": float("inf")}
    server.asked.clear()
    done = begin(stored, explainer, f"{bucket}/run")
    assert (done.complete, done.progress.failed) == (True, 1)
    (failed,) = camscope.runs.open(f"{bucket}/run").failures
    assert failed["source"].endswith("/bee/1.png")
    assert "could not be read, 4 times" in failed["reason"]
    asked = {
        path.rpartition("/")[2]: n
        for path, n in server.asked.items()
        if path.startswith("GET") and ".png" in path
    }
    assert asked["0.png"] == 2 + 2  # of the plan too
    assert 4 <= asked["1.png"] <= 64


def test_a_shard_whose_put_fails_for_good_stops_the_run_and_nothing_is_half(
    stored, bucket, explainer, monkeypatch
):
    def full(self, file):
        if "shard-0000002" in self.url:
            raise OSError(28, "No space left on device")
        own(self, file)

    own = BucketPath.put
    monkeypatch.setattr(BucketPath, "put", full)
    with pytest.raises(InputError, match=r"shard-0000002.parquet' cannot be written: No space left"):
        begin(stored, explainer, f"{bucket}/run")
    monkeypatch.undo()
    done = begin(stored, explainer, f"{bucket}/run")
    assert (done.complete, done.progress.now) == (True, 10)


def test_missing_credentials_are_taught(server, bucket, explainer, folder, tmp_path, monkeypatch):
    from s3fs import S3FileSystem

    for name in (*KEYS, "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    S3FileSystem.clear_instance_cache()
    try:
        for data, out in ((f"{bucket}/photos", tmp_path / "run"), (folder, f"{bucket}/run")):
            with pytest.raises(InputError, match=r"[Cc]redentials.*AWS_ACCESS_KEY_ID"):
                begin(data, explainer, out)
    finally:
        S3FileSystem.clear_instance_cache()


def test_a_bucket_that_is_not_there_is_said(server, explainer, folder):
    with pytest.raises(InputError, match=r"There is no .s3://nowhere-at-all"):
        begin("s3://nowhere-at-all/photos", explainer, "memory://x/run")
    with pytest.raises(InputError, match=r"nowhere-at-all"):
        begin(folder, explainer, "s3://nowhere-at-all/run")


# ------------------------------------------------------------------ two processes


def test_two_processes_do_not_run_in_one_bucket(bucket, folder, explainer, monkeypatch):
    monkeypatch.setattr(store_lease, "RENEWED", 0.2)
    with (
        store_lease.leased(BucketPath(f"{bucket}/run"), taken="taken"),
        pytest.raises(InputError, match=r"Another process is writing .*share='1/2'"),
    ):
        begin(folder, explainer, f"{bucket}/run")
    assert begin(folder, explainer, f"{bucket}/run").complete
    assert not (BucketPath(f"{bucket}/run") / store_lease.LEASE).exists()


def test_a_lease_of_another_machine_is_waited_for(bucket, monkeypatch):
    """One that is renewed is held; one that is not is of a machine that is gone."""
    monkeypatch.setattr(store_lease, "RENEWED", 0.2)
    path = BucketPath(f"{bucket}/run")
    machine = store_lease._machine
    monkeypatch.setattr(store_lease, "_machine", lambda: {"host": "elsewhere", "boot": "x"})
    with store_lease.leased(path, taken=""):
        monkeypatch.setattr(store_lease, "_machine", machine)
        with pytest.warns(CamscopeWarning, match="of elsewhere"), pytest.raises(InputError, match="taken"):
            store_lease.leased(path, taken="taken").__enter__()
    gone = {"holder": "x", "pid": os.getpid(), "host": "elsewhere", "boot": "x"}
    store_lease._written(path / store_lease.LEASE, gone, anew=True)
    with pytest.warns(CamscopeWarning, match="of elsewhere"), store_lease.leased(path, taken="taken"):
        assert (path / store_lease.LEASE).is_file()


def test_a_killed_process_of_this_machine_is_known_to_be_dead(bucket):
    path = BucketPath(f"{bucket}/run")
    dead = {"holder": "x", "pid": 2**22 + 1, **store_lease._machine()}
    store_lease._written(path / store_lease.LEASE, dead, anew=True)
    with store_lease.leased(path, taken="taken"):
        pass


# ------------------------------------------------------------------ other file systems


@pytest.mark.parametrize("protocol", ["memory", "file"])
def test_any_file_system_of_fsspec_takes_a_run(protocol, folder, explainer, tmp_path):
    out = f"{protocol}://{tmp_path}/run"
    done = begin(folder, explainer, out)
    assert done.complete
    assert len(camscope.runs.open(out)) == 26
    begin(folder, explainer, tmp_path / "own")
    if protocol == "file":
        assert store_path(out) == tmp_path / "run"
        assert [row["map"] for row in rows_in(tmp_path / "run")] == [
            row["map"] for row in rows_in(tmp_path / "own")
        ]


def test_where_a_put_is_no_single_step_it_is_written_aside(tmp_path, monkeypatch):
    """As over SFTP: until it is renamed there is nothing in its place."""
    from fsspec.implementations.memory import MemoryFileSystem

    seen = []
    monkeypatch.setattr(MemoryFileSystem, "mv", lambda self, *paths: seen.append(paths))
    monkeypatch.setattr("camscope.runs.store_paths._PUT_AT_ONCE", set())
    (tmp_path / "x").write_bytes(b"whole")
    BucketPath("memory://some/where/x").put(tmp_path / "x")
    ((aside, place),) = seen
    assert place == "/some/where/x"
    assert aside.startswith(place)
    files, _ = url_to_fs("memory://")
    assert not files.exists(place)
    assert files.cat_file(aside) == b"whole"


def test_a_protocol_that_needs_a_package_says_so(explainer, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(InputError, match="gcsfs"):
        begin("gs://bucket/photos", explainer, tmp_path / "run")
    with pytest.raises(InputError, match="gcsfs"):
        begin(write_photos(tmp_path / "photos", 1), explainer, "gs://bucket/run")


def test_a_write_is_tried_again(monkeypatch):
    monkeypatch.setattr(remote_files, "_WAIT", 0)
    tries = []

    def fails():
        tries.append(1)
        if len(tries) < 3:
            raise ConnectionResetError("reset")
        return "written"

    assert remote_files.patiently(fails, "s3://b/x", "written") == "written"
    with pytest.raises(ImageError, match="could not be written, 4 times: gone"):
        remote_files.patiently(lambda: (_ for _ in ()).throw(ConnectionError("gone")), "s3://b/x", "written")
