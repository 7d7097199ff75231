"""The `raydistill` program: short verbs over one YAML file per run."""

from __future__ import annotations

import errno
import os
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from raydistill.actors.errors import RaydistillError, UsageError
from raydistill.actors.telemetry import decline
from raydistill.pipelines.cli.doctor import doctor
from raydistill.pipelines.cli.export import export
from raydistill.pipelines.cli.index import index_app
from raydistill.pipelines.cli.init import init
from raydistill.pipelines.cli.interrupt import CODE, Interrupts
from raydistill.pipelines.cli.model import model_app
from raydistill.pipelines.cli.serve import serve
from raydistill.pipelines.cli.shipped import configs
from raydistill.pipelines.cli.views import VIEWS
from raydistill.pipelines.recipes.commands import COMMANDS
from raydistill.pipelines.runtime.events import EventConsole
from raydistill.pipelines.runtime.progress import infrastructure_log

app = typer.Typer(
    name="raydistill",
    help="Distil what a large language model can reason into a small one: generate, execute, select, train, serve.",
    epilog="The same command again goes on where it stopped. Exit codes: 0 done, 1 failed, 2 wrong usage, "
    "3 budget used up.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

app.add_typer(index_app)
app.add_typer(model_app)
others: dict[str, Callable[..., None]] = {
    **{"init": init, "configs": configs, "doctor": doctor, **VIEWS, "export": export},
    **COMMANDS,
}
for name, command in others.items():
    app.command(name)(command)

NAMES_A_FILE = (IsADirectoryError, NotADirectoryError, PermissionError, FileExistsError, FileNotFoundError)
WRONG_ARGUMENTS: Any = typer.BadParameter.__base__  # of click, which newer versions of typer have within
STORED = "What is finished is stored: the same command goes on from here."

Config = Annotated[
    Path, typer.Argument(help="the run's YAML file, or a name that `raydistill configs` lists", show_default=False)
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(help="settings to change, as key.path=value (teacher.temperature=0.7)", show_default=False),
]
RunDir = Annotated[str | None, typer.Option(help="folder or URI of the run; overrides run_dir of the file")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="print nothing but errors")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON object per event")]

_now: dict[str, Any] = {}  # what the command at work has said of itself: its console, its folder


def _console(quiet: bool, as_json: bool = False) -> Console | None:
    if as_json:
        _now["events"] = EventConsole()
    return None if quiet else _now.get("events") or Console(soft_wrap=True)


def _load(config: Path, overrides: list[str] | None, run_dir: str | None) -> Any:
    """The configuration of a run, which Ctrl-C ends in order from here on."""
    from raydistill.pipelines.run_config import load_config

    loaded = load_config(config, [*(overrides or []), *([f"run_dir={run_dir}"] if run_dir else [])])
    _now["run_dir"] = loaded.run_dir
    _now["interrupts"] = Interrupts(_last_words)
    _now["interrupts"].watch()
    return loaded


def _last_words() -> str:
    """What is said of a run that was interrupted."""
    from raydistill.pipelines.runtime.stored import what_is_stored

    again = shlex.join(["raydistill", *sys.argv[1:]])
    return f"interrupted; {what_is_stored(_now['run_dir'])}. Go on with: {again}"


@app.command()
def run(
    config: Config, overrides: Overrides = None, run_dir: RunDir = None, quiet: Quiet = False, as_json: Json = False
) -> None:
    """The whole run: synthesize, verify, train, evaluate, report."""
    from raydistill.pipelines.run import run as run_all

    console = _console(quiet, as_json)
    loaded = _load(config, overrides, run_dir)
    with infrastructure_log(loaded.run_dir):
        run_all(loaded, console)


@app.command()
def demo(
    name: Annotated[str | None, typer.Argument(help="which; the main job without one", show_default=False)] = None,
    overrides: Overrides = None,
    run_dir: RunDir = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """A whole run without GPU or download, on models of 2 M parameters that come along."""
    from raydistill.demo.demos import find_demo

    changed = [*([name] if name and "=" in name else []), *(overrides or [])]
    shown = find_demo(None if name and "=" in name else name)
    shown.prepare(_console(quiet, as_json))
    *teachers, own = shown.runs()
    for teacher in teachers:
        run(teacher, None, None, quiet, as_json)
    run(own, changed, run_dir, quiet, as_json)


@app.command()
def plan(
    config: Config,
    overrides: Overrides = None,
    run_dir: RunDir = None,
    measure: Annotated[int, typer.Option(help="ask so many rows of each pass, for good, to know the rest", min=0)] = 0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """What a run will ask of whom, cost, reuse and need; it asks for nothing itself, unless with --measure."""
    from raydistill.pipelines.cli.plan import plan_run

    console = _console(quiet, as_json)
    plan_run(_load(config, overrides, run_dir), measure, console)


@app.command()
def synth(
    config: Config, overrides: Overrides = None, run_dir: RunDir = None, quiet: Quiet = False, as_json: Json = False
) -> None:
    """Only sample the teacher, verify and select: examples, but no student."""
    _stages(config, overrides, run_dir, _console(quiet, as_json), lambda runner: runner.synthesize())


@app.command()
def train(
    config: Config, overrides: Overrides = None, run_dir: RunDir = None, quiet: Quiet = False, as_json: Json = False
) -> None:
    """Train the student (synthesizing first whatever is missing)."""
    _stages(config, overrides, run_dir, _console(quiet, as_json), lambda runner: runner.train(runner.synthesize()))


@app.command("eval")
def evaluate(
    config: Config, overrides: Overrides = None, run_dir: RunDir = None, quiet: Quiet = False, as_json: Json = False
) -> None:
    """Evaluate the models that the file names (the student must have been trained)."""
    _stages(
        config,
        overrides,
        run_dir,
        _console(quiet, as_json),
        lambda runner: runner.evaluate(("teacher", "base", "student")),
    )


def _stages(
    config: Path,
    overrides: list[str] | None,
    run_dir: str | None,
    console: Console | None,
    work: Callable[[Any], object],
) -> None:
    from raydistill.pipelines.run import Runner, leaving_page

    runner = Runner(_load(config, overrides, run_dir), console)
    with infrastructure_log(runner.config.run_dir), leaving_page(runner):
        work(runner.start())
        runner.finish()


@app.command("export-requests")
def export_requests(
    config: Config,
    out: Annotated[Path, typer.Option(help="JSONL file for the requests; further ones lie beside it")],
    overrides: Overrides = None,
    run_dir: RunDir = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write what the teacher is still to be asked as files for a batch API; nobody is asked."""
    from raydistill.pipelines.cli.export_requests import export_requests as export

    console = _console(quiet, as_json)
    loaded = _load(config, overrides, run_dir)
    with infrastructure_log(loaded.run_dir):
        export(loaded, out, console)


@app.command("exec")
def execute(
    path: Annotated[
        Path | None, typer.Argument(help="JSONL file with one program per line", metavar="IN.jsonl")
    ] = None,
    field: Annotated[str, typer.Option(help="field that holds the program; dots for nested ones")] = "program",
    out: Annotated[Path | None, typer.Option(help="JSONL file for the verdicts, one per line, in order")] = None,
    mode: Annotated[str, typer.Option(help="what the result is: solution, expression or stdout")] = "solution",
    cpu_s: Annotated[int, typer.Option(help="CPU seconds per program")] = 2,
    wall_s: Annotated[float, typer.Option(help="wall-clock seconds per program")] = 8,
    memory_mb: Annotated[int, typer.Option(help="memory per program")] = 256,
    self_test: Annotated[
        bool, typer.Option("--self-test", help="show how well this machine confines programs")
    ] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Run programs in the sandbox; without gold answers `passed` means that a value came back."""
    from raydistill.pipelines.cli.execute import execute_file, print_self_test

    if self_test:
        print_self_test(Console())
        return
    if path is None or out is None:
        raise UsageError("exec: expected IN.jsonl and --out OUT.jsonl (or --self-test)")
    from raydistill.actors.executor import Limits

    limits = Limits(cpu_s=cpu_s, wall_s=wall_s, memory_mb=memory_mb)
    console = _console(quiet, as_json)
    _print_counts(out, execute_file(path, field, out, mode=mode, limits=limits, console=console), console)


def _print_counts(out: Path, counts: Mapping[str, int], console: Console | None) -> None:
    """How many rows of `out` have which verdict."""
    if isinstance(console, EventConsole):
        console.event("verdicts", out=str(out), counts=dict(counts))
    elif console:
        console.print(f"{out}: " + ", ".join(f"{name} {count:,}" for name, count in counts.items()))


@app.command()
def grade(
    path: Annotated[Path, typer.Argument(help="JSONL file", metavar="IN.jsonl")],
    task: Annotated[
        str, typer.Option(help="numeric, text, choice, gsm8k, bbh, nli, extractive_qa or reasoning_gym:NAME")
    ],
    answer_field: Annotated[str, typer.Option(help="field with the answer to judge; dots for nested ones")],
    gold_field: Annotated[str, typer.Option(help="field with the gold answer")],
    out: Annotated[Path, typer.Option(help="JSONL file for the verdicts, one per line, in order")],
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Grade answers against gold answers."""
    from raydistill.pipelines.cli.grade import grade_file

    console = _console(quiet, as_json)
    _print_counts(out, grade_file(path, task, answer_field, gold_field, out), console)


app.command()(serve)


def main() -> None:
    """Console entry point: errors of ours, and all wrong usage, are one line on stderr."""
    decline()
    _now.clear()
    try:
        code = app(prog_name="raydistill", standalone_mode=False) or 0
        if code == CODE:  # which typer makes of Ctrl-C
            raise KeyboardInterrupt
        sys.exit(code)
    except WRONG_ARGUMENTS as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.format_message(), file=sys.stderr)
            sys.exit(2)
        place = error.ctx.command_path.partition(" ")[2] if error.ctx else ""
        _fail(f"{place + ': ' if place else ''}{error.format_message()}; see --help", 2)
    except UsageError as error:
        _fail(_cause(error).args[0], 2)
    except RaydistillError as error:
        _fail(_cause(error).args[0], 3 if type(_cause(error)).__name__ == "BudgetUsedUp" else 1)
    except OSError as error:
        cause = _cause(error)
        if cause.errno in (errno.ENOSPC, errno.EDQUOT):
            _fail(f"{os.strerror(cause.errno)}: make room. {STORED}", 1)
        if not isinstance(cause, NAMES_A_FILE) or not cause.filename:
            raise
        _fail(f"{os.fsdecode(cause.filename)}: {cause.strerror}; expected a path that can be read or written", 2)
    except (KeyboardInterrupt, typer.Abort):
        if watching := _now.get("interrupts"):
            watching.say()
            sys.exit(CODE)
        _fail(f"interrupted. {STORED}", CODE)
    finally:
        if watching := _now.get("interrupts"):
            watching.rest()


def _cause(error: Any) -> Any:
    """What was raised, also where Ray has brought it from another process and added words to it."""
    return getattr(error, "cause", error)


def _fail(message: str, code: int) -> None:
    line = " ".join(message.split())
    shown = "".join(
        c if c.isprintable() else ascii(c)[1:-1] for c in line
    )  # names of a file's fields may hold anything
    print(f"raydistill: {shown}", file=sys.stderr)
    if events := _now.get("events"):
        events.event("error", message=shown, exit_code=code)
    sys.exit(code)
