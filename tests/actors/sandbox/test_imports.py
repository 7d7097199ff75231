"""What can be imported inside, what the page says of it, and that a demonstration fails no function."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator

import pytest

from raydistill.actors.executor import Executor, Program
from raydistill.actors.sandbox.profiles import PROFILES, WITHHELD, profile_for, table
from tests import ROOT


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    running = Executor()
    yield running
    running.close()


def importable(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:  # Windows' modules, and Tk where it is not installed
        return False
    return True


def test_all_of_the_standard_library_but_what_is_withheld_can_be_imported(executor: Executor) -> None:
    """Of this system: some modules are there on Windows alone."""
    names = sorted(name for name in sys.stdlib_module_names - WITHHELD.keys() if name[0] != "_" and importable(name))
    verdicts = executor.run([Program(name, f"import {name}\ndef solution():\n    return 5") for name in names])
    assert not [verdict for verdict in verdicts if verdict.value != 5]
    assert len(names) > 190


DATES = {
    "from zoneinfo import ZoneInfo\nfrom datetime import datetime\ndef solution():\n"
    "    return datetime(2024, 1, 1, tzinfo=ZoneInfo('America/New_York')).utcoffset().total_seconds()": -18000.0,
    "import zoneinfo\ndef solution():\n    return len(zoneinfo.available_timezones()) > 400": True,
    "from datetime import datetime\nfrom dateutil.relativedelta import relativedelta\ndef solution():\n"
    "    return (datetime(2014, 1, 1) - relativedelta(days=1)).strftime('%m/%d/%Y')": "12/31/2013",
    "from datetime import datetime\nfrom dateutil import tz\ndef solution():\n"
    "    return datetime(2024, 7, 1, tzinfo=tz.gettz('Europe/Paris')).utcoffset().total_seconds()": 7200.0,
    "import pytz, datetime\ndef solution():\n"
    "    return pytz.timezone('Asia/Tokyo').localize(datetime.datetime(2024, 1, 1)).isoformat()[-6:]": "+09:00",
}


@pytest.mark.parametrize(("source", "value"), DATES.items(), ids=["zoneinfo", "all zones", "dateutil", "tz", "pytz"])
def test_dates_and_zones(executor: Executor, source: str, value: object) -> None:
    name = re.findall("dateutil|pytz|zoneinfo", source)[0]
    pytest.importorskip(name)
    assert executor.run([Program("p", source)])[0].value == value


CODECS = ["rot13", "hex", "unicode_escape", "utf-16-le", "cp1252", "punycode", "idna", "base64", "shift_jis", "koi8-r"]


@pytest.mark.parametrize("count", [1, 2])
def test_codecs_are_loaded(executor: Executor, count: int) -> None:
    for codec in CODECS:
        source = f"import codecs\ndef solution():\n    return codecs.lookup({codec!r}).name"
        if codec not in ("rot13", "hex", "base64"):
            source = f"def solution():\n    return len('abc'.encode({codec!r}))"
        assert {verdict.reason for verdict in executor.run([Program(codec, source)] * count)} == {"ok"}, codec


@pytest.mark.parametrize("library", ["math", "numpy"])
def test_a_codec_that_no_word_tells_of_is_found(executor: Executor, library: str) -> None:
    pytest.importorskip(library)
    source = f"import {library}\ndef solution():\n    return 'é'.encode('cp' + '437')[0]"
    assert [verdict.value for verdict in executor.run([Program("p", source)] * 2)] == [0x82] * 2


@pytest.mark.parametrize(
    ("source", "profile"),
    [
        ("import math", "lean"),
        ("x = 1; import csv", "whole"),
        ("try: import logging\nexcept ImportError: pass", "whole"),
        ("def f():\n    from dataclasses import dataclass", "standard"),
        ("import os.path as p, json", "lean"),
        ("from __future__ import annotations", "lean"),
        ("# this code imports nothing\nimport math", "lean"),
        ("import numpy as np", "rich"),
        ("import sympy, logging", "full"),
        ("'a'.encode('utf-8') + 'b'.encode('UTF-16-LE') + b'c'.decode('iso8859-1').encode()", "lean"),
        ("b'a'.decode('cp1252')", "whole"),
        ("import sympy\n'a'.encode('KOI8-R')", "full"),
        ("import requests", "lean"),
    ],
)
def test_a_program_goes_to_the_smallest_zygote_that_has_what_it_names(source: str, profile: str) -> None:
    assert profile_for(source).name == profile and profile in PROFILES


def test_the_page_lists_what_can_be_imported() -> None:
    """`python -m raydistill.actors.sandbox.profiles` prints the table."""
    assert table() in (ROOT / "docs" / "sandbox.md").read_text(encoding="utf-8")


SOLUTION = "def solution():\n    return 5\n"
DEMOS = [
    "n = int(input('n?'))",
    "import sys\n    sys.exit(print(solution()))",
    "import unittest\n    unittest.main()",
    "import doctest\n    doctest.testmod()",
    "import argparse\n    a = argparse.ArgumentParser()\n    a.add_argument('n')\n    a.parse_args()",
    "while True:\n        try:\n            n = int(input())\n        except Exception:\n            print('again')",
    "import os\n    os._exit(3)",
    "raise KeyError(solution())",
]


@pytest.mark.parametrize("guard", ["if __name__ == '__main__':\n    ", "if True:\n    "], ids=["guard", "bare"])
@pytest.mark.parametrize("demo", DEMOS)
def test_a_demonstration_fails_no_function(executor: Executor, demo: str, guard: str) -> None:
    if guard == "if True:\n    " and ("while True" in demo or "_exit" in demo):
        pytest.skip("without the guard, a program that never comes to its end has none")
    for verdict in executor.run([Program("p", SOLUTION + guard + demo)] * 2):
        assert (verdict.reason, verdict.value) == ("ok", 5)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def solution():\n    return n\nif __name__ == '__main__':\n    n = 5\n", "ok"),
        ("if __name__ == '__main__':\n    def solution():\n        return 5\n", "ok"),
        ("def main():\n    raise SystemExit\nif __name__ == '__main__':\n    main()\n", "exit"),
        ("if __name__ == '__main__':\n    print(5)\n", "no_entry"),
        ("x = 1 / 0\ndef solution():\n    return 5\n", "exception:ZeroDivisionError"),
        ("def solution():\n    return missing\nif __name__ == '__main__':\n    solution()\n", "exception:NameError"),
    ],
)
def test_what_only_the_guard_defines_is_found_there(executor: Executor, source: str, reason: str) -> None:
    assert {verdict.reason for verdict in executor.run([Program("p", source)] * 2)} == {reason}
