"""A term of the loss that nobody has thought of trains beside the others, through a loop that does not know it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

torch = pytest.importorskip("torch")

from raydistill.actors.errors import TrainingError  # noqa: E402
from raydistill.pipelines.config.sections import Train  # noqa: E402
from raydistill.pipelines.data.records import WeightedText  # noqa: E402
from raydistill.pipelines.training.batches import padded, rows_of  # noqa: E402
from raydistill.pipelines.training.checkpoints import Progress  # noqa: E402
from raydistill.pipelines.training.log import TrainLog  # noqa: E402
from raydistill.pipelines.training.loop import Trainer, make_optimizer  # noqa: E402
from raydistill.pipelines.training.losses import cross_entropy  # noqa: E402
from raydistill.pipelines.training.losses import table as losses_table  # noqa: E402
from raydistill.pipelines.training.losses.base import LossTerm  # noqa: E402
from raydistill.pipelines.training.losses.consistency import Consistency  # noqa: E402
from raydistill.pipelines.training.losses.cross_entropy import CrossEntropy  # noqa: E402
from raydistill.pipelines.training.student import load_student  # noqa: E402
from raydistill.pipelines.training.tokens import TokenTable, load_tokenizer, tokenise, write_tokens  # noqa: E402
from tests import ROOT  # noqa: E402
from tests.pipelines.training.losses.large_tensors import LargeTensors  # noqa: E402
from tests.pipelines.training.training_examples import rationales, sums  # noqa: E402

K = 2  # entries of a soft target
PIECE = 8  # positions that the made-up term takes at once


class Targets(NamedTuple):
    ids: torch.Tensor  # [B, L, K] int64
    shares: torch.Tensor  # [B, L, K] float32, 0 where there is no target
    weights: torch.Tensor  # [B] float32


class MadeUp(LossTerm[Targets]):
    """KL divergence from a teacher's K most likely tokens, at every token but the first, those of the prompt too.

    The examples' `meta` has the weight of a row; the "teacher" is a function of the token's place.
    """

    name = "made_up"
    measures = ("teacher_kl", "teacher_surprise")

    @staticmethod
    def schema():
        lists = [("made_ids", pa.large_list(pa.int32())), ("made_shares", pa.large_list(pa.float32()))]
        return [*lists, ("made_weight", pa.float32())]

    @staticmethod
    def columns(example, encoding):
        weight = example.meta.get("soft", 0.0)
        length = encoding.start + len(encoding.characters) + 1 if weight else 0
        ids = [(7 * place + k) % 300 for place in range(length) for k in range(K)]
        shares = [share for place in range(length) for share in ((0.75, 0.25) if place else (0, 0))]
        return {"made_ids": ids, "made_shares": shares, "made_weight": weight}

    @staticmethod
    def trained(columns):
        return max(0, len(columns["made_ids"]) // K - 1)

    def __init__(self, table):
        super().__init__(table)
        self.ids, self.shares = table.lists("made_ids"), table.lists("made_shares")
        self.weights = table.column("made_weight").to_numpy()

    @property
    def active(self):
        return len(self.ids.values) > 0

    def count(self, units):
        return int(sum(np.count_nonzero(self.shares[row]) // K for row in rows_of(units)))

    def collate(self, units, shape):
        rows = rows_of(units)
        if not self.weights[rows].any():
            return None
        columns = ((self.ids, "int64"), (self.shares, "float32"))
        made = [padded([column[row].reshape(-1, K) for row in rows], (*shape, K), kind) for column, kind in columns]
        return Targets(*made, torch.from_numpy(self.weights[rows]))

    def positions(self, part, ids):
        return part.shares[:, 1:].sum(-1) > 0

    def loss(self, part, logits):
        total = torch.zeros(3)
        places = self.positions(part, logits.ids).nonzero()
        for rows, tokens in (piece.T for piece in places.split(PIECE)):
            log_p = logits.at(rows, tokens).float().log_softmax(-1).gather(-1, part.ids[rows, tokens + 1])
            shares = part.shares[rows, tokens + 1]
            divergence = (shares * (shares.log() - log_p)).sum(-1)
            surprise = -log_p[:, 0].detach().sum()
            total = total + torch.stack([(part.weights[rows] * divergence).sum(), divergence.detach().sum(), surprise])
        return total


def examples():
    """Pairs, some with soft targets, and rows alone: with soft targets beside cross-entropy, and with them only."""
    pairs = [replace(one, meta={"soft": 0.5}) if i % 4 == 0 else one for i, one in enumerate(rationales(10))]
    first, *others = sums(12)
    only = replace(first, completion=(WeightedText(first.text, 0.0),), meta={"soft": 2.0})
    return [*pairs, only, *others[:4], *(replace(one, meta={"soft": 1.0}) for one in others[4:])]


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """All that a new term takes beside its class."""
    monkeypatch.setattr(losses_table, "TERMS", (*losses_table.TERMS, MadeUp))


def make_table(student, folder, rows=None) -> TokenTable:
    path = f"{folder}/tokens.parquet"
    made = tokenise(load_tokenizer(student, None), examples() if rows is None else rows)
    write_tokens(made, path, max_length=256, vocabulary=400)
    return TokenTable(path)


@pytest.fixture
def table(tiny_model, tmp_path) -> TokenTable:
    return make_table(tiny_model, tmp_path)


def make_trainer(student, table, rank=0, world=1, **changes) -> Trainer:
    values = {"student": student, "precision": "float32", "batch_tokens": 1500, "validation_fraction": 0}
    config = Train.model_validate(values | changes)
    model = load_student(config, None, stop_id=2)
    return Trainer(config, model, make_optimizer(model, config), table, rank, world)


def gradient(trainer: Trainer, step: int = 0):
    """Of the loss over this worker's share of a step, and what it adds to the means."""
    units = trainer.plan[step]
    trainer.model.zero_grad()
    means = trainer.accumulate(units, [term.count(units) for term in trainer.terms], step)
    return torch.cat([parameter.grad.flatten() for parameter in trainer.model.parameters()]), means


