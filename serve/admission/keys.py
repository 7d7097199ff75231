"""API keys: names, limits and digests, from a YAML file or the environment; no key itself stays in memory.

    limits: {requests: 60, tokens: 100000}           # a minute, of each key that says nothing else
    keys:
      alice: {key: sk-4f1d...}
      bob: {sha256: 9f86d081..., requests: 600, execution_s: 120, n: 16, max_tokens: 1024}

What is wrong with a file is told by line and name, never by what stands there.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import Field, SecretStr, StringConstraints, ValidationError, model_validator

from raydistill.actors.errors import UsageError
from raydistill.pipelines.config.base import Strict

KEYS_VARIABLE = "RAYDISTILL_API_KEYS"  # alice=sk-4f1d...,bob=sk-77aa...
LEAST_CHARACTERS = 16
EXPECTED = "expected limits and keys, as docs/service.md has them"

Name = Annotated[str, StringConstraints(pattern=r"^[\w.@-]{1,64}$")]


class Limits(Strict):
    """What a key may use: the first three in any 60 s, the others in one request. None: no limit of its own."""

    requests: int | None = Field(None, ge=1)
    tokens: int | None = Field(None, ge=1, description="read and written")
    execution_s: float | None = Field(None, gt=0, description="seconds that programs run")
    n: int | None = Field(None, ge=1)
    max_tokens: int | None = Field(None, ge=1)


class KeyEntry(Limits):
    """A key as the file has it."""

    key: SecretStr | None = Field(None, min_length=LEAST_CHARACTERS)
    sha256: Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.key is None) == (self.sha256 is None):
            raise ValueError("expected key, or sha256 (its digest in hexadecimal)")
        return self


class KeyFile(Strict):
    limits: Limits = Limits()
    keys: dict[Name, KeyEntry]


@dataclass(frozen=True, slots=True)
class Key:
    """Who asks; ``Key("alice", digest_of("sk-4f1d..."), Limits(requests=60))``."""

    name: str
    digest: bytes = field(repr=False)
    limits: Limits = Limits()


def digest_of(key: str) -> bytes:
    return sha256(key.encode("utf-8", "surrogatepass")).digest()


def find_key(keys: Sequence[Key], given: str) -> Key | None:
    """Whose key it is. All digests are compared, so that the time it takes tells nothing."""
    digest, found = digest_of(given), None
    for key in keys:
        if hmac.compare_digest(key.digest, digest):
            found = key
    return found


def keys_of(text: str) -> tuple[Key, ...]:
    """Keys as KEYS_VARIABLE has them. Raises UsageError."""
    entries = [entry.strip().partition("=") for entry in text.split(",") if entry.strip()]
    data = {"keys": {name.strip(): {"key": key.strip()} for name, _, key in entries}}
    if len(data["keys"]) < len(entries):
        raise UsageError(f"{KEYS_VARIABLE}: a name stands there twice")
    return _checked(_validated(data, KEYS_VARIABLE), KEYS_VARIABLE)


def read_keys(path: str) -> tuple[Key, ...]:
    """Keys of a file. Raises UsageError."""
    try:
        data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}; expected a file of API keys") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        raise UsageError(f"{path}: not valid YAML{f' in line {mark.line + 1}' if mark else ''}; {EXPECTED}") from None
    return _checked(_validated(data, path), path)


def _validated(data: Any, where: str) -> KeyFile:
    try:
        return KeyFile.model_validate(data)
    except ValidationError as error:
        told = [f"{_place(one['loc'], data)}: {one['msg'].removeprefix('Value error, ')}" for one in error.errors()]
        raise UsageError(f"{where}: {'; '.join(told[:3])}; {EXPECTED}") from None


def _place(path: Sequence[Any], data: Any) -> str:
    """``keys, entry 2: sha256``, in words of ours: what stands in a wrong place may be a key."""
    known = {*KeyFile.model_fields, *KeyEntry.model_fields}
    parts = [str(part) if part in known else "a field that is unknown" for part in path]
    if path[:1] == ("keys",) and len(path) > 1:
        parts[1] = f"entry {list(data['keys']).index(path[1]) + 1}"
    return ": ".join(parts).replace("keys: entry", "keys, entry") or "file"


def _checked(file: KeyFile, where: str) -> tuple[Key, ...]:
    keys: dict[bytes, Key] = {}
    for name, entry in file.keys.items():
        digest = bytes.fromhex(entry.sha256) if entry.key is None else digest_of(entry.key.get_secret_value())  # type: ignore[arg-type]
        if digest in keys:
            raise UsageError(f"{where}: {name} and {keys[digest].name} have the same key; expected one for each")
        own = entry.model_dump(include=set(Limits.model_fields), exclude_unset=True)
        keys[digest] = Key(name, digest, file.limits.model_copy(update=own))
    if not keys:
        raise UsageError(f"{where}: no key in it; {EXPECTED}")
    return tuple(keys.values())


class Keyring:
    """The keys that count now: those that were given, and those of a file, which is read again when it changes."""

    def __init__(self, path: str | None, given: Sequence[Key] = ()) -> None:
        """Raises UsageError where the file holds no keys, or one of the same name as a given one."""
        self._path, self._given = path, tuple(given)
        self._read: tuple[Key, ...] = ()
        self._seen: tuple[int, ...] = ()
        if path:
            self._seen = self._state()
            self._read = self._load(path)

    def current(self) -> tuple[Key, ...]:
        """All of them. A file that is gone or wrong changes nothing; the log has the reason."""
        if self._path and (state := self._state()) != self._seen:
            self._seen = state
            try:
                self._read = self._load(self._path)
            except UsageError as error:
                logging.getLogger("ray.serve").error("the API keys are those from before: %s", error)
        return self._given + self._read

    def _load(self, path: str) -> tuple[Key, ...]:
        read = read_keys(path)
        if twice := {key.name for key in self._given} & {key.name for key in read}:
            raise UsageError(f"{path}: {min(twice)} is in {KEYS_VARIABLE}, too; expected one key for each name")
        return read

    def _state(self) -> tuple[int, ...]:
        try:
            found = Path(str(self._path)).stat()  # of what a link leads to: secrets of Kubernetes are swapped links
        except OSError:
            return ()
        return found.st_ino, found.st_size, found.st_mtime_ns
