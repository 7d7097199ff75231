"""The one that has read the keys and counts what they use, however many ingress replicas ask it: a Serve deployment.

What was counted is lost where its process dies; the keys are read again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from raydistill.serve.admission.gate import Rules
from raydistill.serve.admission.keys import Key, Keyring
from raydistill.serve.admission.windows import Amounts, Wait, Windows

CALLS_IN_FLIGHT = 10_000
GRACE_S = 30.0  # that a reservation outlives its request's deadline by


class Counter:
    """Reads keys and counts; ``Counter("/run/secrets/keys.yaml", ())``."""

    def __init__(self, path: str | None, given: Sequence[Key]) -> None:
        self._keyring, self._windows = Keyring(path, given), Windows()

    async def keys(self) -> tuple[Key, ...]:
        """Those that count now."""
        return self._keyring.current()

    async def reserve(self, name: str, most: Amounts, seconds: float) -> int | Wait | None:
        """Room for a request of the key `name` that ends within `seconds`; None where the key is gone."""
        key = next((key for key in self._keyring.current() if key.name == name), None)
        if key is None:
            return None
        now = time.monotonic()
        return self._windows.reserve(name, key.limits, most, now + seconds + GRACE_S, now)

    async def settle(self, number: int, used: Amounts | None) -> None:
        """What it has used in the end; None for all that was reserved."""
        self._windows.settle(number, used, time.monotonic())


def counter_application(rules: Rules) -> Any:
    """The deployment, bound."""
    from ray import serve

    deployment = serve.deployment(
        name="keys",
        max_ongoing_requests=CALLS_IN_FLIGHT,
        ray_actor_options={"num_cpus": 0, "label_selector": dict(rules.node_labels or {})},
    )
    return deployment(Counter).bind(rules.keys_file, rules.keys)
