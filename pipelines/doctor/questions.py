"""The questions: models and files are there, and the evaluation set is not in the training set."""

from __future__ import annotations

from raydistill.pipelines.context import evaluation_gate
from raydistill.pipelines.data.gate import Gate
from raydistill.pipelines.doctor.checkup import Checkup
from raydistill.pipelines.doctor.findings import Findings, about, skipped
from raydistill.pipelines.runtime.named import check_model, check_teacher
from raydistill.pipelines.tasks import is_generated
from raydistill.pipelines.tasks.golds import overview, several_kinds

COMMON = 0.1  # of generated questions: chance draws some twice


def models(checkup: Checkup) -> Findings:
    """What the configuration names is there."""
    ok, _, _ = about("models")
    check_teacher(checkup.config.teacher)
    if checkup.config.train:
        check_model(checkup.config.train.student, "train.student")
    for setting, model in checkup.recipe.models().items():
        check_model(model, setting)
    yield ok(f"teacher {checkup.config.teacher.model}, student {checkup.train.student if checkup.train else 'none'}")


def questions(checkup: Checkup) -> Findings:
    """There are questions, with answers that can be graded."""
    ok, warn, fail = about("questions")
    loaded = checkup.questions
    if not loaded.questions:
        yield fail(
            f"all {len(checkup.loaded.questions):,} training questions are held out for the evaluation",
            "name another file, split or seed for evaluation.questions",
        )
        return
    if several := several_kinds(loaded):
        said, _, remedy = several.rpartition(": ")
        yield warn(said, remedy)
    else:
        yield ok(f"{len(loaded.questions):,} of {loaded.task.name}: {overview(loaded)}")


def contamination(checkup: Checkup) -> Findings:
    """What of the training questions, and of the demonstrations in prompts, stands in the evaluation set."""
    ok, warn, fail = about("contamination")
    config, held_out = checkup.config.evaluation, checkup.held_out
    if not config or not held_out:
        yield skipped("contamination", "there is no evaluation to keep apart from training")
        return
    gate = evaluation_gate(config, held_out)
    looking, left_out, same = gate or Gate(held_out.questions), dict[str, int](), 0
    if checkup.config.questions:  # else the recipe makes its own, and guards them
        left_out = looking.questions(checkup.questions.questions)[1]
        same = len(checkup.loaded.questions) - len(checkup.questions.questions)
    shown = [looking.reason(text) for text in checkup.recipe.demonstrations()].count("evaluation_copy")
    found = sum(left_out.values()) + same
    said = (
        f"{found:,} training questions and {shown} demonstrations stand among {len(held_out.questions):,} held-out ones"
    )
    counts = {"held_out": same} | left_out if same else left_out
    said += f" ({counts})" if counts else ""
    most = COMMON * len(held_out.questions) if is_generated(config.questions.task) else 0
    if shown or (gate is None and left_out):
        yield fail(said, "take demonstrations out of the prompts, or leave evaluation.decontamination at auto")
    elif found > most:
        yield warn(f"{said}; they will not be learned", "evaluate on a set of its own: another file, split or seed")
    else:
        yield ok(said)
