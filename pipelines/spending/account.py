"""The account of a run: who was asked under which key of the ledger, what that has cost, and what is left of a budget.

    <run>/ledger/account.json    {"seconds": ..., "used_up": {...}, "purposes": {<key>: {"model": ..., ...}}}

It lies beside the ledger's notes, whose purposes it explains, so that later lives of the run count what earlier ones
have paid, and `raydistill plan` can say why stored samples are those of other settings.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from raydistill.actors.engine.ledger import LedgerReader
from raydistill.actors.errors import RaydistillError
from raydistill.actors.storage import read_bytes, write_json
from raydistill.pipelines.config.budget import CAPS, Budget, Prices
from raydistill.pipelines.config.sections import EngineConfig
from raydistill.pipelines.spending.gate import Amount, Gate, Limits

SAVED_EVERY_S = 5.0  # so much of the time spent is lost with a crash
READ_EVERY_S = 1.0


class BudgetUsedUp(RaydistillError):
    """A cap of the budget was reached, and the run is to stop there."""


class Account:
    """Reads and writes the account of the run whose ledger is the folder `ledger`. `priced` models have prices."""

    def __init__(self, ledger: str, budget: Budget, priced: Sequence[EngineConfig] = ()) -> None:
        self.ledger, self.budget = ledger, budget
        self.unasked = 0  # samples of synthesis that the budget has left out
        self._prices = {model.model: model.prices for model in priced if model.prices}
        self._reader = LedgerReader(ledger)
        told = json.loads(read_bytes(f"{ledger}/account.json") or b"{}")
        self.purposes: dict[str, dict[str, Any]] = told.get("purposes", {})
        self._seconds, self._used_up = told.get("seconds", 0.0), told.get("used_up", {})
        self._began: float | None = None
        self._saved = self._read = 0.0
        self._spent = Amount()

    # Who is asked ---------------------------------------------------------------------------------------------

    @contextmanager
    def asking(self, purpose: str, model: EngineConfig, settings: Mapping[str, Any], *, kind: str) -> Iterator[None]:
        """Book what is asked meanwhile on a model, with what its samples depend on; `kind` is synthesis or evaluation.

        Time runs in synthesis alone.
        """
        told = {"model": model.model, "kind": kind, "settings": dict(settings)}
        known = self.purposes.get(purpose, {})
        self.purposes[purpose] = told | ({"kind": known["kind"]} if known.get("kind") == "synthesis" else {})
        self.purposes[purpose] |= {"prices": model.prices.model_dump() if model.prices else None}
        self._began = time.monotonic() if kind == "synthesis" else None
        self._save()
        try:
            yield
        finally:
            self._seconds, self._began = self.seconds, None
            self._save()

    @property
    def seconds(self) -> float:
        """Wall time of synthesis in all lives of the run."""
        return self._seconds + (time.monotonic() - self._began if self._began is not None else 0.0)

    def _save(self) -> None:
        self._saved = time.monotonic()
        told = {"seconds": round(self.seconds, 1), "used_up": self._used_up, "purposes": self.purposes}
        write_json(f"{self.ledger}/account.json", told)

    # What it costs --------------------------------------------------------------------------------------------

    def price(self, purpose: str) -> Prices | None:
        """What the tokens of a purpose cost: as the configuration says of its model now, else as it said then."""
        told = self.purposes[purpose]
        then = Prices(**told["prices"]) if told.get("prices") else None
        return self._prices.get(told["model"]) or then

    def spent(self, kinds: Sequence[str] = ("synthesis", "evaluation"), model: str | None = None) -> Amount:
        """What was spent on purposes of these kinds, of one model or of all."""
        counted = {
            purpose: self.price(purpose)
            for purpose, told in self.purposes.items()
            if told["kind"] in kinds and model in (None, told["model"])
        }
        return Limits(self.ledger, prices=counted).counted(self._reader.read())

    def progress(self) -> str:
        """Tokens and money for a line of progress, with their caps."""
        now = time.monotonic()
        if now - self._read >= READ_EVERY_S:
            self._read, self._spent = now, self.spent()
        if now - self._saved >= SAVED_EVERY_S:
            self._save()
        spent, budget = self._spent, self.budget
        parts = [f"{spent.prompt_tokens:,} + {spent.generated_tokens:,}"]
        if budget.prompt_tokens or budget.generated_tokens:
            most = (f"{cap:,}" if cap else "any" for cap in (budget.prompt_tokens, budget.generated_tokens))
            parts.append(f"of {' + '.join(most)}")
        parts.append("tokens")
        if self.priced:
            parts.append(f"cost {spent.money:,.2f}" + (f" of {budget.money:,.2f}" if budget.money else ""))
        return " ".join(parts)

    @property
    def priced(self) -> bool:
        """Whether somebody who was asked has prices."""
        return any(self.price(purpose) for purpose in self.purposes)

    # The budget -----------------------------------------------------------------------------------------------

    @property
    def caps(self) -> dict[str, float]:
        """The caps that are set, but for that of samples per question."""
        return self.budget.model_dump(include=set(CAPS), exclude_none=True)

    @property
    def used_up(self) -> str:
        """The name of a cap that has left samples unasked, "" where there is none or other caps or prices hold now."""
        return str(self._used_up["cap"]) if self._used_up.get("under") == self._rules else ""

    @property
    def _rules(self) -> dict[str, Any]:
        return {"caps": self.caps, "prices": {name: prices.model_dump() for name, prices in self._prices.items()}}

    def gate(self, completer: Any, purpose: str, model: EngineConfig) -> Any:
        """`completer` behind the budget, if there is one."""
        if not self.caps:
            return completer
        left = self.caps.get("wall_s", 0.0) - self.seconds
        limits = Limits(
            self.ledger,
            self.caps,
            {name: self.price(name) for name, told in self.purposes.items() if told["kind"] != "free"},
            time.time() + left if "wall_s" in self.caps else None,
            self.used_up,
        )
        return Gate(completer, limits, self.price(purpose), divides=model.engine == "openai")

    def close(self, cap: str, unasked: int) -> None:
        """Note that a cap has left so many samples unasked."""
        self._used_up = {"cap": cap, "under": self._rules}
        self.unasked += unasked
        self._save()

    def shortfall(self) -> str:
        """What the budget has left out, and how to go on, in a line."""
        cap = self.used_up
        spent = self.seconds if cap == "wall_s" else getattr(self.spent(), cap)
        left_out = f", and {self.unasked:,} samples were not asked for" if self.unasked else ""
        return (
            f"budget.{cap}: {spent:,.10g} of {self.caps[cap]:,.10g} are spent{left_out}. "
            "What came is stored: raise the cap and run the same command again"
        )

    def check(self) -> None:
        """Raise BudgetUsedUp where samples are missing and the run is to stop then."""
        if self.unasked and self.budget.on_budget == "stop":
            raise BudgetUsedUp(f"{self.shortfall()}, or learn from what there is with budget.on_budget=train")

    def section(self, report: Mapping[str, Any]) -> dict[str, Any]:
        """The report's section `cost`; what an example and a passed sample cost are of synthesis alone."""
        models = sorted({told["model"] for told in self.purposes.values() if told["kind"] != "free"})
        made, passed = self.spent(("synthesis",)), report["verification"].get("passed", 0)
        return {
            **(self._json(self.spent()) or {}),
            "synthesis_s": round(self.seconds, 1),
            "per_example": self._json(made, report["examples"]),
            "per_passed_sample": self._json(made, passed),
            "models": {name: self._json(self.spent(model=name)) for name in models},
            "budget": self.budget.model_dump(exclude_none=True) if self.caps else None,
            "used_up": self.used_up or None,
            "unasked_samples": self.unasked,
        }

    def _json(self, amount: Amount, among: int | None = None) -> dict[str, Any] | None:
        """An amount, or what it is for each of so many; None where there are none."""
        if among == 0:
            return None
        money = {"money": round(amount.money / (among or 1), 8)} if self.priced else {}
        if among is None:
            return {
                "prompt_tokens": int(amount.prompt_tokens),
                "generated_tokens": int(amount.generated_tokens),
            } | money
        names = "prompt_tokens", "generated_tokens"
        return {name: round(getattr(amount, name) / among, 1) for name in names} | money
