"""What generated ordering puzzles are about, and how a claim is worded in them. The scenes are the project's own."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from raydistill.pipelines.tasks.stepwise.puzzles import ORDINALS, Claim

COUNT_WORDS = {3: "three", 4: "four", 5: "five", 7: "seven"}


@dataclass(frozen=True, slots=True)
class Scene:
    """A kind of order with its wording; `start` and `end` are places, ``{nth}`` is ``second`` and so on."""

    opening: str
    objects: tuple[str, ...]
    article: bool  # singular with an article; otherwise names or plurals
    verb: str
    before: str
    after: str
    first: str
    last: str
    from_start: str
    from_end: str


SCENES = (
    Scene("Along a path, there are {count} plants",
          ("rose", "fern", "tulip", "lily", "cactus", "daisy", "poppy", "mint"),
          True, "is", "to the left of", "to the right of", "the leftmost", "the rightmost",
          "the {nth} from the left", "the {nth} from the right"),
    Scene("In a workshop, there are {count} tools",
          ("hammer", "saw", "drill", "file", "ladder", "wrench", "plane", "vice"),
          True, "is", "older than", "newer than", "the oldest", "the newest", "the {nth}-oldest", "the {nth}-newest"),
    Scene("A bakery sells {count} pastries",
          ("scones", "muffins", "bagels", "tarts", "pies", "rolls", "donuts", "waffles"),
          False, "are", "less expensive than", "more expensive than", "the cheapest", "the most expensive",
          "the {nth}-cheapest", "the {nth}-most expensive"),
    Scene("In a sailing race, there were {count} sailors",
          ("Ana", "Ben", "Cleo", "Dan", "Finn", "Hal", "Ines", "Jon"),
          False, "finished", "above", "below", "first", "last", "{nth}", "{nth}-to-last"),
)  # fmt: skip
EVERY_OBJECT = tuple(name for scene in SCENES for name in scene.objects)


def random_claim(order: tuple[str, ...], rng: Random) -> Claim:
    """A claim that is true of this order: mostly who stands before whom."""
    if rng.random() < 0.3:
        place = rng.randrange(len(order))
        return Claim(order[place], place=place + 1)
    first, second = sorted(rng.sample(range(len(order)), 2))
    return Claim(order[first], order[second])


def question_text(scene: Scene, objects: tuple[str, ...], clues: list[Claim], place: int, rng: Random) -> str:
    """The question with one option per object: which of them is at `place`?"""
    listed = [with_article(name) if scene.article else name for name in objects]
    opening = scene.opening.format(count=COUNT_WORDS[len(objects)])
    said = " ".join(f"{sentence(scene, clue, len(objects), rng.random() < 0.5)}." for clue in clues)
    backwards = rng.random() < 0.5
    options = [sentence(scene, Claim(name, place=place), len(objects), backwards) for name in objects]
    lines = "".join(f"\n({letter}) {option}" for letter, option in zip("ABCDEFG", options, strict=False))
    return f"{opening}: {', '.join(listed[:-1])}, and {listed[-1]}. {said}\nOptions:{lines}"


def sentence(scene: Scene, claim: Claim, size: int, backwards: bool) -> str:
    """A claim in the scene's words; `backwards` tells it from the other object or from the other end."""
    if claim.other:
        subject, other = (claim.other, claim.subject) if backwards else (claim.subject, claim.other)
        relation = scene.after if backwards else scene.before
        return f"{called(scene, subject, True)} {scene.verb} {relation} {called(scene, other)}"
    from_end = size + 1 - claim.place
    if claim.place == 1 or from_end == 1:
        place = scene.first if claim.place == 1 else scene.last
    elif backwards:
        place = scene.from_end.format(nth=ORDINALS[from_end - 1])
    else:
        place = scene.from_start.format(nth=ORDINALS[claim.place - 1])
    return f"{called(scene, claim.subject, True)} {scene.verb} {place}"


def called(scene: Scene, name: str, opens: bool = False) -> str:
    """The object inside a sentence, or at its beginning."""
    if name[0].isupper():
        return name
    return f"{'The' if opens else 'the'} {name}"


def with_article(name: str) -> str:
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
