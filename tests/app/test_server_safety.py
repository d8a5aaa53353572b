"""Who may ask the server, how much, and of what: token, hosts and origins, limits, names, hostile photos, crowds."""

from __future__ import annotations

import io
import json
import socket
import struct
import threading
import zlib

import numpy as np
import pytest
from PIL import Image

import camscope
from tests.app.conftest import HOSTILE, png

pytest.importorskip("fastapi", reason="needs the app extra")
httpx = pytest.importorskip("httpx")

PATHS = [
    "/",
    "/page.js",
    "/api/state",
    "/api/openapi.json",
    "/api/models/m1/layers",
    "/api/runs/r1/rows",
    "/api/photos/x/picture",
    "/nowhere",
]


def asked(served, path: str, **headers: str):
    return httpx.get(served.base + path, headers=headers)


# ------------------------------------------------------------------ who


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("token", [None, "", "wrong", "é", "x" * 10_000])
def test_without_the_token_nothing_is_given(served, path, token):
    headers = {} if token is None else {"X-Camscope-Token": token.encode()}
    answer = httpx.get(served.base + path, headers=headers)
    assert answer.status_code == 401
    if path == "/":  # a person reads it
        assert "open the whole address" in answer.text
    else:
        assert answer.json()["kind"] == "TokenError"
    assert served.session.token not in answer.text


def test_the_tokens_ways_in(served):
    token, port = served.session.token, served.base.rsplit(":", 1)[1]
    assert asked(served, f"/?token={token}").status_code == 200
    cookie = asked(served, f"/?token={token}").headers["set-cookie"].lower()
    assert cookie.startswith(f"camscope-{port}=")
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert asked(served, "/api/state", Cookie=f"a=b; camscope-{port}={token}").status_code == 200
    assert asked(served, "/api/state", Cookie=f"camscope-{port}=wrong").status_code == 401
    assert asked(served, "/api/state", Cookie=f"camscope-1={token}").status_code == 401
    # in an address the token opens the page alone, so that no link asks for more
    assert asked(served, f"/api/state?token={token}").status_code == 401
    assert asked(served, "/?token=wrong").status_code == 401
    assert token not in asked(served, f"/?token={token}").text


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1",
        "127.0.0.1:1",
        "localhost.evil.example:{port}",
        "",
        "10.0.0.1:{port}",
    ],
)
def test_another_host_is_refused(served, host):
    """A page whose own name was made to point to this machine asks for that name."""
    headers = {
        "X-Camscope-Token": served.session.token,
        "Host": host.replace("{port}", served.base.rsplit(":", 1)[1]),
    }
    answer = httpx.get(served.base + "/api/state", headers=headers)
    assert answer.status_code == 403
    assert answer.json()["kind"] == "ForeignError"


@pytest.mark.parametrize("host", ["localhost", "[::1]", "127.0.0.1", "LOCALHOST"])
def test_the_machines_own_names_are_none_of_others(served, host):
    port = served.base.rsplit(":", 1)[1]
    assert asked(served, "/api/state", **served.client.headers, Host=f"{host}:{port}").status_code == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost:1", "https://127.0.0.1:{port}"]
)
def test_another_page_is_refused(served, origin):
    """A page on another port of this machine has the cookie of this one, as browsers see it."""
    port = served.base.rsplit(":", 1)[1]
    headers = {"Cookie": f"camscope-{port}={served.session.token}", "Origin": origin.replace("{port}", port)}
    for method, path in (("GET", "/api/state"), ("POST", "/api/explain"), ("GET", "/")):
        assert httpx.request(method, served.base + path, headers=headers).status_code == 403
    own = {**headers, "Origin": served.base}
    assert httpx.get(served.base + "/api/state", headers=own).status_code == 200
    embedded = {"Cookie": headers["Cookie"], "Sec-Fetch-Site": "same-site"}
    assert httpx.get(served.base + "/api/state", headers=embedded).status_code == 403


def test_browsers_are_told_to_keep_to_themselves(served):
    for path in PATHS:
        headers = served.client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in headers
    assert served.client.get("/api/state").headers.get("cache-control", "no-store") == "no-store"
    assert "unsafe" not in served.client.get("/").headers["content-security-policy"]


# ------------------------------------------------------------------ how much


def test_uploads_have_limits(served, monkeypatch):
    from camscope.app.serving import photo_routes

    many = [("files", (f"{i}.png", b"x", "image/png")) for i in range(101)]
    answer = served.client.post("/api/photos", files=many)
    assert (answer.status_code, answer.json()["kind"]) == (413, "TooLargeError")
    assert "100 are taken" in answer.json()["error"]
    monkeypatch.setattr(photo_routes, "MOST_BYTES", 1000)
    big = png(size=(400, 400)) + b" " * 2000
    assert "MB" in served.client.post("/api/photos", files={"files": ("a.png", big)}).json()["error"]
    monkeypatch.setattr(photo_routes, "MOST_PIXELS", 100)
    monkeypatch.setattr(photo_routes, "MOST_BYTES", 10**6)
    assert (
        "the limit is 100"
        in served.client.post("/api/photos", files={"files": ("a.png", png())}).json()["error"]
    )


