"""A teacher behind a URL that fails: a run over vLLM's own server behind a proxy with faults, and beside the pool.

    python -m benchmarks.endpoint_faults            all three; about a quarter of an hour with the demo's teacher
    python -m benchmarks.endpoint_faults faults --questions 200 --out /tmp/endpoints.json

    faults   `raydistill synth`, a fifth of whose requests meet a fault: is anything lost, doubled or asked for again
             after a whole answer, and are the tokens those that the proxy has counted
    kill     kill -9 of the command in the middle of such a run: the same command completes; what is paid twice
    pool     the same questions asked of the URL and of the pool: equal texts greedily, both log-probabilities of each
             that is not; the share that passes at temperature 1.4

Each part replaces its row in `--out` and prints it. Exits 1 unless all of them pass.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.endpoint_faults.proxy import FAULTS, Exchange, FaultProxy, vllm_server
from benchmarks.replications.cells import RESULTS, ROOT, provenance, run_main
from benchmarks.synthesis.faults import stored, wait_for_samples
from raydistill.actors.engine.ledger import Spending, read_spending
from raydistill.actors.storage import write_atomic

TEACHER = ROOT / "demo" / "models" / "teacher"
SHARE = 0.2  # of the requests that meet a fault
TIMEOUT_S = 20.0  # a request that hangs holds up the questions that were asked with it for so long
NEAR = 0.05  # what estimates may be off by
ALIKE = 0.995  # of greedy texts
FIRST_SAMPLES_S = 600.0
JUST_BEFORE_S = 1.0  # what is answered is stored within a third of this
STARTS = 3

Row = dict[str, Any]


def command(run_dir: Path, config: str, *changes: str) -> list[str]:
    """A synthesis of one of the shipped configurations."""
    base = [
        sys.executable,
        "-m",
        "raydistill",
        "synth",
        str(ROOT / "configs" / config),
        "train=null",
        "evaluation=null",
    ]
    return [*base, *changes, "--run-dir", str(run_dir), "--quiet"]


def behind(url: str, run_dir: Path, questions: int, *changes: str) -> list[str]:
    endpoint = f"teacher.endpoint={{base_url: {url}, api_key_env: null, timeout_s: {TIMEOUT_S}}}"
    return command(run_dir, "demo-url.yaml", f"questions.size={questions}", endpoint, *changes)


def synthesize(arguments: list[str]) -> None:
    done = subprocess.run(arguments, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if done.returncode:
        raise RuntimeError(f"exit {done.returncode}: {done.stderr.decode()[-500:]}")


def tokens(exchanges: list[Exchange]) -> int:
    return sum(exchange.completion_tokens for exchange in exchanges)


def spending(run_dir: Path) -> Spending:
    [folder] = (run_dir / "completions").iterdir()
    return read_spending(f"{run_dir}/ledger", folder.name)


def samples(run_dir: Path, exchanges: list[Exchange]) -> Row:
    """What became of the samples of a run whose requests were these."""
    counts = Counter(row["sample_id"] for row in stored(run_dir, "completions", ["sample_id"]))
    report = json.loads((run_dir / "report.json").read_text())
    return {
        "requests": len({exchange.key for exchange in exchanges}),
        "http_requests": len(exchanges),
        "faults": dict(sorted(Counter(exchange.fault for exchange in exchanges if exchange.fault).items())),
        "lost": report["questions"]["used"] - len(counts),
        "doubled": sum(count > 1 for count in counts.values()),
    }


def booked(run_dir: Path, exchanges: list[Exchange]) -> Row:
    """The tokens in the ledger beside those that the proxy has counted: told to the run by an answer, and not."""
    spent = spending(run_dir)
    told = [exchange for exchange in exchanges if exchange.whole or exchange.fault == "no choices"]
    told = [exchange for exchange in told if exchange.fault != "no usage"]
    counted, untold = tokens(told), tokens(exchanges) - tokens(told)
    return {
        "tokens_counted": counted,
        "tokens_booked": spent.tokens - spent.estimated,
        "tokens_not_told": untold,
        "tokens_estimated": spent.estimated,
        "estimate_off": round(spent.estimated / untold - 1, 4) if untold else 0.0,
        "http_requests_booked": spent.attempts,
    }


def faults(url: str, options: argparse.Namespace, scratch: Path) -> Row:
    """A run a fifth of whose requests meet a fault."""
    run_dir = scratch / "faults"
    with FaultProxy(url, SHARE) as proxy:
        synthesize(behind(proxy.url, run_dir, options.questions))
        row = samples(run_dir, proxy.exchanges) | booked(run_dir, proxy.exchanges)
    whole = Counter(exchange.key for exchange in proxy.exchanges if exchange.whole)
    row["answered_whole_and_sent_again"] = sum(count > 1 for count in whole.values())
    exact = row["tokens_counted"] == row["tokens_booked"] and row["http_requests"] == row["http_requests_booked"]
    kept = not (row["lost"] or row["doubled"] or row["answered_whole_and_sent_again"])
    met = set(FAULTS) <= row["faults"].keys() or row["requests"] < 500
    return row | {"passed": kept and exact and met and abs(row["estimate_off"]) <= NEAR}


def kill(url: str, options: argparse.Namespace, scratch: Path) -> Row:
    """kill -9 of the driver at a random moment of such a run, and the same command again until it ends well."""
    run_dir = scratch / "kill"
    moment = random.Random(options.seed).randint(options.questions // 5, options.questions * 3 // 5)
    with FaultProxy(url, SHARE) as proxy:
        arguments = behind(proxy.url, run_dir, options.questions)
        driver = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        wait_for_samples(run_dir, "completions", moment, driver, FIRST_SAMPLES_S)
        driver.kill()
        killed = time.monotonic()
        driver.wait()
        proxy.wait_until_idle()  # Ray's processes end with the driver, and its requests with them
        before = list(proxy.exchanges)
        open_ = [one for one in before if one.ended > killed - JUST_BEFORE_S]  # under way, or not stored yet
        ends = [subprocess.run(arguments, cwd=ROOT, stdout=subprocess.DEVNULL).returncode]
        while ends[-1] and len(ends) < STARTS:
            ends.append(subprocess.run(arguments, cwd=ROOT, stdout=subprocess.DEVNULL).returncode)
        row = samples(run_dir, proxy.exchanges)
    good = {one.key for one in before if one.whole}
    again = [one for one in proxy.exchanges[len(before) :] if one.key in good]
    spent = spending(run_dir)
    row |= {
        "killed_after_samples": moment,
        "starts": 1 + len(ends),
        "in_flight_requests": len(open_),
        "of_them_begun_after_the_kill": sum(one.began > killed for one in open_),
        "in_flight_tokens": tokens(open_),
        "paid_twice_requests": len(again),
        "paid_twice_tokens": tokens(again),
        "all_tokens": tokens(proxy.exchanges),
        "all_tokens_booked": spent.tokens,
    }
    complete = not (ends[-1] or row["lost"] or row["doubled"])
    return row | {"passed": complete and {one.key for one in again} <= {one.key for one in open_}}


def pool(url: str, options: argparse.Namespace, scratch: Path) -> Row:
    """The same questions asked of the URL and of a pool of engines."""
    size, local = f"questions.size={options.compared}", "teacher.replicas=[1,1]"
    said: dict[str, dict[str, Row]] = {}
    passed: dict[str, list[int]] = {}
    for way, temperature in (("greedy", 0.0), ("sampled", 1.4)):
        drawn = f"teacher.temperature={temperature}"
        synthesize(behind(url, scratch / f"{way}-url", options.compared, drawn))
        synthesize(command(scratch / f"{way}-pool", "demo.yaml", size, drawn, local))
        for where in ("url", "pool"):
            run_dir = scratch / f"{way}-{where}"
            report = json.loads((run_dir / "report.json").read_text())
            passed[f"{way} {where}"] = [report["verification"]["passed"], report["verification"]["programs"]]
            rows = stored(run_dir, "completions", ["sample_id", "question_id", "text"])
            said[f"{way} {where}"] = {row["sample_id"]: row for row in rows}
    differing = unlike(said["greedy url"], said["greedy pool"], options.compared)
    count = len(said["greedy pool"])
    sampled = [passed[f"sampled {where}"] for where in ("url", "pool")]
    shares = [right / all_ for right, all_ in sampled]
    error = (sum(share * (1 - share) / all_ for share, (_, all_) in zip(shares, sampled, strict=True))) ** 0.5
    alike = sum(said["sampled url"][i]["text"] == row["text"] for i, row in said["sampled pool"].items())
    return {
        "questions": count,
        "greedy_equal": round(1 - len(differing) / count, 4),
        "differing": differing,
        "passed_of": passed,
        "sampled_passed": [round(share, 4) for share in shares],
        "sampled_stderr_of_difference": round(error, 4),
        "sampled_texts_equal": round(alike / count, 4),
        "passed": 1 - len(differing) / count >= ALIKE and abs(shares[0] - shares[1]) <= 2 * error,
    }


def unlike(some: dict[str, Row], others: dict[str, Row], questions: int) -> list[Row]:
    """The samples whose texts differ, with the log-probability of each text by a plain forward pass."""
    from raydistill.pipelines.recipes.registry import make_recipe
    from raydistill.pipelines.run_config import load_config
    from raydistill.pipelines.tasks import load_questions

    changed = [sample for sample, row in some.items() if row["text"] != others[sample]["text"]]
    if not changed:
        return []
    config = load_config(ROOT / "configs" / "demo.yaml", [f"questions.size={questions}"])
    recipe: Any = make_recipe(config.recipe)
    assert config.questions
    known = {question.id: question for question in load_questions(config.questions).questions}
    likelihood = scorer()
    rows = []
    for sample in changed:
        [prompt] = recipe.teacher.prompts(known[some[sample]["question_id"]])
        pair = [side[sample]["text"] for side in (some, others)]
        rows.append(
            {"sample": sample, "texts": pair, "log_probabilities": [likelihood(prompt.messages, t) for t in pair]}
        )
    return rows


def scorer() -> Callable[[Any, str], float]:
    """The natural log-probability of a text and the end of the turn behind chat messages, by transformers."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from raydistill.actors.engine.rendering import prompt_ids
    from raydistill.actors.engine.requests import Request

    tokenizer = AutoTokenizer.from_pretrained(TEACHER)
    model = AutoModelForCausalLM.from_pretrained(TEACHER, dtype=torch.float32)

    def score(messages: Any, text: str) -> float:
        begun = prompt_ids(tokenizer, Request("", messages))
        ids = [*begun, *tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id]
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        return round(float(sum(logits[at - 1, ids[at]] for at in range(len(begun), len(ids)))), 4)

    return score


