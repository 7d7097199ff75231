"""A JSON line for each request, in a file of each ingress replica, without contents unless these are asked for.

{"time": "2026-11-30T09:12:31.270+00:00", "request_id": "6f0c...", "method": "POST", "route": "/v1/solve",
 "key": "alice", "model": "student", "status": 200, "code": "", "total_s": 0.412, "queue_s": 0.001, ...,
 "prompt_tokens": 61, "completion_tokens": 84, "verdicts": {"ok": 3}}
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from raydistill.actors.errors import UsageError
from raydistill.serve.records.record import Record

ROLL_BYTES, KEPT_FILES = 100_000_000, 5
TOLD = ("request_id", "method", "route", "key", "model", "status", "code")


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Where the log lies, and whether it has what was asked and answered."""

    folder: str | None = None  # None: beside Ray Serve's own logs
    contents: bool = False

    def check(self) -> None:
        """Raise UsageError where the folder cannot be written on this machine."""
        if self.folder is None:
            return
        try:
            Path(self.folder).mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            raise UsageError(f"{self.folder}: {error.strerror}; expected a folder for the requests' log") from None


class RequestLog:
    """The log of this process, which is a replica of an ingress."""

    def __init__(self, settings: LogSettings) -> None:
        from ray import serve

        self.contents = settings.contents
        replica = serve.get_replica_context().replica_tag
        folder = Path(settings.folder or _ray_s_folder())
        folder.mkdir(parents=True, exist_ok=True)
        handler = RotatingFileHandler(
            folder / f"requests-{replica}.jsonl", maxBytes=ROLL_BYTES, backupCount=KEPT_FILES, encoding="utf-8"
        )
        self._logger = logging.Logger("raydistill.requests")
        self._logger.addHandler(handler)

    def write(self, record: Record, contents: dict[str, str] | None = None) -> None:
        """Add a request that is over; `contents` are what it asked and was told."""
        told: dict[str, Any] = {"time": datetime.now(UTC).isoformat(timespec="milliseconds")}
        told |= {name: getattr(record, name) for name in TOLD}
        told |= {f"{part}_s": round(seconds, 4) for part, seconds in record.parts().items()}
        told |= {"prompt_tokens": record.prompt_tokens, "completion_tokens": record.completion_tokens}
        told |= {"verdicts": dict(record.verdicts)} if record.verdicts else {}
        self._logger.info(json.dumps(told | (contents or {}), ensure_ascii=False))


def _ray_s_folder() -> str:
    import ray

    node: Any = ray._private.worker._global_node
    return os.path.join(node.get_logs_dir_path(), "serve")
