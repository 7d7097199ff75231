"""Requests on their way to a model, held to what is left of a budget.

    requests --fits?--> model --> completions, whose tokens are spent
             --no, others are under way--> waits until one of those is answered
             --no--> completions with the error UNASKED: the budget is used up

Under way is as much as is expected to fit, so that a cap is exceeded by what answers are longer than those before them,
at most by what is under way. What was spent earlier, and what was lost on the way, stands in the ledger.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from raydistill.actors.engine.ledger import LedgerReader, Spending
from raydistill.actors.engine.remote.estimates import CHARACTERS_PER_TOKEN, prompt_characters
from raydistill.actors.engine.requests import Completion, Request
from raydistill.pipelines.config.budget import Prices

if TYPE_CHECKING:
    from raydistill.pipelines.sampling.plan import Completer

UNASKED = "not asked, the budget is used up: "
SAMPLES_TO_LEARN_FROM = 8  # before that an answer is expected to be as long as it may be
REFRESH_S, NEVER = 0.25, float("-inf")


@dataclass(frozen=True, slots=True)
class Amount:
    """Tokens and money."""

    prompt_tokens: float = 0
    generated_tokens: float = 0
    money: float = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))

    def __sub__(self, other: Amount) -> Amount:
        return self + Amount(*(-getattr(other, name) for name in self.__dataclass_fields__))

    @classmethod
    def of(cls, prompt: float, generated: float, prices: Prices | None) -> Amount:
        return cls(prompt, generated, prices.of(prompt, generated) if prices else 0)


@dataclass(frozen=True, slots=True)
class Limits:
    """The caps of a run by their names in `budget`, what each purpose counts for, and when time is up.

    A purpose that is not in `prices` does not count. `used_up` names a cap that nothing more fits under.
    """

    ledger: str
    caps: Mapping[str, float] = field(default_factory=dict)
    prices: Mapping[str, Prices | None] = field(default_factory=dict)
    until: float | None = None  # seconds of the clock; `caps` has it as wall_s
    used_up: str = ""

    def over(self, amount: Amount) -> str:
        """The name of a cap that `amount` is beyond; "" where there is none."""
        if self.until is not None and time.time() >= self.until:
            return "wall_s"
        return next((name for name, cap in self.caps.items() if getattr(amount, name, 0) > cap), "")

    def counted(self, spent: Mapping[str, Spending], *, lost: bool = False) -> Amount:
        """What purposes have cost that count, or what of that came to nothing."""
        known = [(told, self.prices[purpose]) for purpose, told in spent.items() if purpose in self.prices]
        tokens = [
            ((told.lost_prompts, told.lost) if lost else (told.prompt_tokens, told.tokens), p) for told, p in known
        ]
        return sum((Amount.of(*counts, price) for counts, price in tokens), Amount())


class Expected:
    """How many tokens requests will cost, learned from those that were answered."""

    def __init__(self) -> None:
        self._characters = self._prompt = self._samples = self._generated = 0

    def learn(self, requests: Sequence[Request], prompt: int, completions: Sequence[Completion]) -> None:
        self._characters += sum(map(prompt_characters, requests))
        self._prompt += prompt
        self._samples += len(completions)
        self._generated += sum(completion.completion_tokens for completion in completions)

    def tokens(self, requests: Sequence[Request]) -> tuple[float, float]:
        """Of prompts, and of what is generated."""
        per_character = self._prompt / self._characters if self._prompt else 1 / CHARACTERS_PER_TOKEN
        known = self._samples >= SAMPLES_TO_LEARN_FROM
        each = self._generated / self._samples if known else None
        return (
            sum(map(prompt_characters, requests)) * per_character,
            sum(len(r.indices) * (r.sampling.max_tokens if each is None else each) for r in requests),
        )


class Gate:
    """A completer in front of another one; `price` is that of the model behind it, which counts a prompt once for all
    samples of a request, or (`divides`) has divided its tokens among them."""

    def __init__(self, completer: Completer, limits: Limits, price: Prices | None, *, divides: bool) -> None:
        self._completer, self._limits, self._price, self._divides = completer, limits, price, divides
        self._spent, self._held, self._under_way = Amount(), Amount(), 0
        self._used_up, self._expected = limits.used_up, Expected()
        self._changed, self._reading = asyncio.Event(), asyncio.Lock()
        self._reader, self._read, self._lost = LedgerReader(limits.ledger), NEVER, Amount()

    async def call(self, method: str, *arguments: Any) -> Any:
        """The completions of the requests; of those that do not fit, samples with the error `UNASKED`."""
        (waiting,) = arguments
        completions: list[Completion] = []
        while waiting:
            asked, expected = await self._enter(waiting)
            if not asked:
                break
            came: list[Completion] = []
            try:
                came = await self._completer.call(method, asked)
            finally:
                self._leave(asked, expected, came)
            completions += came
            waiting = _without(waiting, {f"{request.id}/{i}" for request in asked for i in request.indices})
        return [*completions, *(_unasked(request, i, self._used_up) for request in waiting for i in request.indices)]

    async def _enter(self, requests: Sequence[Request]) -> tuple[list[Request], Amount]:
        """As many of the samples as fit, in their order, and what they are expected to cost, which is held for them.

        All of them, unless nothing is under way whose cost is still to be seen.
        """
        while not self._used_up:
            await self._refresh()
            expected, over = self._fits(requests)
            if not over or not self._under_way:
                fitting = list(requests) if not over else self._first_that_fit(requests)
                if not fitting:
                    self._used_up = over
                    self._tell()
                    break
                expected = self._fits(fitting)[0]
                self._held += expected
                self._under_way += 1
                return fitting, expected
            await self._changed.wait()
        return [], Amount()

    def _tell(self) -> None:
        """Wake those that wait for a change."""
        self._changed.set()
        self._changed = asyncio.Event()

    def _fits(self, requests: Sequence[Request]) -> tuple[Amount, str]:
        """What requests are expected to cost, and which cap that would be beyond."""
        expected = Amount.of(*self._expected.tokens(requests), self._price)
        return expected, self._limits.over(self._spent + self._held + expected)

    def _first_that_fit(self, requests: Sequence[Request]) -> list[Request]:
        fitting: list[Request] = []
        for request in requests:
            for count in range(1, len(request.indices) + 1):
                some = [*fitting, replace(request, indices=request.indices[:count])]
                if self._fits(some)[1]:
                    return fitting if count == 1 else [*fitting, replace(request, indices=request.indices[: count - 1])]
            fitting.append(request)
        return fitting

    def _leave(self, asked: Sequence[Request], expected: Amount, completions: Sequence[Completion]) -> None:
        prompt, whole = self._prompt_tokens(completions), [one for one in completions if not one.error]
        generated = sum(completion.completion_tokens for completion in whole)
        if whole:
            self._expected.learn(asked, prompt, whole)
        self._held, self._under_way = self._held - expected, self._under_way - 1
        self._spent += Amount.of(prompt, generated, self._price)
        self._tell()

    def _prompt_tokens(self, completions: Sequence[Completion]) -> int:
        if self._divides:
            return sum(completion.prompt_tokens for completion in completions)
        return sum({completion.request_id: completion.prompt_tokens for completion in completions}.values())

    async def _refresh(self) -> None:
        """Take account of what the ledger knows besides: earlier lives and passes, what was lost on the way."""
        async with self._reading:
            if time.monotonic() - self._read < REFRESH_S:
                return
            if self._read == NEVER:  # nothing that is under way is ours yet
                self._spent = self._limits.counted(await asyncio.to_thread(self._reader.read))
            ended = await asyncio.to_thread(self._reader.read, ended=True)
            lost = self._limits.counted(ended, lost=True)
            self._spent += Amount() if self._read == NEVER else lost - self._lost
            self._lost, self._read = lost, time.monotonic()


def _without(requests: Sequence[Request], sample_ids: set[str]) -> list[Request]:
    left = [(r, tuple(i for i in r.indices if f"{r.id}/{i}" not in sample_ids)) for r in requests]
    return [replace(request, indices=indices) for request, indices in left if indices]


def _unasked(request: Request, index: int, cap: str) -> Completion:
    error = f"{UNASKED}{cap}"
    return Completion(request.id, index, "", "", "error", 0, 0, request.seed + index, "", error=error)
