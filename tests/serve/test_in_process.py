"""A student in the process that asks: what it answers is what the service answers."""

from __future__ import annotations

import pytest

import raydistill
from raydistill.actors.errors import UsageError
from tests.serve.conftest import WALL_S


def test_a_student_solves_without_a_service(knowing: str) -> None:
    with raydistill.Student(knowing, kv_cache_gb=0.25) as student:
        solved = student.solve("What is 3 plus 4?", n=3)
        assert (solved.status, solved.answer, solved.votes) == ("passed", "7", {"7": 3}) or solved.votes["7"] >= 2
        assert solved.program and "return 3 + 4" in solved.program
        assert student.solve("Hang.").reason == "timeout" and WALL_S < 5
        with pytest.raises(UsageError, match=r"^solve: n: .*less than or equal to 64"):
            student.solve("What is 3 plus 4?", n=65)
        with pytest.raises(UsageError, match="^solve: model: there is no 'other' here; expected student$"):
            student.solve("What is 3 plus 4?", model="other")


def test_what_is_no_student_is_one_line(tmp_path) -> None:
    with pytest.raises(UsageError, match="expected a run directory"):
        raydistill.Student(str(tmp_path))
