"""What dies of Ray itself under a service: its proxy, Serve's controller, the head's control store."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from tests.processes import described
from tests.serve.conftest import Service, free_port
from tests.serve.engines.test_faults import kill
from tests.serve.solving.test_solving import SEVEN
from tests.waiting import wait_until

BACK_S, END_S = 10, 90

pytestmark = pytest.mark.slow


@pytest.fixture
def ours(knowing: str) -> Iterator[Service]:
    service = Service(knowing, free_port())
    family = psutil.Process(service.process.pid).children(recursive=True)
    yield service
    if service.process.poll() is None:
        assert service.stop() == []
    left = psutil.wait_procs(family, timeout=30)[1]
    assert all("Agent" in described(process) for process in left), left  # Ray's own, which look for it now and then
    assert psutil.wait_procs(left, timeout=240)[1] == []


def solves(service: Service) -> bool:
    try:
        return service.request("/v1/solve", SEVEN)[0] == 200
    except OSError:  # nothing listens
        return False


def test_a_dead_proxy_is_back_soon(ours: Service) -> None:
    kill(ours.processes("ProxyActor"))
    killed = time.monotonic()
    wait_until(lambda: solves(ours), 60, "the next answer")
    print(f"answered after {time.monotonic() - killed:.1f} s")
    assert time.monotonic() - killed < BACK_S


def test_a_dead_controller_loses_nothing(ours: Service) -> None:
    stop = time.monotonic() + 20
    with ThreadPoolExecutor(4) as pool:

        def ask(_: int) -> Counter[int]:
            told: Counter[int] = Counter()
            while time.monotonic() < stop:
                told[ours.request("/v1/solve", SEVEN)[0]] += 1
            return told

        asking = [pool.submit(ask, number) for number in range(4)]
        kill(ours.processes("ServeController"))
        told = sum((one.result() for one in asking), Counter())
    print(told)
    assert set(told) == {200}
    assert ours.processes("ServeController") and solves(ours)


def test_without_a_control_store_the_command_ends(ours: Service) -> None:
    kill(ours.processes("gcs_server"))
    killed = time.monotonic()
    assert ours.process.wait(END_S) != 0
    print(f"ended after {time.monotonic() - killed:.1f} s")
