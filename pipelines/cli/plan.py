"""`raydistill plan`: what a run will ask and cost, before it does."""

from __future__ import annotations

from rich.console import Console

from raydistill.actors.storage import absolute, write_json
from raydistill.pipelines.planning.forecast import forecast
from raydistill.pipelines.planning.show import lines
from raydistill.pipelines.run_config import Run
from raydistill.pipelines.runtime.events import EventConsole
from raydistill.pipelines.runtime.progress import infrastructure_log


def plan_run(config: Run, measure: int, console: Console | None) -> None:
    """Print the forecast of a run and store it in its folder; with `measure`, so many rows of each pass are asked."""
    with infrastructure_log(config.run_dir):
        made = forecast(config, measure, console)
        told = made.to_json()
        write_json(f"{absolute(config.run_dir)}/plan.json", told)
    if isinstance(console, EventConsole):
        console.event("plan", **told)
    elif console:
        for line in lines(made):
            console.print(line, markup=False, highlight=False)
