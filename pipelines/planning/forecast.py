"""The forecast of a run: its passes, what they will ask and cost, what is reused, and what the machine must have.

<run>/plan.json    the forecast, which report.json is compared with at the end of the run
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from raydistill.actors.engine.rendering import chat_text, prompt_ids
from raydistill.actors.segments import list_segments
from raydistill.pipelines.config.sections import EngineConfig
from raydistill.pipelines.context import RunContext
from raydistill.pipelines.planning.estimate import Estimate, Range, drawn, estimate
from raydistill.pipelines.planning.machine import Resources, resources
from raydistill.pipelines.planning.walk import Pass, walk
from raydistill.pipelines.run import Runner
from raydistill.pipelines.run_config import Run
from raydistill.pipelines.spending.account import Account

DEEPEST = 4  # walks, each of which sees what follows from what the one before has measured


@dataclass(slots=True)
class Measured:
    """What was asked to measure: how many tokens a second came, and how many samples were under way."""

    tokens: int = 0
    seconds: float = 0.0
    samples: int = 0

    def seconds_for(self, tokens: Range, under_way: int) -> list[float] | None:
        """From all that a bigger batch can gain to nothing gained by it; None where nothing was measured."""
        if not self.tokens or not self.seconds:
            return None
        slow = self.seconds / self.tokens
        return [tokens.low * slow * min(1.0, self.samples / under_way), tokens.high * slow]


@dataclass(frozen=True, slots=True)
class Planned:
    """A pass with its estimate, why stored samples are not used, and how many questions it may have in all."""

    asked: Pass
    cost: Estimate
    why_not: str = ""

    def to_json(self) -> dict[str, Any]:
        told = asdict(self.cost) | {"samples": self.cost.samples.to_json()}
        told["generated"] = self.cost.generated and self.cost.generated.to_json()
        names = {"title": self.asked.title, "model": self.asked.model.model, "kind": self.asked.kind}
        return names | told | {"reason": self.why_not, "after_training": self.asked.after_training}


@dataclass(slots=True)
class Forecast:
    """What `raydistill plan` tells and stores."""

    config: Run
    passes: list[Planned]
    resources: Resources
    first_prompt: dict[str, Any]
    spent: dict[str, float]  # by earlier lives of the run, and to measure
    measured_rows: int = 0
    measured: Measured = field(default_factory=Measured)

    @property
    def counted(self) -> list[Planned]:
        """The passes that the run's account counts and that can be foreseen."""
        return [one for one in self.passes if one.asked.kind != "free" and not one.asked.after_training]

    @property
    def prompt_tokens(self) -> float:
        return self.spent["prompt_tokens"] + sum(one.cost.prompt_tokens for one in self.counted)

    @property
    def generated_tokens(self) -> Range | None:
        """Of the whole run with what is spent; None where a pass was not measured."""
        told = [one.cost.generated for one in self.counted]
        known = [one for one in told if one is not None]
        return sum(known, Range.known(self.spent["generated_tokens"])) if len(known) == len(told) else None

    @property
    def most_generated(self) -> float:
        return self.spent["generated_tokens"] + sum(one.cost.most_generated for one in self.counted)

    @property
    def money(self) -> Range | None:
        """Of the whole run; None without prices or measured tokens."""
        prices, generated = self.config.teacher.prices, self.generated_tokens
        if prices is None or generated is None:
            return None
        return Range.known(prices.of(self.prompt_tokens, 0)) + generated.times(prices.generated / 1e6)

    @property
    def seconds(self) -> list[float] | None:
        """Of what is still to be generated, starts of engines and training left out."""
        told, teacher = self.generated_tokens, self.config.teacher
        if told is None:
            return None
        left = told + Range.known(-self.spent["generated_tokens"])
        return self.measured.seconds_for(left, teacher.max_num_seqs * teacher.replicas[1])

    def to_json(self) -> dict[str, Any]:
        generated, money = self.generated_tokens, self.money
        return {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "measured_rows": self.measured_rows,
            "requests": round(sum(one.cost.requests for one in self.counted)),
            "prompt_tokens": round(self.prompt_tokens),
            "generated_tokens": generated and generated.to_json(),
            "most_generated_tokens": round(self.most_generated),
            "money": money and money.to_json(),
            "seconds": self.seconds,
            "spent": self.spent,
            "passes": [one.to_json() for one in self.passes],
            "resources": asdict(self.resources),
            "first_prompt": self.first_prompt,
        }


