"""Rounds of kills with 50 requests under way: all that was asked is answered, however often a part dies."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from tests.serve.conftest import Service, free_port
from tests.serve.engines.test_faults import CHAT, VICTIMS, kill
from tests.serve.solving.test_solving import SEVEN
from tests.waiting import wait_until

ROUNDS, UNDER_WAY = 5, 50

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def patient(knowing: str) -> Iterator[Service]:
    service = Service(knowing, free_port())
    yield service
    family = psutil.Process(service.process.pid).children(recursive=True)
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(120) == 0
    assert psutil.wait_procs(family, timeout=30)[1] == []


@pytest.mark.parametrize("name", VICTIMS)
def test_no_answer_is_lost(patient: Service, name: str) -> None:
    bodies = [(CHAT, "/v1/completions"), (SEVEN | {"n": 3}, "/v1/solve")]

    def ask(number: int) -> int:
        body, path = bodies[number % 2]
        return patient.request(path, body)[0]

    for turn in range(ROUNDS):
        with ThreadPoolExecutor(UNDER_WAY) as pool:
            told = [pool.submit(ask, number) for number in range(UNDER_WAY)]
            time.sleep(0.2 + 0.2 * turn)  # each round strikes at another moment of the requests
            kill(VICTIMS[name](patient))
            killed = time.monotonic()
            counts = Counter(future.result() for future in told)
        wait_until(lambda: patient.request("/healthz")[0] == 200, 120, "the service to be healthy")
        print(f"{name}, round {turn + 1}: {dict(counts)}, healthy after {time.monotonic() - killed:.1f} s")
        assert counts == {200: UNDER_WAY}
