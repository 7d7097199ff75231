"""Policy gradient and soft targets: closed forms, finite differences, and tokens that stay what they were."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from raydistill.actors.errors import TrainingError  # noqa: E402
from raydistill.pipelines.config.sections import Train  # noqa: E402
from raydistill.pipelines.data.records import Policy, SoftTargets, TokenIds, WeightedText  # noqa: E402
from raydistill.pipelines.training.batches import rows_of  # noqa: E402
from raydistill.pipelines.training.loop import Trainer, make_optimizer  # noqa: E402
from raydistill.pipelines.training.losses import cross_entropy, forward  # noqa: E402
from raydistill.pipelines.training.losses.soft_targets import divergence, with_tail  # noqa: E402
from raydistill.pipelines.training.student import load_student  # noqa: E402
from raydistill.pipelines.training.tokens import TokenTable, load_tokenizer, tokenise, write_tokens  # noqa: E402
from tests.pipelines.training.losses.large_tensors import LargeTensors  # noqa: E402
from tests.pipelines.training.training_examples import sums  # noqa: E402

K = 4


def sampled(number: int, length: int = 9, **changes):
    """An example of ids that no tokenizer would make of its text, untrained but for what `changes` ask."""
    generator = np.random.default_rng(number)
    ids = generator.integers(5, 300, 6 + length).tolist()
    example = replace(sums(number + 1)[-1], completion=(WeightedText("text", 0.0),), **changes)
    return replace(example, id=f"s{number}", tokens=TokenIds(tuple(ids[:6]), tuple(ids[6:])))


def policy(number: int, length: int = 9, **changes) -> Policy:
    generator = np.random.default_rng([number, 1])
    advantages, behaviour = generator.normal(size=length), -6 + generator.normal(size=length) / 5
    return Policy(tuple(advantages.tolist()), tuple(behaviour.tolist()), **changes)


def soft(number: int, length: int = 9, **changes) -> SoftTargets:
    generator = np.random.default_rng([number, 2])
    ids = [tuple(generator.choice(300, K, replace=False).tolist()) for _ in range(length)]
    shares = generator.dirichlet(np.ones(K + 1), length)[:, :K]
    return SoftTargets(tuple(ids), tuple(map(tuple, np.log(shares).tolist())), **changes)


def make_trainer(student, folder, examples, **changes) -> Trainer:
    path = f"{folder}/tokens.parquet"
    write_tokens(tokenise(load_tokenizer(student, None), examples), path, max_length=256, vocabulary=400)
    values = {"student": student, "precision": "float32", "batch_tokens": 1500, "validation_fraction": 0}
    config = Train.model_validate(values | changes)
    model = load_student(config, None, stop_id=2)
    return Trainer(config, model, make_optimizer(model, config), TokenTable(path), 0, 1)


def gradient(trainer: Trainer):
    units = trainer.plan[0]
    trainer.model.zero_grad()
    means = trainer.accumulate(units, [term.count(units) for term in trainer.terms], 0)
    return torch.cat([parameter.grad.flatten() for parameter in trainer.model.parameters()]), means


def logits_of(model, example):
    """Those that predict the completion's tokens, [C, V], and these tokens [C]."""
    ids = torch.tensor([*example.tokens.prompt, *example.tokens.completion])
    start = len(example.tokens.prompt)
    return model(input_ids=ids[None]).logits[0][start - 1 : -1], ids[start:]


def policy_by_hand(model, examples):
    total, count = torch.zeros(()), 0
    for example in examples:
        logits, targets = logits_of(model, example)
        told = example.policy
        for row, token, advantage, behaviour in zip(logits, targets, told.advantages, told.behaviour, strict=True):
            ratio = (row.log_softmax(-1)[token] - behaviour).exp()
            clipped = ratio.clamp(1 - told.clip[0], 1 + told.clip[1])
            total = total - told.weight * torch.minimum(ratio * advantage, clipped * advantage)
            count += 1
    return total / count


