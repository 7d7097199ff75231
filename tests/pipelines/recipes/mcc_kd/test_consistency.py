"""The held-out measure: against a naive computation, for models that answer alike, and as a command."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from raydistill.actors.errors import UsageError
from raydistill.pipelines.data.examples import write_examples
from raydistill.pipelines.recipes.mcc_kd.consistency import answer_consistency, count, token_table
from raydistill.pipelines.training.losses.consistency import Consistency, PairCounts
from tests import ROOT
from tests.pipelines.training.training_examples import rationales, sums


def answers(student: str, table) -> list:
    """Per row the log probabilities [tokens, V] at its answer, from a forward pass of the row alone."""
    import torch
    from transformers import AutoModelForCausalLM

    model, found, windows = AutoModelForCausalLM.from_pretrained(student), [], Consistency(table).windows
    for row in range(len(table)):
        start, end = windows[row]
        with torch.no_grad():
            logits = model(input_ids=torch.from_numpy(table.ids[row][None].astype(np.int64))).logits[0]
        found.append(logits[start - 1 : end - 1].log_softmax(-1))
    return found


def divergence(left, right) -> float:
    length = min(len(left), len(right))
    p, q = left[:length], right[:length]
    return float(((p.exp() - q.exp()) * (p - q)).sum(-1).mean() / 2)


def test_measure_equals_a_naive_computation(tiny_model):
    examples = rationales(12, each=2)
    found = answer_consistency(examples, tiny_model)
    with token_table(examples, tiny_model, None, 400, 512) as table:
        rows = answers(tiny_model, table)
        windows = [table.ids[row][slice(*window)].tolist() for row, window in enumerate(Consistency(table).windows)]
    pairs = [(rows[2 * i], rows[2 * i + 1]) for i in range(12)]
    assert found.pairs == 12
    assert found.answer_kl == pytest.approx(np.mean([divergence(*pair) for pair in pairs]), rel=1e-4)
    same = [bool((left.argmax(-1) == right.argmax(-1)).all()) for left, right in pairs]
    assert found.agreement == pytest.approx(np.mean(same))
    # Across questions partners depend on the batch; all that are possible bound their mean.
    across = [
        divergence(rows[i], rows[j]) for i in range(0, 24, 2) for j in range(1, 24, 2) if windows[i] != windows[j]
    ]
    assert 0 < found.other_pairs <= 12
    assert min(across) < found.other_kl < max(across)


def test_a_lower_temperature_drives_answers_apart(tiny_model):
    examples = rationales(6)
    assert (
        answer_consistency(examples, tiny_model, temperature=0.5).answer_kl
        > answer_consistency(examples, tiny_model).answer_kl
    )


def test_a_model_that_answers_everything_alike_agrees_with_every_question(tiny_model, tmp_path):
    """Agreement alone would call it consistent; the divergence between questions says that it has collapsed."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    with torch.no_grad():
        model.model.norm.weight.zero_()
    model.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(tmp_path)
    found = answer_consistency(rationales(6), str(tmp_path))
    assert (found.answer_kl, found.agreement, found.other_kl) == (0.0, 1.0, 0.0)


def test_a_single_question_has_no_other_to_compare_with(tiny_model):
    found = answer_consistency(rationales(1), tiny_model)
    assert (found.pairs, found.other_pairs, found.other_kl) == (1, 0, None)


def test_pairs_are_counted_for_a_students_tokenizer(tiny_model):
    counts = count(rationales(5, each=3), tiny_model, max_length=256)
    assert counts == PairCounts(questions=5, pairs=15, with_span=15)
    shortest = count([*rationales(2, each=1), *sums(2)], tiny_model, max_length=256)
    assert shortest == PairCounts(questions=0, pairs=0, with_span=0)


@pytest.mark.parametrize("examples", [sums(4), rationales(3, each=1)])
def test_nothing_to_compare_is_one_line(tiny_model, examples):
    with pytest.raises(UsageError, match="^consistency: no two examples[^\n]*$"):
        answer_consistency(examples, tiny_model)


def test_what_is_no_student_is_one_line(tmp_path):
    with pytest.raises(UsageError, match="^student [^\n]*not a model that can be loaded[^\n]*$"):
        answer_consistency(rationales(3), str(tmp_path))


def test_the_command_prints_and_writes_what_was_measured(tiny_model, tmp_path):
    write_examples(rationales(4), str(tmp_path / "examples"))
    command = [sys.executable, "-m", "raydistill", "consistency", tiny_model, str(tmp_path / "examples")]
    done = subprocess.run([*command, "--out", str(tmp_path / "out.json")], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out.json").read_text())
    # Another process's sums may end in another digit.
    assert found == pytest.approx(answer_consistency(rationales(4), tiny_model).to_json(), rel=1e-5)
    assert f"answer KL {found['answer_kl']:.4f}" in done.stdout
