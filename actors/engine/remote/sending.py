"""One request to an endpoint, until it is answered or hopeless, with what each attempt has cost in the ledger.

    answered whole            booked as the server counts it; never sent again
    without a count           booked as estimated
    cut, hung, malformed      booked as estimated and lost; sent again, after a jittered wait
    429, 503                  nothing is booked; sent again when the server says, or when there is room again
    a setting refused         sent again at once without it
    anything else refused     the end of this request

An attempt stands in the ledger as lost from its start, so that one that a crash cuts off is known to have cost tokens.
"""

from __future__ import annotations

import asyncio
import email.utils
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raydistill.actors.engine.ledger import Ledger, LedgerEntry
from raydistill.actors.engine.remote.dialect import Dialect, refusal
from raydistill.actors.engine.remote.estimates import Estimates
from raydistill.actors.engine.remote.limit import AdaptiveLimit, Place
from raydistill.actors.engine.remote.replies import MalformedReply, Reply, Usage, read_reply
from raydistill.actors.engine.remote.settings import EndpointSettings, make_client
from raydistill.actors.engine.requests import Request

if TYPE_CHECKING:
    from tenacity import RetryCallState

BUSY = frozenset({429, 503, 529})
PASSING = frozenset({408, 409, 425})
EXHAUSTED = ("insufficient_quota", "billing")  # 429s that no waiting helps against
NEVER_SENT = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol", "ProxyError"})
FREE = Usage(0, 0)
LONGEST_WAIT_S = 30.0


class Refused(Exception):
    """A request that this endpoint will not answer, whatever the number of attempts."""


@dataclass
class Again(Exception):
    """An attempt that may be followed by another; `busy` where the server has too much to do."""

    reason: str
    busy: bool = False
    after_s: float = 0.0


class Sender:
    """Sends requests to one endpoint, as many at a time as it takes."""

    def __init__(self, settings: EndpointSettings, dialect: Dialect, estimates: Estimates) -> None:
        self._settings, self._dialect, self._estimates = settings, dialect, estimates
        self.limit = AdaptiveLimit(settings.most_requests)
        self._client = make_client(settings)
        self._ledger = Ledger(settings.ledger) if settings.ledger else None

    async def send(self, request: Request, first: int, count: int) -> tuple[Reply, Usage]:
        """An answer with at least one choice for samples from `first` on, and what it cost.

        Raises Refused with the server's reason, or with that of the last of several attempts.
        """
        from tenacity import AsyncRetrying, retry_if_exception_type

        retrying = AsyncRetrying(
            retry=retry_if_exception_type(Again), wait=_wait, stop=_Patience(self._settings), reraise=True
        )
        try:
            return await retrying(self._attempt, request, first, count)
        except Again as error:
            raise Refused(error.reason) from None

    async def _attempt(self, request: Request, first: int, count: int) -> tuple[Reply, Usage]:
        """One attempt; those that find out what the endpoint does not take are not counted."""
        while True:
            body = self._dialect.body(request, first, count)
            place = await self.limit.enter()
            entry = self._note_start(request, first, body.get("n", 1))
            try:
                return await self._once(request, body, place, entry)
            except _Learned:
                continue
            finally:
                self.limit.leave()
                entry.finish()

    async def _once(self, request: Request, body: dict[str, Any], place: Place, entry: _Entry) -> tuple[Reply, Usage]:
        content = await self._post(body, place, entry)
        try:
            reply = read_reply(content)
        except MalformedReply as error:
            if not error.paid:
                entry.book(FREE)
            raise Again(str(error)) from None
        texts = [choice.reasoning + choice.text for choice in reply.choices]
        if not texts:
            if reply.usage:
                entry.book(reply.usage, lost=True)
            raise Again("the server answered without choices")
        if reply.usage:
            self._estimates.learn(request, texts, reply.usage)
        usage = reply.usage or self._estimates.counted(request, texts)
        entry.book(usage)
        self.limit.answered(usage.completion_tokens)
        return reply, usage

    async def _post(self, body: dict[str, Any], place: Place, entry: _Entry) -> bytes:
        """The body of the server's answer. Raises Again, Refused, or _Learned where the request is another one now."""
        from openai import APIConnectionError, APIStatusError, APITimeoutError

        try:
            async with asyncio.timeout(self._settings.timeout_s):
                return (await self._call(body)).content
        except (APITimeoutError, TimeoutError) as error:
            if type(error.__cause__).__name__ in NEVER_SENT:
                entry.book(FREE)
                raise Again("the server cannot be reached in time") from None
            self.limit.timed_out(place)
            raise Again(f"no answer within {self._settings.timeout_s:g} s (endpoint.timeout_s)") from None
        except APIConnectionError as error:
            if type(error.__cause__).__name__ in NEVER_SENT:
                entry.book(FREE)
            raise Again(f"the connection broke: {error.__cause__ or error}") from None
        except APIStatusError as error:
            entry.book(FREE)
            raise self._refusal(error, body, place) from None

    async def _call(self, body: dict[str, Any]) -> Any:
        asked = self._settings.model
        if self._settings.api == "completions":
            rest = {name: value for name, value in body.items() if name != "prompt"}
            return await self._client.completions.with_raw_response.create(
                model=asked, prompt=body["prompt"], extra_body=rest
            )
        rest = {name: value for name, value in body.items() if name != "messages"}
        return await self._client.chat.completions.with_raw_response.create(
            model=asked, messages=body["messages"], extra_body=rest
        )

    def _refusal(self, error: Any, body: dict[str, Any], place: Place) -> Exception:
        """What to make of a response that is no answer."""
        status, text = error.status_code, error.response.text
        said, parameter = refusal(text)
        reason = f"the server says {status}: {said or 'nothing'}"
        if status in BUSY and not any(word in text for word in EXHAUSTED):
            after = retry_after(error.response.headers)
            self.limit.congested(place, after if after <= self._settings.patience_s else 0.0)  # else it ends here
            return Again(reason, busy=True, after_s=after)
        if status in (400, 422) and self._dialect.learn(said, parameter, body):
            return _Learned()
        if status in PASSING or status >= 500:
            return Again(reason, after_s=retry_after(error.response.headers))
        return Refused(reason)

    def _note_start(self, request: Request, first: int, count: int) -> _Entry:
        entry = _Entry(self._ledger.start(f"{request.id}/{first}", request.purpose) if self._ledger else None)
        entry.book(self._estimates.lost(request, count), lost=True)
        return entry

    def flush(self) -> None:
        """Make the ledger durable."""
        if self._ledger:
            self._ledger.flush()

    async def close(self) -> None:
        await self._client.close()
        if self._ledger:
            self._ledger.close()