def soft_by_hand(model, examples):
    """Each divergence from its definition, in float64, with the tail as one more entry."""
    total, count = torch.zeros((), dtype=torch.float64), 0
    for example in examples:
        told = example.soft_targets
        for row, ids, logprobs in zip(logits_of(model, example)[0].double(), told.ids, told.logprobs, strict=True):
            q, p = row.softmax(-1)[list(ids)], torch.tensor(logprobs, dtype=torch.float64).exp()
            p, q = (torch.cat([share, 1 - share.sum(0, keepdim=True)]) ** (1 / told.temperature) for share in (p, q))
            p, q = p / p.sum(), q / q.sum()
            kl = lambda a, b: (a * (a / b).log()).sum()  # noqa: E731
            m = told.beta * p + (1 - told.beta) * q
            mixed = told.beta * kl(p, m) + (1 - told.beta) * kl(q, m)
            total = total + told.weight * (kl(p, q) if told.beta == 0 else kl(q, p) if told.beta == 1 else mixed)
            count += 1
    return total / count


def assert_same_gradient(trainer, loss):
    found, _ = gradient(trainer)
    trainer.model.zero_grad()
    loss.backward()
    expected = torch.cat([parameter.grad.flatten() for parameter in trainer.model.parameters()])
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=2e-5 * float(expected.abs().max()))


def test_policy_gradient_is_that_of_its_definition(tiny_model, tmp_path, monkeypatch):
    examples = [sampled(n, policy=policy(n, weight=1 + n / 4, clip=(0.1, 0.3))) for n in range(6)]
    trainer = make_trainer(tiny_model, tmp_path, examples)
    assert [term.name for term in trainer.terms] == ["cross_entropy", "policy_gradient"]
    assert_same_gradient(trainer, policy_by_hand(trainer.model, examples))
    whole, means = gradient(trainer)
    assert means[0] == 0 and means[1] == pytest.approx(policy_by_hand(trainer.model, examples).item(), rel=1e-4)
    monkeypatch.setattr(forward.piecewise, "__defaults__", (4000,))
    torch.testing.assert_close(gradient(trainer)[0], whole, rtol=1e-5, atol=1e-6 * float(whole.abs().max()))


@pytest.mark.parametrize(("temperature", "beta"), [(1, 0), (2, 0), (1, 1), (1.5, 1), (1, 0.5), (2, 0.1)])
def test_soft_targets_are_those_of_their_definition(tiny_model, tmp_path, temperature, beta):
    examples = [sampled(n, soft_targets=soft(n, weight=0.5 + n, temperature=temperature, beta=beta)) for n in range(5)]
    trainer = make_trainer(tiny_model, tmp_path, examples)
    loss = soft_by_hand(trainer.model, examples)
    assert gradient(trainer)[1][1] == pytest.approx(loss.item(), rel=1e-3)
    assert_same_gradient(trainer, loss)


def test_finite_differences(tiny_model, tmp_path):
    """Along the gradient both terms rise as fast as its length says."""
    examples = [sampled(n, policy=policy(n, clip=(0.9, 9.0)), soft_targets=soft(n, beta=0.3)) for n in range(3)]
    trainer = make_trainer(tiny_model, tmp_path, examples)
    slope, _ = gradient(trainer)
    step, values = 1e-3, []
    for sign in (1, -1):
        with torch.no_grad():
            offset = 0
            for parameter in trainer.model.parameters():
                part = slope[offset : offset + parameter.numel()].view_as(parameter)
                parameter += sign * (1 if sign == 1 else 2) * step * part / slope.norm()
                offset += parameter.numel()
        units = trainer.plan[0]
        sums = trainer.sums(units)
        values.append(sum(one[0].item() / max(1, t.count(units)) for one, t in zip(sums, trainer.terms, strict=True)))
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(float(slope.norm()), rel=0.02)


