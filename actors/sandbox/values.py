"""Plain values as bytes, without pickle, JSON or text parsing.

Threat model: the bytes come from a hostile process. Decoding builds nothing but None, bool, int, float, str,
bytes and containers of these, in time linear in the input, with depth bounded; whatever is not exactly
well-formed raises ValueError. Encoding runs inside the jail, on values whose exact type is plain, so no
method of a program's class runs.

Each value is one tag byte and its content; integers are two's complement, so no decimal text is ever parsed.
"""

import struct
from typing import Any

MAX_INTEGER_BITS = 13_000  # about 3,900 digits, inside Python's own limit of 4,300 for printing
MAX_DEPTH = 20

_LENGTH = struct.Struct("<I")
_DOUBLE = struct.Struct("<d")
_CONTAINERS: dict[type, bytes] = {list: b"l", tuple: b"t", set: b"e", frozenset: b"z", dict: b"d"}
_BUILDERS: dict[bytes, Any] = {b"l": list, b"t": tuple, b"e": set, b"z": frozenset}


class Shown(tuple):
    """A set or dictionary that nobody looks anything up in: its members, and how to write it.

    Members with one hash make building a real one take the square of its size, and the hash is the sender's choice.
    """

    pattern: str

    def __repr__(self) -> str:
        return self.pattern % ", ".join(self._texts())

    def _texts(self) -> list[str]:
        return [repr(item) for item in self]


class ShownSet(Shown):
    pattern = "{%s}"

    def __repr__(self) -> str:
        return super().__repr__() if self else "set()"


class ShownFrozenSet(Shown):
    pattern = "frozenset({%s})"

    def __repr__(self) -> str:
        return super().__repr__() if self else "frozenset()"


class ShownDict(Shown):
    pattern = "{%s}"

    def _texts(self) -> list[str]:
        return [f"{key!r}: {value!r}" for key, value in zip(self[::2], self[1::2], strict=True)]


_SHOWN: dict[bytes, Any] = _BUILDERS | {b"e": ShownSet, b"z": ShownFrozenSet, b"d": ShownDict}


class NotPlain(TypeError):
    """The value, or something inside it, has no plain form."""


class TooLarge(ValueError):
    """An integer beyond MAX_INTEGER_BITS, or text beyond the caller's cap."""


def encode(value: Any, depth: int = 0) -> bytes:
    """Bytes of a plain value; `type() is` decides, so subclasses are not plain."""
    kind = type(value)
    if kind is int:
        if value.bit_length() > MAX_INTEGER_BITS:
            raise TooLarge("integer too large")
        content = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
        return b"i" + _LENGTH.pack(len(content)) + content
    if kind is float:
        return b"f" + _DOUBLE.pack(value)
    if kind is str:
        content = value.encode("utf-8", "surrogatepass")
        return b"s" + _LENGTH.pack(len(content)) + content
    if value is None:
        return b"n"
    if kind is bool:
        return b"T" if value else b"F"
    if kind is bytes:
        return b"y" + _LENGTH.pack(len(value)) + value
    if kind in _CONTAINERS:
        if depth >= MAX_DEPTH:
            raise NotPlain("nested too deeply")
        items = [item for pair in value.items() for item in pair] if kind is dict else value
        return _CONTAINERS[kind] + _LENGTH.pack(len(items)) + b"".join([encode(item, depth + 1) for item in items])
    raise NotPlain(kind.__qualname__)


def decode(data: bytes, *, as_shown: bool = False) -> Any:
    """The value in `data`, all of it; ValueError on anything else. With `as_shown` sets and dictionaries are Shown."""
    try:
        value, end = _decode(data, 0, 0, _SHOWN if as_shown else _BUILDERS)
    except (struct.error, TypeError, IndexError) as error:  # cut short, or an unhashable set member
        raise ValueError(f"malformed value: {error}") from None
    if end != len(data):
        raise ValueError("bytes after the value")
    return value


def _decode(data: bytes, at: int, depth: int, builders: dict[bytes, Any]) -> tuple[Any, int]:
    tag = data[at : at + 1]
    at += 1
    if tag == b"n":
        return None, at
    if tag in (b"T", b"F"):
        return tag == b"T", at
    if tag == b"f":
        return _DOUBLE.unpack_from(data, at)[0], at + _DOUBLE.size
    (length,) = _LENGTH.unpack_from(data, at)
    at += _LENGTH.size
    if tag in (b"i", b"s", b"y"):
        content = data[at : at + length]
        if len(content) != length:
            raise ValueError("content cut short")
        return _scalar(tag, content), at + length
    if depth >= MAX_DEPTH or length > len(data) - at:
        raise ValueError("container too deep or too long")
    items = []
    for _ in range(length):
        item, at = _decode(data, at, depth + 1, builders)
        items.append(item)
    if tag == b"d" and len(items) % 2:
        raise ValueError("a key without its value")
    if tag == b"d" and builders is _BUILDERS:
        return dict(zip(items[::2], items[1::2], strict=True)), at
    if tag not in builders:
        raise ValueError(f"unknown tag {tag!r}")
    return builders[tag](items), at


def _scalar(tag: bytes, content: bytes) -> int | str | bytes:
    if tag == b"y":
        return content
    if tag == b"s":
        return content.decode("utf-8", "replace")
    if len(content) > MAX_INTEGER_BITS // 8 + 1:
        raise ValueError("integer too large")
    return int.from_bytes(content, "little", signed=True)
