"""A run's page, report.html: one file that loads nothing, made of what lies in the run's folder.

run folder --facts, advice, cards, charts, the recipe's blocks--> templates/report.html --> report.html
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from markupsafe import Markup

from raydistill.actors.storage import write_atomic
from raydistill.pipelines.views import charts, facts
from raydistill.pipelines.views.advice import advice
from raydistill.pipelines.views.cards import choices, make_card, sampled, with_examples
from raydistill.pipelines.views.charts import Chart
from raydistill.pipelines.views.curves import Curve, curves
from raydistill.pipelines.views.own import own_blocks
from raydistill.pipelines.views.run_folder import RunFolder
from raydistill.pipelines.views.samples import stored
from raydistill.pipelines.views.text import cut
from raydistill.pipelines.views.timeline import timeline

if TYPE_CHECKING:
    from jinja2 import Environment

MOST_BYTES = 5_000_000
LENGTHS = (3000, 1000, 300, 80)  # characters of a completion that are shown; the next where the page becomes too large
SECTIONS = {
    "next": "Next",
    "accuracy": "Accuracy",
    "funnel": "Funnel",
    "verdicts": "Failures",
    "samples": "Samples",
    "training": "Training",
    "time": "Time",
    "cost": "Cost",
    "recipe": "Recipe",
    "provenance": "Provenance",
}


def write_page(run: RunFolder, seed: int = 0) -> str:
    """Write the run's report.html anew, whatever state it is in; returns its path or URI."""
    samples, told = sampled(run, seed), _told(run)
    for most in LENGTHS:
        cards = [make_card(sample, most) for sample in samples]
        page = render("report.html", **told, **_about_cards(run, cards)).encode()
        if len(page) < MOST_BYTES:
            break
    write_atomic(f"{run.root}/report.html", page)
    return f"{run.root}/report.html"


def leave_page(root: str, say: Callable[[str], object]) -> None:
    """`write_page` at the end of a run, which no trouble with a page may turn into a failure."""
    try:
        say(f"page: {write_page(RunFolder.open(root))}")
    except Exception as error:
        say(f"page: not written, {type(error).__name__}: {error}; try again with: raydistill report {root}")