def test_no_more_bytes_are_read_than_are_taken_whatever_a_request_says(served):
    host, port = served.base.removeprefix("http://").split(":")
    token = served.session.token
    head = f"POST /api/explain HTTP/1.1\r\nHost: {host}:{port}\r\nX-Camscope-Token: {token}\r\n"
    head += "Content-Type: application/json\r\n"
    for told in (f"Content-Length: {10**12}\r\n\r\n", "Content-Length: 9999999999999999999999\r\n\r\n"):
        with socket.create_connection((host, int(port)), timeout=10) as stream:
            stream.sendall((head + told).encode())
            assert stream.recv(100).split()[1] in (b"413", b"400")
    with socket.create_connection((host, int(port)), timeout=30) as stream:
        stream.sendall((head + "Transfer-Encoding: chunked\r\n\r\n").encode())
        chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
        sent = 0
        try:
            for _ in range(64):
                stream.sendall(chunk)
                sent += 1
        except OSError:
            pass
        try:
            assert stream.recv(100).split()[1] == b"413"
        except ConnectionError:
            assert sent < 64
    assert served.client.get("/api/state").status_code == 200


def test_dropped_photos_and_answers_take_no_more_memory_than_they_may(monkeypatch):
    from camscope.app.serving import held_photos
    from camscope.app.serving.kept_answers import KeptAnswers
    from camscope.app.serving.refusals import NotFoundError

    content = png()
    monkeypatch.setattr(held_photos, "_BYTES_HELD", 3 * len(content))
    monkeypatch.setattr(held_photos, "_PIXELS_HELD", 2 * 60 * 40)
    photos = held_photos.HeldPhotos()
    ids = [photos.add_bytes(content, f"{i}.png", max_pixels=10**6).id for i in range(5)]
    for gone in ids[:2]:
        with pytest.raises(NotFoundError, match="Drop it again"):
            photos.of(gone)
    for there in ids[2:]:
        assert photos.read(photos.of(there)).size == (40, 60)
    assert len(photos._pixels) == 2
    monkeypatch.setattr(held_photos, "_MOST_HELD", 2)
    first = photos.add_again("a", lambda: None)
    assert photos.holds(first)
    for _ in range(2):
        photos.add_again("b", lambda: None)
    assert not photos.holds(first)
    kept = KeptAnswers(most=100)
    for i in range(9):
        kept.put(i, b"x" * 30)
    assert [i for i in range(9) if kept.get(i)] == [6, 7, 8]
    kept.put("large", b"x" * 200)
    assert kept.get("large") is None


# ------------------------------------------------------------------ of what


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/page.js/../../view.py",
        "/api/photos/..%2f..%2fetc%2fpasswd/picture",
        "/api/photos/%2Fetc%2Fpasswd/picture",
        "/api/photos//etc/passwd/picture",
        "/api/runs/..%2f/rows",
        "/api/runs/r1/photos/-1",
        "/api/runs/r1/photos/99999999999999999999999",
        "/api/trainings/%00",
        "/api/models/m1%00/layers",
    ],
)
def test_no_path_leads_out(served, path):
    with socket.create_connection(tuple(served.base.removeprefix("http://").split(":"))) as stream:
        token = served.session.token
        host = served.base.removeprefix("http://")
        stream.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nX-Camscope-Token: {token}\r\nConnection: close\r\n\r\n".encode()
        )
        answer = b"".join(iter(lambda: stream.recv(65536), b""))
    assert answer.split()[1] in (b"404", b"422", b"400")
    assert b"root:" not in answer


def test_ids_are_not_guessed_and_nothing_is_a_path(served):
    ids = [served.dropped() for _ in range(20)]
    assert len(set(ids)) == 20
    assert all(len(one) >= 16 for one in ids)
    for guessed in ("1", "photo", ids[0][:-1], ids[0] + "A", "/etc/passwd", "given.png", "sample:cat"):
        assert served.client.get(f"/api/photos/{guessed}/picture").status_code == 404
        said = served.refused("/api/explain", 404, model="m1", photo=guessed)
        assert said["kind"] == "NotFoundError"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (HOSTILE + ".png", None),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\cat.png", "cat.png"),
        ("/etc/passwd", "passwd"),
        ("sample:cat", "sample:cat"),
        ("cat\u202egnp.exe", "cat gnp.exe"),
        ("x" * 1000 + ".png", "x" * 200),
    ],
)
def test_names_are_text_and_no_paths(served, name, shown):
    content = png("blue", (36, 36))
    found = served.client.post("/api/photos", files={"files": (name, content)}).json()["photos"][0]
    assert "/" not in found["name"].replace("</script>", "")
    if shown is not None:
        assert found["name"] == shown
    view = served.post("/api/explain", model="m1", photo=found["id"])
    assert view["photos"][0]["name"] == found["name"]
    answer = served.client.post("/api/explain", json={"model": "m1", "photo": found["id"]})
    assert answer.headers["content-type"] == "application/json"
    # blue it is, whatever the name says: the file that was sent is explained, and none of that name
    assert view["photos"][0]["top"][0]["index"] == 2


