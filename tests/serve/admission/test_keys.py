"""API keys: what their file says, how they are told apart, that they stand nowhere else, and when they change."""

from __future__ import annotations

import json
import os
import secrets
import timeit
from collections.abc import Callable
from pathlib import Path

import pytest

from raydistill.actors.errors import UsageError
from raydistill.serve.admission import keys as admission
from raydistill.serve.admission.keys import KEYS_VARIABLE, Keyring, Limits, digest_of, find_key, keys_of, read_keys
from raydistill.serve.admission.rules import is_loopback, rules_of

SECRET, OTHER = "sk-the-first-secret", "sk-the-other-secret"


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        (tmp_path / "keys.yaml").write_text(text)
        return str(tmp_path / "keys.yaml")

    return write


def test_keys_have_names_and_limits(write: Callable[[str], str]) -> None:
    text = f"""
limits: {{requests: 60, n: 4}}
keys:
  alice: {{key: {SECRET}}}
  bob: {{sha256: {digest_of(OTHER).hex()}, requests: 600, tokens: 1000}}
"""
    alice, bob = read_keys(write(text))
    assert (alice.name, alice.limits) == ("alice", Limits(requests=60, n=4))
    assert (bob.name, bob.limits) == ("bob", Limits(requests=600, n=4, tokens=1000))
    assert find_key((alice, bob), SECRET) is alice and find_key((alice, bob), OTHER) is bob
    assert find_key((alice, bob), digest_of(OTHER).hex()) is None and find_key((), "") is None


def test_all_digests_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    monkeypatch.setattr(admission.hmac, "compare_digest", lambda one, other: compared.append(len(one)) or one == other)
    keys = keys_of(",".join(f"k{n}={SECRET}-{n}" for n in range(100)))
    for given in (f"{SECRET}-0", f"{SECRET}-99", "x" * 100_000):
        compared.clear()
        find_key(keys, given)
        assert compared == [32] * 100


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"keys: {{a: {{key: {SECRET}}}, b: {{key: {SECRET}}}}}", "b and a have the same key"),
        (f"keys: {{a: {SECRET}}}", "keys, entry 1: Input should be"),
        (f"keys: {{{SECRET}: alice}}", "keys, entry 1: Input should be"),
        (f"keys: {{a: {{key: {SECRET}, {OTHER}: 5}}}}", "keys, entry 1: a field that is unknown: Extra inputs"),
        (f"keys: {{a: {{key: {SECRET}, sha256: {OTHER}}}}}", "entry 1: sha256: String should match"),
        ("keys: {a: {key: short-secret}}", "entry 1: key: Value should have at least 16"),
        ("keys: {a: {key: 12345678901234567890}}", "entry 1: key: Input should be a valid string"),
        ("keys: {a: {requests: 5}}", "expected key, or sha256"),
        (f"keys: {{a b: {{key: {SECRET}}}}}", "entry 1: a field that is unknown: String should match"),
        ("keys: {}", "no key in it"),
        ("", "file: Input should be"),
        (f"keys:\n  a: {{key: {SECRET}", "not valid YAML in line"),
        (f"keys: [{SECRET}]", "keys: Input should be"),
        (f"{SECRET}", "file: Input should be"),
    ],
)
def test_what_is_wrong_is_told_without_what_stands_there(write: Callable[[str], str], text: str, told: str) -> None:
    with pytest.raises(UsageError) as error:
        read_keys(write(text))
    message = str(error.value)
    assert told in message and "docs/service.md" in message or "same key" in message
    assert not [part for part in (SECRET, OTHER, "short-secret", "1234567") if part in message], message
    assert error.value.__context__ is None or error.value.__suppress_context__


def test_keys_show_in_no_repr(write: Callable[[str], str]) -> None:
    keys = read_keys(write(f"keys: {{alice: {{key: {SECRET}}}}}"))
    shown = repr(keys) + str(keys[0]) + repr(rules_of(None, is_open=False, loopback=True, queue=1, deadline_s=1))
    assert "alice" in shown and SECRET not in shown and digest_of(SECRET).hex() not in shown
    assert repr(digest_of(SECRET))[2:10] not in shown


def test_keys_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEYS_VARIABLE, f" alice={SECRET} , bob={OTHER},")
    rules = rules_of(None, is_open=False, loopback=False, queue=1, deadline_s=1)
    assert [key.name for key in rules.keys] == ["alice", "bob"] and not rules.are_open
    for wrong in (SECRET, f"a={SECRET},a={OTHER}", "a=b"):
        with pytest.raises(UsageError, match=KEYS_VARIABLE) as error:
            keys_of(wrong)
        assert SECRET not in str(error.value)


def test_a_file_that_changes_is_read_again(write: Callable[[str], str], caplog: pytest.LogCaptureFixture) -> None:
    ring = Keyring(write(f"keys: {{alice: {{key: {SECRET}}}}}"), keys_of(f"root={OTHER}"))
    assert [key.name for key in ring.current()] == ["root", "alice"]
    write(f"keys: {{bob: {{key: {SECRET}, requests: 5}}}}")
    assert [key.name for key in ring.current()] == ["root", "bob"]
    for broken in ("keys: {a: {key: " + SECRET, f"keys: {{root: {{key: {SECRET}}}}}"):
        path = write(broken)
        assert [key.name for key in ring.current()] == ["root", "bob"]
        assert "from before" in caplog.text and SECRET not in caplog.text
    os.unlink(path)
    assert [key.name for key in ring.current()] == ["root", "bob"]
    write(f"keys: {{carol: {{key: {SECRET}}}}}")
    assert [key.name for key in ring.current()] == ["root", "carol"]


def test_a_service_is_open_by_its_start_alone() -> None:
    told = {"queue": 1, "deadline_s": 1.0}
    with pytest.raises(UsageError, match="--keys FILE.*--open"):
        rules_of(None, is_open=False, loopback=False, **told)
    assert rules_of(None, is_open=True, loopback=False, **told).are_open
    assert rules_of(None, is_open=False, loopback=True, **told).are_open
    with pytest.raises(UsageError, match="cannot be read"):
        rules_of("/nowhere/keys.yaml", is_open=False, loopback=True, **told)
    local = {"127.0.0.1": True, "127.9.9.9": True, "::1": True, "localhost": True, "0.0.0.0": False, "::": False}
    assert {host: is_loopback(host) for host in [*local, "10.0.0.1", "host.example"]} == local | {
        "10.0.0.1": False,
        "host.example": False,
    }


def test_a_hundred_keys_take_microseconds() -> None:
    keys = keys_of(",".join(f"k{n}={secrets.token_urlsafe(24)}" for n in range(100)))
    took = min(timeit.repeat(lambda: find_key(keys, json.dumps("x" * 40)), number=100, repeat=5)) / 100
    assert took < 1e-3