def render(template: str, **told: Any) -> str:
    """A template with our style and script, the only one that the page lets run."""
    script = (Path(__file__).parent / "templates" / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    text = _environment().get_template(template).render(script=Markup(script), script_hash=f"sha256-{digest}", **told)
    return text.encode("utf-8", "replace").decode()  # half surrogate pairs of names and settings


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = FileSystemLoader(Path(__file__).parent / "templates")
    made = Environment(loader=templates, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    made.filters["short"] = lambda value, most=300: value if isinstance(value, Markup) else cut(str(value), most)
    return made


def _told(run: RunFolder) -> dict[str, Any]:
    """Everything but the samples."""
    scores, line, told = facts.measured(run), timeline(run), facts.funnel(run)
    status, _ = facts.outcome(run)
    spent = facts.costs(run.samplings)
    config = yaml.safe_dump(facts.public_config(run), sort_keys=False, allow_unicode=True)
    return {
        "run": run,
        "title": f"{run.name} · raydistill",
        "recipe": run.config["recipe"]["recipe"],
        "date": run.life.get("started", "date unknown").partition("T")[0],
        "status": status,
        "paragraph": facts.paragraph(run),
        "tiles": _tiles(run, scores, spent),
        "sections": SECTIONS.items(),
        "advice": advice(run),
        "scores": scores,
        **_about_scores(run, scores),
        "funnel": told,
        "judged": max(1, sum(told.failed.values()) + dict(told.steps).get("passed", 0) + told.unknown),
        "training_charts": list(_training_charts(run)),
        "training": [
            (name.replace("_", " "), _number(value)) for name, value in run.report.get("training", {}).items()
        ],
        "time_charts": list(_time_charts(line)),
        "time_sentence": (
            f"{line.commands:,} command{'s' if line.commands > 1 else ''} worked for {_duration(line.seconds)}: "
            f"{line.share('sampling'):.0%} of it generating and verifying, {line.share('training'):.0%} training; in "
            f"{line.idle:.0%} neither worked (Ray, engines and models start, tables are written)."
        ),
        "cost_sentence": _cost_sentence(run),
        "cost_rows": [
            (
                c.title,
                c.model.removeprefix(f"{run.root}/"),
                *(f"{n:,}" for n in (c.samples, c.prompt_tokens, c.generated_tokens)),
            )
            + (f"{c.seconds:,.1f}", f"{c.tokens_per_s:,.0f}")
            for c in spent
        ],
        "blocks": own_blocks(run),
        "provenance": facts.provenance(run),
        "config": cut(config, 50_000),
    }


def _about_cards(run: RunFolder, cards: list[Any]) -> dict[str, Any]:
    told = facts.funnel(run)
    passed = [card for card in cards if card.status == "passed" and not card.learned]
    asked = {sampling.title for sampling in run.samplings if not sampling.evaluates}
    unchosen = [card for card in passed if card.stage in asked]
    dropped = with_examples(told.dropped.items(), [])
    if len(dropped) == 1:  # otherwise nothing says which of the reasons it was
        dropped = [type(dropped[0])(dropped[0].reason, dropped[0].count, unchosen[:2])]
    return {
        "cards": cards,
        "choices": choices(cards),
        "failures": with_examples(told.failed.items(), [card for card in cards if card.stage in asked]),
        "dropped": dropped,
        "stored": sum(map(stored, run.samplings)),
    }


def _tiles(run: RunFolder, scores: list[facts.Measured], spent: list[facts.Cost]) -> list[tuple[str, str]]:
    told = {one.name: one for one in scores}
    models = [told[name] for name in ("student", "base", "teacher") if name in told]
    found = [(f"{one.accuracy:.1%}", f"{one.name}, right") for one in models]
    if run.report:
        found.append((f"{run.report['examples']:,}", "examples"))
        found.append((_duration(run.report["wall_s"]), "this command took"))
    if spent:
        found.append((f"{sum(cost.generated_tokens for cost in spent):,}", "tokens generated"))
    return found


def _about_scores(run: RunFolder, scores: list[facts.Measured]) -> dict[str, Any]:
    if not scores:
        return {}
    others = list(dict.fromkeys(name for one in scores for name in one.other))
    rows = [
        (one.name, f"{one.n:,}", f"{one.accuracy:.1%}", f"{one.low:.1%} to {one.high:.1%}")
        + tuple(f"{one.other[name]:.1%}" if name in one.other else "-" for name in others)
        + (f"{one.unknown:,}",)
        for one in scores
    ]
    told = {one.name: (one.accuracy, one.low, one.high) for one in scores}
    return {
        "interval": "a bootstrap over questions" if all(map(run.answers, told)) else "1.96 standard errors",
        "grader": next(iter(run.evaluation.values()))["grader"],
        "score_columns": ("model", "questions", "right", "95 %", *others, "unknown"),
        "score_rows": rows,
        "score_tables": list(_score_tables(run)),
        "accuracy_chart": charts.intervals("Right answers, with 95 % intervals", told),
    }


def _score_tables(run: RunFolder) -> Iterator[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
    """What repairs and a student's own updates did."""
    repaired = {name: told for name, told in run.evaluation.items() if told.get("before_repairs")}
    if repaired:
        rows: list[tuple[str, ...]] = [
            (name, f"{told['before_repairs']['accuracy']:.1%}", f"{told['accuracy']:.1%}")
            for name, told in repaired.items()
        ]
        yield "Before and after repairs", ("student", "before", "after"), rows
    updated = {name: told["updates"] for name, told in run.evaluation.items() if told.get("updates")}
    if updated:
        names = ("before", "after", "tried", "helped", "hurt")
        rows = [
            (f"{name}, {split}", *(f"{told[key]:.1%}" for key in names))
            for name, updates in updated.items()
            for split, told in updates["splits"].items()
        ]
        yield "Before and after the student's own updates", ("student, split", *names), rows


def _training_charts(run: RunFolder) -> Iterator[tuple[str, list[Chart]]]:
    """The curves of each training: losses together, everything else by itself."""
    folders = list(run.trainings())
    for place, folder in enumerate(folders, start=1):
        found = {tag: curve for tag, curve in curves(folder).items() if curve}
        if not found:
            continue
        losses = {tag.partition("/")[0]: curve for tag, curve in found.items() if tag.endswith("/loss")}
        others: dict[str, dict[str, Curve]] = {}
        for tag, curve in found.items():
            group, _, name = tag.partition("/")
            if name not in ("loss", "grad_norm", "tokens_per_s"):
                others.setdefault(name, {})[group] = curve
        made = [charts.lines("Loss", "step", losses)] if losses else []
        made += [charts.lines(name.replace("_", " ").capitalize(), "step", told) for name, told in others.items()]
        yield f"Training {place} of {len(folders)}", made


def _time_charts(line: Any) -> Iterator[Chart]:
    if line.bars:
        yield charts.spans("Stages", line.bars)
    if line.generated and line.judged:
        done = {"generated": line.generated, "judged": line.judged}
        yield charts.lines("Samples generated and judged", "seconds since the start", done)


def _cost_sentence(run: RunFolder) -> str:
    teacher = run.report.get("teacher") or {}
    if not teacher.get("requests"):
        return facts.budget(run)
    each, wasted = teacher["tokens_per_example"], teacher.get("wasted_tokens", 0)
    told = (
        f"The teacher read {teacher['prompt_tokens']:,} tokens and wrote {teacher['generated_tokens']:,}"
        f"{f', {each:,} for each example' if each else ''}; {wasted:,} more were lost in crashes and retries."
    )
    return f"{told} {facts.budget(run)}".rstrip()


def _duration(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{minutes:.0f} min" if minutes < 100 else f"{hours:.1f} h"


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