def test_an_own_teacher_and_one_that_agrees_change_nothing(tiny_model, tmp_path):
    """The advantage of the student's own log-probabilities is 0, and so is the divergence from its own distribution."""
    student = load_student(Train(student=tiny_model, precision="float32"), None, stop_id=2).eval()
    made = []
    for number in range(4):
        example = sampled(number)
        with torch.no_grad():
            logits, targets = logits_of(student, example)
        logprobs = logits.log_softmax(-1)
        own = tuple(logprobs.gather(-1, targets[:, None])[:, 0].tolist())
        top = logprobs.topk(K)
        targets = SoftTargets(tuple(map(tuple, top.indices.tolist())), tuple(map(tuple, top.values.tolist())))
        made.append(replace(example, policy=Policy((0.0,) * len(own), own), soft_targets=targets))
    slope, means = gradient(make_trainer(tiny_model, tmp_path, made))
    _, loss, _, clipped, staleness, apart, _, tail = means.tolist()
    assert loss == clipped == 0 and staleness < 1e-5 and abs(apart) < 1e-6 and 0 < tail < 1
    assert float(slope.norm()) < 1e-4


def test_weight_0_is_plain_cross_entropy_to_the_bit(tiny_model, tmp_path):
    """Through the whole step, with every row of a further term."""
    plain = [replace(sampled(n), completion=(WeightedText("text", 1.0),)) for n in range(6)]
    alpha_0 = [
        replace(one, policy=policy(n, weight=0.0), soft_targets=soft(n, weight=0.0)) for n, one in enumerate(plain)
    ]
    (tmp_path / "plain").mkdir()
    expected, [loss] = gradient(make_trainer(tiny_model, tmp_path / "plain", plain))
    found, means = gradient(make_trainer(tiny_model, tmp_path, alpha_0))
    assert torch.equal(found, expected) and means[0] == loss


def test_ids_stay_ids(tiny_model, tmp_path):
    """What is trained is what was sampled, though no tokenizer makes it of any text; no end of turn is added."""
    example = sampled(3, policy=policy(3))
    trainer = make_trainer(tiny_model, tmp_path, [example, *sums(4)])
    assert trainer.table.ids[0].tolist() == [*example.tokens.prompt, *example.tokens.completion]
    assert [term.name for term in trainer.terms] == ["cross_entropy", "policy_gradient"]
    assert trainer.terms[1].count(np.array([[0], [1]])) == 9


def test_soft_targets_of_a_text_count_its_tokens_with_the_stop(tiny_model, tmp_path):
    """Off-policy: the ids are the tokenizer's own, and a teacher that saw others is told of in one line."""
    [example] = sums(1)
    [row] = tokenise(load_tokenizer(tiny_model, None), [example])
    tokens = sum(weight != 0 for weight in row.columns["weights"])
    trainer = make_trainer(tiny_model, tmp_path, [replace(example, soft_targets=soft(0, tokens))] * 3)
    assert trainer.terms[1].count(trainer.plan[0]) == 3 * tokens
    with pytest.raises(TrainingError, match=f"soft targets' ids of {tokens - 1} tokens[^\n]*another tokenizer"):
        make_trainer(tiny_model, tmp_path, [replace(example, soft_targets=soft(0, tokens - 1))])


def test_refused_in_one_line(tiny_model, tmp_path):
    two = replace(sampled(1), completion=(WeightedText("a"), WeightedText("b")))
    with pytest.raises(TrainingError, match="example s1: comes with 9 token ids and 2 segments"):
        make_trainer(tiny_model, tmp_path, [two])
    uneven = soft(0)
    uneven = replace(uneven, ids=(uneven.ids[0][:2], *uneven.ids[1:]))
    with pytest.raises(TrainingError, match="equally many for each token"):
        make_trainer(tiny_model, tmp_path, [sampled(0, soft_targets=uneven)])
    other = soft(1)
    other = SoftTargets(tuple(ids[:2] for ids in other.ids), tuple(values[:2] for values in other.logprobs))
    trainer = make_trainer(tiny_model, tmp_path, [sampled(0, soft_targets=soft(0)), sampled(1, soft_targets=other)])
    with pytest.raises(TrainingError, match="2 most likely tokens, and of 4"):
        trainer.terms[1].check()


