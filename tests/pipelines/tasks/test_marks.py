"""Each family's marks of reasoning and turns, and the words that begin a made-up next task."""

from __future__ import annotations

import re

import pytest

from raydistill.pipelines.tasks.answers import parse_answer
from raydistill.pipelines.tasks.extract import extract_program, final_reply, until_next_question
from raydistill.pipelines.tasks.marks import REASONING, TASK_WORDS

REASONED = [  # %s is the reasoning; the reply follows
    "<think>%s</think>\n\n",
    "<think:a1f>%s</think:a1f>",
    "<seed:think>%s</seed:think>",
    "<mm:think>\n%s</mm:think>",
    "<thinking>%s</thinking>\n",
    "<antThinking>%s</antThinking>\n",
    "<Thought>\n%s\n</Thought>\n\n",
    "<thoughts>%s</thoughts>",
    "<reasoning>%s</reasoning>\n",
    "<reflection>%s</reflection>",
    "<scratchpad>\n%s\n</scratchpad>",
    "<longcat_think>%s</longcat_think>",
    '<details type="reasoning" done="true" duration="3">\n<summary>Thought for 3 seconds</summary>\n%s\n</details>\n',
    "&lt;think&gt;%s&lt;/think&gt;",
    "[THINK]%s[/THINK]",
    "<|begin_of_thought|>\n%s<|end_of_thought|>\n\n<|begin_of_solution|>\n",
    "<|START_THINKING|>%s<|END_THINKING|><|START_RESPONSE|>",
    "<|inner_prefix|>%s<|inner_suffix|>",
    "◁think▷%s◁/think▷",
    "<|open|>think<|sep|>%s<|close|>think<|sep|><|open|>response<|sep|>",
    "<|think|>%s<|end|><|begin|>assistant<|content|>",
    "<|channel>thought\n%s<channel|>",
    "<unused94>thought\n%s<unused95>",
    "<|channel|>analysis<|message|>%s<|end|><|start|>assistant<|channel|>final<|message|>",
    "<|start|>assistant<|channel|>analysis<|message|>%s<|end|>"
    "<|start|>assistant<|channel|>commentary to=functions.python <|constrain|>json<|message|>{}<|call|>"
    "<|start|>assistant<|channel|>final <|constrain|>json<|message|>",
    "analysisWe add. %sassistantfinal",
    "to=self<|message|>%s<|eom|>to=user<|message|>",
    "Here is my thought process:\n%s\n\nHere is my response:\n",
    "Thinking...\n%s\n...done thinking.\n\n",
]
DRAFT = "Perhaps the answer is 20.\n```python\ndef solution():\n    return 20\n```\n"
ENDS = [
    "",
    "<|im_end|>",
    "<|return|>",
    "<｜end▁of▁sentence｜>",
    "<turn|>",
    "<|END_RESPONSE|>",
    "<|end_of_solution|>",
    "</s>",
]


@pytest.mark.parametrize("form", REASONED)
def test_a_reply_is_what_comes_after_reasoning(form: str) -> None:
    for end in ENDS:
        assert final_reply(form % DRAFT + "The total is 18." + end).strip() == "The total is 18."
        assert parse_answer(form % DRAFT + "The total is 18." + end, "numeric") == "18"
    program = "def solution():\n    return 18"
    assert extract_program(form % DRAFT + program) == program
    assert extract_program(f"{form % DRAFT}So:\n```python\n{program}\n```\n") == program


@pytest.mark.parametrize("form", REASONED)
def test_reasoning_that_never_ends_says_nothing(form: str) -> None:
    begun = form.partition("%s")[0] + DRAFT
    assert final_reply(begun).strip() == "" and extract_program(begun) is None


def test_every_family_is_tried() -> None:
    for row in REASONING:
        assert any(re.search(row.begin, form % "The", re.IGNORECASE) for form in REASONED), row.family


@pytest.mark.parametrize("row", [row for row in REASONING if row.alone], ids=lambda row: row.family)
def test_where_the_prompt_has_begun_the_reasoning_its_end_counts(row) -> None:
    ends = [re.search(row.end, form, re.IGNORECASE) for form in REASONED]
    end = next(found[0] for found in ends if found)
    assert final_reply(f"The answer is 20.{end}The total is 18.") == "The total is 18."


