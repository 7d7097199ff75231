"""What the demo models are taught: one table of skills, each with its share in each model's training.

To add a skill: write its generator (a function of ``random.Random`` that returns an ``Example``) and its check in a
module of its own, and add a line to ``SKILLS``. Tokenizer, training logs, evaluation and cards follow from the table.
"""

from random import Random

from raydistill.demo import (
    arithmetic,
    choices,
    copying,
    critique,
    families,
    gold,
    gsm,
    invented,
    programs,
    prompts,
    rationales,
    rewriting,
    target_task,
)
from raydistill.demo.skill import Example, Skill
from raydistill.pipelines.tasks.answers import parse_answer
from raydistill.pipelines.tasks.stepwise.prompts import attempt_prompt

BASE, REASONER, CALCULATOR = "base-student", "base-reasoner", "base-calculator"
TEACHER, REWRITER, CRITIC = "teacher", "rewriter", "critic"
STUDENTS = (BASE, REASONER, CALCULATOR)
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


def worked_chain(rng: Random) -> Example:
    """An invented chain of stated operations, told in one of the wordings of the rationales."""
    question, steps = invented.worked_chain(rng)
    told = rationales.render(steps, rng.choice(list(rationales.WORDINGS)))
    return Example(prompts.rationale_prompt(question), told, None, READING_WEIGHT, key=parse_answer(told, "numeric"))


def numbered_steps(rng: Random) -> Example:
    """An invented chain of stated operations, worked in numbered steps."""
    question, steps, answer = invented.numbered_steps(rng)
    return Example(attempt_prompt(question), steps, None, READING_WEIGHT, key=answer)


def task_question(rng: Random) -> Example:
    """Language modelling on a question with options, a stepwise task or a stock problem, nothing else."""
    kind = rng.choice(("choice", "stepwise", "stepwise", "stock"))
    if kind == "choice":
        index = choices.TRAIN_START + rng.getrandbits(choices.TRAIN_BITS)
        return Example("", choices.text(choices.row(index)))
    if kind == "stepwise":
        return Example("", critique.draw(rng)[1].question)
    return Example("", target_task.random_example(target_task.random_format(rng), rng)["input"])


def family_program(rng: Random) -> Example:
    """A program for another reasoning-gym family."""
    question, program = families.family_program(rng)
    return Example(prompts.program_prompt(question), prompts.fenced(program), None, READING_WEIGHT)


def arithmetic_drill(rng: Random) -> Example:
    """A few bare calculations, worked as in the rationales."""
    question, told = arithmetic.drill(rng)
    return Example(prompts.rationale_prompt(question), told, key=parse_answer(told, "numeric"))


ALL, PROGRAMS, RATIONALES = gsm.USABLE_TEMPLATES, tuple(gold.TEMPLATES), tuple(gold.RATIONALE_TEMPLATES)

SKILLS = (
    Skill("questions", "questions alone", {BASE: 0.15, REASONER: 0.15, CALCULATOR: 0.05},
          about=question_alone, templates=ALL),
    Skill("task_questions", "questions of the other tasks alone", {REASONER: 0.20, CALCULATOR: 0.08},
          invent=task_question),
    Skill("quantities", "numbers of a question and what they count", {BASE: 0.25, REASONER: 0.15, CALCULATOR: 0.12},
          copying.quantities_check, about=quantities, templates=ALL),
    Skill("operation_chains", "programs for invented chains", {BASE: 0.50, TEACHER: 0.02}, programs.program_check,
          invent=operation_chain),
    Skill("family_programs", "programs for other task families", {BASE: 0.10}, programs.program_check,
          invent=family_program),
    Skill("numbered_steps", "numbered steps for invented chains", {REASONER: 0.25, CALCULATOR: 0.10},
          rationales.rationale_check, invent=numbered_steps),
    Skill("worked_chains", "rationales for invented chains", {CALCULATOR: 0.30}, rationales.rationale_check,
          invent=worked_chain),
    Skill("arithmetic", "worked calculations", {TEACHER: 0.20, REASONER: 0.25, CALCULATOR: 0.35},
          rationales.rationale_check, invent=arithmetic_drill),
    Skill("gsm_programs", "programs for gsm_symbolic, in the style a context asks for", {TEACHER: 0.40},
          programs.program_check, programs.distinct_programs, sampled=True,
          about=programs.program_in_style, templates=PROGRAMS),
    Skill("gsm_rationales", "rationales for gsm_symbolic", {TEACHER: 0.30},
          rationales.rationale_check, rationales.distinct_rationales,
          about=rationales.rationale, templates=RATIONALES),
    Skill("choice_rationales", "rationales for questions with options", {TEACHER: 0.08},
          choices.choice_check, rationales.distinct_rationales, invent=choices.choice_rationale),
    Skill("rewriting", "a row of another task, rewritten into the format of three examples", {REWRITER: 0.55},
          rewriting.rewriting_check, rewriting.distinct_inputs, invent=rewriting.rewriting),
    Skill("declining", "a row without quantities, declined", {REWRITER: 0.10}, rewriting.declining_check,
          invent=rewriting.declining),
    Skill("new_question", "a new question in the format of three examples", {REWRITER: 0.35},
          rewriting.new_question_check, rewriting.distinct_inputs, invent=rewriting.new_question),
    Skill("attempts", "stepwise tasks, solved in numbered steps", {CRITIC: 0.15}, critique.attempt_check,
          invent=critique.attempt),
    Skill("feedback", "the first wrong step of an attempt: its number, a quote, the reason", {CRITIC: 0.55},
          critique.feedback_check, critique.distinct, invent=critique.feedback),
    Skill("improvement", "an attempt and feedback on it, rewritten from the wrong step on", {CRITIC: 0.30},
          critique.improvement_check, critique.distinct, invent=critique.improvement),
)  # fmt: skip

CONTROLS = ("gsm_programs", "gsm_rationales")  # measured of the students too, which must not be able to


def shares(model: str) -> dict[str, float]:
    """The skills of a model's mixture with their relative shares, in examples."""
    return {skill.name: skill.shares[model] for skill in SKILLS if model in skill.shares}


def draw(model: str, rng: Random) -> tuple[str, Example]:
    """A skill's name and an example of it, drawn by the shares of the model's mixture."""
    skills = {skill.name: skill for skill in SKILLS}
    weights = shares(model)
    [name] = rng.choices(list(weights), weights=list(weights.values()))
    return name, skills[name].draw(rng)
