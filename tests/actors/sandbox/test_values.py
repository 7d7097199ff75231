"""Plain values as bytes: what goes in comes out, and nothing else is ever built from what a program sends."""

from __future__ import annotations

import math
import random

import pytest

from raydistill.actors.sandbox import values

PLAIN = [
    *(None, True, False, 0, 1, -1, 255, -256, 10**1000, -(10**1000), 0.0, 1.5, -2.25e300, float("inf")),
    *("", "text", "naïve \U0001f600", b"", b"\x00\xff", [], [1, [2.0, "x", None]], (1, (2,)), {1, 2}),
    *({"a": [1, {"b": (True, None)}]}, frozenset({"x"}), {(1, 2): "tuple key"}),
]


@pytest.mark.parametrize("value", PLAIN, ids=lambda value: repr(value)[:30])
def test_round_trip_keeps_value_and_type(value: object) -> None:
    back = values.decode(values.encode(value))
    assert back == value and type(back) is type(value)


def test_signs_of_zero_and_nan_survive() -> None:
    assert math.copysign(1, values.decode(values.encode(-0.0))) == -1
    assert math.isnan(values.decode(values.encode(float("nan"))))


def test_lone_surrogates_become_text_that_prints() -> None:
    values.decode(values.encode("a\udc80b")).encode("utf-8")


@pytest.mark.parametrize("value", [object(), 1 + 2j, range(3), [object()], type("F", (float,), {})(1.0), iter(())])
def test_anything_else_is_not_plain(value: object) -> None:
    with pytest.raises(values.NotPlain):
        values.encode(value)


def test_limits() -> None:
    with pytest.raises(values.TooLarge):
        values.encode(1 << values.MAX_INTEGER_BITS)
    nested: list = []
    for _ in range(values.MAX_DEPTH + 1):
        nested = [nested]
    with pytest.raises(values.NotPlain):
        values.encode(nested)


def test_malformed_bytes_raise_value_error_and_nothing_else() -> None:
    generator = random.Random(0)
    samples = [values.encode(value) for value in PLAIN]
    for _ in range(3000):
        data = bytearray(generator.choice(samples))
        for _ in range(generator.randint(1, 4)):
            at = generator.randrange(len(data) + 1)
            data[at : at + generator.randint(0, 2)] = generator.randbytes(generator.randint(0, 3))
        try:
            values.decode(bytes(data))
        except ValueError:
            continue


@pytest.mark.parametrize("data", [b"", b"i", b"l\xff\xff\xff\xff", b"l\x01\0\0\0" * 5000, b"nn", b"q\0\0\0\0"])
def test_hostile_shapes(data: bytes) -> None:
    with pytest.raises(ValueError):
        values.decode(data)
