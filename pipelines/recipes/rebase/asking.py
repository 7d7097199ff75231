"""What ReBase asks the teacher, in two sampling jobs: to rewrite rows, and to answer its own questions."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from raydistill.pipelines.config.sections import SamplingConfig
from raydistill.pipelines.context import RunContext
from raydistill.pipelines.data.records import Question, Sample, content_hash
from raydistill.pipelines.data.rewritten import Rewritten, output_schema, parse
from raydistill.pipelines.prompts import render
from raydistill.pipelines.recipes.rebase import prompts as rebase_prompts
from raydistill.pipelines.recipes.rebase.config import ReBase
from raydistill.pipelines.recipes.rebase.prompts import answer_kind, answer_messages, keys_of
from raydistill.pipelines.sampling.job import SamplingStats
from raydistill.pipelines.sampling.prompter import Format, Prompt, Prompter
from raydistill.pipelines.sampling.samples import read_samples
from raydistill.pipelines.tasks import LoadedQuestions
from raydistill.pipelines.tasks.base import AnswerTask
from raydistill.pipelines.tasks.extract import extract_program, final_reply
from raydistill.pipelines.tasks.unjudged import AcceptAll


def rewriter(config: ReBase) -> Prompter:
    """Asks for an example of the task: made of the question, which is a row, or of nothing."""

    def prompts(question: Question) -> list[Prompt]:
        target = config.target
        if config.retrieval == "none":
            return [Prompt("direct", rebase_prompts.direct_prompt(target.instruction, target.examples))]
        return [Prompt("rewrite", rebase_prompts.rewrite_prompt(target.instruction, target.examples, question.text))]

    def read(text: str, form: Format) -> str | None:
        """The completion, if it has the form asked for."""
        return text if isinstance(parse(text, keys_of(config)), Rewritten) else None

    shown = content_hash(config.target.instruction, config.target.examples)
    version = f"rebase-{'direct' if config.retrieval == 'none' else 'rewrite'}/1/{shown}"
    return Prompter(prompts, read, version, reader="1", reads_cut_off=True)


def reanswerer(config: ReBase) -> Prompter:
    """Asks for an answer to a question that the teacher wrote, shown all examples; or for a program that gives it."""

    def as_program(question: Question) -> list[Prompt]:
        return [Prompt("program", render("instruct", "program", question.text), "program")]

    def in_words(question: Question) -> list[Prompt]:
        return [Prompt("answer", answer_messages(config, question.text))]

    if config.check == "programs":
        return Prompter(as_program, lambda text, form: extract_program(text), "program/1", ("program",))
    shown = content_hash(config.target.instruction, config.target.examples)
    return Prompter(in_words, read_answer, f"rebase-answer/1/{shown}")


def read_answer(text: str, form: Format) -> str | None:
    """What a completion says in the end."""
    return final_reply(text) or None


def answer_task(config: ReBase) -> AnswerTask:
    """Compares answers to the target's questions."""
    return AnswerTask("rebase", answer_kind(config))


class Asking:
    """The two jobs, and what they have cost."""

    def __init__(self, ctx: RunContext, config: ReBase) -> None:
        self.ctx, self.config = ctx, config
        asked = ctx.teacher.model_dump(include={"top_p", "max_tokens", "stop", "seed"})
        fresh = SamplingConfig(n=config.votes, temperature=config.vote_temperature, **asked)
        schema = output_schema(keys_of(config))
        answers = LoadedQuestions(answer_task(config), [])
        self._rewriting = ctx.job(
            ctx.teacher,
            LoadedQuestions(AcceptAll("rebase"), []),
            ctx.teacher,
            prompter=rewriter(config),
            json_schema=schema,
        )
        self._answering = ctx.job(ctx.teacher, answers, fresh, prompter=reanswerer(config))
        self._votes = config.rewrite and config.check in ("answers", "programs")
        self._started = time.monotonic()
        self._stats = {"pass": SamplingStats(), "answers": SamplingStats()}

    @property
    def keys(self) -> list[str]:
        """What the examples depend on of what is asked."""
        jobs = [self._rewriting] * self.config.rewrite + [self._answering] * self._votes
        return [job.key for job in jobs]

    def rewritten(self, rows: Sequence[Question]) -> dict[str, list[Sample]]:
        """The teacher's replies about each row, by its id."""
        title = "rewriting" if self.config.retrieval != "none" else "writing"
        self._stats["pass"] = self.ctx.run(title, self._rewriting, rows, self.ctx.teacher)
        said = read_samples(self._rewriting.completions, self._rewriting.verdicts)
        ids = {row.id: self._rewriting.plan.sample_ids(row) for row in rows}
        return {row: [said[i] for i in samples if i in said] for row, samples in ids.items()}

    def answers(self, candidates: Sequence[Rewritten]) -> dict[str, list[str]] | None:
        """The teacher's fresh answers to each candidate's input, none where one is missing; None without a vote."""
        if not self._votes or not candidates:
            return None
        questions = {one.input: Question.make("rebase", one.input, one.output) for one in candidates}
        asked = list(questions.values())
        found = self.ctx.run("answering", self._answering, asked, self.ctx.teacher, keep_outcomes=True)
        self._stats["answers"] = found
        outcomes = {text: found.outcomes[question.id] for text, question in questions.items()}
        return {text: [] if "unknown" in statuses else list(v) for text, (statuses, v) in outcomes.items()}

    def account(self, rows: int) -> dict[str, Any]:
        """What was asked and came back, as a stored summary has it."""
        asked = self._stats["pass"] if self.config.rewrite else SamplingStats(questions=rows)
        return {
            "candidates": asked.samples if self.config.rewrite else rows,
            "pass": asked.to_json() | {"wall_s": round(time.monotonic() - self._started, 2)},
            "answers": self._stats["answers"].to_json(),
            "unknown": asked.unknown,
        }

    def spending(self) -> dict[str, Any]:
        """Tokens that were spent on what was never finished."""
        return self.ctx.spending(*[self._rewriting] * self.config.rewrite, *[self._answering] * self._votes)
