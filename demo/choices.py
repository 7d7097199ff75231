"""Choice questions with rationales: who is who in a family, with lettered options in CommonsenseQA's row format.

    row(index)  {"question": {"stem": "Charles is married to ...", "choices": [{"label": "A", "text": "son"}, ...]},
                 "answerKey": "B"}

Stories and questions are those of reasoning-gym's ``family_relationships``; it has no options, so the other words
for relations serve as wrong ones. Its questions about in-laws are left out: they are labelled the wrong way round
(reasoning-gym 0.1.25 calls a woman her mother-in-law's mother-in-law). The text of a question is what
`pipelines.tasks.families.table` makes of such a row, so a JSONL file of rows is a task for the pipelines.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

from raydistill.demo.prompts import ANSWER_SENTENCE, rationale_prompt
from raydistill.demo.skill import Example
from raydistill.pipelines.tasks.answers import compare, parse_answer

TRAIN_START = 2**40  # rows from here on are for training: far from any index that a data set is made with
TRAIN_BITS = 40
OPTIONS = 5  # as in CommonsenseQA

COUPLE = re.compile(r"(\w+) is married to (\w+)\.(?: They have (?:a child|children) called ([\w, ]+)\.)?")
ASKED = re.compile(r"(?:What is|How is|What relation is) (\w+) (?:related )?to (\w+)\?")

RELATIONS = {
    "parent": ("father", "mother"),
    "child": ("son", "daughter"),
    "spouse": ("husband", "wife"),
    "sibling": ("brother", "sister"),
    "grandparent": ("grandfather", "grandmother"),
}
"""What a person is to another, and the words for a man and for a woman."""

DISTRACTORS = ("uncle", "aunt", "nephew", "niece")


@dataclass(frozen=True)
class Kinship:
    """Who `first` is to `second`: Charles, a parent of Finn, who is a parent of River, is her grandparent."""

    first: str
    second: str
    kind: str  # one of RELATIONS
    parents: dict[str, tuple[str, ...]]  # of all who must be looked up to know it; () where the story names none
    is_man: bool

    @property
    def relation(self) -> str:
        return RELATIONS[self.kind][not self.is_man]

    @property
    def gender(self) -> str:
        return "man" if self.is_man else "woman"

    @property
    def gendered(self) -> str:
        return f"{'male' if self.is_man else 'female'} {self.kind}"


def choice_rationale(rng: Random) -> Example:
    """A choice question and a rationale in one of ``WORDINGS``; the `key` is the letter, e.g. "B"."""
    asked = row(TRAIN_START + rng.getrandbits(TRAIN_BITS))
    completion = render(asked, rng.choice(list(WORDINGS)), rng)
    return Example(rationale_prompt(text(asked)), completion, key=asked["answerKey"])


def row(index: int) -> dict[str, Any]:
    """The choice question made of the first of reasoning-gym's questions from `index` on that is not about in-laws."""
    item = _dataset()[index]
    while item["answer"].endswith("-in-law"):
        index += 1
        item = _dataset()[index]
    rng = Random(index)
    words = [word for pair in RELATIONS.values() for word in pair] + list(DISTRACTORS)
    options = [item["answer"], *rng.sample([word for word in words if word != item["answer"]], OPTIONS - 1)]
    rng.shuffle(options)
    choices = [{"label": letter, "text": word} for letter, word in zip("ABCDE", options, strict=True)]
    stem = item["question"][: item["question"].index("?") + 1].replace("\n\n", " ")
    return {"question": {"stem": stem, "choices": choices}, "answerKey": "ABCDE"[options.index(item["answer"])]}


def text(asked: dict[str, Any]) -> str:
    """The question with its options, a line each, as `pipelines.tasks.families.table` writes it."""
    listed = [f"({choice['label']}) {choice['text']}" for choice in asked["question"]["choices"]]
    return "\n".join([asked["question"]["stem"], "Options:", *listed])


def render(asked: dict[str, Any], wording: str, rng: Random) -> str:
    """The rationale of a row in one of ``WORDINGS``, and the answer sentence.

    A small model can neither see two steps ahead nor find the letter in front of a word. So the parents of both
    people are looked up first, in random order, and the options are read from (A) on until one is right.
    """
    kinship = understood(asked["question"]["stem"])
    letter = asked["answerKey"]
    both, others = list(kinship.parents)[:2], list(kinship.parents)[2:]
    known = {person: kinship.parents[person] for person in [*rng.sample(both, 2), *others]}
    seen = [(choice["label"], choice["text"]) for choice in asked["question"]["choices"] if choice["label"] <= letter]
    body = WORDINGS[wording](kinship, known, seen)
    return "\n".join([body, ANSWER_SENTENCE.format(answer=f"({letter})")])


