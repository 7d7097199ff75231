"""Which students share an engine, and what memory engines will want.

Adapters of one base share its weights. An engine has one tokenizer, one set of tokens that end a turn and one set of
arguments, so that those who share it must agree in these; whoever does not has an engine of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from raydistill.actors.errors import UsageError
from raydistill.pipelines.config.sections import EngineConfig
from raydistill.pipelines.doctor.findings import in_bytes
from raydistill.pipelines.doctor.memory import PROCESS, free_bytes, parameters
from raydistill.serve.student import Student

DECIDING = ("dtype", "max_model_len", "options")  # what of an engine's settings decides about answers


def with_engines(students: Iterable[Student]) -> tuple[Student, ...]:
    """The students, each with its engine."""
    placed: list[Student] = []
    for student in students:
        of = next((other.engine for other in placed if not difference(student, other)), student.name)
        placed.append(replace(student, engine=of))
    return tuple(placed)


def by_engine(students: Iterable[Student]) -> dict[str, list[Student]]:
    engines: dict[str, list[Student]] = {}
    for student in students:
        engines.setdefault(student.engine, []).append(student)
    return engines


def base_of(student: Student) -> tuple[str, str | None]:
    """Where the weights under an adapter lie, and their revision."""
    path = Path(student.model)
    return str(path.resolve()) if path.is_dir() else student.model, student.revision


def difference(one: Student, other: Student) -> str:
    """What keeps two students from sharing an engine; "" where nothing does."""
    if one.adapter is None or other.adapter is None or base_of(one) != base_of(other):
        return "base"
    for name in DECIDING:
        if getattr(one.hosting, name) != getattr(other.hosting, name):
            return f"student.{name}"
    if own_ends(one) != own_ends(other):
        return "end of turn (generation_config.json)"
    if one.tokenizer != other.tokenizer and _tokenizer(one) != _tokenizer(other):
        return "tokenizer or chat template"
    return ""


def own_ends(student: Student) -> Any:
    """The tokens that end a turn by the adapter's own file; None where it has none."""
    own = Path(student.folder, "generation_config.json")
    return json.loads(own.read_text(encoding="utf-8")).get("eos_token_id") if own.is_file() else None


def _tokenizer(student: Student) -> tuple[str, str]:
    """What text becomes of turns, and what tokens of text."""
    from transformers import AutoTokenizer

    loaded: Any = AutoTokenizer.from_pretrained(student.tokenizer, revision=student.revision)
    backend = getattr(loaded, "backend_tokenizer", None)
    return str(loaded.chat_template), backend.to_str() if backend else json.dumps(loaded.get_vocab(), sort_keys=True)


def wanted_memory(students: Sequence[Student], engine: EngineConfig, gpu: bool) -> str:
    """One line on the engine that these share."""
    names, weights = ", ".join(student.name for student in students), students[0].model
    size = parameters(weights)
    whose = f"{names}: an engine {'over' if students[0].adapter else 'of'} {weights}"
    if size is None:
        return f"{whose}, whose size is not known here"
    if gpu:
        share = f"{engine.gpu_memory_utilization:.0%} of each of its {engine.tensor_parallel_size} GPUs"
        return f"{whose} wants {in_bytes(2 * size)} for weights, and takes {share}"
    wanted = _bytes_wanted(size, engine)
    return f"{whose} wants about {in_bytes(wanted)} of memory ({engine.kv_cache_gb:g} GB of it for its cache)"


def check_memory(student: Student, engine: EngineConfig) -> None:
    """Raise UsageError where this machine, which has no GPU, has no room for one more engine: Ray would kill others."""
    try:
        wanted = _bytes_wanted(parameters(student.model) or 0, engine)
    except Exception as error:  # whatever is wrong with a file, in the words of its library
        raise UsageError(f"{student.folder}: its weights cannot be read: {error}") from None
    if wanted > (free := free_bytes()):
        raise UsageError(
            f"{student.folder}: its engine wants about {in_bytes(wanted)} of memory, and {in_bytes(free)} are free: "
            "remove a student first, or lower student.kv_cache_gb"
        )


def _bytes_wanted(size: int, engine: EngineConfig) -> float:
    """Of memory without a GPU, with so many parameters."""
    return (2 if engine.dtype in ("bfloat16", "float16") else 4) * size + engine.kv_cache_gb * 2**30 + PROCESS
