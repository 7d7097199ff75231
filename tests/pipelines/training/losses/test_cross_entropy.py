"""Cross-entropy equals a naive reference; how a step is cut into pieces does not change its gradient."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from raydistill.pipelines.training.batches import Batch  # noqa: E402
from raydistill.pipelines.training.losses import cross_entropy  # noqa: E402
from raydistill.pipelines.training.losses.cross_entropy import (  # noqa: E402
    CrossEntropy,
    Weights,
    weighted_cross_entropy,
)
from raydistill.pipelines.training.losses.forward import term_sums  # noqa: E402
from tests.pipelines.training.losses.large_tensors import LargeTensors  # noqa: E402

TERM = CrossEntropy(None)  # whose table is not asked for


@pytest.fixture(scope="module")
def model():
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=50, **sizes))


def make(ids, weights) -> Batch:
    return Batch(ids, {"cross_entropy": Weights(weights)})


def batch(weights: list[list[float]], seed: int = 0) -> Batch:
    shape = len(weights), max(map(len, weights))
    ids = torch.randint(0, 50, shape, generator=torch.Generator().manual_seed(seed))
    padded = torch.zeros(shape)
    for row, values in enumerate(weights):
        padded[row, : len(values)] = torch.tensor(values)
    return make(ids, padded)


def loss(model, rows: Batch):
    [sums] = term_sums(model, model.lm_head, rows, [TERM])
    return sums[0]


def weights_of(rows: Batch):
    return rows.parts["cross_entropy"].weights


def naive(model, rows: Batch):
    """Token by token, from full logits of each row without its padding."""
    total = torch.zeros(())
    for ids, weights in zip(rows.ids, weights_of(rows), strict=True):
        logits = model(input_ids=ids[None]).logits[0]
        for place in range(1, len(ids)):
            total = total - weights[place] * torch.log_softmax(logits[place - 1], -1)[ids[place]]
    return total


def test_hand_case():
    logits = torch.tensor([[0.0, 0.0], [np.log(3.0), 0.0]])
    total = weighted_cross_entropy(logits, torch.tensor([0, 0]), torch.tensor([1.0, 1.5]))
    assert total.item() == pytest.approx(np.log(2) + 1.5 * np.log(4 / 3), rel=1e-6)


def test_softmax_is_float32_whatever_the_logits():
    logits = torch.tensor([[20.0, 20.5, -3.0]], dtype=torch.bfloat16)
    total = weighted_cross_entropy(logits, torch.tensor([0]), torch.tensor([1.0]))
    exact = -torch.log_softmax(logits.double(), -1)[0, 0].item()
    assert total.dtype == torch.float32
    assert total.item() == pytest.approx(exact, rel=1e-6)


def test_equals_naive_reference(model):
    rows = batch([[0, 0, 1, 1, 1.5], [0, 1, 0], [0, 0, 0, 2, -0.5, 1, 1]])
    assert loss(model, rows).item() == pytest.approx(naive(model, rows).item(), rel=1e-5)


def test_logits_exist_at_trained_positions_only(model):
    seen = []
    handle = model.lm_head.register_forward_hook(lambda _, inputs, output: seen.append(tuple(output.shape)))
    loss(model, batch([[0, 0, 1, 1], [0, 0, 0, 1]]))
    handle.remove()
    assert seen == [(3, 50)]
    assert model(input_ids=torch.zeros(1, 4, dtype=torch.int64)).logits.shape == (1, 4, 50)


def test_padding_and_prompt_give_no_gradient(model):
    rows = batch([[0, 0, 1, 1], [0, 1]])
    before = loss(model, rows).item()
    rows.ids[1, 2:] = 7
    assert loss(model, rows).item() == pytest.approx(before, rel=1e-6)


def gradient(model, pieces: list[Batch], count: int):
    model.zero_grad()
    for piece in pieces:
        (loss(model, piece) / count).backward()
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


def test_gradient_does_not_depend_on_accumulation(model):
    rows = batch([[0, 0, 1, 1.5], [0, 1, 1, 1], [0, 0, 0, 1], [0, 0, 1, 1]])
    pieces = [make(rows.ids[place : place + 1], weights_of(rows)[place : place + 1]) for place in range(4)]
    count = int((weights_of(rows) != 0).sum())
    torch.testing.assert_close(gradient(model, pieces, count), gradient(model, [rows], count), rtol=1e-4, atol=1e-7)


def test_batch_without_trained_tokens_gives_zero_gradients_everywhere(model):
    flat = gradient(model, [batch([[0, 0]])], 1)
    assert torch.equal(flat, torch.zeros_like(flat))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_pieces_change_no_bit(monkeypatch, dtype):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(101, 50, generator=generator).to(dtype)
    targets, weights = torch.randint(0, 50, (101,), generator=generator), torch.randn(101, generator=generator)
    found = []
    for piece in (10**6, 350, 1):
        monkeypatch.setattr(cross_entropy, "PIECE", piece)
        given = logits.clone().requires_grad_()
        total = weighted_cross_entropy(given, targets, weights)
        (total / 3).backward()
        with torch.no_grad():
            assert weighted_cross_entropy(logits, targets, weights) == total
        found.append((total.detach(), given.grad))
    assert all(torch.equal(*pair) for others in found[1:] for pair in zip(others, found[0], strict=True))


def test_of_many_logits_there_is_one_tensor(model, monkeypatch):
    """Beside them a log-softmax and two gradients would be as large."""
    rows, made = batch([[0.0] + [1.0] * 30] * 4), []
    for piece in (10**6, 500):
        monkeypatch.setattr(cross_entropy, "PIECE", piece)
        with LargeTensors(50) as large:
            loss(model, rows).backward()
        made.append(large.rows.count(120))
    assert made == [4, 1]


def test_logits_that_the_model_still_needs_are_not_overwritten(monkeypatch):
    monkeypatch.setattr(cross_entropy, "PIECE", 50)
    logits = torch.randn(9, 50, requires_grad=True).exp()  # whose backward takes its result
    total = weighted_cross_entropy(logits, torch.zeros(9, dtype=torch.int64), torch.ones(9))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        total.backward()