def test_shares_with_tail_bound_the_exact_divergence():
    """At T = 1 at most the KL of the whole vocabularies, which exceeds it by what differs inside the tail."""
    generator = torch.Generator().manual_seed(0)
    log_p, log_q = (3 * torch.randn(50, 200, generator=generator)).log_softmax(-1), None
    log_q = (log_p + 0.5 * torch.randn(50, 200, generator=generator)).log_softmax(-1)
    ones, zeros = torch.ones(50), torch.zeros(50)
    exact = (log_p.exp() * (log_p - log_q)).sum(-1)
    before = zeros
    for k in (1, 8, 64, 199, 200):
        ids = log_p.topk(k).indices
        p, q = (with_tail(side.gather(-1, ids), k == 200) for side in (log_p, log_q))
        coarse = divergence(p, q, ones, zeros)
        inside = torch.ones(50, 200).scatter(-1, ids, 0.0)
        tail_p, tail_q = ((side.exp() * inside).sum(-1) for side in (log_p, log_q))
        kept = (inside * log_p.exp() * (log_p - log_q)).sum(-1)
        lost = kept - torch.where(tail_p > 0, tail_p * (tail_p / tail_q.clamp(min=1e-30)).log(), 0.0)
        torch.testing.assert_close(exact - coarse, lost, rtol=1e-3, atol=1e-5)
        assert (coarse <= exact + 1e-5).all() and (coarse >= before - 1e-5).all()
        before = coarse


def test_divergences_between_the_ends():
    generator = torch.Generator().manual_seed(1)
    p, q = (torch.randn(2, 7, generator=generator).log_softmax(-1) for _ in range(2))
    one = torch.ones(2)
    half = divergence(p, q, one, 0.5 * one)
    torch.testing.assert_close(half, divergence(q, p, one, 0.5 * one))
    assert (half > 0).all() and (half < math.log(2)).all()
    small = 1e-4 * one  # divided by beta (1 - beta), it goes to the forward KL
    torch.testing.assert_close(divergence(p, q, one, small) / small, divergence(p, q, one, 0 * one), rtol=5e-3, atol=0)


def test_no_tensor_of_all_logits_is_added(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setattr(forward.piecewise, "__defaults__", (4000,))
    monkeypatch.setattr(cross_entropy, "PIECE", 4000)
    asked = {"completion": (WeightedText("text"),)}
    examples = [replace(sampled(n, 60, policy=policy(n, 60), soft_targets=soft(n, 60)), **asked) for n in range(8)]
    trainer = make_trainer(tiny_model, tmp_path, examples)
    terms, counts = trainer.terms, []
    for trainer.terms in (terms[:1], terms):
        with LargeTensors(trainer.output_layer.weight.shape[0]) as made:
            gradient(trainer)
        counts.append(sum(rows == 8 * 60 for rows in made.rows))
    assert len(terms) == 3 and counts[0] == counts[1] > 0


def test_rows_of_both_kinds_share_a_step(tiny_model, tmp_path):
    """Texts by cross-entropy, ids by the policy gradient: the mean of each is over its own tokens."""
    texts, ids = sums(6), [sampled(n, policy=policy(n)) for n in range(3)]
    trainer = make_trainer(tiny_model, tmp_path, [*texts, *ids])
    (tmp_path / "texts").mkdir()
    alone = make_trainer(tiny_model, tmp_path / "texts", texts)
    assert len(rows_of(trainer.plan[0])) == 9
    _, means = gradient(trainer)
    assert means[0] == pytest.approx(float(gradient(alone)[1][0]), rel=1e-4)
    assert means[1] == pytest.approx(policy_by_hand(trainer.model, ids).item(), rel=1e-4)
