"""Parts of the worker's loop that need no Ray: schedule, threads, loading the student."""

from __future__ import annotations

import os

import pytest

from raydistill.actors.errors import TrainingError
from raydistill.pipelines.config.sections import Lora, Train
from raydistill.pipelines.training.checkpoints import Progress
from raydistill.pipelines.training.loop import Trainer, learning_rate, make_optimizer, threads
from raydistill.pipelines.training.losses.base import Means, TermMeans
from raydistill.pipelines.training.student import load_student, vocabulary_size
from raydistill.pipelines.training.tokens import TokenTable, load_tokenizer, tokenise, write_tokens
from tests.pipelines.training.training_examples import rationales, sums


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


@pytest.mark.parametrize("lora", [None, Lora(rank=2, dropout=0.1)])
def test_student_stops_at_its_base_models_token_and_at_the_one_it_learns(tiny_model, lora):
    model = load_student(Train(student=tiny_model, lora=lora), None, stop_id=7)
    assert model.generation_config.eos_token_id == [2, 7]
    assert model.training
    trainable = [name for name, weight in model.named_parameters() if weight.requires_grad]
    assert all("lora" in name for name in trainable) == bool(lora)


def test_vocabulary(tiny_model):
    from transformers import AutoTokenizer

    assert vocabulary_size(tiny_model, None) == len(AutoTokenizer.from_pretrained(tiny_model))


@pytest.fixture(autouse=True)
def one_thread():
    """On cores that others use as well, two threads wait for each other most of the time."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def table(tiny_model, tmp_path_factory) -> TokenTable:
    path = str(tmp_path_factory.mktemp("tokens") / "tokens.parquet")
    write_tokens(tokenise(load_tokenizer(tiny_model, None), sums(60)), path, max_length=256, vocabulary=400)
    return TokenTable(path)


def make_trainer(student: str, table: TokenTable, **changes) -> Trainer:
    """A lone worker without Ray."""
    values = {"student": student, "precision": "float32", "batch_tokens": 600, "validation_fraction": 0.1}
    config = Train.model_validate(values | changes)
    model = load_student(config, None, stop_id=2)
    return Trainer(config, model, make_optimizer(model, config), table, rank=0, world=1)


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("bfloat16", 2e-2)])
def test_accumulation_does_not_change_the_trajectory(tiny_model, table, precision, tolerance):
    losses = []
    for budget in (600, 120):
        trainer = make_trainer(tiny_model, table, micro_batch_tokens=budget, precision=precision)
        progress = Progress()
        norms = [trainer.step(progress, 1e-3)[0] for _ in range(6)]
        losses.append([*progress.losses, *norms])
    assert losses[0] == pytest.approx(losses[1], rel=tolerance)


def pair_table(student: str, folder: str, alpha: float, questions: int = 30) -> TokenTable:
    path = f"{folder}/pairs-{alpha}.parquet"
    rows = tokenise(load_tokenizer(student, None), rationales(questions, alpha=alpha))
    write_tokens(rows, path, max_length=256, vocabulary=400)
    return TokenTable(path)


def test_accumulation_does_not_change_the_trajectory_with_pairs(tiny_model, tmp_path):
    table, found = pair_table(tiny_model, str(tmp_path), 0.5), []
    for budget in (600, 150):
        trainer, progress = make_trainer(tiny_model, table, micro_batch_tokens=budget), Progress()
        norms = [trainer.step(progress, 1e-3)[0] for _ in range(6)]
        found.append([*progress.losses, *norms, *sum(progress.measures["consistency"], [])])
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def test_parts_of_the_loss_are_kept_unscaled(tiny_model, tmp_path):
    trainer, progress = make_trainer(tiny_model, pair_table(tiny_model, str(tmp_path), 0.5)), Progress()
    for step in (1, 2):
        _, means = trainer.step(progress, 1e-3)
        cross_entropy, pairs = means.first.loss, means.others[0]
        answer_kl, agreement = pairs.measures["answer_kl"], pairs.measures["answer_agreement"]
        assert progress.measures["consistency"][-1] == [step, cross_entropy, answer_kl, agreement]
        assert means.loss == pytest.approx(cross_entropy + 0.5 * answer_kl, rel=1e-6)
        assert answer_kl > 0 and 0 <= agreement <= 1 and pairs.count > 1


def test_validation_compares_each_held_out_row_once(tiny_model, tmp_path):
    trainer = make_trainer(tiny_model, pair_table(tiny_model, str(tmp_path), 0.5), validation_fraction=0.2)
    assert trainer.held_out.shape == (12, 2)  # 6 questions of 3 rationales: a pair and a row alone each
    once, again = (
        [value for term in (means.first, *means.others) for value in (term.count, term.loss, *term.measures.values())]
        for means in (trainer.validate(), trainer.validate())
    )
    assert once[2] == 6
    assert once == pytest.approx(again, rel=1e-5)


def test_answers_of_held_out_questions_grow_alike_with_the_weight(tiny_model, tmp_path):
    found = []
    for alpha in (0.0, 1.0, 10.0):
        table = pair_table(tiny_model, str(tmp_path), alpha, questions=60)
        trainer, progress = make_trainer(tiny_model, table, validation_fraction=0.2, epochs=8), Progress()
        while progress.step < len(trainer.plan):
            trainer.step(progress, 3e-3)
        found.append(trainer.validate().others[0].measures["answer_kl"])
    assert found[0] > found[1] > found[2]
    assert found[2] < found[0] / 2


def test_without_pairs_there_are_no_parts(tiny_model, table):
    trainer, progress = make_trainer(tiny_model, table), Progress()
    _, means = trainer.step(progress, 1e-3)
    assert not means.others and not progress.measures and means.loss == means.first.loss


def test_every_new_best_is_saved_and_patience_ends_training(tiny_model, table, monkeypatch):
    trainer = make_trainer(tiny_model, table, eval_steps=1, save_steps=100, early_stopping_patience=2)
    scripted = (Means(TermMeans("cross_entropy", 9, loss, {})) for loss in (3.0, 2.0, 2.5, 2.6))
    monkeypatch.setattr(trainer, "validate", lambda: next(scripted))
    progress = Progress()
    assert [trainer.advance(progress, None) for _ in range(4)] == [True, True, False, True]
    assert progress.finished
    assert progress.student_step == 2
    assert progress.validation == [[1, 3.0], [2, 2.0], [3, 2.5], [4, 2.6]]


def test_a_loss_that_is_no_number_ends_training_in_one_line(tiny_model, table):
    trainer = make_trainer(tiny_model, table)
    with pytest.raises(TrainingError, match="the loss is nan at step .*: lower learning_rate"):
        for _ in range(3):
            trainer.step(Progress(), 1e30)


def test_reduced_precision_stays_close(tiny_model, table):
    losses = [
        make_trainer(tiny_model, table, precision=precision).validate().loss for precision in ("float32", "bfloat16")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
