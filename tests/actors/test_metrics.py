"""What Prometheus is shown of the pools, and what stages log: figures move with the work, and belong to it."""

from __future__ import annotations

import asyncio
import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from raydistill.actors.engine.requests import Completion, Request
from raydistill.actors.executor import Program
from raydistill.actors.metrics import count_repeated_call, count_results, count_verdicts, reason_label
from raydistill.actors.pool import Pool
from raydistill.pipelines.config.sections import EngineConfig, Execution
from raydistill.pipelines.runtime.pools import engine_pool, executor_pool
from raydistill.pipelines.sampling.log import run_log
from tests import ROOT
from tests.waiting import wait_until

REPORTED_S = 90.0  # Ray's processes report every 10 s
SAMPLE = re.compile(r"^(ray_(?:raydistill|serve)_\w+)\{(.*)\} (\S+)$", re.MULTILINE)


@pytest.fixture
def pools(cluster: None, questions_file: Path) -> Iterator[tuple[Pool, Pool]]:
    recorded = EngineConfig(engine="recorded", model=str(questions_file), completion_column="answer")
    running = engine_pool("metered-engines", recorded, ledger=""), executor_pool("metered", Execution(cpus=0.5))
    for pool in running:
        pool.start()
    yield running
    for pool in running:
        pool.release()


def scrape() -> dict[tuple[str, str], float]:
    """What this Ray shows: values by metric and by its label `application`, `pool`, `kind` or `status`+`reason`."""
    import ray

    [node] = ray.nodes()
    url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    found: dict[tuple[str, str], float] = {}
    for name, labels, value in SAMPLE.findall(urllib.request.urlopen(url, timeout=30).read().decode()):
        told = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        key = " ".join(told[tag] for tag in ("application", "pool", "kind", "status", "reason") if tag in told)
        found[name, key] = found.get((name, key), 0) + float(value)
    return found


def drawn() -> set[str]:
    """The metrics of pools and work that the dashboard draws and alerts look at.

    The rest are Ray's own, of nodes, and those of a service's requests (tests/serve/records).
    """
    dashboard = json.loads((ROOT / "deploy" / "grafana.json").read_text(encoding="utf-8"))
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    expressions = " ".join(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    rules = yaml.safe_load((ROOT / "deploy" / "alerts.yaml").read_text(encoding="utf-8"))["groups"][0]["rules"]
    assert all({"summary", "action"} == set(rule["annotations"]) and rule["expr"] for rule in rules)
    expressions += " ".join(rule["expr"] for rule in rules)
    return set(re.findall(r"\bray_(?:raydistill(?!_request)|serve)_\w+", expressions))


def test_figures_move_with_the_work_and_the_dashboard_draws_them(pools: tuple[Pool, Pool]) -> None:
    engines, executors = pools
    programs = [
        Program("right", "def solution():\n    return 42\n"),
        Program("wrong", "def solution():\n    return x\n"),
    ]

    async def work() -> None:
        await engines.client.call("generate", [Request("q", "", key="What is 1 plus 1?")])
        for _ in range(3):
            await executors.client.call("run", programs)
        with pytest.raises(AttributeError):
            await executors.client.call("no_such_method")

    asyncio.run(work())
    # Recorded completions cost no tokens, Verify's processes end with their pass, nobody dies: count those three here.
    count_repeated_call("here")
    count_results("here", [Completion("q", 0, "text", "", "stop", 30, 7, 0, "engine")] * 2)
    count_verdicts([{"status": "failed", "reason": "recursion"}] * 5)  # a reason that no other test's run has
    expected = {
        ("ray_serve_deployment_queued_queries", "metered"): 0,
        ("ray_serve_replica_processing_queries", "metered"): 0,
        ("ray_serve_deployment_replica_healthy", "metered"): 1,
        ("ray_serve_deployment_request_counter_total", "metered"): 3,
        ("ray_serve_deployment_error_counter_total", "metered"): 1,
        ("ray_serve_deployment_request_counter_total", "metered-engines"): 1,
        ("ray_raydistill_repeated_calls_total", "here"): 1,
        ("ray_raydistill_tokens_total", "here prompt"): 60,
        ("ray_raydistill_tokens_total", "here completion"): 14,
        ("ray_raydistill_programs_total", "metered passed ok"): 3,
        ("ray_raydistill_programs_total", "metered failed exception:NameError"): 3,
        ("ray_raydistill_verdicts_total", "failed recursion"): 5,
    }
    assert {name for name, _ in expected} == drawn()
    wait_until(lambda: expected.items() <= scrape().items(), REPORTED_S, f"{expected}")
    before = scrape()
    asyncio.run(executors.client.call("run", programs))
    calls = ("ray_serve_deployment_request_counter_total", "metered")
    wait_until(lambda: scrape()[calls] == before[calls] + 1, REPORTED_S, "the next call to be counted")


def test_programs_cannot_invent_labels() -> None:
    assert reason_label("exception:NameError") == "exception:NameError"
    assert reason_label("exception:Zebra7") == "exception:other"
    assert reason_label("timeout") == "timeout"


def test_stages_log_json_lines_with_ids(tmp_path: Path) -> None:
    log = run_log("verify", str(tmp_path))
    log.warning("no verdict", sample_id="q1/0/2", reason="worker_died", detail='a "quoted"\nline')
    run_log("verify", str(tmp_path)).info("samples judged", passed=3)
    [path] = (tmp_path / "logs").glob("verify-*.jsonl")
    first, second = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    assert first.pop("time") <= second.pop("time")
    assert first == {
        "level": "WARNING",
        "event": "no verdict",
        "run": str(tmp_path),
        "stage": "verify",
        "sample_id": "q1/0/2",
        "reason": "worker_died",
        "detail": 'a "quoted"\nline',
    }
    assert second == {"level": "INFO", "event": "samples judged", "run": str(tmp_path), "stage": "verify", "passed": 3}
