"""What several students are called, whose engine is whose, and what is refused before anything starts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from raydistill.actors.errors import UsageError
from raydistill.pipelines.config.sections import EngineConfig
from raydistill.serve.admission.rules import ADMIN_VARIABLE, admin_key
from raydistill.serve.app import serve_students
from raydistill.serve.engines.config import rank_room
from raydistill.serve.student import find_student
from raydistill.serve.students.naming import find_students, split_name
from raydistill.serve.students.sharing import by_engine, wanted_memory, with_engines

KEY = "an-admin-key-of-a-test"


def adapter(run: Path, base: str, rank: int = 4, target: str = "program", **hosting: Any) -> str:
    """A run with an adapter that has no weights; its student writes `target`."""
    folder = run / "student"
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base, "r": rank}))
    said = {"recipe": {"recipe": "pad", "target": target}, "questions": {"task": "gsm8k"}, "student": hosting}
    (folder / "raydistill.json").write_text(json.dumps(said))
    return str(run)


def names(*given: str) -> list[str]:
    return [student.name for student in find_students(given)]


def test_students_are_called_as_their_runs_or_as_is_said(tmp_path: Path, tiny_model: str) -> None:
    one, two = adapter(tmp_path / "one", tiny_model), adapter(tmp_path / "two", tiny_model)
    odd = adapter(tmp_path / "lr=3", tiny_model)
    assert names(one) == ["student"]
    assert names(one, two, f"{two}/student".replace("two", "lr=3")) == ["one", "two", "lr=3"]
    assert names(f"a={one}", f"b={one}", f"student.v2={odd}") == ["a", "b", "student.v2"]
    assert names(f"student={two}", one) == ["student", "one"]
    assert split_name(odd) == ("", odd)


def test_a_clash_is_one_line_that_says_how_to_name(tmp_path: Path, tiny_model: str) -> None:
    one, other = adapter(tmp_path / "a" / "run", tiny_model), adapter(tmp_path / "b" / "run", tiny_model)
    told = rf"^{one}/student and {other}/student would both be called run: name one as NAME=PATH$"
    with pytest.raises(UsageError, match=told):
        serve_students([one, other])
    with pytest.raises(UsageError, match="student always means the first student: name this one as NAME=PATH"):
        find_students([one, f"student={other}"])
    with pytest.raises(UsageError, match="^'a b': no name for a student; expected up to 64 letters"):
        find_students([f"a b={one}"])


def test_adapters_share_an_engine_unless_it_would_answer_otherwise(
    tmp_path: Path, tiny_model: str, other_weights: str
) -> None:
    from transformers import AutoTokenizer

    plain = [adapter(tmp_path / name, tiny_model, rank) for name, rank in (("a", 4), ("b", 40))]
    longer = adapter(tmp_path / "longer", tiny_model, max_model_len=128)
    ends = adapter(tmp_path / "ends", tiny_model)
    Path(ends, "student/generation_config.json").write_text('{"eos_token_id": [2, 5]}')
    same = adapter(tmp_path / "same", tiny_model, max_num_seqs=3)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.save_pretrained(f"{same}/student")
    template = adapter(tmp_path / "template", tiny_model)
    tokenizer.chat_template += " "
    tokenizer.save_pretrained(f"{template}/student")
    other = adapter(tmp_path / "other", other_weights)
    students = with_engines(find_students([*plain, longer, ends, same, template, other, tiny_model]))
    shared = {name: [student.name for student in some] for name, some in by_engine(students).items()}
    alone = ("longer", "ends", "template", "other", Path(tiny_model).name)
    assert shared == {"a": ["a", "b", "same"]} | {name: [name] for name in alone}


def test_the_highest_rank_makes_the_room(tmp_path: Path, tiny_model: str) -> None:
    small, large = (find_student(adapter(tmp_path / str(rank), tiny_model, rank)) for rank in (4, 40))
    assert (rank_room([small]), rank_room([small, large]), rank_room([find_student(tiny_model)])) == (8, 64, 0)
    fixed = find_student(adapter(tmp_path / "fixed", tiny_model, 40, options={"max_lora_rank": 16}))
    with pytest.raises(UsageError, match=r"^\S+/student: an adapter of rank 40, .* takes ranks up to 16: [^\n]+$"):
        rank_room([fixed])
    with pytest.raises(UsageError, match=r"^\S+/600/student: an adapter of rank 600: expected a rank of at most 512"):
        rank_room([small, find_student(adapter(tmp_path / "600", tiny_model, 600))])


def test_a_line_says_what_memory_an_engine_will_want(tmp_path: Path, tiny_model: str) -> None:
    engine = EngineConfig(model=tiny_model, kv_cache_gb=0.5)
    [whole] = find_students([tiny_model])
    said = wanted_memory([whole], engine, gpu=False)
    assert said == f"model: an engine of {tiny_model} wants about 1.7 GB of memory (0.5 GB of it for its cache)"
    shared = find_students([adapter(tmp_path / name, tiny_model) for name in ("a", "b")])
    assert wanted_memory(shared, engine, gpu=True).startswith(f"a, b: an engine over {tiny_model} wants ")
    assert wanted_memory(shared, engine, gpu=True).endswith("takes 90% of each of its 1 GPUs")
    unknown = find_students([adapter(tmp_path / "c", "some/model")])
    assert wanted_memory(unknown, engine, gpu=False).endswith("over some/model, whose size is not known here")


def test_the_admin_key_is_of_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ADMIN_VARIABLE, raising=False)
    assert admin_key(None) is None
    monkeypatch.setenv(ADMIN_VARIABLE, KEY)
    assert (key := admin_key(None)) and KEY not in repr(key)
    file = tmp_path / "key"
    file.write_text(f"{KEY}-of-a-file\n")
    assert admin_key(str(file)) not in (None, key)
    for text in ("", "short"):
        file.write_text(text)
        with pytest.raises(UsageError, match=r"^\S+/key: expected an admin key of at least 16 characters$"):
            admin_key(str(file))
    with pytest.raises(UsageError, match=r"^\S+/none: cannot be read: No such file"):
        admin_key(str(tmp_path / "none"))
