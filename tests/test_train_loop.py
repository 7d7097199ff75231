"""Parts of the worker's loop that need no Ray: schedule, threads, loading the student."""

from __future__ import annotations

import os

import pytest

from pipelines.config import Lora, Train
from pipelines.student import load_student, vocabulary_size
from pipelines.train_loop import learning_rate, threads


@pytest.mark.parametrize(
    ("schedule", "warmup", "rates"),
    [
        ("constant", 0.0, [8, 8, 8, 8, 8, 8, 8, 8]),
        ("linear", 0.0, [8, 7, 6, 5, 4, 3, 2, 1]),
        ("linear", 0.5, [2, 4, 6, 8, 8, 6, 4, 2]),
        ("cosine", 0.5, [2, 4, 6, 8, 8, 6.82843, 4, 1.17157]),
    ],
)
def test_schedule(schedule, warmup, rates):
    config = Train(student="s", learning_rate=8, schedule=schedule, warmup_ratio=warmup)
    assert [learning_rate(config, step, 8) for step in range(8)] == pytest.approx(rates, rel=1e-5)


def test_threads_of_a_worker():
    cores = os.cpu_count() or 1
    assert threads(Train(student="s")) == cores
    assert threads(Train(student="s", workers=2, cpus_per_worker=1.5)) == 2
    assert threads(Train(student="s", gpus_per_worker=1, cpus_per_worker=0.5)) == 1
    assert threads(Train(student="s", threads_per_worker=3)) == 3


@pytest.mark.parametrize("lora", [None, Lora(rank=2)])
def test_student_stops_at_its_base_models_token_and_at_the_one_it_learns(tiny_model, lora):
    model = load_student(Train(student=tiny_model, lora=lora), None, stop_id=7)
    assert model.generation_config.eos_token_id == [2, 7]
    assert model.training
    trainable = [name for name, weight in model.named_parameters() if weight.requires_grad]
    assert all("lora" in name for name in trainable) == bool(lora)


def test_vocabulary(tiny_model):
    from transformers import AutoTokenizer

    assert vocabulary_size(tiny_model, None) == len(AutoTokenizer.from_pretrained(tiny_model))
