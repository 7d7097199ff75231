"""Invented operation chains with their programs: what the base student learns arithmetic reading from.

A question states a few unrelated facts and then says outright what to do with them ("Multiply the pens by
the boxes, then take away 7."). The program has the form that gold programs have (named intermediate steps,
numbers copied out of the question), but no question is an instance or a paraphrase of ``gsm_symbolic``:
nothing has to be inferred from a situation, so the base student reads and copies but cannot solve.
"""

from random import Random

from raydistill.demo import worked
from raydistill.demo.prompts import ANSWER_SENTENCE
from raydistill.pipelines.tasks.stepwise.base import join_steps


def words(text: str) -> list[str]:
    """A list of words written as one text."""
    return text.split()


NAMES = words(
    "Ann Bob Eve Tom Mia Leo Zoe Max Ruth Ivan Nora Hugo Lena Omar Tara Paul Emma Olivia Sophia Ava John "
    "James Michael William Robert David Sarah Charles Joseph Richard Thomas Isabella Charlotte"
)
NOUNS = words(
    "pens boxes coins cakes books dollars pages eggs cars toys stamps birds chairs miles hours days weeks "
    "minutes students boys girls cards bricks cups liters bags tubes puppies clams plants seats tickets "
    "friends letters balls emails apples oranges bananas cupcakes muffins pencils erasers blocks rings "
    "trays slices shares bundles flowers points games meters feet servings calories cookies shirts shoes "
    "bottles spoons marbles tacos cows llamas tables rooms beds cents kilograms pounds"
)
PLACES = words("house shop school garden park yard store kitchen city office hospital museum")
STEP_NAMES = words(
    "total rest left cost price share count sum part extra first second third time time_left daily weekly "
    "amount value both each more fewer paid earned needed sold bought used size number collected remaining"
)

FACTS = (
    "There are {n} {noun} in the {place}.",
    "{name} has {n} {noun}.",
    "{name} counted {n} {noun} at the {place}.",
    "The {place} has {n} {noun}.",
    "{name} saw {n} {noun} yesterday.",
    "A list names {n} {noun}.",
    "{name} wrote down {n} {noun} for {name2}.",
    "The number of {noun} is {n}.",
    "The {noun} come to {n}.",
    "On Monday {name} noted {n} {noun} and went to the {place}.",
)

# Operator -> ways to ask for it; {a} is the value so far (or a fact), {b} the other operand.
REQUESTS = {
    "+": ("add {b} to {a}", "take {a} plus {b}", "put {a} and {b} together", "sum {a} and {b}"),
    "-": ("take {b} away from {a}", "subtract {b} from {a}", "take {a} minus {b}", "lower {a} by {b}"),
    "*": ("multiply {a} by {b}", "take {a} times {b}", "take {b} copies of {a}"),
    "/": ("divide {a} by {b}", "split {a} into {b} equal parts", "take {a} over {b}"),
    "%": ("take {b} percent of {a}", "find {b}% of {a}"),
    "half": ("halve {a}", "take half of {a}"),
    "double": ("double {a}", "take twice {a}"),
    "triple": ("triple {a}", "take three times {a}"),
}
WORD_OPERATIONS = {"half": ("/", 2), "double": ("*", 2), "triple": ("*", 3)}
MAX_STEP_LENGTH = 100  # characters; longer ones calculate with unwieldy numbers


def operation_chain(rng: Random) -> tuple[str, str]:
    """A (question, program) pair of one to five explicit operations over two to six stated facts."""
    nouns = rng.sample(NOUNS, rng.randint(2, 6))
    numbers = {noun: random_number(rng) for noun in nouns}
    facts = [fact_sentence(rng, noun, numbers[noun]) for noun in nouns]
    names = step_names(rng, nouns)
    unused = rng.sample(nouns, len(nouns))
    made: list[str] = []
    requests, lines = [], []
    for name in names:
        request, expression = one_step(rng, numbers, unused, made)
        made.append(name)
        requests.append(f"{request} and call it the {name.replace('_', ' ')}")
        lines.append(f"    {name} = {expression}")
    if rng.random() < 0.7:  # return the last step's expression instead of naming it
        requests[-1] = requests[-1].partition(" and call it")[0]
        lines[-1] = "    return " + lines[-1].partition(" = ")[2]
    else:
        lines.append(f"    return {names[-1]}")
    question = " ".join(facts + [sentence(rng, request, i) for i, request in enumerate(requests)])
    return question, "def solution():\n" + "\n".join(lines) + "\n"


