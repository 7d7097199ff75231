"""How much memory steps of the default size take, for a student of the shape of SmolLM2-135M."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from raydistill.pipelines.data.records import Example, WeightedText
from raydistill.pipelines.training.tokens import load_tokenizer, tokenise, write_tokens

SHAPE = {
    "vocab_size": 49_152,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "tie_word_embeddings": True,
}
STEPS = """
import resource, sys
from raydistill.pipelines.config.sections import Train
from raydistill.pipelines.training.checkpoints import Progress
from raydistill.pipelines.training.loop import Trainer, make_optimizer
from raydistill.pipelines.training.student import load_student
from raydistill.pipelines.training.tokens import TokenTable

config, progress = Train(student=sys.argv[1], validation_fraction=0, epochs=2), Progress()
model = load_student(config, None, stop_id=2)
trainer = Trainer(config, model, make_optimizer(model, config), TokenTable(sys.argv[2]), rank=0, world=1)
while progress.step < len(trainer.plan):
    trainer.step(progress, 1e-5)
print(progress.step, progress.tokens, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_steps_of_8192_trained_tokens_fit_into_12_gib(tiny_model: str, tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    base, tokens, tokenizer = tmp_path / "base", str(tmp_path / "tokens.parquet"), load_tokenizer(tiny_model, None)
    LlamaForCausalLM(LlamaConfig(**SHAPE)).save_pretrained(base)
    tokenizer.save_pretrained(base)
    text = WeightedText("7" * 1000)  # a token each
    examples = [Example(f"e{i}", f"q{i}", ({"role": "user", "content": str(i)},), (text,)) for i in range(8)]
    counts = write_tokens(tokenise(tokenizer, examples), tokens, max_length=1024, vocabulary=SHAPE["vocab_size"])
    assert counts.tokens > 8000 and counts.trained > 8000
    done = subprocess.run([sys.executable, "-c", STEPS, base, tokens], stdout=subprocess.PIPE, text=True, check=True)
    steps, trained, peak_kib = map(int, done.stdout.split())
    assert (steps, trained) == (2, 2 * counts.tokens)
    assert peak_kib / 2**20 < 12  # GiB
