"""The program comes out of whatever a model wraps it in, whole; what was cut off before its end does not."""
# ruff: noqa: E501 (completions, one a line)

from __future__ import annotations

import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raydistill.pipelines.tasks.extract import extract_program, finished_reply

SOLUTION = "def solution():\n    return 1"
CASES = {
    "fence in a docstring": (
        '```python\ndef solution():\n    """\n    ```\n    solution()\n    ```\n    """\n    return 1\n```',
        'def solution():\n    """\n    ```\n    solution()\n    ```\n    """\n    return 1',
    ),
    "numbered heading": (f"{SOLUTION}\n\n### Problem 2:\ndef solution():\n    return 2\n", SOLUTION),
    "quoted": ("> ```python\n> def solution():\n>     return 1\n> ```", SOLUTION),
    "quoted without a fence": ("As you wrote:\n> def solution():\n>     return 1\n", SOLUTION),
    "question in a string": (
        'def solution():\n    s = """\nQuestion: how many?\n"""\n    return 5\n',
        'def solution():\n    s = """\nQuestion: how many?\n"""\n    return 5',
    ),
    "think in a string": (
        '```python\ndef solution():\n    s = "<think>"\n    return len(s)\n```',
        'def solution():\n    s = "<think>"\n    return len(s)',
    ),
    "fence on the last line": (f"```python\n{SOLUTION}```", SOLUTION),
    "fence behind a comment": (f"```python\n{SOLUTION}  # one```", f"{SOLUTION}  # one"),
    "decorator": ("@cache\ndef solution():\n    return 5\n", "@cache\ndef solution():\n    return 5"),
    "constants": (
        "PRICE = 5\nQTY = 3\n\ndef solution():\n    return PRICE*QTY\n",
        "PRICE = 5\nQTY = 3\n\ndef solution():\n    return PRICE*QTY",
    ),
    "no constant but prose": (f"Total = 16 * 2 = 32.\n{SOLUTION}\n", SOLUTION),
    "no constant but a formula": (f"cost = price * number\n\n{SOLUTION}\n", SOLUTION),
    "one line": ("```python def solution(): return 0 ```", "def solution(): return 0"),
    "one line without a tag": ("```def solution(): return 0```", "def solution(): return 0"),
    "code on the line of the fence": ("```python def solution():\n    return 0\n```", "def solution():\n    return 0"),
    "fence behind words": (f"The program: ```python\n{SOLUTION}\n```", SOLUTION),
    "attributes": (f'```python title="a.py"\n{SOLUTION}\n```', SOLUTION),
    "braces": (f"```{{.python}}\n{SOLUTION}\n```", SOLUTION),
    "reasoning in a line": (
        "<thinking>```python def solution(): return 0 ```</thinking> The program: def solution(): return 1",
        "def solution(): return 1",
    ),
    "helper in an earlier block": (
        "```python\ndef half(x):\n    return x / 2\n```\nThen\n```python\ndef solution():\n    return half(4)\n```",
        "def half(x):\n    return x / 2\ndef solution():\n    return half(4)",
    ),
    "helper of a helper, constant, import": (
        "```python\nimport math\nRATE = 3\n```\n```python\n@f\ndef a(x):\n    return math.floor(x) * RATE\n"
        "print(a(1))\nf = 1\n```\n```python\ndef solution():\n    return a(4)\n```",
        "import math\nRATE = 3\n@f\ndef a(x):\n    return math.floor(x) * RATE\nf = 1\ndef solution():\n    return a(4)",
    ),
    "helper in a later block": (
        "```python\ndef solution():\n    return half(4)\n```\nwhere\n```python\ndef half(x):\n    return x / 2\n```",
        "def half(x):\n    return x / 2\ndef solution():\n    return half(4)",
    ),
    "a draft is no helper": (
        f"```python\ndef solution():\n    total = 3\n    return total\n```\nBetter:\n```python\n{SOLUTION}\n```",
        SOLUTION,
    ),
    "a draft cut off in its docstring": (
        '```python\ndef solution():\n    """How many\n```\nWait.\n```python\ndef solution():\n    """How many?"""\n    return 1\n```',
        'def solution():\n    """How many?"""\n    return 1',
    ),
    "comment that is no next task": (
        f"```python\nRATE = 2\n# Question: how many?\n{SOLUTION}\n```",
        f"RATE = 2\n# Question: how many?\n{SOLUTION}",
    ),
    "longer fences around": (f"````markdown\n```python\n{SOLUTION}\n```\n````\nIt returns 1.", SOLUTION),
    "prose behind the fence": (f"```python\n{SOLUTION}\n``` This returns 1, doesn't it?", SOLUTION),
    "end of turn in a string": (
        "def solution():\n    return len('</s>')</s>", "def solution():\n    return len('</s>')"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_program_is_whole(name: str) -> None:
    completion, program = CASES[name]
    assert extract_program(completion) == program


LINES = st.sampled_from(
    [
        "x = 3", "text = 'it is'", 'text = "Question: 2?"', "y = '<think>' + \"</think>\"", "z = '</s><|im_end|>'",
        "# a comment, isn't it", "for i in range(3):\n    x = i", "if x > 2:\n    x -= 1", "items = [\n    1,\n    2,\n]",
        "note = '''\nQuestion: 2?\n```\nHuman: x\n'''", 'note = """\n```python\nhelper(1)\n```\n</think>"""',
        "print('```')", "", "assert x", "label = 'a \\' b'", "table = {'a': 1}", "text = f\"{x} <|user|> 'quoted'\"",
        "r = r'\\d'", "x += 1  # Q: why?",
    ]
)  # fmt: skip
HELPERS = st.sampled_from(
    ["", "import math\n\n", "RATE = 3\n\n\n", "def half(x):\n    return x / 2\n\n\n", "@staticmethod\ndef f():\n    pass\n\n",
     "from math import (floor)\n\nA, B = 1, 2\n\n", "class Box:\n    '''A ``` box'''\n    size = 2\n\n\n"]
)  # fmt: skip
ENDS = st.sampled_from(
    ["", "\n\nprint(solution())", "\nprint('</think>', solution())", "\n\nif __name__ == '__main__':\n    solution()"]
)


@st.composite
def programs(draw: st.DrawFn) -> str:
    body = "\n".join(draw(st.lists(LINES, min_size=1, max_size=5)))
    body = textwrap.indent(f"x = 1\n{body}\nreturn x", "    ").strip("\n")
    return f"{draw(HELPERS)}def solution():\n{body}{draw(ENDS)}"


WRAPPINGS = st.sampled_from(
    [
        "{}", "{}\n", "```python\n{}\n```", "```python\n{}\n```\n", "```\n{}\n```", "~~~py\n{}\n~~~", "```python\n{}```",
        "````python\n{}\n````", "Here it is, isn't it:\n\n```python\n{}\n```\n\nIt returns x. Let's see.", "{}<|im_end|>",
        "{}</s>", "Let's go.\n{}\n\nThis is 'it'.", "```python\n{}\n```<|eot_id|>", "{}\n```\nThe end.",
        "```python\n{}\n```\n\n**Question 2**\nx\n```python\ndef solution():\n    return 99\n```",
        "{}\n\nHuman: another\ndef solution():\n    return 99", "{}\n### Problem 2:\ndef solution():\n    return 99",
        "<think>It's like\n```python\ndef solution():\n    return 99\n```\n</think>\n{}",
        "<|channel|>analysis<|message|>So def solution():<|end|><|start|>assistant<|channel|>final<|message|>{}<|return|>",
        "[THINK]def solution():\n    return 99[/THINK]```python\n{}\n```", "```text\nIt isn't so\n```\n```python\n{}\n```",
        "```python\n{}\n```\n```output\n3\n```", "The user's code:\n```python\n{}\n```\nUser: thanks",
    ]
)  # fmt: skip


@given(programs(), WRAPPINGS)
@settings(max_examples=300, deadline=None)
def test_any_wrapping_gives_the_program(program: str, wrapping: str) -> None:
    assert extract_program(wrapping.replace("{}", program)) == program


@given(programs(), st.integers(0, 3))
@settings(max_examples=300, deadline=None)
def test_indented_and_quoted_programs_too(program: str, form: int) -> None:
    if any(quotes in program for quotes in ("'''", '"""')):
        return  # whose lines would change
    indented = textwrap.indent(f"```python\n{program}\n```", "   ")
    quoted = "".join(f"> {line}".rstrip() + "\n" for line in f"```python\n{program}\n```".split("\n"))
    bare = textwrap.indent(program, "  ")
    written = [f"1. So:\n{indented}\n", quoted, bare, f"Said:\n{quoted}\nThe end."][form]
    assert extract_program(written) == program


@given(programs(), WRAPPINGS, st.data())
@settings(max_examples=300, deadline=None)
def test_a_prefix_gives_the_whole_program_or_none(program: str, wrapping: str, data: st.DataObject) -> None:
    whole = wrapping.replace("{}", program)
    cut = whole[: data.draw(st.integers(0, len(whole)))]
    finished = finished_reply(cut, program=True)
    read = None if finished is None else extract_program(finished)
    assert read in (None, program) or "return 99" in read and "\ndef solution():\n    return 99\n```" in cut


@pytest.mark.parametrize(
    ("completion", "finished"),
    [
        (f"```python\n{SOLUTION}\n```", True),
        (f"```python\n{SOLUTION}\n```\nThis retur", True),
        (f"```python\n{SOLUTION}\n", False),
        (f"```python\n{SOLUTION}\n```\nBetter:\n```python\ndef solution():\n    retu", False),
        (f"{SOLUTION}\n", False),
        (f"{SOLUTION}\nThis is", False),
        (f"{SOLUTION}\n\nQuestion: and", True),
        (f"{SOLUTION}<|im_end|>\n<|im_start|>us", True),
        (f"<think>\n```python\n{SOLUTION}\n```\nHm", False),
        (f"<think>x</think>```python\n{SOLUTION}\n```\nHm", True),
    ],
)
def test_a_program_that_was_closed_before_the_cut_is_read(completion: str, finished: bool) -> None:
    reply = finished_reply(completion, program=True)
    assert (reply is not None) == finished
    if reply is not None:
        assert extract_program(reply) == SOLUTION


@pytest.mark.parametrize(
    ("completion", "reply"),
    [
        ("Twice 3 is 6.\nThe answer is 6", None),
        ("Twice 3 is 6.\n#### 6\n", None),
        ("#### 6\n\nQuestion: wh", "#### 6\n"),
        ("The answer is 6.<|eot_id|>", "The answer is 6."),
        ("<think>The answer is 6.", None),
        ("<answer>6</answer> since", "<answer>6</answer>"),
        ("", None),
    ],
)
def test_an_answer_in_words_that_was_closed_before_the_cut_is_read(completion: str, reply: str | None) -> None:
    assert finished_reply(completion, program=False) == reply
