"""All checks, from the cheap to the dear; those that start an engine come last and share it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from raydistill.actors.errors import RaydistillError
from raydistill.pipelines.config.sections import Execution
from raydistill.pipelines.doctor import engines, machine, memory, questions, remote, scores, tokens
from raydistill.pipelines.doctor.checkup import Checkup
from raydistill.pipelines.doctor.findings import Finding, Findings, skipped


@dataclass(frozen=True, slots=True)
class Check:
    """A check of a configuration; `dear` ones start an engine."""

    name: str
    look: Callable[[Checkup], Findings]
    dear: bool = False


CHECKS = (
    Check("disk", machine.disk),
    Check("models", questions.models),
    Check("memory", memory.memory),
    Check("questions", questions.questions),
    Check("contamination", questions.contamination),
    Check("stop token", tokens.stop_token),
    Check("trained tokens", tokens.trained_share),
    Check("vocabulary", tokens.vocabulary),
    Check("lengths", tokens.lengths),
    Check("prompts", tokens.prompts_alike),
    Check("scored tokens", scores.same_tokens),
    Check("endpoint", remote.endpoint),
    Check("recording", remote.recorded),
    Check("teacher", engines.teacher, dear=True),
    Check("student", engines.student, dear=True),
    Check("scores", scores.same_scores, dear=True),
)


def examine(checkup: Checkup | None, *, quick: bool = False) -> Iterator[Finding]:
    """What is found, as it is found; without a configuration of the machine alone, with `quick` without engines."""
    yield from found_by("versions", machine.versions())
    yield from found_by("sandbox", machine.sandbox(checkup.config.execution if checkup else Execution()))
    failed = dict[str, str]()  # checks, by what they said
    for check in CHECKS if checkup else ():
        if quick and check.dear:
            continue
        assert checkup
        for finding in found_by(check.name, check.look(checkup)):
            if finding.status == "fail" and (first := failed.setdefault(finding.said, finding.about)) != finding.about:
                finding = skipped(finding.about, f"it fails as {first} does")
            yield finding


def found_by(name: str, findings: Findings) -> Iterator[Finding]:
    """The findings of a check; one that cannot be made is a failure with its reason."""
    try:
        yield from findings
    except RaydistillError as error:
        said, _, remedy = str(getattr(error, "cause", error)).partition("; ")
        yield Finding("fail", name, said, remedy or "see to what the line names")
    except Exception as error:  # of a library: the other checks go on
        reason = " ".join(str(error).split())[:300]
        yield Finding("fail", name, f"cannot be checked: {type(error).__name__}: {reason}", "mend that, and look again")
