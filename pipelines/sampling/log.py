"""Structured logs of the stages, one JSON object per line, with run and sample ids.

Each process writes a file of its own, `logs/STAGE-HOST-PID.jsonl` of the run directory; of a run under a URI to stderr,
which Ray keeps with the node's logs.

    {"time": "2026-11-22T09:30:00.123Z", "level": "WARNING", "stage": "verify", "run": "/runs/demo",
     "event": "no verdict", "sample_id": "5f1c.../0/2", "reason": "worker_died"}
"""

from __future__ import annotations

import json
import logging
import os
import socket
import time
from typing import Any

from raydistill.actors.storage import is_uri

PLAIN = {*vars(logging.makeLogRecord({})), "message", "asctime"}  # what every record has


class JsonLines(logging.Formatter):
    """A record as one JSON object: time, level, event, and whatever came as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
        told = {key: value for key, value in vars(record).items() if key not in PLAIN and key[0] != "_"}  # _: Ray's own
        return json.dumps({"time": stamp, "level": record.levelname, "event": record.getMessage(), **told}, default=str)


class RunLog:
    """`log.warning("no verdict", sample_id=...)`: keywords become fields beside run and stage."""

    def __init__(self, logger: logging.Logger, **known: str) -> None:
        self._logger, self._known = logger, known

    def info(self, event: str, **fields: Any) -> None:
        self._logger.info(event, extra=self._known | fields)

    def warning(self, event: str, **fields: Any) -> None:
        self._logger.warning(event, extra=self._known | fields)


def run_log(stage: str, run: str) -> RunLog:
    """The log of this process for a stage of the run under `run` (folder or URI)."""
    logger = logging.getLogger(f"raydistill.{stage}.{run}")
    if not logger.handlers:
        logger.propagate = False
        logger.setLevel(logging.INFO)
        logger.addHandler(_handler(stage, run))
    return RunLog(logger, run=run, stage=stage)


def _handler(stage: str, run: str) -> logging.Handler:
    handler: logging.Handler = logging.StreamHandler()
    if not is_uri(run):
        os.makedirs(f"{run}/logs", exist_ok=True)
        handler = logging.FileHandler(f"{run}/logs/{stage}-{socket.gethostname()}-{os.getpid()}.jsonl", delay=True)
    handler.setFormatter(JsonLines())
    return handler
