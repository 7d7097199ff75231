"""ReBase's synthesis: rows in, examples of the target out; every row and every candidate is accounted for.

    rows --rewriting--> candidates --form, guards--> --checker, or fresh answers--> one per row --balance--> examples

Rewriting and answering are sampling jobs, stored and resumed as any other; what follows them depends on all rows
together and is done again whenever rows, guards or checks have changed.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from raydistill.actors.engine.ledger import read_spending
from raydistill.actors.segments import read_segments
from raydistill.actors.storage import read_bytes, write_json
from raydistill.pipelines import report
from raydistill.pipelines.config.sections import SamplingConfig
from raydistill.pipelines.context import RunContext
from raydistill.pipelines.data.decontamination import Guards
from raydistill.pipelines.data.examples import export_chat, read_examples, write_examples
from raydistill.pipelines.data.records import Question, content_hash
from raydistill.pipelines.data.rewritten import Rewritten, output_schema
from raydistill.pipelines.recipes.rebase.checker import Checker, load_checker
from raydistill.pipelines.recipes.rebase.config import ReBase
from raydistill.pipelines.recipes.rebase.prompters import AcceptAll, Reanswerer, Rewriter
from raydistill.pipelines.recipes.rebase.prompts import answer_kind, keys_of
from raydistill.pipelines.recipes.rebase.recipe import RetrievalBasedDistillation
from raydistill.pipelines.recipes.rebase.retrieved_rows import as_it_is, find_rows
from raydistill.pipelines.recipes.rebase.rewriting import Rewriting, balanced
from raydistill.pipelines.sampling.job import SamplingJob, SamplingStats
from raydistill.pipelines.tasks import LoadedQuestions

SOURCES_TOLD = 6
LEFT_OVER = ("surplus", "unbalanced", "over_limit")
"""Reasons for which candidates are dropped although they are right."""

NO_EXAMPLE_DEPENDS_ON = {"datastore", "retrieval", "rows"}
"""Settings that say which rows there are; the rows themselves are in the key."""


def synthesise(
    ctx: RunContext, config: ReBase, loaded: LoadedQuestions, held_out: LoadedQuestions | None
) -> tuple[str, dict[str, Any]]:
    """The folder of the examples, and the sections of the report that tell how they came about."""
    synthesis = ReBaseSynthesis(ctx, config, loaded, held_out.questions if held_out else [])
    rows, told = find_rows(ctx, config, synthesis.guards)
    folder = f"{ctx.root}/examples/{synthesis.key(rows)}"
    if done := read_bytes(f"{folder}/summary.json"):
        summary = json.loads(done)
        summary["pass"] |= {"generated": 0, "verified": 0}
        ctx.say(f"synthesis: done before, {summary['examples']:,} examples")
    else:
        summary = synthesis.examples(rows, folder) | {"rows": told}
        if not summary["unknown"]:  # otherwise the next run tries those again
            write_json(f"{folder}/summary.json", summary)
    export_chat(read_examples(folder), ctx.root)
    ctx.say(rows_line(summary))
    left_over = _listed({reason: count for reason, count in summary["dropped"].items() if reason in LEFT_OVER})
    ctx.say(f"{summary['examples']:,} examples; right, but not learned: {left_over}")
    return folder, _sections(ctx, summary, synthesis.wasted_tokens())


@dataclass
class ReBaseSynthesis:
    """The steps from rows to examples, with what they share."""

    ctx: RunContext
    config: ReBase
    loaded: LoadedQuestions
    evaluation: Sequence[Question]
    jobs: list[SamplingJob] = field(default_factory=list)  # those that have cost tokens

    def __post_init__(self) -> None:
        config, target = self.config, self.config.target
        self.guards = Guards(
            evaluation=[question.text for question in self.evaluation],
            examples=[example["input"] for example in target.examples],
            banned=(*target.banned, *config.banned),
            ngram=config.ngram,
        )
        named = ":" in config.check and config.rewrite
        self.checker: Checker | None = load_checker(config.check) if named else None
        self.rewriting = Rewriting(
            keys_of(config), self.guards, answer_kind(config), self.checker, votes=config.check != "none"
        )
        self.rewriter = self._plan(Rewriter(config), self.ctx.config.teacher, held_to_form=True)
        self.answerer = self._plan(Reanswerer(config), self._votes())
        if config.rewrite:
            self.jobs += [self.rewriter] + ([self.answerer] if config.check in ("answers", "programs") else [])

    def _plan(
        self, recipe: RetrievalBasedDistillation, sampling: SamplingConfig, held_to_form: bool = False
    ) -> SamplingJob:
        """The sampling job in which the teacher is asked as `recipe` does."""
        schema = output_schema(keys_of(self.config)) if held_to_form else None
        loaded = replace(self.loaded, task=AcceptAll()) if held_to_form else self.loaded
        job, _ = self.ctx.job(self.ctx.config.teacher, loaded, sampling, prompter=recipe, extra_key=schema)
        drawn = replace(job.plan.sampling, json_schema=schema)
        return replace(job, plan=replace(job.plan, sampling=drawn))

    def _votes(self) -> SamplingConfig:
        asked = self.ctx.config.teacher.model_dump(include={"top_p", "max_tokens", "stop", "seed"})
        return SamplingConfig(n=self.config.votes, temperature=self.config.vote_temperature, **asked)

    def key(self, rows: Sequence[Question]) -> str:
        """A hash of all that the examples depend on."""
        asked = [job.verdicts.rpartition("/")[2] for job in self.jobs]
        ids = [row.id for row in rows], sorted(question.id for question in self.evaluation)
        settings = self.config.model_dump(exclude=NO_EXAMPLE_DEPENDS_ON)
        checker = self.checker and self.checker.version
        return content_hash(asked, settings, ids, self.ctx.config.teacher.n, checker)

    def examples(self, rows: Sequence[Question], folder: str) -> dict[str, Any]:
        """Write the examples of `rows` into `folder` and say what became of every candidate."""
        started = time.monotonic()
        asked, candidates = self._rewritten(rows) if self.config.rewrite else self._as_they_are(rows)
        votes, answering = self._answers([one for found in candidates.values() for one in found])
        unknown = asked.statuses["unknown"]
        chosen: list[tuple[Question, Rewritten]] = []
        for row in rows:
            known = [one for one in candidates[row.id] if one.input not in votes or votes[one.input]]
            unknown += len(candidates[row.id]) - len(known)
            example = self.rewriting.choose(known, [votes.get(one.input, ()) for one in known])
            chosen += [(row, example)] if example else []
        kept = self._kept([example for _, example in chosen])
        made = [self.ctx.prompter.example(*chosen[place]) for place in kept]  # type: ignore[attr-defined]
        write_examples(made, folder)
        outputs = Counter(example.answer for example in made)
        return {
            "candidates": asked.samples if self.config.rewrite else len(rows),
            "examples": len(made),
            "unknown": unknown,
            "dropped": dict(+self.rewriting.dropped),
            "labels": {label: outputs[label] for label in self.config.labels},
            "pass": asked.to_json() | {"wall_s": round(time.monotonic() - started, 2)},
            "answers": answering.to_json(),
        }

    def _rewritten(self, rows: Sequence[Question]) -> tuple[SamplingStats, dict[str, list[Rewritten]]]:
        """The candidates of each row that have the form asked for and pass the guards."""
        title = "rewriting" if self.config.retrieval != "none" else "writing"
        result = self.ctx.run(title, self.rewriter, rows, self.ctx.config.teacher)
        said: dict[str, tuple[str, bool]] = {}
        for table in read_segments(self.rewriter.completions, ["sample_id", "text", "finish_reason"]):
            for reply in table.to_pylist():
                said[reply["sample_id"]] = (reply["text"], reply["finish_reason"] == "length")
        candidates = {}
        for row in rows:
            replies = [said[i] for i in self.rewriter.plan.sample_ids(row) if i in said]
            candidates[row.id] = self.rewriting.candidates([text for text, _ in replies], [cut for _, cut in replies])
        return result, candidates

    def _as_they_are(self, rows: Sequence[Question]) -> tuple[SamplingStats, dict[str, list[Rewritten]]]:
        """Rows learned as they are (`rewrite: false`): the guards apply, nothing else is asked or checked."""
        candidates: dict[str, list[Rewritten]] = {}
        for row in rows:
            example = as_it_is(row)
            reason = self.guards.check_input(example.input) if example else "one_column"
            self.rewriting.dropped[reason or ""] += bool(reason)
            candidates[row.id] = [example] if example and not reason else []
        self.rewriting.check, self.rewriting.votes = None, False
        return SamplingStats(questions=len(rows)), candidates

    def _answers(self, candidates: Sequence[Rewritten]) -> tuple[dict[str, list[str]], SamplingStats]:
        """The teacher's fresh answers to each candidate's input, none where one is missing; {} if there is no vote."""
        if self.answerer not in self.jobs or not candidates:
            return {}, SamplingStats()
        questions = {one.input: Question.make("rebase", one.input, one.output) for one in candidates}
        asked = list(questions.values())
        result = self.ctx.run("answering", self.answerer, asked, self.ctx.config.teacher, keep_outcomes=True)
        return {text: _votes(*result.outcomes[question.id]) for text, question in questions.items()}, result

    def _kept(self, examples: Sequence[Rewritten]) -> Sequence[int]:
        """Places of the examples that are learned: balanced, and as many as wanted."""
        config, kind = self.config, answer_kind(self.config)
        every: Sequence[int] = range(len(examples))
        even = balanced(examples, config.labels, kind, config.seed) if config.labels else every
        kept = (
            balanced(examples, config.labels, kind, config.seed, config.max_examples)
            if config.labels
            else every[: config.max_examples]
        )
        self.rewriting.dropped["unbalanced"] += len(every) - len(even)
        self.rewriting.dropped["over_limit"] += len(even) - len(kept)
        return kept

    def wasted_tokens(self) -> int:
        """Tokens that were spent on what was never finished."""
        wasted = 0
        for job in self.jobs:
            stored = sum(sum(table["completion_tokens"].to_pylist()) for table in read_segments(job.completions))
            wasted += max(0, read_spending(self.ctx.ledger, job.plan.purpose).tokens - stored)
        return wasted


def _votes(statuses: Sequence[str], values: Sequence[str]) -> list[str]:
    return [] if "unknown" in statuses else list(values)


def rows_line(summary: Mapping[str, Any]) -> str:
    """One line about the retrieved rows."""
    rows = summary["rows"]
    if not rows["retrieved"]:
        return f"{summary['pass']['questions']:,} questions from nothing but the target"
    most = dict(list(rows["sources"].items())[:SOURCES_TOLD])
    others = ", ..." if len(rows["sources"]) > SOURCES_TOLD else ""
    sources = f"{len(rows['sources'])} sources ({_listed(most)}{others})"
    return f"{rows['retrieved']:,} rows of {sources}; left out: {_listed(rows['dropped'])}"


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "none"


def _sections(ctx: RunContext, summary: Mapping[str, Any], wasted_tokens: int) -> dict[str, Any]:
    """The report's sections. A candidate is passed where its answer is right, even if it is not learned."""
    asked, answers, dropped = summary["pass"], summary["answers"], summary["dropped"]
    left_over = {reason: count for reason, count in dropped.items() if reason in LEFT_OVER}
    failed = {reason: count for reason, count in dropped.items() if reason not in LEFT_OVER}
    passed = summary["examples"] + sum(left_over.values())
    account = asked | {
        "examples": summary["examples"],
        "statuses": {"passed": passed, "failed": sum(failed.values()), "unknown": summary["unknown"]},
        "reasons": failed,
        "dropped": left_over,
        "grade": answers["grade"],
        "passed_by_context": dict.fromkeys(asked["contexts"], passed),
        **{name: asked[name] + answers[name] for name in ("prompt_tokens", "completion_tokens")},
    }
    fresh = {name: answers[name] for name in ("samples", "completion_tokens", "statuses")}
    sections = report.synthesis(ctx.config.teacher.model, account, wasted_tokens=wasted_tokens)
    sections["verification"]["programs"] = summary["candidates"]  # also where the teacher was asked nothing
    return sections | {"rebase": {"rows": summary["rows"], "labels": summary["labels"], "answers": fresh}}
