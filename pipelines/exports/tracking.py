"""A finished run told to trackers of experiments: its configuration, its metrics, its curves, its page.

Off by default (`tracking: []`). Each tracker is its own package and goes where that package is told to: offline
(WANDB_MODE=offline, a file store of MLflow, Trackio's local files) or to a server of yours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec

from raydistill.actors.errors import UsageError
from raydistill.actors.storage import is_uri
from raydistill.pipelines.views.compare import flat
from raydistill.pipelines.views.curves import curves
from raydistill.pipelines.views.facts import public_config
from raydistill.pipelines.views.run_folder import RunFolder

PROJECT = "raydistill"
LONGEST_PARAMETER = 500  # characters, of MLflow's
SECTIONS = ("questions", "teacher", "verification", "selection", "training", "evaluation", "examples", "wall_s")


def check_trackers(names: Sequence[str]) -> None:
    """Raise UsageError where a tracker's package is missing, before anything is paid for."""
    for name in names:
        if not find_spec(name):
            raise UsageError(f"tracking: {name} is not installed; install it with: pip install 'raydistill[{name}]'")


def track(root: str, names: Sequence[str], say: Callable[[str], object]) -> None:
    """Tell the trackers about a run, which none of their troubles may turn into a failure."""
    for name in names:
        try:
            say(f"tracking: {name}: {TRACKERS[name](RunFolder.open(root))}")
        except Exception as error:
            say(f"tracking: {name} has not taken the run: {type(error).__name__}: {' '.join(str(error).split())[:300]}")


def metrics(run: RunFolder) -> dict[str, float]:
    """The numbers of report.json by ``section.name``."""
    told = {name: run.report[name] for name in SECTIONS if name in run.report}
    return {key: float(value) for key, value in flat(told) if isinstance(value, int | float)}


def points(run: RunFolder) -> Iterator[tuple[int, dict[str, float]]]:
    """What the trainings logged, by step; steps of later trainings follow those of the earlier ones."""
    first = 0
    for folder in run.trainings():
        by_step: dict[int, dict[str, float]] = {}
        for tag, curve in curves(folder).items():
            for step, value in curve:
                by_step.setdefault(first + step, {})[tag] = value
        yield from sorted(by_step.items())
        first = max(by_step, default=first)


def _page(run: RunFolder) -> str | None:
    """The path of the run's page; None where it lies under a URI."""
    return None if is_uri(run.root) else f"{run.root}/report.html"


def _wandb(run: RunFolder) -> str:
    import wandb

    with wandb.init(project=PROJECT, name=run.name, config=public_config(run)) as told:
        for step, values in points(run):
            told.log(values, step=step)
        told.summary.update(metrics(run))
        if page := _page(run):
            artifact = wandb.Artifact(f"report-{told.id}", type="report")
            artifact.add_file(page)
            told.log_artifact(artifact)
        return told.url or told.dir


def _mlflow(run: RunFolder) -> str:
    import mlflow

    mlflow.set_experiment(PROJECT)
    with mlflow.start_run(run_name=run.name) as told:
        mlflow.log_params({key: str(value)[:LONGEST_PARAMETER] for key, value in flat(public_config(run))})
        for step, values in points(run):
            mlflow.log_metrics(_without_odd_signs(values), step=step)
        mlflow.log_metrics(_without_odd_signs(metrics(run)))
        if page := _page(run):
            mlflow.log_artifact(page)
        return told.info.artifact_uri


def _without_odd_signs(values: Mapping[str, float]) -> dict[str, float]:
    """MLflow takes letters, digits and ``_-. /`` in names (exception:NameError has a colon)."""
    return {"".join(c if c.isalnum() or c in "_-. /" else "_" for c in key): v for key, v in values.items()}


def _trackio(run: RunFolder) -> str:
    import trackio

    trackio.init(project=PROJECT, name=run.name, config=dict(flat(public_config(run))), embed=False)
    for step, values in points(run):
        trackio.log(values, step=step)
    trackio.log(metrics(run))
    trackio.finish()
    return f"project {PROJECT}, run {run.name}; see it with: trackio show --project {PROJECT}"


TRACKERS: dict[str, Callable[[RunFolder], str]] = {"wandb": _wandb, "mlflow": _mlflow, "trackio": _trackio}
