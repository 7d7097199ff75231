"""Who may ask a service, from what its start says; a mistake there must not open it to everybody."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path

from raydistill.actors.errors import UsageError
from raydistill.serve.admission.gate import Rules
from raydistill.serve.admission.keys import KEYS_VARIABLE, LEAST_CHARACTERS, Key, Keyring, digest_of, keys_of

ADMIN_VARIABLE = "RAYDISTILL_ADMIN_KEY"


def rules_of(
    keys: str | None,
    *,
    is_open: bool,
    loopback: bool,
    queue: int,
    deadline_s: float,
    admin_key_file: str | None = None,
) -> Rules:
    """The rules of a service with this file of keys, or those of KEYS_VARIABLE, or both.

    Raises UsageError where keys are wrong, and where there are none and neither `is_open` nor `loopback`.
    """
    given = keys_of(text) if (text := os.environ.get(KEYS_VARIABLE, "").strip()) else ()
    path = str(Path(keys).expanduser().resolve()) if keys else None
    Keyring(path, given)  # to tell now what is wrong with them
    rules = Rules(path, given, None, queue, deadline_s, admin_key(admin_key_file))
    if rules.are_open and not (is_open or loopback):
        raise UsageError(
            "without keys the service would answer whoever reaches it: give a file of API keys (--keys FILE, "
            f"docs/service.md) or {KEYS_VARIABLE}, or say --open"
        )
    if is_open and not rules.are_open:
        raise UsageError(f"--open goes without keys; leave it out, or --keys and {KEYS_VARIABLE}")
    return rules


def admin_key(path: str | None) -> Key | None:
    """The administrator's key: all of this file, else ADMIN_VARIABLE; None without either. Raises UsageError."""
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8") if path else os.environ.get(ADMIN_VARIABLE, "")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise UsageError(f"{path}: cannot be read: {reason}; expected a file that holds the admin key") from None
    if not (key := text.strip()) and not path:
        return None
    if len(key) < LEAST_CHARACTERS:
        raise UsageError(f"{path or ADMIN_VARIABLE}: expected an admin key of at least {LEAST_CHARACTERS} characters")
    return Key("admin", digest_of(key))


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
