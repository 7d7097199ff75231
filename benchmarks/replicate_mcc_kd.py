"""MCC-KD's claims (arXiv 2310.14747) on the demo models: does consistency between diverse rationales help?

    python benchmarks/replicate_mcc_kd.py                                # all arms, seeds 0, 1 and 2; hours
    python benchmarks/replicate_mcc_kd.py --arms k_without_kl diverse_kl --seeds 0
    python benchmarks/replicate_mcc_kd.py --report                       # pages from the cells that there are

Students train on questions of the templates 0 to 69 and are tested on fresh ones of these (in) and of 70 to 99 (out).
Measured are accuracy and, over rationales that the teacher wrote for held-out questions, answer KL and agreement
(`pipelines.consistency`). Each (arm, seed) leaves one file in docs/results/data/, named by a hash of what it depends
on; cells that are there are not done again, so work can be split over machines. All arms share one run directory:
the teacher is asked once.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from pipelines.config import Engine, Run, SamplingConfig, load_config  # noqa: E402
from pipelines.consistency import measure  # noqa: E402
from pipelines.engines import model_identity  # noqa: E402
from pipelines.example_store import read_examples  # noqa: E402
from pipelines.records import content_hash  # noqa: E402
from pipelines.report import environment  # noqa: E402
from pipelines.run import Runner  # noqa: E402
from pipelines.tasks import load_questions  # noqa: E402

ARMS: dict[str, dict[str, Any]] = {  # what differs from configs/demo-mcc-kd.yaml
    "k_without_kl": {"recipe.alpha": 0.0},
    "diverse_kl": {},
    "random_kl": {"recipe.select": "random"},
    "unfiltered_kl": {"recipe.filter": False},
    "diverse_kl_alpha_0.01": {"recipe.alpha": 0.01},
    "diverse_kl_alpha_1": {"recipe.alpha": 1.0},
    "single": {"recipe.rationales": 1},
}
SETS = {"in": {"templates": [0, 69]}, "out": {"templates": [70, 99]}}
RESULTS = ROOT / "docs" / "results"
RESAMPLES = 10_000


def make_config(options: argparse.Namespace, changes: dict[str, Any]) -> Run:
    """The demo's configuration with `changes`, sized by the command line; it trains on no question of the test."""
    settings: dict[str, Any] = {
        "questions.size": options.questions,
        "questions.options": SETS["in"],
        **{f"evaluation.{key}": value for key, value in held_out(options, "in").items()},
        "train.epochs": options.epochs * (2 if changes.get("recipe.rationales") == 1 else 1),  # pairs are two rows
        **({"train.student": options.student} if options.student else {}),
        **changes,
    }
    overrides = [f"{key}={json.dumps(value)}" for key, value in settings.items()]
    return load_config(ROOT / "configs" / "demo-mcc-kd.yaml", [*overrides, f"run_dir={options.work}"])


def held_out(options: argparse.Namespace, name: str) -> dict[str, Any]:
    """Settings of the test questions `name`: far from the training questions' seed."""
    return {"questions.size": options.test, "questions.seed": 990_000, "questions.options": SETS[name]}


def synthesise(config: Run, console: Console) -> str:
    """The folder of the examples of `config`."""
    runner = Runner(config, console)
    try:
        return runner.synthesise(runner.start())
    finally:
        runner.close()


def run_cell(options: argparse.Namespace, arm: str, seed: int, rationales: str, console: Console) -> dict[str, Any]:
    """Train the student of an arm and measure it; right answers are kept question by question."""
    config = make_config(options, ARMS[arm] | {"train.seed": seed})
    assert config.train
    runner, started = Runner(config, console), time.monotonic()
    try:
        result = runner.train(runner.synthesise(runner.start()))
        passed = {name: answers(runner, result.student, options, name) for name in SETS}
    finally:
        runner.close()
    consistency = measure(read_examples(rationales), result.student).to_json()
    if not consistency["other_pairs"]:
        raise SystemExit(f"only {consistency['pairs']} pair(s) of rationales of held-out questions: raise --test")
    training = {"steps": result.steps, "tokens": result.tokens, "pairs": result.pairs, "final_loss": result.final_loss}
    spent = round(time.monotonic() - started, 1)
    return {"passed": passed, "consistency": consistency, "training": training, "seconds": spent}


def answers(runner: Runner, student: str, options: argparse.Namespace, name: str) -> list[int]:
    """1 or 0 for each test question of the set `name`, answered greedily, in the order of the questions."""
    config = make_config(options, held_out(options, name))
    loaded, drawn = (
        load_questions(config.questions),
        SamplingConfig(temperature=0, max_tokens=config.teacher.max_tokens),
    )
    engine = Engine(**config.teacher.model_dump(include=set(Engine.model_fields))).model_copy(update={"model": student})
    plan, _ = runner.work.plan(engine, loaded, drawn, student=True)
    title = f"testing ({name})"
    outcomes = runner.work.run(title, plan, loaded.questions, engine, keep_outcomes=True).outcomes
    return [int(outcomes[question.id][0][0] == "passed") for question in loaded.questions]


def cell_path(options: argparse.Namespace, arm: str, seed: int) -> Path:
    """The cell's file, whose name changes with everything that it depends on."""
    config = make_config(options, ARMS[arm] | {"train.seed": seed})
    assert config.train
    settings = config.model_dump(include={"questions", "teacher", "recipe", "train"})
    models = [model_identity(model) for model in (config.teacher.model, config.train.student)]
    key = content_hash(settings, models, options.test, length=8)
    return Path(options.out) / "data" / f"mcc_kd-{arm}-{seed}-{key}.json"