def understood(stem: str) -> Kinship:
    """The kinship that a question asks for, from its story and the genders of the names."""
    couples: list[tuple[str, str]] = []
    parents: dict[str, tuple[str, str]] = {}
    for man, woman, children in COUPLE.findall(stem):
        couples.append((man, woman))
        parents |= {child: (man, woman) for child in re.findall(r"(?!and\b)\w+", children)}
    [(first, second)] = ASKED.findall(stem)
    kind, between = _related(first, second, couples, parents)
    looked_up = {person: parents.get(person, ()) for person in (first, second, *between)}
    return Kinship(first, second, kind, looked_up, first in _dataset().config.male_names)


def choice_check(examples: Sequence[Example], completions: Sequence[str]) -> list[bool]:
    """Whether each rationale states the letter of the example's right option (its `key`)."""
    return [
        compare(parse_answer(said, "choice") or "", example.key, "choice")
        for example, said in zip(examples, completions, strict=True)
    ]


def _related(
    first: str, second: str, couples: list[tuple[str, str]], parents: dict[str, tuple[str, str]]
) -> tuple[str, tuple[str, ...]]:
    """What `first` is to `second`, and the person between a grandparent and a grandchild."""
    above_first, above_second = parents.get(first, ()), parents.get(second, ())
    if first in above_second:
        return "parent", ()
    if second in above_first:
        return "child", ()
    if (first, second) in couples or (second, first) in couples:
        return "spouse", ()
    if above_first and above_first == above_second:
        return "sibling", ()
    [between] = [parent for parent in above_second if first in parents.get(parent, ())]
    return "grandparent", (between,)


@cache
def _dataset() -> Any:
    import reasoning_gym

    return reasoning_gym.create_dataset("family_relationships", seed=0, size=2 ** (TRAIN_BITS + 1))


Seen = list[tuple[str, str]]
Wording = Callable[[Kinship, dict[str, tuple[str, ...]], Seen], str]


def _parents(kinship: Kinship, known: dict[str, tuple[str, ...]], form: str, none: str) -> list[str]:
    """A clause for each person looked up, and one for the marriage if it is what was asked for."""
    told = [
        form.format(person, " and ".join(parents)) if parents else none.format(person)
        for person, parents in known.items()
    ]
    return [*told, f"{kinship.first} is married to {kinship.second}"] if kinship.kind == "spouse" else told


def _from_facts(kinship: Kinship, known: dict[str, tuple[str, ...]], seen: Seen) -> str:
    facts = "\n".join(f"{fact}." for fact in _parents(kinship, known, "{} is a child of {}", "{} has no known parents"))
    options = ", ".join(f"({letter}) {word}" for letter, word in seen)
    return (
        f"{facts}\nSo {kinship.first} is a {kinship.kind} of {kinship.second}.\n"
        f"A {kinship.gendered} is a {kinship.relation}: {options}."
    )


def _from_gender(kinship: Kinship, known: dict[str, tuple[str, ...]], seen: Seen) -> str:
    facts = ", ".join(_parents(kinship, known, "{} comes from {}", "{} comes from nobody we know"))
    options = " ".join(f"Is it ({letter})? {word}." for letter, word in seen)
    return (
        f"{kinship.first} is a {kinship.gender}. We read that {facts}. Then {'he' if kinship.is_man else 'she'} is a "
        f"{kinship.kind}, and the word for it is {kinship.relation}. {options}"
    )


def _numbered(kinship: Kinship, known: dict[str, tuple[str, ...]], seen: Seen) -> str:
    facts = _parents(kinship, known, "the parents of {} are {}", "the parents of {} are not named")
    steps = [*facts, f"the {kinship.gender} {kinship.first} is the {kinship.relation}"]
    steps.append(", ".join(f"{letter} is {word}" for letter, word in seen))
    return "\n".join(f"Step {i}: {step}." for i, step in enumerate(steps, 1))


def _from_question(kinship: Kinship, known: dict[str, tuple[str, ...]], seen: Seen) -> str:
    facts = ", that ".join(_parents(kinship, known, "{} was born to {}", "{} was born to people it leaves out"))
    options = ", then ".join(f"({letter}) which says {word}" for letter, word in seen)
    return (
        f"The question is who {kinship.first} is to {kinship.second}. The story says that {facts}. "
        f"This makes {kinship.first} a {kinship.kind}; as a {kinship.gender}, the {kinship.relation}. "
        f"There is {options}."
    )


def _by_elimination(kinship: Kinship, known: dict[str, tuple[str, ...]], seen: Seen) -> str:
    facts = "; ".join(_parents(kinship, known, "{} has the parents {}", "{} has parents unknown"))
    *others, (last, _) = seen
    verdicts = "".join(f"({letter}) {word} no, " for letter, word in others)
    return f"From the story: {facts}. We look for a {kinship.gendered}: {verdicts}({last}) {kinship.relation} yes."


WORDINGS: dict[str, Wording] = {
    "facts": _from_facts,
    "gender": _from_gender,
    "numbered": _numbered,
    "question": _from_question,
    "elimination": _by_elimination,
}
"""How a rationale tells the parents looked up (person -> parents) and the options read up to the right one."""
