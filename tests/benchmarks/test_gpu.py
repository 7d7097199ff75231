"""The benchmark of a machine with a GPU, on the CPU and without Ray: what it prints, and what it counts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from benchmarks.gpu import students
from benchmarks.gpu.training import peak_of, step_flops, with_config
from benchmarks.training.trainer import make_job, make_trainer
from raydistill.pipelines.config.sections import Lora
from raydistill.pipelines.data.records import Example, WeightedText
from raydistill.pipelines.training.batches import rows_of
from raydistill.pipelines.training.loop import Trainer
from tests import ROOT

ABSENT = ("ray", "vllm", "reasoning_gym", "datasets", "tensorboard")
"""What a machine may lack."""

RUN = f"""
import runpy, sys
for name in {ABSENT!r}: sys.modules[name] = None
runpy.run_module("benchmarks.gpu", run_name="__main__", alter_sys=True)
"""
SIZES = ["--questions=6", "--batch-tokens=1024", "--micro-batch-tokens=1024", "--steps=2", "--curve-steps=2"]


def test_one_line_of_metrics_without_ray(tiny_model: str) -> None:
    command = [sys.executable, "-c", RUN, "--device=cpu", f"--model={tiny_model}", *SIZES, "--prompts=2"]
    environment = {**os.environ, "RAYDISTILL_DATA": ""}
    done = subprocess.run(
        [*command, "--new-tokens=4", "--cells"], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    [line] = done.stdout.splitlines()
    told = json.loads(line)
    assert told["benchmark"] == "gpu" and told["device"] == "cpu" and told["command"].startswith("python -m")
    training, curve = told["training"], told["curve"]
    assert training["tokens_per_s"] > 0 and training["steps"] == 2 and 0 < training["utilisation"] < 1
    assert training["peak_tflops"] is None and training["memory_gb"] is None
    assert len(curve["cpu"]) == 2 and curve["cpu"] == curve["device"] and curve["largest_relative_difference"] == 0
    assert told["transformers"]["tokens_per_s"] > 0 and "engine" not in told
    assert "RAYDISTILL_DATA is not set" in told["cells"]["error"] and done.returncode == 1  # the others are not lost


def trainer_of(model: str, folder: Path, lora: Lora | None) -> Trainer:
    options = Namespace(model=model, batch_tokens=100, micro_batch_tokens=100, steps=1, precision="float32")
    turn = {"role": "user", "content": "What is 3 plus 3?"}
    examples = [Example(str(i), str(i), (turn,), (WeightedText("6" * (i + 1)),)) for i in range(4)]
    return make_trainer(with_config(make_job(options, str(folder), examples), lora=lora))


def test_arithmetic_of_a_step_is_that_of_its_matrices(tiny_model: str, tmp_path: Path) -> None:
    trainer = trainer_of(tiny_model, tmp_path, None)
    units = trainer.plan[0]
    lengths = trainer.lengths[rows_of(units)].tolist()
    block = 4 * 64 * 64 + 3 * 64 * 128 + 2 * 64  # attention, MLP, norms
    inner, output = 2 * block + 64, 64 * trainer.output_layer.weight.shape[0]
    trained = trainer.terms[0].count(units)
    attention = 6 * 2 * 64 * sum(length**2 for length in lengths)
    assert trained < sum(lengths)
    assert step_flops(trainer, units) == 6 * (inner * sum(lengths) + output * trained) + attention

    adapted = trainer_of(tiny_model, tmp_path, Lora(rank=1))
    share = (step_flops(adapted, units) - attention) / (step_flops(trainer, units) - attention)
    assert 0.66 < share < 0.72  # frozen weights get no gradients


@pytest.mark.parametrize(
    ("name", "peak"),
    [("NVIDIA H100 80GB HBM3", 989), ("NVIDIA H100 PCIe", 756), ("NVIDIA L40S", 362), ("NVIDIA L4", 121)],
)
def test_peaks_are_known_by_the_name_of_the_device(name: str, peak: int) -> None:
    assert peak_of(name) == peak and peak_of("NVIDIA GeForce GTX 1080") is None


@pytest.mark.skipif(not os.environ.get("RAYDISTILL_DATA"), reason="RAYDISTILL_DATA names no data")
def test_two_students_learn_right_answers_of_the_same_questions(
    tiny_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(students, "TOKENS", 4)
    learned: list[list[Example]] = []
    train = students.trained
    monkeypatch.setattr(students, "trained", lambda *given: (learned.append(given[1]), train(*given))[1])
    options = Namespace(model=tiny_model, device="cpu", precision="float32", pool=3, held_out=2, epochs=1)
    told = students.compare(Namespace(**vars(options), seeds=[1, 2], learning_rate=1e-3), str(tmp_path))
    assert told["program"]["mean"] == 0 and told["gain"]["seeds"] == 2
    assert [len(examples) for examples in learned] == [3] * 4
    for programs, rationales in (learned[:2], learned[2:]):
        assert [example.answer for example in programs] == [example.answer for example in rationales]
        assert all("def solution" in example.text and '"""' not in example.text for example in programs)
        assert not any("def solution" in example.text for example in rationales)
