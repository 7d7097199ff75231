"""A run's folder: what lies in it, and that every node reaches it and one command alone uses it.

    folder               written                      its name is a hash of                                     built by
    completions/<key>    as they are finished         model, adapter, dtype, version of the prompts,            sampling
                                                      how they are drawn
    verdicts/<key>       as they come, never unknown  completions' key; versions of reader and judge; task;     sampling
                                                      of programs also limits and sandbox
    examples/<key>       when all is verified         verdicts' key, selector, rounds and n, questions;         context
                                                      or what a recipe names; or their own content
    scores/<key>/<name>  as they come                 scoring model, adapter, dtype, top_k; rows by      scoring
                                                      their ids; the name is the caller's
    trajectories/<key>   as conversations end         attempts' key, settings and version of the edit           recipes
    lookups/<key>        when found                   index, target, settings of the lookup                    datastore
    training/<key>       checkpoints, result.json     examples' key, base student or adapter, settings          context
    evaluation/<key>     when nothing is unknown      verdicts' keys, questions, what follows a completion    evaluation
                         (its answers: always)
    questions/<key>      when they are first asked    the questions' ids                                        sampling

Without a key: stages/ (what was done when), ledger/ (every token spent), logs/, student/, config.yaml,
environment.json, report.json, report.html, examples.jsonl, layout (the version of these keys).

What a stage stores on one node, another one reads. A URI (s3://, gs://) is reachable by construction. Of a path each
node is asked, once, whether it sees a file that this process has just written there; a node that joins later is asked
before the next sampling job. The command that uses a path holds a lock on it, which ends with the process, however
that ends.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from filelock import FileLock, Timeout

from raydistill.actors.errors import UsageError
from raydistill.actors.storage import is_uri, read_bytes, write_atomic

LAYOUT = "2"  # of the keys above; raised where an earlier run's folders would not be found under their names
ANSWER_S = 120.0  # a node that starts its first worker takes some seconds

_asked: set[tuple[str, str]] = set()  # (folder, node id) that were found to agree


def lock_run_dir(folder: str) -> FileLock | None:
    """A lock on `folder`, to be released; None for a URI, and where the file system has no locks.

    Raises UsageError where another command has it: two of them would ask the teacher for the same samples.
    """
    if is_uri(folder):
        return None
    lock = FileLock(Path(folder, ".lock"), timeout=0)
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise UsageError(
            f"run_dir {folder} is in use by another command; wait until that has ended, or choose another run_dir"
        ) from None
    except OSError:
        return None
    return lock


def check_layout(folder: str) -> None:
    """Raise UsageError for a folder of an earlier layout, where all would be paid for again; mark a new one."""
    known, used = read_bytes(f"{folder}/layout"), read_bytes(f"{folder}/config.yaml")
    if used and (known or b"1").decode().strip() != LAYOUT:
        raise UsageError(
            f"run_dir {folder} is of an earlier version, whose stored samples have other names: choose another run_dir "
            "(its student can still be served), or finish it with the version that began it"
        )
    write_atomic(f"{folder}/layout", f"{LAYOUT}\n".encode())


def check_shared(folder: str) -> None:
    """Raise UsageError unless all nodes of the connected cluster see `folder` as this process does."""
    if is_uri(folder):
        return
    import ray

    here = ray.get_runtime_context().get_node_id()
    nodes = {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
    others = [node for node in nodes if node != here and (folder, node) not in _asked]
    if not others:
        return
    marker = Path(folder, f".seen-by-all-{uuid.uuid4().hex[:8]}")
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.touch()
    try:
        blind = [nodes[node] for node in _without(str(marker), others)]
    finally:
        marker.unlink()
    if blind:
        raise UsageError(
            f"run_dir {folder} is a folder of this node alone: {', '.join(sorted(blind))} cannot see it; expected a "
            "folder that all nodes share (NFS, EFS, Lustre) or a URI such as s3://bucket/run"
        )
    _asked.update((folder, node) for node in others)


def _without(marker: str, nodes: list[str]) -> list[str]:
    """The nodes on which there is no file `marker`. Nodes that have left meanwhile do not count."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    ask = ray.remote(os.path.exists)
    answers = {}
    for node in nodes:
        there = NodeAffinitySchedulingStrategy(node, soft=False)
        answers[ask.options(num_cpus=0, scheduling_strategy=there).remote(marker)] = node
    done, _ = ray.wait(list(answers), num_returns=len(answers), timeout=ANSWER_S)
    blind = []
    for answer in done:
        try:
            if not ray.get(answer):
                blind.append(answers[answer])
        except ray.exceptions.RayError:  # the node is gone
            continue
    return blind