def test_names_of_classes_are_text(served):
    """A JSON answer is no page, and the page itself holds no name."""
    view = served.post("/api/explain", model="m1", photo=served.dropped(), targets=["1"])
    assert view["photos"][0]["targets"][0]["title"].startswith("green")
    assert HOSTILE not in served.client.get("/").text


def bomb() -> bytes:
    """A PNG of a few bytes that says it is of 60,000 × 60,000 pixels."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = lambda kind, data: (  # noqa: E731
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    )
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + content


def jpeg(**options: object) -> bytes:
    stored = io.BytesIO()
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(stored, "JPEG", **options)
    return stored.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"GIF89a", "damaged|no image"),
        (jpeg()[:300], "incomplete|damaged"),
        (bomb(), "too large"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(/etc/passwd) run\n", "PostScript"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "no image"),
        (b"PK\x03\x04" + b"\0" * 100, "no image"),
    ],
)
def test_hostile_photos_are_refused_one_by_one(served, content, words):
    import re

    answer = served.client.post("/api/photos", files={"files": ("evil.png", content)})
    assert answer.status_code == 422
    assert answer.json()["kind"] in ("InputError", "ImageError")
    assert re.search(words, answer.json()["error"])


def test_a_given_photo_that_is_gone_says_so(tmp_path):
    from camscope.app.serving import Session
    from tests.app.conftest import serving

    file = tmp_path / "a.png"
    file.write_bytes(png())
    session = Session()
    held = session.photos.add_file(str(file))
    file.unlink()
    with serving(session) as served:
        assert "does not exist" in served.client.get(f"/api/photos/{held.id}/picture").json()["error"]


# ------------------------------------------------------------------ crowds


def test_two_hundred_at_once_and_connections_that_break_leave_it_serving(served):
    photo = served.dropped()
    host, port = served.base.removeprefix("http://").split(":")
    body = json.dumps({"model": "m1", "photo": photo, "seed": 77}).encode()
    head = (
        f"POST /api/explain HTTP/1.1\r\nHost: {host}:{port}\r\nX-Camscope-Token: {served.session.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    statuses: list[int] = []

    def ask(number: int) -> None:
        if number % 10 == 9:  # a browser that is killed in the middle of what it says, or of what it is told
            with socket.create_connection((host, int(port))) as stream:
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                stream.sendall(head + body[: number % 3 * 20])
            return
        wish = {"model": "m1", "photo": photo, "seed": number}
        statuses.append(
            httpx.post(
                served.base + "/api/explain", json=wish, headers=served.client.headers, timeout=120
            ).status_code
        )

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 180
    assert served.client.get("/api/state").status_code == 200
    assert served.session.models.of("m1").worker._waiting == 0


def test_more_than_can_wait_are_told_to_come_again(served, held, monkeypatch):
    from camscope.app.serving import worker

    monkeypatch.setattr(worker, "_MOST_WAITING", 2)
    photo = served.dropped()
    answers: list[int] = []
    threads = [
        threading.Thread(
            target=lambda seed=seed: answers.append(
                served.client.post(
                    "/api/explain", json={"model": "m1", "photo": photo, "seed": seed}
                ).status_code
            )
        )
        for seed in range(900, 905)
    ]
    for thread in threads:
        thread.start()
    for _ in range(500):
        if len(answers) == 3:
            break
        threading.Event().wait(0.02)
    held.held.set()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200, 200, 503, 503, 503]


def test_a_fault_of_ours_is_told_and_the_server_goes_on(served, monkeypatch, capfd):
    from camscope.app.serving import explain_routes

    def fault(*_: object) -> None:
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr(explain_routes, "cell_classes", fault)
    answer = served.client.post("/api/cells", json={"model": "m1", "photo": served.dropped(), "top": 9})
    assert answer.status_code == 500
    assert answer.json()["kind"] == "Fault"
    assert "ZeroDivisionError" in capfd.readouterr().err
    assert served.client.get("/api/state").status_code == 200
    assert camscope is not None
