"""What is asked and read changes no more than its version: stored completions and verdicts are found by it.

python -m tests.pipelines.recipes.test_versions   writes tests/data/prompters.json anew
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from raydistill.pipelines.data.records import Question, content_hash
from raydistill.pipelines.recipes.llm2llm.config import LLM2LLM
from raydistill.pipelines.recipes.llm2llm.recipe import IterativeEnhancement
from raydistill.pipelines.recipes.llm2llm.writing import writer
from raydistill.pipelines.recipes.mcc_kd.config import MccKD
from raydistill.pipelines.recipes.mcc_kd.recipe import MultiCotConsistentDistillation
from raydistill.pipelines.recipes.pad.config import PaD, Refine
from raydistill.pipelines.recipes.pad.recipe import ProgramAidedDistillation
from raydistill.pipelines.recipes.pad.repair import REPAIR, fault_prompter
from raydistill.pipelines.recipes.rebase.asking import reanswerer, rewriter
from raydistill.pipelines.recipes.rebase.config import ReBase
from raydistill.pipelines.recipes.rebase.recipe import RetrievalBasedDistillation
from raydistill.pipelines.recipes.tripost.critics import as_it_stands
from raydistill.pipelines.recipes.tripost.updating import GO_ON, STUDENT
from raydistill.pipelines.sampling.prompter import Prompter
from tests import ROOT

KNOWN = ROOT / "tests" / "data" / "prompters.json"
TARGET = {
    "instruction": "Add the apples.",
    "examples": [
        {"input": f"{a} and {a}?", "reasoning": f"{a} + {a} = {2 * a}.", "output": str(2 * a)} for a in (2, 3)
    ],
}
QUESTIONS = (
    Question("a", "How many legs have 3 cats?", "12"),
    Question("b", "Which?\nOptions:\n(A) the sea\n(B) the desert", "(B)"),
    Question("c", "(3 + 4) * 2 =", "14").noting(
        program="def solution():\n    return 7",
        feedback="NameError: x",
        question="(3 + 4) =",
        attempt="Step 1: 3 + 4 = 8",
    ),
)
TEXTS = (
    "```python\ndef solution():\n    return 12\n```",
    "def solution():\n    return 12\n",
    "<think>Let me see.</think>A cat has 4 legs.\nTherefore, the answer is 12.\n\nQuestion: And now?\nThe answer is 3.",
    'Step 1: 3 + 4 = 8\nStep 2: Therefore, the answer is 8.\nFeedback: Step 1 is wrong: "3 + 4 = 8".',
    '{"input": "1 and 1?", "reasoning": "1 + 1 = 2.", "output": "2"}',
    "",
)


def prompters() -> Iterator[Prompter]:
    """All prompters of all recipes, in each way in which they ask."""
    for target in ("program", "rationale"):
        for prompt in ("instruct", "few_shot"):
            yield ProgramAidedDistillation(PaD(target=target, prompt=prompt)).teacher  # type: ignore[arg-type]
    yield ProgramAidedDistillation(PaD(contexts=("helper", "straight"))).teacher
    for settings in ({}, {"target": "rationale"}, {"target": "answer", "source": "gold"}):
        yield ProgramAidedDistillation(PaD(**settings)).student  # type: ignore[arg-type]
    yield from (REPAIR, fault_prompter(Refine(faults_per_program=5)), STUDENT, GO_ON, as_it_stands("feedback"))
    for kd in (MccKD(), MccKD(prompt="few_shot")):
        yield MultiCotConsistentDistillation(kd).teacher
    yield MultiCotConsistentDistillation(MccKD()).student
    for prompt in ("instruct", "few_shot"):
        yield from (IterativeEnhancement(LLM2LLM(prompt=prompt)).teacher, IterativeEnhancement(LLM2LLM()).student)
    yield writer(LLM2LLM())
    for changed in ({}, {"retrieval": "none"}, {"check": "programs"}, {"shots": 1}, {"reasoning": False}):
        config = ReBase.model_validate({"target": TARGET, "datastore": "rows", **changed})
        yield from (rewriter(config), reanswerer(config), RetrievalBasedDistillation(config).student)


def digests(prompter: Prompter) -> dict[str, str]:
    """What is asked, by the prompts' version; what is read, by the reader's and the formats."""
    asked = [[p.context, [*p.messages], p.format, p.prefix] for q in QUESTIONS for p in prompter.prompts(q)]
    read = [prompter.read(text, form) for text in TEXTS for form in prompter.formats]
    reader = f"{prompter.reader} of {prompter.version.partition('/')[0]} as {', '.join(prompter.formats)}"
    return {f"asked {prompter.version}": content_hash(asked), f"read {reader}": content_hash(read)}


def test_each_version_asks_and_reads_one_thing() -> None:
    found: dict[str, set[str]] = {}
    for prompter in prompters():
        for version, digest in digests(prompter).items():
            found.setdefault(version, set()).add(digest)
    several = {version for version, known in found.items() if len(known) > 1}
    assert not several, "one version, several prompts or readings"
    known = json.loads(KNOWN.read_text())
    changed = sorted(version for version in found if known.get(version) not in found[version])
    assert not changed, (
        "these prompts or readings are others than under the same version: raise it, since stored completions or "
        "verdicts are found by it; then write them anew: python -m tests.pipelines.recipes.test_versions"
    )


@pytest.mark.parametrize("field", ["version", "reader"])
def test_a_change_is_noticed(field: str) -> None:
    asked, *_ = digests(STUDENT).items()
    other = digests(Prompter(GO_ON.prompts, lambda text, form: "x", STUDENT.version, reader=STUDENT.reader))
    place = 0 if field == "version" else 1
    assert [*other.items()][place][0] == [*digests(STUDENT).items()][place][0]
    assert [*other.items()][place][1] != [*digests(STUDENT).items()][place][1]


if __name__ == "__main__":
    written = {version: digest for prompter in prompters() for version, digest in digests(prompter).items()}
    KNOWN.write_text(json.dumps(written, indent=1, sort_keys=True) + "\n")