def by_hand(model, table, units):
    """The loss, row by row and term by term, from full logits without padding."""
    weights, pairs = CrossEntropy(table).weights, Consistency(table)
    log_p, sums, counts = {}, [0.0, 0.0, 0.0], [0, 0, 0]
    made_ids, made_shares = (table.lists(name) for name in ("made_ids", "made_shares"))
    made_weights = table.column("made_weight").to_numpy()
    for row in rows_of(units):
        ids = torch.from_numpy(table.ids[row].astype(np.int64))
        log_p[row] = model(input_ids=ids[None]).logits[0].log_softmax(-1)
        for token in range(1, len(ids)):
            weight, before = float(weights[row][token]), log_p[row][token - 1]
            sums[0] -= weight * before[ids[token]]
            counts[0] += weight != 0
            if made_weights[row]:
                soft = slice(token * K, token * K + K)
                for entry, share in zip(made_ids[row][soft], made_shares[row][soft], strict=True):
                    sums[2] += made_weights[row] * share * (np.log(share) - before[entry])
                counts[2] += 1
    for left, right in (unit for unit in units if unit[-1] >= 0):
        shared = pairs.shared_answer(left, right)
        starts = ((left, shared.left_start), (right, shared.right_start))
        sides = [log_p[row][start - 1 : start - 1 + shared.length] for row, start in starts]
        p, q = ((side / pairs.temperatures[left]).log_softmax(-1) for side in sides)
        sums[1] += pairs.weights[left] * (((p.exp() - q.exp()) * (p - q)).sum(-1) / 2).mean()
        counts[1] += 1
    assert all(counts)
    return sum(total / count for total, count in zip(sums, counts, strict=True))


def test_gradient_is_that_of_the_sum_by_hand(tiny_model, table):
    trainer = make_trainer(tiny_model, table)
    assert [term.name for term in trainer.terms] == ["cross_entropy", "consistency", "made_up"]
    found, _ = gradient(trainer)
    trainer.model.zero_grad()
    loss = by_hand(trainer.model, table, trainer.plan[0])
    loss.backward()
    expected = torch.cat([parameter.grad.flatten() for parameter in trainer.model.parameters()])
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5 * float(expected.abs().max()))
    _, means = trainer.step(Progress(), 1e-3)
    assert means.loss == pytest.approx(loss.item(), rel=1e-4)


def test_micro_batches_and_workers_do_not_change_the_gradient(tiny_model, table):
    whole, means = gradient(make_trainer(tiny_model, table))
    close = {"rtol": 1e-4, "atol": 1e-5 * float(whole.abs().max())}
    cut, of_cut = gradient(make_trainer(tiny_model, table, micro_batch_tokens=150))
    torch.testing.assert_close(cut, whole, **close)
    torch.testing.assert_close(of_cut, means)
    for world in (2, 3):
        shares = [gradient(make_trainer(tiny_model, table, rank, world, workers=world)) for rank in range(world)]
        averaged = torch.stack([share for share, _ in shares]).mean(0)  # as DDP and FSDP do
        torch.testing.assert_close(averaged, whole, **close)
        torch.testing.assert_close(torch.stack([of_share for _, of_share in shares]).sum(0), means)