@pytest.mark.parametrize("mark", ["<think>", "</think>", "[THINK]", "<|end|>", "</s>", "<|im_start|>user", "◁think▷"])
@pytest.mark.parametrize("quote", ['"', "'", '"""', "'''"])
def test_marks_in_strings_of_a_program_are_no_marks(mark: str, quote: str) -> None:
    program = f"def solution():\n    text = {quote}a {mark} b{quote}\n    return len(text)"
    for completion in (program, f"```python\n{program}\n```", f"<think>{DRAFT}</think>\n{program}\n\nQuestion: x"):
        assert extract_program(completion) == program


NEXT = [
    "Question:", "Q:", "Question 2:", "**Question 2**", "**Question 2:**", "**Question:**", "## Question 3", "Q2.",
    "Problem:", "Problem 2:", "### Problem 2:", "**Problem 4.**", "[Question 5]", "Question #2:",
    "Exercise 2:", "Next question:", "New problem:", "Another example:", "Example 3:", "**Example 2**", "Task 2:",
    "Human:", "User:", "USER:", "**User:**", "### Instruction:", "### Instruction", "### Human:", "### User\n",
    "Instruction:", "Input:", "<|user|>", "<|im_start|>user", "<|start_header_id|>user<|end_header_id|>", "[INST]",
    "<s>[INST]", "<start_of_turn>user", "<|turn>user", "<|start|>user<|message|>", "<｜User｜>", "[|user|]", "\nuser",
    "问题：", "问题2：", "問題:", "用户：", "第2题", "例题 3：", "質問：", "질문:", "Pregunta:", "Frage 2:", "Aufgabe:",
    "Problème 2 :", "Domanda:", "Вопрос:", "Задача 2.", "Pytanie:", "Soru:", "Câu hỏi:", "प्रश्न:", "السؤال:", "คำถาม:",
]  # fmt: skip


@pytest.mark.parametrize("mark", NEXT)
@pytest.mark.parametrize("blank", ["\n", "\n\n"])
def test_a_made_up_next_task_is_not_read(mark: str, blank: str) -> None:
    if mark not in ("### Instruction", "\nuser"):
        assert parse_answer(f"So.\n#### 18{blank}{mark} x\n#### 5", "numeric").strip() == "18"
    assert parse_answer(f"So.\n#### 18{blank}{mark}\nx\n#### 5", "numeric").strip() == "18"
    program = "def solution():\n    return 18"
    assert extract_program(f"{program}{blank}{mark}\nx?\ndef solution():\n    return 5\n") == program
    fenced = f"```python\n{program}\n```{blank}{mark}\nx?\n```python\ndef solution():\n    return 5\n```"
    assert extract_program(fenced) == program


@pytest.mark.parametrize("row", TASK_WORDS, ids=lambda row: row.language)
def test_each_language_has_its_words(row) -> None:
    for words, stated in ((row.certain, ""), (row.also, "\\boxed{18}")):
        for word in re.findall(r"[^|()\[\]?]+", words if "(" not in words else ""):
            for mark in (f"{word}:", f"{word} 2:", f"**{word} 2**"):
                assert until_next_question(f"It is 18. {stated}\n\n{mark} x") == f"It is 18. {stated}\n", mark


@pytest.mark.parametrize(
    "text",
    [
        "Example 1: 3 + 4 = 7\nExample 2: 4 + 5 = 9\nThe answer is 9.",  # worked through, no answer stated before
        "Let us restate the\nquestion we have.\nThe answer is 9.",
        "The problem is easy.\nProblems like this take time.\nThe answer is 9.",
        "Question: How many?\nThe answer is 9.",  # its own, at the beginning
        "The user pays 9.\nUsers pay more.\nThe answer is 9.",
        "Task forces\nThe answer is 9.",
    ],
)
def test_words_within_an_answer_begin_no_task(text: str) -> None:
    assert until_next_question(text) == text and parse_answer(text, "numeric") == "9"