def forecast(config: Run, measure: int = 0, console: Any = None) -> Forecast:
    """The forecast of `config`; with `measure` so many questions of each pass are asked, for good, to know the rest.

    What was asked is stored where the run looks for it. Raises UsageError for whatever would stop the run at once.
    """
    measured = Measured()
    passes, scales = walk(config), dict[str, float]()
    if measure:
        passes, scales = _measure(config, passes, measure, measured, console)
    account = RunContext(config, None).account
    spent, tokenizer = account.spent(), teacher_tokenizer(config.teacher)
    planned = []
    for one in passes:
        known = tokenizer if one.model.model == config.teacher.model else None
        cost = estimate(one, known, scales.get(one.title, 1.0))
        planned.append(Planned(one, cost, why_not_stored(one, cost, account)))
    return Forecast(
        config,
        planned,
        resources(config, [one.cost for one in planned]),
        _first_prompt(passes, tokenizer),
        asdict(spent),
        max((one.cost.measured for one in planned), default=0),
        measured,
    )


def _measure(
    config: Run, passes: list[Pass], rows: int, measured: Measured, console: Any
) -> tuple[list[Pass], dict[str, float]]:
    """Ask some questions of each pass that can be asked; the passes that are seen then, and what they are a part of."""
    runner, done, scales, share = Runner(config, console), set[str](), dict[str, float](), 1.0
    try:
        runner.start()
        for depth in range(DEEPEST):
            fresh = [one for one in passes if one.title not in done and one.kind != "free" and not one.after_training]
            if not fresh:
                break
            for one in fresh:
                done.add(one.title)
                scales[one.title] = share
                some = drawn(one.questions, rows, key=lambda question: question.id)
                with runner.ctx.measuring(one.model) if one.kind == "evaluation" else nullcontext():
                    came = runner.ctx.run(f"measuring {one.title}", one.job, some, one.model)
                if came.generated:
                    measured.tokens += came.completion_tokens
                    measured.seconds += came.wall_s
                    measured.samples = max(measured.samples, came.samples)
            if not depth:
                share = max(len(one.questions) for one in fresh) / rows
            passes = walk(config)
    finally:
        runner.close()
    return passes, {title: max(1.0, scale) for title, scale in scales.items()}


def teacher_tokenizer(teacher: EngineConfig) -> Any:
    """The teacher's tokenizer where it is at hand: in a local model, or where a teacher behind a URL names one."""
    name = teacher.endpoint.tokenizer if teacher.endpoint else teacher.model
    if name is None or teacher.engine == "recorded" or not Path(name).is_dir():
        return None
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(name)


def _first_prompt(passes: Sequence[Pass], tokenizer: Any) -> dict[str, Any]:
    """The first thing that is asked: of whom, as text, and as tokens where there is a tokenizer."""
    one = next((one for one in passes if one.questions), None)
    if one is None:
        return {}
    question = one.questions[0]
    prompt = one.job.plan.prompter.prompts(question)[0]
    told: dict[str, Any] = {"model": one.model.model, "messages": [dict(turn) for turn in prompt.messages]}
    if tokenizer is not None:
        told["text"] = f"{chat_text(tokenizer, prompt.messages)}{prompt.prefix}"
        told["tokens"] = prompt_ids(tokenizer, one.job.plan.request(question, prompt, (0,)))
    return told


def why_not_stored(one: Pass, cost: Estimate, account: Account) -> str:
    """Why samples that are stored are not those that are wanted: what the nearest of that model's depend on."""
    if 0 < cost.stored < cost.wanted:
        return "the rest was not asked for yet"
    if cost.stored >= cost.wanted:
        return "" if list_segments(one.job.verdicts) or not cost.stored else "judged anew, at no tokens"
    wanted = json.loads(json.dumps(one.settings, default=str))
    folder = one.job.completions.rpartition("/")[0]
    nearest: list[str] | None = None
    for purpose, told in account.purposes.items():
        others = told["settings"].get("model") != wanted.get("model")
        if others or purpose == one.job.plan.purpose or not list_segments(f"{folder}/{purpose}"):
            continue
        differ = [
            f"{name} is {_short(value)}, was {_short(told['settings'].get(name))}"
            for name, value in wanted.items()
            if told["settings"].get(name) != value
        ]
        if differ and (nearest is None or len(differ) < len(nearest)):
            nearest = differ
    if nearest:
        return f"stored samples are of other settings: {'; '.join(nearest)}"
    return "nothing is stored"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
