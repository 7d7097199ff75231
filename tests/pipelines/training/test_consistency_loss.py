"""The consistency loss against closed forms, finite differences and a naive reference, over several tokenizers."""

from __future__ import annotations

from math import log
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from raydistill.pipelines.training.answer_spans import shared_answer  # noqa: E402
from raydistill.pipelines.training.batches import Batch, Pairs, collate  # noqa: E402
from raydistill.pipelines.training.losses import batch_losses, symmetric_kl  # noqa: E402
from raydistill.pipelines.training.tokens import TokenTable, tokenise, write_tokens  # noqa: E402
from tests.pipelines.training.answer_tokenizers import KINDS, build, rationale  # noqa: E402

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
    return model, table, collate(table, UNITS)


def losses(model, batch: Batch):
    return batch_losses(model, model.lm_head, batch)


def kl(p, q) -> float:
    return float((p * (p / q).log()).sum())


def naive(model, table: TokenTable, temperatures=(1.3, 1.0), weights=(0.5, 2.0)) -> tuple[float, float]:
    """(answer KL, pull): pair by pair and token by token, from full logits of each row without padding."""
    totals = [0.0, 0.0]
    for (left, right), temperature, weight in zip(UNITS[:2], temperatures, weights, strict=True):
        shared = shared_answer(table, left, right)
        assert shared is not None
        found = []
        for row, start in ((left, shared.left_start), (right, shared.right_start)):
            logits = model(input_ids=torch.from_numpy(table[row][0][None].astype(np.int64))).logits[0]
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
    model, table, batch = setting
    with torch.no_grad():
        found, (answer_kl, consistency) = losses(model, batch), naive(model, table)
    assert found.answer_kl.item() == pytest.approx(answer_kl, rel=1e-4) and answer_kl > 0.1
    assert found.consistency.item() == pytest.approx(consistency, rel=1e-4)


def test_one_changed_logit_counts_at_the_positions_that_predict_the_answer_and_nowhere_else(setting):
    """[start - 1, end - 1) and nothing else: neither the last answer token's own position nor the one before."""
    _, table, batch = setting
    vocabulary = int(batch.ids.max()) + 1
    logits = torch.randn(*batch.ids.shape, vocabulary, generator=torch.Generator().manual_seed(1))

    def answer_kl(row: int, place: int) -> float:
        changed = logits.clone()
        changed[row, place, 5] += 8
        model = Fixed(changed)
        return batch_losses(model, model.head, batch).answer_kl.item()

    before = answer_kl(4, 0)  # of the row alone, which is compared with nothing
    for row in range(5):
        start, end = table.windows[row]
        around = range(start - 3, min(end + 2, table.lengths[row]))
        effective = {place for place in around if abs(answer_kl(row, place) - before) > 1e-4}
        assert effective == (set(range(start - 1, end - 1)) if row < 4 else set())


class Fixed(torch.nn.Module):
    """A model of the given logits, whatever it reads; `head` gets them as hidden states."""

    def __init__(self, logits) -> None:
        super().__init__()
        self.logits, self.head = logits, torch.nn.Identity()

    def forward(self, input_ids, use_cache):
        from types import SimpleNamespace

        return SimpleNamespace(logits=self.head(self.logits))


def gradient(model, batch: Batch, alpha: float = 1.0):
    model.zero_grad()
    found = losses(model, batch)
    (found.cross_entropy + alpha * found.consistency).backward()
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


def weighted(batch: Batch, weight: float) -> Batch:
    assert batch.pairs
    same = {name: getattr(batch.pairs, name) for name in ("rows", "tokens", "pair", "temperature")}
    return Batch(batch.ids, batch.weights, Pairs(**same, weight=torch.full_like(batch.pairs.weight, weight)))


def test_alpha_zero_is_plain_cross_entropy(setting):
    model, _, batch = setting
    plain, zero = Batch(batch.ids, batch.weights), weighted(batch, 0.0)
    torch.testing.assert_close(
        losses(model, zero).over(7, 2)[:2], losses(model, plain).over(7, 0)[:2], rtol=1e-5, atol=0
    )
    torch.testing.assert_close(gradient(model, zero), gradient(model, plain), rtol=1e-4, atol=1e-7)
    assert losses(model, zero).answer_kl.item() > 0  # measured all the same
    assert losses(model, plain).answer_kl.item() == 0


def test_gradient_by_finite_differences_through_both_sides(setting):
    model, _, batch = setting
    logits = (2 * torch.randn(*batch.ids.shape, len(model.lm_head.weight))).requires_grad_()

    def consistency(values) -> torch.Tensor:
        fixed = Fixed(values)
        return batch_losses(fixed, fixed.head, batch).consistency

    (consistency(logits)).backward()
    assert batch.pairs
    generator = torch.Generator().manual_seed(2)
    for side in (0, 1):
        for row, token in zip(batch.pairs.rows[side], batch.pairs.tokens[side], strict=True):
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
    assert batch.pairs
    logits = torch.zeros(*batch.ids.shape, int(batch.ids.max()) + 1)
    fixed = Fixed(logits)
    assert batch_losses(fixed, fixed.head, batch).agreement.item() == 2
    last = batch.pairs.rows.shape[1] - 1  # the last token of the second pair, on one side
    logits[batch.pairs.rows[0, last], batch.pairs.tokens[0, last] - 1, 4] = 1
    assert batch_losses(fixed, fixed.head, batch).agreement.item() == 1


class LargeTensors(TorchDispatchMode):
    """Collects how many rows of the whole vocabulary the results of all operations have."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.vocabulary, self.rows = vocabulary, []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        inputs = {value.data_ptr() for value in args if isinstance(value, torch.Tensor)}
        for value in result if isinstance(result, tuple | list) else [result]:
            large = isinstance(value, torch.Tensor) and value.shape[-1:] == (self.vocabulary,)
            if large and value.data_ptr() not in inputs:  # neither a view nor changed in place
                self.rows.append(value.numel() // self.vocabulary)
        return result


def test_no_tensor_of_the_whole_vocabulary_is_made_outside_the_spans(tmp_path):
    """Forward and backward: beside those of the cross-entropy there are only tensors of the compared tokens' rows."""
    model, _, batch = make_setting("bytes", tmp_path)
    assert batch.pairs
    found = []
    for rows in (Batch(batch.ids, batch.weights), batch):
        with LargeTensors(len(model.lm_head.weight)) as large:
            gradient(model, rows)
        found.append(sorted(large.rows))
    compared = 2 * len(batch.pairs.pair)
    trained = int((batch.weights[:, 1:] != 0).sum())
    assert compared < trained / 4
    assert [rows for rows in found[1] if rows > compared] == [rows for rows in found[0] if rows > compared]
    assert len(found[1]) > len(found[0])
