"""How many teacher tokens a crash costs: kill -9 of driver or engine in mid-synthesis, then the same command.

    python benchmarks/faults.py --kill driver --questions 1000 --samples 5
    python benchmarks/faults.py --kill engine

Counts every token from the engines' ledger, prints one JSON line, and exits 1 unless every sample id is stored exactly
once and the tokens that were generated twice stay below `--limit` of one pass.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil
import pyarrow as pa

from actors.ledger import read_spending
from actors.segments import read_segments

ROOT = Path(__file__).parent.parent


def command(options: argparse.Namespace, run_dir: str) -> list[str]:
    return [
        *(sys.executable, "-m", "pipelines", "synth", str(ROOT / "configs" / "demo.yaml"), "--run-dir", run_dir),
        *(f"questions.size={options.questions}", f"teacher.n={options.samples}", f"teacher.model={options.model}"),
        *("train=null", "evaluation=null"),
    ]


def stored(run_dir: str) -> pa.Table | None:
    """Ids and tokens of all stored completions."""
    folders = list(Path(run_dir, "completions").glob("*"))
    tables = [t for folder in folders for t in read_segments(str(folder), ["sample_id", "completion_tokens"])]
    return pa.concat_tables(tables) if tables else None


def wait_for_samples(run_dir: str, count: int, process: subprocess.Popen[bytes], seconds: float) -> None:
    """Return once `count` samples are stored; raise if the run ends before or nothing comes for `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        table = stored(run_dir)
        if table is not None and table.num_rows >= count:
            return
        time.sleep(0.1)  # the run is another process, all that it shows are its files
    raise SystemExit(f"{count} samples were not stored while the run was going on")


def kill(what: str, driver: subprocess.Popen[bytes]) -> None:
    """kill -9 of the driver, or of the engine actor that it started."""
    if what == "driver":
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        return
    for process in psutil.process_iter(["cmdline"]):
        title = " ".join(process.info["cmdline"] or ())
        if "ServeReplica" in title and "-engines" in title:
            process.send_signal(signal.SIGKILL)
            return
    raise SystemExit("no engine actor is running")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kill", choices=("driver", "engine"), default="driver")
    parser.add_argument("--questions", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--model", default=str(ROOT / "demo" / "models" / "teacher"))
    parser.add_argument("--limit", type=float, default=0.02, help="tokens generated twice, as a share of one pass")
    parser.add_argument("--seed", type=int, default=0, help="of the moment of the kill")
    options = parser.parse_args()
    total = options.questions * options.samples
    with tempfile.TemporaryDirectory() as run_dir:
        started = time.monotonic()
        process = subprocess.Popen(command(options, run_dir), cwd=ROOT, stdout=subprocess.DEVNULL)
        moment = random.Random(options.seed).randint(total // 5, total * 3 // 5)
        wait_for_samples(run_dir, moment, process, seconds=600)
        kill(options.kill, process)
        if options.kill == "driver":
            process = subprocess.Popen(command(options, run_dir), cwd=ROOT, stdout=subprocess.DEVNULL)
        exit_code = process.wait()
        table = stored(run_dir)
        assert table is not None
        counts = Counter(table["sample_id"].to_pylist())
        kept = sum(table["completion_tokens"].to_pylist())
        purpose = next(Path(run_dir, "completions").glob("*")).name
        spent = read_spending(f"{run_dir}/ledger", purpose).tokens
        result = {
            "benchmark": "faults",
            "killed": options.kill,
            "after_samples": moment,
            "samples": len(counts),
            "lost": total - len(counts) if exit_code == 0 else total,
            "doubled": sum(count > 1 for count in counts.values()),
            "tokens_of_one_pass": kept,
            "tokens_spent": spent,
            "extra_tokens": round((spent - kept) / kept, 4),
            "seconds": round(time.monotonic() - started, 1),
        }
    print(json.dumps(result))
    sys.exit(bool(exit_code or result["lost"] or result["doubled"] or result["extra_tokens"] > options.limit))


if __name__ == "__main__":
    main()
