"""A student that learns in bfloat16 on CPU attends in float32, and nobody who loads it afterwards sees that."""

from __future__ import annotations

import numpy as np
import pytest

from raydistill.pipelines.config.sections import Lora, Train
from raydistill.pipelines.training.attention import NAME, attend_in_float32
from raydistill.pipelines.training.loop import Trainer, make_optimizer
from raydistill.pipelines.training.student import export_student, load_student
from raydistill.pipelines.training.tokens import TokenTable, load_tokenizer, tokenise, write_tokens
from tests.pipelines.training.training_examples import sums


@pytest.fixture
def trainer(request, tiny_model, tmp_path) -> Trainer:
    """Of a lone worker, in the precision and with the adapter of the request."""
    precision, lora = request.param
    path = str(tmp_path / "tokens.parquet")
    write_tokens(tokenise(load_tokenizer(tiny_model, None), sums(20)), path, max_length=256, vocabulary=400)
    config = Train(student=tiny_model, lora=lora, precision=precision, batch_tokens=300)
    model = load_student(config, None, stop_id=2)
    return Trainer(config, model, make_optimizer(model, config), TokenTable(path), rank=0, world=1)


@pytest.fixture
def attended(monkeypatch):
    """The dtypes that PyTorch's attention gets, as they come."""
    from torch.nn import functional

    found, attention = [], functional.scaled_dot_product_attention

    def watched(query, key, value, **settings):
        import torch

        cast = torch.is_autocast_enabled("cpu")
        found.extend(torch.bfloat16 if cast else part.dtype for part in (query, key, value))
        return attention(query, key, value, **settings)

    monkeypatch.setattr(functional, "scaled_dot_product_attention", watched)
    return found


@pytest.mark.parametrize("trainer", [("bfloat16", None), ("bfloat16", Lora(rank=2)), ("float32", None)], indirect=True)
def test_all_parts_are_float32(trainer, attended):
    import torch

    trainer.accumulate(trainer.plan[0], [1], 0)
    assert attended and set(attended) == {torch.float32}


@pytest.mark.parametrize("trainer", [("bfloat16", None)], indirect=True)
def test_padding_is_not_seen(trainer):
    """A row alone and the same row beside a longer one have the same loss, to bfloat16's rounding."""
    row, longer = sorted(range(len(trainer.lengths)), key=lambda row: trainer.lengths[row])[:: len(trainer.lengths) - 1]
    alone, beside, both = (
        trainer.sums(np.array(rows)[:, None])[0][0].item() for rows in ([row], [longer], [row, longer])
    )
    assert both == pytest.approx(alone + beside, rel=1e-3)


@pytest.mark.parametrize("trainer", [("bfloat16", None)], indirect=True)
def test_an_exported_student_has_the_attention_of_its_base(trainer, tmp_path):
    assert trainer.model.config._attn_implementation == NAME
    export_student(trainer.model, load_tokenizer(trainer.config.student, None), str(tmp_path / "student"), write=True)
    assert NAME not in (tmp_path / "student" / "config.json").read_text()
    loaded = load_student(Train(student=str(tmp_path / "student")), None, stop_id=2)
    assert loaded.config._attn_implementation == "sdpa"


def test_another_implementation_stays(tiny_model):
    model = load_student(Train(student=tiny_model), None, stop_id=2)
    model.set_attn_implementation("eager")
    attend_in_float32(model)
    assert model.config._attn_implementation == "eager"