def interval(values: np.ndarray) -> list[float]:
    """95 % percentile bootstrap of a mean over questions; `values` [seeds, questions], questions are drawn."""
    generator = np.random.default_rng(0)
    per_question = values.mean(axis=0)
    draws = generator.integers(len(per_question), size=(RESAMPLES, len(per_question)))
    return [round(float(bound), 4) for bound in np.percentile(per_question[draws].mean(axis=1), [2.5, 97.5])]


def summarise(cells: dict[str, list[dict[str, Any]]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(arms, comparisons) of the cells that there are, by arm and in the order of seeds."""
    passed = {a: {n: np.array([c["passed"][n] for c in rows], float) for n in SETS} for a, rows in cells.items()}
    arms: dict[str, dict[str, Any]] = {}
    for arm, rows in cells.items():
        arms[arm] = {"seeds": [row["seed"] for row in rows]}
        for name in SETS:
            accuracy = [round(float(value), 4) for value in passed[arm][name].mean(axis=1)]
            mean, bounds = round(float(np.mean(accuracy)), 4), interval(passed[arm][name])
            arms[arm][name] = {"accuracy": accuracy, "mean": mean, "ci95": bounds}
        for part in ("answer_kl", "agreement", "other_kl"):
            arms[arm][part] = [round(row["consistency"][part], 4) for row in rows]
    comparisons: dict[str, Any] = {}
    for arm in (arm for arm in cells if arm != "k_without_kl" and "k_without_kl" in cells):
        shared = [s for s in arms[arm]["seeds"] if s in arms["k_without_kl"]["seeds"]]
        ours, plain = ([arms[a]["seeds"].index(s) for s in shared] for a in (arm, "k_without_kl"))
        for name, label in (("in", "id"), ("out", "ood")):
            gains = passed[arm][name][ours] - passed["k_without_kl"][name][plain]
            told = {"gain": round(float(gains.mean()), 4), "ci95": interval(gains), "seeds": len(shared)}
            comparisons[f"{arm}_vs_no_kl_{label}"] = told
        for part in ("answer_kl", "other_kl"):
            ratio = np.mean(np.array(arms[arm][part])[ours]) / np.mean(np.array(arms["k_without_kl"][part])[plain])
            comparisons[f"{part}_ratio_{arm}"] = round(float(ratio), 4)
    if "answer_kl_ratio_diverse_kl" in comparisons:
        comparisons["answer_kl_ratio"] = comparisons["answer_kl_ratio_diverse_kl"]
    return arms, comparisons


def write_report(options: argparse.Namespace) -> None:
    """mcc_kd.json and mcc_kd.md from the cells that there are; missing ones are named."""
    cells: dict[str, list[dict[str, Any]]] = {}
    missing = []
    for arm in ARMS:
        for seed in options.seeds:
            path = cell_path(options, arm, seed)
            if path.exists():
                cells.setdefault(arm, []).append(json.loads(path.read_text(encoding="utf-8")))
            else:
                missing.append(f"{arm}/{seed}")
    arms, comparisons = summarise(cells)
    known, seconds = environment(), sum(cell["seconds"] for rows in cells.values() for cell in rows)
    about = {"commit": known["commit"], "date": date.today().isoformat(), "hardware": f"{known['cpus']} CPUs"}
    about |= {"versions": known["versions"], "command": " ".join(sys.argv), "seconds": round(seconds, 1)}
    content = {"arms": arms, "comparisons": comparisons, "missing": missing, **about}
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "mcc_kd.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (out / "mcc_kd.md").write_text(page(content), encoding="utf-8")


def page(content: dict[str, Any]) -> str:
    """The results for people."""
    lines = [
        "# MCC-KD on the demo models",
        "",
        f"`{content['command']}`, {content['date']}, commit {content['commit']}, {content['hardware']}, "
        f"{content['seconds'] / 60:.0f} minutes. Accuracy in %, mean over seeds with the 95 % interval over questions; "
        "answer KL (nats) and agreement: between two rationales of a held-out question; other KL: between questions.",
        "",
        "| arm | seeds | in distribution | out of distribution | answer KL | agreement | other KL |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for arm, told in content["arms"].items():
        accuracy = [f"{told[n]['mean']:.1%} ({told[n]['ci95'][0]:.1%} to {told[n]['ci95'][1]:.1%})" for n in SETS]
        parts = [np.mean(told[part]) for part in ("answer_kl", "agreement", "other_kl")]
        cells = [arm, str(len(told["seeds"])), *accuracy, f"{parts[0]:.4f}", f"{parts[1]:.1%}", f"{parts[2]:.4f}"]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", f"Missing cells: {', '.join(content['missing']) or 'none'}.", ""]
    return "\n".join(lines)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=[*ARMS])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--questions", type=int, default=2000)
    parser.add_argument("--test", type=int, default=500, help="test questions, in and out of distribution each")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--student", help="base student (default: the configuration's)")
    parser.add_argument("--work", default=str(ROOT / "runs" / "replicate-mcc-kd"))
    parser.add_argument("--out", default=str(RESULTS))
    parser.add_argument("--report", action="store_true", help="only write the pages")
    return parser.parse_args(arguments)


def main() -> None:
    options, console = parse(), Console(soft_wrap=True)
    cells = [(arm, seed, cell_path(options, arm, seed)) for seed in options.seeds for arm in options.arms]
    if not options.report and any(not path.exists() for _, _, path in cells):
        unseen = make_config(options, {**held_out(options, "in"), "evaluation": None})
        rationales = synthesise(unseen, console)
        for arm, seed, path in cells:
            if not path.exists():
                console.print(f"[bold]{arm}, seed {seed}[/]")
                cell = run_cell(options, arm, seed, rationales, console)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps({"arm": arm, "seed": seed, **cell}) + "\n", encoding="utf-8")
    write_report(options)


if __name__ == "__main__":
    main()
