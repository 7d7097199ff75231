"""No library below us reports to its makers, unless a variable of the environment asks for it by name."""

from __future__ import annotations

import os

DECLINED = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}


def declined() -> dict[str, str]:
    """These variables for another process; those that are set here keep their values."""
    return {name: os.environ.get(name, value) for name, value in DECLINED.items()}


def decline() -> None:
    """Set them in this process, and for those that it starts."""
    os.environ.update(declined())