def numbered_steps(rng: Random) -> tuple[str, str, str]:
    """An operation chain, its calculations as numbered steps with the answer sentence, and the answer.

    Example: ``Step 1: total is 30 + 12 = 42\\nStep 2: result is 42 / 6 = 7\\nStep 3: Therefore, the answer is 7.``
    """
    question, steps = _tame_chain(rng)
    answer = steps[-1].value
    return question, join_steps([*map(_told, steps), ANSWER_SENTENCE.format(answer=answer)]), answer


def worked_chain(rng: Random) -> tuple[str, list[worked.Step]]:
    """An operation chain and its worked steps, whose last one calculates the answer; no more than two decimals."""
    while True:
        question, steps = _tame_chain(rng)
        if steps[-1].calculation and all(len(step.value.partition(".")[2]) <= 2 for step in steps):
            return question, steps


def _tame_chain(rng: Random) -> tuple[str, list[worked.Step]]:
    """An operation chain with steps of moderate length and an answer that is not negative."""
    while True:
        question, program = operation_chain(rng)
        try:
            steps = worked.steps(program)
        except ZeroDivisionError:
            continue
        if max(len(_told(step)) for step in steps) <= MAX_STEP_LENGTH and not steps[-1].value.startswith("-"):
            return question, steps


def _told(step: worked.Step) -> str:
    return f"{step.name} is {step.calculation or step.value}"


def step_names(rng: Random, nouns: list[str]) -> list[str]:
    """Names for one to five steps, half of them bound to a noun of the question (``pens_left``)."""
    names = rng.sample(STEP_NAMES, rng.randint(1, 5))
    return [f"{rng.choice(nouns)}_{name}" if rng.random() < 0.4 else name for name in names]


def one_step(rng: Random, numbers: dict[str, str], unused: list[str], made: list[str]) -> tuple[str, str]:
    """The wording and the expression of one step; uses up facts, refers back to steps by their names."""

    def operand() -> tuple[str, str]:
        if made and (rng.random() < 0.55 or not unused):
            name = made[-1] if rng.random() < 0.6 else rng.choice(made)
            return "the " + name.replace("_", " "), name
        if unused and rng.random() < 0.85:
            noun = unused.pop()
            return f"the {noun}", numbers[noun]
        number = random_number(rng)
        return number, number

    operator = rng.choices(list(REQUESTS), weights=(5, 5, 6, 4, 2, 1, 1, 1))[0]
    (a_text, a), (b_text, b) = operand(), operand()
    if operator == "%":
        b_text = b = str(rng.randint(1, 19) * 5)
    request = rng.choice(REQUESTS[operator]).format(a=a_text, b=b_text)
    if operator == "%":
        return request, f"{a} * {b} / 100"
    if operator in WORD_OPERATIONS:
        sign, factor = WORD_OPERATIONS[operator]
        return request, f"{a} {sign} {factor}"
    expression = f"{a} {operator} {b}"
    if operator in "+-" and rng.random() < 0.25:  # a sum or difference of three
        c_text, c = operand()
        word = "plus" if operator == "+" else "minus"
        return f"{request}, {word} {c_text}", f"{expression} {operator} {c}"
    return request, expression


def fact_sentence(rng: Random, noun: str, number: str) -> str:
    """One stated fact, e.g. ``Ann has 34 pens.``"""
    name, name2 = rng.sample(NAMES, 2)
    return rng.choice(FACTS).format(n=number, noun=noun, name=name, name2=name2, place=rng.choice(PLACES))


def random_number(rng: Random) -> str:
    """A number as text: mostly one to three digits, sometimes round thousands or a price with cents."""
    kind = rng.random()
    if kind < 0.4:
        return str(rng.randint(2, 20))
    if kind < 0.75:
        return str(rng.randint(10, 130))
    if kind < 0.9:
        return str(rng.randint(100, 2500))
    if kind < 0.95:
        return str(rng.randint(10, 999) * 1000)
    return f"{rng.randint(0, 99)}.{rng.choice(('25', '5', '75', f'{rng.randint(10, 99)}'))}"


def sentence(rng: Random, request: str, position: int) -> str:
    """A request as a sentence that says its place in the chain."""
    openings = ("First, ", "") if position == 0 else ("Then ", "Next, ", "After that, ", "")
    text = rng.choice(openings) + request
    return text[0].upper() + text[1:] + "."
