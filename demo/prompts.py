"""The texts that the demo models answer to: what a user asks, and the form of the answer.

These strings are a contract. The models were trained on exactly these prompts, so whoever asks them
(synthesis, evaluation, serving) has to send the same user content through the tokenizer's chat template:

    user:      Write a Python function solution() that returns the answer.\\n\\nQuestion: Emma has 3 ...
    assistant: ```python\\ndef solution():\\n    ...\\n```

What every teacher is asked comes from ``pipelines.prompts``, whose contexts add a sentence on the style and earlier
turns. A new skill of the demo models alone adds its instruction here.
"""

from raydistill.pipelines.prompts import ask, fence

PROGRAM_INSTRUCTION = ask("program", "")
RATIONALE_INSTRUCTION = ask("rationale", "")
QUANTITIES_INSTRUCTION = "List the quantities in the question.\n\nQuestion: "

ANSWER_SENTENCE = "Therefore, the answer is {answer}."
"""Last sentence of every rationale; ``answer`` is a plain number without unit."""

QUESTION_SUFFIX = " Give the result as your final answer. Do not include units."
"""What reasoning-gym appends to each ``gsm_symbolic`` question; the prompts leave it out."""

SYSTEM, USER, ASSISTANT = "<|system|>", "<|user|>", "<|assistant|>"
"""Role markers of the chat template, single tokens of the demo tokenizer."""

CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def program_prompt(question: str) -> str:
    """User content that asks for a ``solution()`` program."""
    return PROGRAM_INSTRUCTION + strip_suffix(question)


def rationale_prompt(question: str) -> str:
    """User content that asks for a worked rationale."""
    return RATIONALE_INSTRUCTION + strip_suffix(question)


def quantities_prompt(question: str) -> str:
    """User content that asks for the numbers of a question and what they count."""
    return QUANTITIES_INSTRUCTION + strip_suffix(question)


def strip_suffix(question: str) -> str:
    """The question without reasoning-gym's closing remark on the answer's form."""
    return question.removesuffix(QUESTION_SUFFIX)


def fenced(program: str) -> str:
    """The assistant's form of a program: a fenced Python block."""
    return fence(program)


def unfenced(completion: str) -> str:
    """The program inside a completion's first fenced block; the whole text where there is none."""
    _, opening, rest = completion.partition("```python\n")
    return rest.partition("```")[0] if opening else completion
