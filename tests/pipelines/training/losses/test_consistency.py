"""The consistency loss against closed forms, finite differences and a naive reference, over several tokenizers."""

from __future__ import annotations

from math import log
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from raydistill.pipelines.training.batches import Batch, collate  # noqa: E402
from raydistill.pipelines.training.losses.consistency import Consistency, Pairs, symmetric_kl  # noqa: E402
from raydistill.pipelines.training.losses.cross_entropy import CrossEntropy  # noqa: E402
from raydistill.pipelines.training.losses.forward import term_sums  # noqa: E402
from raydistill.pipelines.training.tokens import TokenTable, tokenise, write_tokens  # noqa: E402
from tests.pipelines.training.answer_tokenizers import KINDS, build, rationale  # noqa: E402
from tests.pipelines.training.losses.large_tensors import LargeTensors  # noqa: E402

UNITS = np.array([[0, 1], [2, 3], [4, -1]])


@pytest.fixture(scope="module", params=KINDS)
def setting(request, tmp_path_factory):
    """Two pairs and a row alone, as one batch, with a model of the tokenizer's vocabulary."""
    return make_setting(request.param, tmp_path_factory.mktemp("tokens"))


def make_setting(kind: str, folder: Path):
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = build(kind)
    examples = [rationale(i, 0, "1080") for i in (0, 1)]
    examples += [rationale(i, 1, "the red house", weight=2.0, temperature=1.0) for i in (2, 3)]
    path = f"{folder}/tokens.parquet"
    write_tokens(tokenise(tokenizer, [*examples, rationale(0, 2, "18")]), path, max_length=2000, vocabulary=10**6)
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), initializer_range=0.5, **sizes))
    table = TokenTable(path)
    terms = [CrossEntropy(table), Consistency(table)]
    return model, terms[1], collate(table, UNITS, terms)


class Losses(NamedTuple):
    """The sums of a batch."""

    cross_entropy: torch.Tensor
    consistency: torch.Tensor
    answer_kl: torch.Tensor
    agreement: torch.Tensor


def losses(model, batch: Batch) -> Losses:
    return Losses(*torch.cat(term_sums(model, model.lm_head, batch, [CrossEntropy(None), Consistency(None)])))


def pairs_of(batch: Batch) -> Pairs:
    return batch.parts["consistency"]


def kl(p, q) -> float:
    return float((p * (p / q).log()).sum())


def naive(model, term: Consistency, temperatures=(1.3, 1.0), weights=(0.5, 2.0)) -> tuple[float, float]:
    """(answer KL, consistency): pair by pair and token by token, from full logits of each row without padding."""
    totals = [0.0, 0.0]
    for (left, right), temperature, weight in zip(UNITS[:2], temperatures, weights, strict=True):
        shared = term.shared_answer(left, right)
        assert shared is not None
        found = []
        for row, start in ((left, shared.left_start), (right, shared.right_start)):
            logits = model(input_ids=torch.from_numpy(term.table.ids[row][None].astype(np.int64))).logits[0]
            predicting = logits[start - 1 : start + shared.length - 1]
            found.append((predicting.double() / temperature).softmax(-1))
        per_token = [(kl(p, q) + kl(q, p)) / 2 for p, q in zip(*found, strict=True)]
        totals[0] += np.mean(per_token)
        totals[1] += weight * np.mean(per_token)
    return totals[0], totals[1]


def test_two_token_case_by_hand():
    half, quarter = torch.tensor([[0.0, 0.0]]), torch.tensor([[log(3.0), 0.0]])
    there = 0.5 * log(0.5 / 0.75) + 0.5 * log(0.5 / 0.25)
    back = 0.75 * log(0.75 / 0.5) + 0.25 * log(0.25 / 0.5)
    expected = pytest.approx((there + back) / 2, rel=1e-6)
    assert symmetric_kl(half, quarter, torch.tensor(1.0)).item() == expected
    assert symmetric_kl(half, 1.3 * quarter, torch.tensor([1.3])).item() == expected


def test_it_is_symmetric_zero_for_equals_and_the_mean_of_both_directions():
    left, right = torch.randn(2, 40, 300, generator=torch.Generator().manual_seed(0)) * 5
    one, other = symmetric_kl(left, right, torch.tensor(1.3)), symmetric_kl(right, left, torch.tensor(1.3))
    torch.testing.assert_close(one, other, rtol=1e-6, atol=0)
    assert (one > 0).all()
    assert not symmetric_kl(left, left + 7, torch.tensor(1.0)).round(decimals=5).any()
    p, q = ((side.double() / 1.3).softmax(-1) for side in (left, right))
    expected = [(kl(*rows) + kl(*rows[::-1])) / 2 for rows in zip(p, q, strict=True)]
    torch.testing.assert_close(one.double(), torch.tensor(expected, dtype=torch.float64), rtol=1e-5, atol=1e-6)


def test_softmax_is_float32_and_extreme_logits_stay_finite():
    left = torch.tensor([[3e4, 0.0, -3e4]], dtype=torch.bfloat16)
    divergence = symmetric_kl(left, left.flip(-1), torch.tensor(1.0))
    assert divergence.dtype == torch.float32 and torch.isfinite(divergence).all()


def test_batch_equals_naive_reference(setting):
    model, term, batch = setting
    with torch.no_grad():
        found, (answer_kl, consistency) = losses(model, batch), naive(model, term)
    assert found.answer_kl.item() == pytest.approx(answer_kl, rel=1e-4) and answer_kl > 0.1
    assert found.consistency.item() == pytest.approx(consistency, rel=1e-4)


