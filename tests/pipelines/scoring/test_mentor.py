"""A run whose mentor is another run's student, an adapter: it writes beside a teacher, and gives the soft targets."""

from __future__ import annotations

from pathlib import Path

import pytest

from raydistill.pipelines.data.examples import read_examples
from raydistill.pipelines.run import run
from raydistill.pipelines.run_config import Run
from tests.actors.engine.test_engine import write_adapter
from tests.rows import write_rows


@pytest.mark.slow
def test_a_mentor_writes_and_gives_soft_targets(cluster: None, tiny_model: str, tmp_path: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    adapter = write_adapter(tiny_model, tmp_path / "mentor" / "student")
    asked = [{"question": f"What is {i} plus {i}?", "answer": str(2 * i)} for i in range(6)]
    said = [
        row | {"completion": f"```python\ndef solution():\n    return {i} * {n}\n```"}
        for i, row in enumerate(asked)
        for n in (2, 3)
    ]
    hosted = {"dtype": "float32", "max_model_len": 256, "kv_cache_gb": 0.25}
    config = {
        "run_dir": str(tmp_path / "run"),
        "questions": {"task": "table", "path": str(write_rows(tmp_path / "asked.jsonl", asked)), "grader": "numeric"},
        "teacher": {"n": 2, "max_tokens": 8},
        "teachers": [
            {"name": "teacher", "engine": "recorded", "model": str(write_rows(tmp_path / "said.jsonl", said))},
            {"name": "mentor", "model": str(tmp_path / "mentor"), **hosted},
        ],
        "samples_from": "several",
        "student": hosted,
        "recipe": {"recipe": "pad", "filter": False, "max_programs": 2},
        "train": {
            "student": tiny_model,
            "soft_targets": {"teacher": "mentor", "top_k": 4, "temperature": 2},
            "validation_fraction": 0,
            "epochs": 1,
        },
    }
    report = run(Run.model_validate(config))
    assert report["teachers"]["mentor"]["samples"] and report["soft_targets"]["unknown"] == 0
    folders = {path.parent for path in tmp_path.glob("run/examples/*/examples.parquet")}
    [found] = [some for folder in folders if (some := [*read_examples(str(folder))]) and some[0].soft_targets]
    assert any(one.meta.get("teacher") == "teacher" for one in found)
    mentor = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_model), adapter).eval()
    from raydistill.pipelines.training.tokens import load_tokenizer, tokenise

    for one, row in zip(found[:3], tokenise(load_tokenizer(tiny_model, None), found[:3]), strict=True):
        with torch.no_grad():
            direct = mentor(torch.tensor([row.ids])).logits[0].log_softmax(-1)
        start = row.columns["soft_start"]
        top = direct[start - 1].topk(4)
        assert one.soft_targets and one.soft_targets.temperature == 2
        assert list(one.soft_targets.logprobs[0]) == pytest.approx(top.values.tolist(), abs=1e-3)
        assert list(one.soft_targets.ids[0]) == top.indices.tolist()
