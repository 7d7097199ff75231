"""A forecast as lines for people."""

from __future__ import annotations

from collections.abc import Iterator

from raydistill.pipelines.planning.estimate import Range
from raydistill.pipelines.planning.forecast import Forecast, Planned

TOKENS_SHOWN = 24
GIGABYTE = 2**30


def lines(plan: Forecast) -> Iterator[str]:
    """What will be asked of whom, what is reused, what it costs, and what it needs."""
    yield from _prompt(plan)
    for one in plan.passes:
        yield from _pass(one)
    yield ""
    yield from _cost(plan)
    yield from _needs(plan)


def _prompt(plan: Forecast) -> Iterator[str]:
    told = plan.first_prompt
    if not told:
        yield "nobody is asked for anything"
        return
    yield f"the first prompt, to {told['model']}:"
    text = told.get("text") or "\n".join(f"{turn['role']}: {turn['content']}" for turn in told["messages"])
    yield from (f"    {line}" for line in text.splitlines())
    if tokens := told.get("tokens"):
        more = " ..." if len(tokens) > TOKENS_SHOWN else ""
        yield f"    = {len(tokens)} tokens: {' '.join(map(str, tokens[:TOKENS_SHOWN]))}{more}"
    yield ""


def _pass(one: Planned) -> Iterator[str]:
    cost, asked = one.cost, one.asked
    counted = "" if asked.kind != "free" else " (not in the budget)"
    yield f"{asked.title}, by {asked.model.model}{counted}: {cost.rows:,} rows, {cost.wanted:,} samples"
    reason = f"; {one.why_not}" if one.why_not else ""
    yield f"    stored and reused: {cost.stored:,} samples{reason}"
    if asked.after_training:
        yield "    once the student is trained; what follows depends on what it writes"
        return
    if not cost.requests:
        return
    about = " (4 characters a token)" if cost.counted_by == "characters" else ""
    written = _range(cost.generated) if cost.generated else f"at most {cost.most_generated:,.0f}"
    yield (
        f"    to ask: {cost.requests:,.0f} prompts, {_range(cost.samples)} samples; {cost.prompt_tokens:,.0f} prompt "
        f"tokens{about}, {written} generated tokens"
    )


def _cost(plan: Forecast) -> Iterator[str]:
    generated, money, seconds = plan.generated_tokens, plan.money, plan.seconds
    written = _range(generated) if generated else f"at most {plan.most_generated:,.0f} (--measure 16 says how many)"
    yield f"the whole run: {plan.prompt_tokens:,.0f} prompt and {written} generated tokens"
    if spent := plan.spent["generated_tokens"]:
        yield f"    {plan.spent['prompt_tokens']:,.0f} and {spent:,.0f} of them are spent already"
    if money:
        yield f"    in money: {_range(money)}"
    elif not plan.config.teacher.prices:
        yield "    no money: teacher.prices is not set"
    if seconds:
        yield f"    asking for the rest: {_time(seconds[0])} to {_time(seconds[1])}, besides starts and training"
    for name, cap in plan.config.budget.model_dump(exclude_none=True, exclude={"on_budget"}).items():
        yield f"    budget.{name}: {cap:,}"


def _needs(plan: Forecast) -> Iterator[str]:
    needs = plan.resources
    parts = [
        f"{needs.cpus_wanted:g} of {needs.cpus_there:g} CPUs",
        f"{needs.gpus_wanted:g} of {needs.gpus_there:g} GPUs",
    ]
    if needs.memory_wanted is not None and needs.memory_there is not None:
        parts.append(
            f"{needs.memory_wanted / GIGABYTE:.1f} of {needs.memory_there / GIGABYTE:.1f} GB of memory for engines"
        )
    if needs.disk_there is not None:
        parts.append(f"{needs.disk_wanted / GIGABYTE:.2f} of {needs.disk_there / GIGABYTE:.0f} GB of disk")
    yield f"on {needs.where}: {', '.join(parts)}"
    if needs.lacking:
        yield f"    not enough: {', '.join(needs.lacking)}"


def _range(told: Range) -> str:
    digits = ",.0f" if told.high >= 100 else ",.4g"
    if told.low == told.high:
        return f"{told.expected:{digits}}"
    return f"{told.expected:{digits}} ({told.low:{digits}} to {told.high:{digits}})"


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
