"""What training leaves in a student's folder, whatever its base had: settings of generation, tied weights, padding."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from raydistill.pipelines.config.sections import Lora, Train
from raydistill.pipelines.training.checkpoints import Progress
from raydistill.pipelines.training.loop import Trainer, make_optimizer
from raydistill.pipelines.training.student import export_student, load_student, vocabulary_size
from raydistill.pipelines.training.tokens import TokenTable, load_tokenizer, stop_token_id, tokenise, write_tokens
from tests.pipelines.training.training_examples import sums
from tests.tiny import PLANTED, make_opinionated, pad_vocabulary


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """On cores that others use as well, two threads wait for each other most of the time."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def trained(base: str, folder: Path, lora: Lora | None = None) -> Any:
    """The student after three steps from `base`, as it is in memory; it is exported to `folder`/student."""
    config = Train(
        student=base, lora=lora, precision="float32", batch_tokens=600, validation_fraction=0, learning_rate=3e-3
    )
    tokenizer = load_tokenizer(base, None)
    path = str(folder / "tokens.parquet")
    write_tokens(tokenise(tokenizer, sums(60)), path, max_length=256, vocabulary=vocabulary_size(base, None))
    model = load_student(config, None, stop_token_id(tokenizer))
    trainer = Trainer(config, model, make_optimizer(model, config), TokenTable(path), rank=0, world=1)
    progress = Progress()
    for _ in range(3):
        trainer.step(progress, config.learning_rate)
    export_student(model, tokenizer, str(folder / "student"), write=True)
    return model.eval()


def merged(base: str, adapter: Path, folder: Path) -> Path:
    """A folder with the adapter merged into its base, by peft alone."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), str(adapter))
    model.merge_and_unload().save_pretrained(folder)
    return folder


def logits(model: Any) -> Any:
    import torch

    with torch.no_grad():
        return model(input_ids=torch.arange(3, 90)[None]).logits


def names(folder: Path) -> list[str]:
    """The tensors in a folder's file of weights."""
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", "pt") as file:
        return sorted(file.keys())


@pytest.mark.parametrize("lora", [None, Lora(rank=2)])
@pytest.mark.parametrize("sampled", [True, False])
@pytest.mark.parametrize("planted", ["generation_config.json", "config.json"])
def test_a_student_has_no_sampling_settings_of_its_base(
    tiny_model: str, tmp_path: Path, planted: str, sampled: bool, lora: Lora | None
) -> None:
    """With `temperature` and without `do_sample` transformers would not even write the folder."""
    base = copytree(tiny_model, tmp_path / "base")
    given = json.loads((base / planted).read_text()) | PLANTED | {"do_sample": sampled}
    if planted == "config.json":  # where older models have them
        (base / "generation_config.json").unlink()
    (base / planted).write_text(json.dumps(given))
    model = load_student(Train(student=str(base), lora=lora), None, stop_id=7)
    export_student(model, load_tokenizer(str(base), None), str(tmp_path / "student"), write=True)
    folders = [tmp_path / "student"]
    if lora:
        model.merge_and_unload().save_pretrained(tmp_path / "merged")
        folders.append(tmp_path / "merged")
    for folder in folders:
        written = json.loads((folder / "generation_config.json").read_text())
        assert written.pop("transformers_version")
        assert written == {"bos_token_id": 1, "eos_token_id": [2, 7], "pad_token_id": 0}
        assert (folder / "adapter_config.json").is_file() or not {*PLANTED} & {
            *json.loads((folder / "config.json").read_text())
        }


def test_a_trained_student_goes_on_without_them(tiny_model: str, tmp_path: Path) -> None:
    base = str(make_opinionated(copytree(tiny_model, tmp_path / "base")))
    trained(base, tmp_path)
    again = load_student(Train(student=base), str(tmp_path / "student"), stop_id=2)
    assert (again.generation_config.eos_token_id, again.generation_config.repetition_penalty) == (2, None)


def test_tied_weights_stay_one_tensor(tiny_model: str, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    expected = logits(trained(tiny_model, tmp_path))
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "student")
    assert again.config.tie_word_embeddings and again.lm_head.weight is again.model.embed_tokens.weight
    assert names(tmp_path / "student") == names(Path(tiny_model)) and "lm_head.weight" not in names(Path(tiny_model))
    assert torch.equal(logits(again), expected)
    assert not torch.equal(logits(AutoModelForCausalLM.from_pretrained(tiny_model)), expected)


def test_tied_weights_stay_one_tensor_when_an_adapter_is_merged(tiny_model: str, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    expected = logits(trained(tiny_model, tmp_path, Lora(rank=4)))
    folder = merged(tiny_model, tmp_path / "student", tmp_path / "merged")
    again = AutoModelForCausalLM.from_pretrained(folder)
    assert again.config.tie_word_embeddings and again.lm_head.weight is again.model.embed_tokens.weight
    assert names(folder) == names(Path(tiny_model))
    torch.testing.assert_close(logits(again), expected, rtol=1e-4, atol=1e-4)
    assert (logits(AutoModelForCausalLM.from_pretrained(tiny_model)) - expected).abs().max() > 1e-2


@pytest.mark.parametrize("lora", [None, Lora(rank=2)])
def test_rows_of_the_vocabulary_that_are_no_tokens_stay(tiny_model: str, tmp_path: Path, lora: Lora | None) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = str(pad_vocabulary(copytree(tiny_model, tmp_path / "base"), rows=24))
    expected, student = logits(trained(base, tmp_path, lora)), tmp_path / "student"
    folder = merged(base, student, tmp_path / "merged") if lora else student
    again, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(student)
    assert again.config.vocab_size == len(tokenizer) + 24 == expected.shape[-1]
    assert len(tokenizer) == len(AutoTokenizer.from_pretrained(tiny_model))
    torch.testing.assert_close(logits(again), expected, rtol=1e-4, atol=1e-4)
