"""Programs out of completions of the kinds that models write."""

import json
import os
from pathlib import Path

import pytest

from raydistill.pipelines.tasks.extract import extract_program, final_reply

PROGRAM = 'def solution():\n    """How many?"""\n    eggs = 16\n    return eggs * 2'
OTHER = "def solution():\n    return 99"


@pytest.mark.parametrize(
    "completion",
    [
        PROGRAM,
        f"```python\n{PROGRAM}\n```",
        f"```py\n{PROGRAM}\n```\nIt returns 32.",
        f"```Python\n{PROGRAM}\n```",
        f"~~~python\n{PROGRAM}\n~~~",
        f"Sure! Here is the program:\n\n```python\n{PROGRAM}\n```\n\nI hope this helps.",
        f"```python\n{PROGRAM}",  # cut off before the closing fence
        f"{PROGRAM}\n```\nThis computes the eggs.",  # the prompt had opened the fence
        f"```\n{PROGRAM}\n```",
        f"```python\r\n{PROGRAM}\r\n```".replace("\n    ", "\r\n    "),
        f"```python\n{OTHER}\n```\nWait, that is wrong.\n```python\n{PROGRAM}\n```",
        f"```python\n{PROGRAM}\n```\n```output\n32\n```",
        f"{PROGRAM}\n```output\n32\n```",
        f"```text\n{OTHER}\n```\n```python\n{PROGRAM}\n```",
        f"<think>Maybe\n```python\n{OTHER}\n```\n</think>\n```python\n{PROGRAM}\n```",
        f"so {OTHER}</think>\n{PROGRAM}",  # the template had opened the reasoning in the prompt
        f"{PROGRAM}<|im_end|>\n<|im_start|>user\nThanks!",
        f"<|im_start|>assistant\n{PROGRAM}</s>",
        f"<|start_header_id|>assistant<|end_header_id|>\n\n{PROGRAM}<|eot_id|>",
        f"{PROGRAM}\n\nQuestion: Next one?\nSolution:\n{OTHER}",
        f"{PROGRAM}\n\n\n# Q: Next one?\n{OTHER}",
        f"Question: How many?\nSolution:\n{PROGRAM}\n\nQuestion: Next?\n```python\n{OTHER}\n```",
        f"Solution:\n{PROGRAM}\nThe answer is 32.",
        f"   {PROGRAM}".replace("\n", "\n   "),
        "1. The program:\n   ```python\n   " + PROGRAM.replace("\n", "\n   ") + "\n   ```",
    ],
)
def test_finds_the_program(completion: str):
    assert extract_program(completion) == PROGRAM


@pytest.mark.parametrize(
    "program",
    [
        "import math\nfrom fractions import Fraction\n\ndef solution():\n    return math.floor(Fraction(7, 2))",
        "def half(x):\n    return x / 2\n\n\ndef solution():\n    return half(3)\n\nprint(solution())",
        'def solution():\n    """A question\nof two lines at the margin."""\n    return 1',
        "def solution():\n    prices = [\n        1,\n    ]\n    return sum(prices)\n\nprint(solution())",
        "def solution(:\n    retur",
        "def solution():\n    total = 3 +",
    ],
)
@pytest.mark.parametrize("prose", ["", "\n\nThis program multiplies the values.\n", "\n- the answer is 5"])
def test_unfenced_program_ends_where_the_prose_begins(program: str, prose: str):
    assert extract_program("Let me solve it.\n\n" + program + prose) == program


def test_a_program_by_another_name_is_for_the_executor_to_judge():
    program = "from sympy import Rational\n\ndef total():\n    return Rational(2, 3)\n\nresult = total()\nprint(result)"
    assert extract_program(f"So:\n{program}\nThis prints it.\n\nQuestion: Next?\n{OTHER}") == program


def test_imports_apart_from_the_program_are_left_out():
    text = f"import duties are high.\nimport os\nThen I write:\n{PROGRAM}"
    assert extract_program(text) == PROGRAM


@pytest.mark.parametrize(
    ("completion", "program"),
    [
        ("```python\nprint(6 * 7)\n```", "print(6 * 7)"),
        ("```\nx = 1\n```\n```python\nx = 2\n```\n```\nx = 3\n```", "x = 2"),
        ("```bash\nls\n```", None),
        ("The answer is 5.", None),
        ("", None),
        ("```python\n```", None),
        ("<think>I would write def solution(): return 1", None),
        ("`def solution()` is what I would define.", None),
        ("def solution", "def solution"),  # cut off
    ],
)
def test_without_solution_a_python_block_counts_and_prose_does_not(completion: str, program: str | None):
    assert extract_program(completion) == program


def test_final_reply_drops_reasoning_and_chat_tokens():
    assert final_reply("<think>a</think>b<|eot_id|>c") == "b"
    assert final_reply("a <think>never closed") == "a "


@pytest.mark.skipif("RAYDISTILL_DATA" not in os.environ, reason="RAYDISTILL_DATA is not set")
@pytest.mark.parametrize("folder", ["pal_programs", "tora_programs"])
@pytest.mark.parametrize(
    "completion",
    [
        "{}",
        "Let me solve it.\n```python\n{}\n```\nIt returns the answer.",
        "Let me solve it.\n{}\nIt returns the answer.",
        "{}\nQuestion: Next?\nSolution:\ndef solution():\n    return 1",
    ],
    ids=["bare", "fenced", "in prose", "continued"],
)
def test_real_programs_survive_extraction(folder: str, completion: str):
    lines = (Path(os.environ["RAYDISTILL_DATA"]) / folder / "part.jsonl").read_text().splitlines()
    programs = [json.loads(line)["code"].strip("\n").rstrip() for line in lines]
    assert [extract_program(completion.format(program)) for program in programs] == programs