def test_one_changed_logit_counts_at_the_positions_that_predict_the_answer_and_nowhere_else(setting):
    """[start - 1, end - 1) and nothing else: neither the last answer token's own position nor the one before."""
    _, term, batch = setting
    vocabulary = int(batch.ids.max()) + 1
    logits = torch.randn(*batch.ids.shape, vocabulary, generator=torch.Generator().manual_seed(1))

    def answer_kl(row: int, place: int) -> float:
        changed = logits.clone()
        changed[row, place, 5] += 8
        return losses(Fixed(changed), batch).answer_kl.item()

    before = answer_kl(4, 0)  # of the row alone, which is compared with nothing
    for row in range(5):
        start, end = term.windows[row]
        around = range(start - 3, min(end + 2, term.table.lengths[row]))
        effective = {place for place in around if abs(answer_kl(row, place) - before) > 1e-4}
        assert effective == (set(range(start - 1, end - 1)) if row < 4 else set())


class Fixed(torch.nn.Module):
    """A model of the given logits, whatever it reads; `lm_head` gets them as hidden states."""

    def __init__(self, logits) -> None:
        super().__init__()
        self.logits, self.lm_head = logits, torch.nn.Identity()

    def forward(self, input_ids, use_cache):
        from types import SimpleNamespace

        return SimpleNamespace(logits=self.lm_head(self.logits))


def gradient(model, batch: Batch, alpha: float = 1.0):
    model.zero_grad()
    found = losses(model, batch)
    (found.cross_entropy + alpha * found.consistency).backward()
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


def weighted(batch: Batch, weight: float) -> Batch:
    pairs = pairs_of(batch)._replace(weight=torch.full_like(pairs_of(batch).weight, weight))
    return Batch(batch.ids, {**batch.parts, "consistency": pairs})


def without_pairs(batch: Batch) -> Batch:
    return Batch(batch.ids, {"cross_entropy": batch.parts["cross_entropy"]})


def test_alpha_zero_is_plain_cross_entropy(setting):
    model, _, batch = setting
    plain, zero = without_pairs(batch), weighted(batch, 0.0)
    torch.testing.assert_close(losses(model, zero)[:2], losses(model, plain)[:2], rtol=1e-5, atol=0)
    torch.testing.assert_close(gradient(model, zero), gradient(model, plain), rtol=1e-4, atol=1e-7)
    assert losses(model, zero).answer_kl.item() > 0  # measured all the same
    assert losses(model, plain).answer_kl.item() == 0


def test_gradient_by_finite_differences_through_both_sides(setting):
    model, _, batch = setting
    logits = (2 * torch.randn(*batch.ids.shape, len(model.lm_head.weight))).requires_grad_()

    def consistency(values) -> torch.Tensor:
        return losses(Fixed(values), batch).consistency

    (consistency(logits)).backward()
    pairs, generator = pairs_of(batch), torch.Generator().manual_seed(2)
    for side in (0, 1):
        for row, token in zip(pairs.rows[side], pairs.tokens[side], strict=True):
            direction = torch.zeros_like(logits)
            direction[row, token - 1] = torch.randn(logits.shape[-1], generator=generator)
            with torch.no_grad():
                slope = (consistency(logits + 0.01 * direction) - consistency(logits - 0.01 * direction)) / 0.02
            assert slope.item() == pytest.approx((logits.grad * direction).sum().item(), rel=2e-2, abs=2e-3)
            assert logits.grad[row, token - 1].any()


def test_gradient_of_both_parts_adds_up(setting):
    model, _, batch = setting
    plain, whole = gradient(model, batch, alpha=0.0), gradient(model, batch)
    model.zero_grad()
    losses(model, batch).consistency.backward()
    consistency = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
    assert (
        plain + consistency - whole
    ).norm() <= 1e-5 * whole.norm()  # element by element, rounding differs by machine
    assert consistency.norm() > 0.001 * whole.norm()


def test_agreement_counts_pairs_that_expect_the_same_answer(setting):
    _, _, batch = setting
    pairs, logits = pairs_of(batch), torch.zeros(*batch.ids.shape, int(batch.ids.max()) + 1)
    assert losses(Fixed(logits), batch).agreement.item() == 2
    last = pairs.rows.shape[1] - 1  # the last token of the second pair, on one side
    logits[pairs.rows[0, last], pairs.tokens[0, last] - 1, 4] = 1
    assert losses(Fixed(logits), batch).agreement.item() == 1


def test_no_tensor_of_the_whole_vocabulary_is_made_outside_the_spans(tmp_path):
    """Forward and backward: beside those of the cross-entropy there are only tensors of the compared tokens' rows."""
    model, _, batch = make_setting("bytes", tmp_path)
    found = []
    for rows in (without_pairs(batch), batch):
        with LargeTensors(len(model.lm_head.weight)) as large:
            gradient(model, rows)
        found.append(sorted(large.rows))
    compared = 2 * len(pairs_of(batch).pair)
    trained = int((batch.parts["cross_entropy"].weights[:, 1:] != 0).sum())
    assert compared < trained / 4
    assert [rows for rows in found[1] if rows > compared] == [rows for rows in found[0] if rows > compared]
    assert len(found[1]) > len(found[0])
