"""Who may ask a service, from what its start says; a mistake there must not open it to everybody."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path

from raydistill.actors.errors import UsageError
from raydistill.serve.admission.gate import Rules
from raydistill.serve.admission.keys import KEYS_VARIABLE, Keyring, keys_of


def rules_of(keys: str | None, *, is_open: bool, loopback: bool, queue: int, deadline_s: float) -> Rules:
    """The rules of a service with this file of keys, or those of KEYS_VARIABLE, or both.

    Raises UsageError where keys are wrong, and where there are none and neither `is_open` nor `loopback`.
    """
    given = keys_of(text) if (text := os.environ.get(KEYS_VARIABLE, "").strip()) else ()
    path = str(Path(keys).expanduser().resolve()) if keys else None
    Keyring(path, given)  # to tell now what is wrong with them
    rules = Rules(path, given, None, queue, deadline_s)
    if rules.are_open and not (is_open or loopback):
        raise UsageError(
            "without keys the service would answer whoever reaches it: give a file of API keys (--keys FILE, "
            f"docs/service.md) or {KEYS_VARIABLE}, or say --open"
        )
    if is_open and not rules.are_open:
        raise UsageError(f"--open goes without keys; leave it out, or --keys and {KEYS_VARIABLE}")
    return rules


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
