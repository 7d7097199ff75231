"""The grade of a sandbox: what its probes could not do, and what a run demands (`inside.probes` tries the acts)."""

from __future__ import annotations

from typing import Any

from raydistill.actors.sandbox.inside.probes import ACTS, NEEDED_FOR_A

GRADES = ("A", "B", "B-", "C", "D")


def open_acts(report: dict[str, Any]) -> list[str]:
    """The acts that were not refused; one that gave no answer counts as open."""
    return [name for name, outcome in report["acts"].items() if outcome in ("open", "no answer")]


def grade_of(report: dict[str, Any]) -> str:
    """The grade of a zygote by its report: what was open, and which layers had an effect."""
    opened = set(open_acts(report))
    if any(act.reaches_host and act.name in opened for act in ACTS):
        return "D"
    if opened:
        return "C"
    layers = report["layers"]
    if all(layers[name] == "on" for name in NEEDED_FOR_A):
        return "A"
    return "B" if layers["landlock"] == "on" else "B-"


def is_below(grade: str, minimum: str) -> bool:
    return GRADES.index(grade) > GRADES.index(minimum)


def refusal(report: dict[str, Any], minimum: str) -> str:
    """One line: what is missing, and what to do about it."""
    missing = [f"{name} ({state})" for name, state in report["layers"].items() if state != "on"]
    return (
        f"the sandbox reaches grade {grade_of(report)} here, {minimum} is required. Open: "
        f"{', '.join(open_acts(report)) or 'nothing'}. Missing layers: {', '.join(missing) or 'none'}. Allow seccomp "
        f"(and user namespaces) for this process, or accept the risk with minimum_grade={grade_of(report)}."
    )