PARTS: dict[str, Callable[[str, argparse.Namespace, Path], Row]] = {"faults": faults, "kill": kill, "pool": pool}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; default: all")
    parser.add_argument("--questions", type=int, default=2010, help="of faults and kill")
    parser.add_argument("--compared", type=int, default=400, help="questions of pool")
    parser.add_argument("--seed", type=int, default=0, help="of the moment of kill")
    parser.add_argument("--out", default=str(RESULTS / "endpoints.json"))
    options = parser.parse_args()
    out, good = Path(options.out), True
    with tempfile.TemporaryDirectory(dir="/var/tmp") as made:
        scratch = Path(made)
        for part in options.parts or PARTS:
            started = time.monotonic()
            with vllm_server(TEACHER, scratch / "vllm.log") as url:
                row = PARTS[part](url, options, scratch)
            row |= {"seconds": round(time.monotonic() - started, 1), "command": command_of(part, options)}
            rows = json.loads(out.read_text()) if out.exists() else {}
            write_atomic(str(out), (json.dumps(rows | {part: row | provenance()}, indent=2) + "\n").encode())
            print(json.dumps({part: row}))
            good = good and row["passed"]
    sys.exit(not good)


def command_of(part: str, options: argparse.Namespace) -> str:
    size = f"--compared {options.compared}" if part == "pool" else f"--questions {options.questions}"
    return f"python -m benchmarks.endpoint_faults {part} {size}"


if __name__ == "__main__":
    run_main(main)
