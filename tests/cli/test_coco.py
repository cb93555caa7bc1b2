"""python -m data.coco against a server on 127.0.0.1 that behaves as badly as real ones do."""

from __future__ import annotations

import hashlib
import http.server
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE, Popen
from types import SimpleNamespace

import numpy as np
import pytest

from data.coco import main
from data.photos import Photos
from errors import UserError
from tests.conftest import PHOTOS, ROOT, Run

PIECE_BYTES = 200_000


class Server(http.server.ThreadingHTTPServer):
    """Serves `content` under every path, with ranges; `drops` answers are cut in the middle."""

    content = b""
    etag = '"one"'
    drops = 0
    slow_s = 0.0
    has_ranges = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[tuple[str, str]] = []
        self.sent = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_HEAD(self) -> None:
        self.answer(False)

    def do_GET(self) -> None:
        self.answer(True)

    def answer(self, with_body: bool) -> None:
        server = self.server
        span = self.headers.get("Range", "")
        server.requests.append((self.command, span))
        if "missing" in self.path:
            self.send_error(404)
            return
        first, last = 0, len(server.content) - 1
        if span and server.has_ranges:
            first, last = (int(number) for number in span.removeprefix("bytes=").split("-"))
        body = server.content[first : last + 1]
        self.send_response(206 if span and server.has_ranges else 200)
        if server.has_ranges:
            self.send_header("Accept-Ranges", "bytes")
        if span and server.has_ranges:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(server.content)}")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", server.etag)
        self.end_headers()
        if not with_body:
            return
        if len(body) > 1 and server.drops:
            server.drops -= 1
            body = body[: len(body) // 2]
            self.close_connection = True
        for start in range(0, len(body), PIECE_BYTES):
            try:
                self.wfile.write(body[start : start + PIECE_BYTES])
            except OSError:
                return
            server.sent += len(body[start : start + PIECE_BYTES])
            time.sleep(server.slow_s)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    archive = tmp_path / "made.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for photo in sorted(PHOTOS.glob("*.jpg")):
            file.write(photo, f"val2017/{photo.name}")
        file.writestr("val2017/noise.bin", np.random.default_rng(0).bytes(12_000_000))
    server = Server()
    server.content = archive.read_bytes()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def arguments(server: Server, folder: Path) -> list[str]:
    md5 = hashlib.md5(server.content).hexdigest()
    split = ["--split", "val2017", "--to", str(folder)]
    return ["-m", "data.coco", *split, "--base-url", server.url, "--md5", md5]


def test_a_dropped_connection_is_taken_up_again(run: Run, server: Server, tmp_path: Path) -> None:
    server.drops = 3
    done = run(*arguments(server, tmp_path / "coco"))
    assert done.returncode == 0, done.stderr
    path = tmp_path / "coco/val2017.zip"
    assert path.read_bytes() == server.content
    assert f"{path}: fetched, whole. Train with data.root={path}" in done.stdout
    assert [file.name for file in path.parent.iterdir()] == ["val2017.zip"]
    assert server.sent < 1.5 * len(server.content)  # what had come was not fetched again
    assert len(Photos(path)) == len(list(PHOTOS.glob("*.jpg")))

    again = run(*arguments(server, tmp_path / "coco"))
    assert again.returncode == 0
    assert "already there, whole" in again.stdout


def test_a_killed_download_goes_on_where_it_stopped(
    run: Run, server: Server, tmp_path: Path
) -> None:
    server.slow_s = 0.2
    process = Popen(
        [sys.executable, *arguments(server, tmp_path)], cwd=ROOT, stdout=PIPE, stderr=PIPE
    )
    while server.sent < len(server.content) // 2:
        time.sleep(0.02)
    time.sleep(0.5)
    process.kill()
    process.communicate()
    server.slow_s, server.sent = 0.0, 0
    done = run(*arguments(server, tmp_path))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "val2017.zip").read_bytes() == server.content
    assert server.sent < 0.8 * len(server.content)


def test_a_server_without_ranges_will_do(run: Run, server: Server, tmp_path: Path) -> None:
    server.has_ranges = False
    done = run(*arguments(server, tmp_path))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "val2017.zip").read_bytes() == server.content


def test_another_content_is_refused_and_leaves_nothing(
    run: Run, server: Server, tmp_path: Path
) -> None:
    wanted = arguments(server, tmp_path)
    server.content = server.content[:-1] + b"?"
    done = run(*wanted)
    assert done.returncode == 2
    assert f"{server.url}/val2017.zip: what came has MD5 " in done.stderr
    assert "; expected " in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["made.zip"]
    (tmp_path / "val2017.zip").write_bytes(b"cut")
    done = run(*wanted)
    assert done.returncode == 2
    assert "val2017.zip: has MD5 " in done.stderr
    assert "delete it and run the command again" in done.stderr


def test_no_such_file_is_one_line(run: Run, server: Server, tmp_path: Path) -> None:
    wanted = arguments(server, tmp_path)
    wanted[wanted.index("--base-url") + 1] = f"{server.url}/missing"
    done = run(*wanted, "--retries", 1)
    assert done.returncode == 2
    assert "/missing/val2017.zip: cannot be fetched (" in done.stderr
    assert "404" in done.stderr
    assert "Traceback" not in done.stderr


def test_too_small_a_disk_is_told_before_the_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["coco", "--to", str(tmp_path / "new")])
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=20e9))
    with pytest.raises(UserError, match=r"20.0 GB free; expected 38.6, twice the archive"):
        main()