def large(trainer: Trainer, terms) -> list[int]:
    """Rows of the tensors of the whole vocabulary that a step makes, there and back; -1 for those of all logits."""
    trainer.terms = terms
    vocabulary, seen = trainer.output_layer.weight.shape[0], []
    handle = trainer.output_layer.register_forward_hook(lambda _, inputs, output: seen.append(len(output)))
    with LargeTensors(vocabulary) as made:
        gradient(trainer)
    handle.remove()
    [positions] = seen
    return [-1 if rows == positions else rows for rows in made.rows]


def test_there_is_one_gradient_of_all_logits(tiny_model, table):
    """The third term wants nearly all of them, in pieces: tensors of all are those of the cross-entropy alone."""
    trainer = make_trainer(tiny_model, table, batch_tokens=4000, micro_batch_tokens=10**5)
    terms = trainer.terms
    alone, all_terms = large(trainer, terms[:1]), large(trainer, terms)
    assert all_terms.count(-1) == alone.count(-1) > 0
    compared = 2 * sum(Consistency(table).shared_answer(*unit).length for unit in trainer.plan[0] if unit[-1] >= 0)
    assert PIECE <= max(all_terms) <= max(compared, PIECE) < table.lengths[rows_of(trainer.plan[0])].sum() / 10


def test_pieces_of_the_cross_entropy_change_no_bit(tiny_model, table, monkeypatch):
    """The other terms' gradients are added into one that lies where the logits were."""
    trainer = make_trainer(tiny_model, table)
    whole, _ = gradient(trainer)
    monkeypatch.setattr(cross_entropy, "PIECE", 4000)
    assert torch.equal(gradient(trainer)[0], whole)


class Scalars(TrainLog):
    """Keeps what would be written."""

    def __init__(self):
        self.written, self._board, self._sent = {}, None, float("inf")

    def _write(self, group, values, step):
        self.written |= {f"{group}/{name}": value for name, value in values.items()}


def test_its_measures_are_kept_and_logged(tiny_model, table):
    trainer = make_trainer(tiny_model, table, validation_fraction=0.3, eval_steps=1, micro_batch_tokens=400)
    progress, log = Progress(), Scalars()
    trainer.advance(progress, log)
    for name in ("made_up", "validation_made_up"):
        [[step, cross_entropy, divergence, surprise]] = progress.history[name]
        assert step == 1 and cross_entropy > 0 and surprise > divergence > 0
    [[_, cross_entropy, divergence, _]] = progress.history["made_up"]
    assert log.written["train/teacher_kl"] == divergence
    assert log.written["train/teacher_kl_per_cross_entropy"] == divergence / cross_entropy
    assert {"validation/teacher_surprise", "train/answer_kl_per_cross_entropy"} <= log.written.keys()


def test_its_columns_come_last_and_are_empty_where_nobody_asks(tiny_model, tmp_path):
    table = make_table(tiny_model, tmp_path, [*rationales(2), *sums(2)])
    names = pq.read_schema(f"{tmp_path}/tokens.parquet").names
    assert names[-4:] == ["soft_beta", "made_ids", "made_shares", "made_weight"]
    assert names[:4] == ["id", "question_id", "ids", "weights"]
    assert [term.name for term in losses_table.active_terms(table)] == ["cross_entropy", "consistency"]


def test_a_row_that_no_term_trains_is_refused(tiny_model, tmp_path):
    untrained = [replace(one, completion=(WeightedText(one.text, 0.0),)) for one in sums(1)]
    with pytest.raises(TrainingError, match="example e0: no trained token"):
        make_table(tiny_model, tmp_path, untrained)


def test_two_terms_cannot_both_put_rows_together(table):
    class Others(Consistency):
        name = "others"

    with pytest.raises(TrainingError, match="^consistency and others each say [^\n]*$"):
        losses_table.pairing_term([CrossEntropy(table), Consistency(table), Others(table)])


def test_the_loop_names_no_term_and_the_trainer_no_recipe():
    folder = ROOT / "pipelines" / "training"
    terms = "|".join(term.name.replace("_", "[_ -]?") for term in losses_table.TERMS)
    for path in folder.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"(?i:mcc|tripost|rebase)|\bPaD\b", text), path
        if path.parent == folder:
            assert not re.search(terms, text, re.IGNORECASE), path
