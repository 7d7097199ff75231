"""What the demo models are taught: one table of skills, each with its share in each model's training.

To add a skill: write its generator (a function of ``random.Random`` that returns an ``Example``), add its
instruction to ``prompts.py`` where it has one, and add a line to ``SKILLS``. The cards and the training logs
follow from the table.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from demo import arithmetic, copying, families, gold, gsm, invented, prompts


@dataclass(frozen=True)
class Example:
    """One training text: what is asked and what the model should say."""

    prompt: str  # user content; "" for plain text without a chat turn
    completion: str
    question: gsm.Instance | None = None  # the gsm_symbolic instance that the text is about, if any
    prompt_weight: float = 0.0  # loss weight of the prompt's tokens; the completion's is 1


@dataclass(frozen=True)
class Skill:
    """A kind of example, its relative share (in examples) of each model's mixture, and how it is graded."""

    name: str
    meaning: str
    shares: dict[str, float]  # model name -> weight; a model that is not named never sees the skill
    graded_by: str = ""  # "program", "answer" or "numbers" (see demo.evaluation); "": not graded
    sampled: bool = False  # whether accuracy is also measured at the sampling temperature
    invent: Callable[[Random], Example] | None = None  # makes an example up, or ...
    about: Callable[[gsm.Instance, Random], Example] | None = None  # ... makes it of a gsm_symbolic instance
    templates: tuple[int, ...] = ()  # those that `about` is drawn from

    def draw(self, rng: Random) -> Example:
        """An example for training."""
        if self.invent:
            return self.invent(rng)
        return self.about(gsm.training_instance(rng.choice(self.templates), rng), rng)


BASE, TEACHER = "base-student", "teacher"
READING_WEIGHT = 0.3  # loss weight of prompt tokens where a model also has to learn the language


def question_alone(question: gsm.Instance, rng: Random) -> Example:
    """Language modelling on a question, nothing else."""
    return Example("", question.question, question)


def quantities(question: gsm.Instance, rng: Random) -> Example:
    """The numbers of a question and the words they stand before."""
    prompt = prompts.quantities_prompt(question.question)
    return Example(prompt, copying.quantities(question.question, rng), question, READING_WEIGHT)


def operation_chain(rng: Random) -> Example:
    """An invented chain of stated operations with its program."""
    question, program = invented.operation_chain(rng)
    return Example(prompts.program_prompt(question), prompts.fenced(program), None, READING_WEIGHT)


def family_program(rng: Random) -> Example:
    """A program for another reasoning-gym family."""
    question, program = families.family_program(rng)
    return Example(prompts.program_prompt(question), prompts.fenced(program), None, READING_WEIGHT)


def gsm_program(question: gsm.Instance, rng: Random) -> Example:
    """A ``gsm_symbolic`` question with its gold program."""
    program = prompts.fenced(gold.program(question))
    return Example(prompts.program_prompt(question.question), program, question)


def gsm_rationale(question: gsm.Instance, rng: Random) -> Example:
    """A ``gsm_symbolic`` question with its gold rationale."""
    return Example(prompts.rationale_prompt(question.question), gold.rationale(question), question)


def arithmetic_drill(rng: Random) -> Example:
    """A few bare calculations, worked as in the rationales."""
    question, worked = arithmetic.drill(rng)
    return Example(prompts.rationale_prompt(question), worked)


ALL, PROGRAMS, RATIONALES = gsm.USABLE_TEMPLATES, tuple(gold.TEMPLATES), tuple(gold.RATIONALE_TEMPLATES)

SKILLS = (
    Skill("questions", "questions alone", {BASE: 0.15}, about=question_alone, templates=ALL),
    Skill("quantities", "numbers of a question and what they count", {BASE: 0.25}, "numbers",
          about=quantities, templates=ALL),
    Skill("operation_chains", "programs for invented chains", {BASE: 0.50, TEACHER: 0.03}, "program",
          invent=operation_chain),
    Skill("family_programs", "programs for other task families", {BASE: 0.10}, "program",
          invent=family_program),
    Skill("gsm_programs", "programs for gsm_symbolic", {TEACHER: 0.22}, "program", True,
          about=gsm_program, templates=PROGRAMS),
    Skill("gsm_rationales", "rationales for gsm_symbolic", {TEACHER: 0.40}, "answer", True,
          about=gsm_rationale, templates=RATIONALES),
    Skill("arithmetic", "worked calculations", {TEACHER: 0.35}, "answer", invent=arithmetic_drill),
)  # fmt: skip


def draw(model: str, rng: Random) -> tuple[str, Example]:
    """A skill's name and an example of it, drawn by the shares of the model's mixture."""
    skills = [skill for skill in SKILLS if model in skill.shares]
    skill = rng.choices(skills, weights=[skill.shares[model] for skill in skills])[0]
    return skill.name, skill.draw(rng)