class _Learned(Exception):
    """The endpoint does not take a setting that was sent: the request is another one now."""


@dataclass(slots=True)
class _Entry:
    """An attempt's place in the ledger, if there is one."""

    note: LedgerEntry | None

    def book(self, usage: Usage, *, lost: bool = False) -> None:
        if self.note:
            self.note.tokens, self.note.prompt_tokens = usage.completion_tokens, usage.prompt_tokens
            self.note.estimated, self.note.lost = usage.estimated, lost

    def finish(self) -> None:
        if self.note:
            self.note.finish()


class _Patience:
    """When a request has had its attempts: faults are counted, with a busy server it is the time that counts."""

    def __init__(self, settings: EndpointSettings) -> None:
        self._attempts, self._patience_s = settings.attempts, settings.patience_s
        self._began, self._faults = time.monotonic(), 0

    def __call__(self, state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        assert isinstance(error, Again)
        self._faults += not error.busy
        waited = time.monotonic() - self._began
        return self._faults >= self._attempts or error.busy and waited + error.after_s > self._patience_s


def _wait(state: RetryCallState) -> float:
    """What the server asks for, and a random time that grows with each attempt."""
    from tenacity import wait_random_exponential

    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, Again)
    return error.after_s + wait_random_exponential(multiplier=0.5, max=LONGEST_WAIT_S)(state)


def retry_after(headers: Any) -> float:
    """Seconds that a response asks to wait; 0 if it does not. A number, milliseconds, or a date."""
    if milliseconds := headers.get("retry-after-ms"):
        return max(0.0, _number(milliseconds) or 0.0) / 1000
    told = headers.get("retry-after")
    if not told:
        return 0.0
    if (seconds := _number(told)) is not None:
        return max(0.0, seconds)
    parsed = email.utils.parsedate_tz(told)
    return max(0.0, email.utils.mktime_tz(parsed) - time.time()) if parsed else 0.0


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
