"""A model small enough to make and run anywhere: random weights, own tokenizer, own chat template."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% if m['role'] == 'assistant' %}{{ eos_token }}"
    "{% endif %}\n{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)
OWN_SYSTEM = "You help. "
PLANTED = {"repetition_penalty": 1.1, "temperature": 0.6, "top_k": 1, "top_p": 0.8}
CORPUS = [
    "Write a Python function solution() that returns the answer.",
    "def solution():\n    a = 12 + 7\n    return a\n",
    "What is 3 plus 3? Therefore, the answer is 6.",
    '{"input": "a question", "output": "an answer"}',
]


def write_tiny_model(folder: Path, *, seed: int) -> Path:
    """Write a two-layer Llama of about 150,000 parameters in Hugging Face format; weights depend on `seed`."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    specials = ["<pad>", "<bos>", "<eos>"]
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=specials, initial_alphabet=alphabet)
    bpe.train_from_iterator(CORPUS, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>", chat_template=TEMPLATE
    )
    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=512,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=0,
            initializer_range=0.2,
            tie_word_embeddings=True,
        )
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def teach(folder: Path, answers: Mapping[str, str], *, steps: int = 400) -> Path:
    """Train a tiny model until it answers each question, asked as a student of PaD is, with its text.

    It says so by heart: temperature up to 1 changes nothing. Raises AssertionError where it has not learned them.
    """
    import torch
    from transformers import AutoModelForCausalLM

    from raydistill.pipelines.data.records import Example, Question, WeightedText
    from raydistill.pipelines.recipes.registry import default_recipe, make_recipe
    from raydistill.pipelines.training.tokens import load_tokenizer, tokenise

    asks, tokenizer = make_recipe(default_recipe()).student, load_tokenizer(str(folder), None)
    prompts = {text: asks.prompts(Question("", text, ""))[0].messages for text in answers}
    examples = [Example(text, "", prompts[text], (WeightedText(said),)) for text, said in answers.items()]
    rows = [torch.tensor([row.ids]) for row in tokenise(tokenizer, examples)]
    model = AutoModelForCausalLM.from_pretrained(folder)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(steps):
        losses = [model(input_ids=ids, labels=ids).loss for ids in rows]
        sum(losses).backward()
        optimizer.step()
        optimizer.zero_grad()
        if max(loss.item() for loss in losses) < 0.01:
            break
    assert max(losses).item() < 0.03, losses
    model.save_pretrained(folder)
    return folder


def write_adapter(model: str, folder: Path, *, seed: int = 0, rank: int = 4) -> str:
    """A LoRA adapter over `model` whose random weights change what it writes."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")
    adapter = get_peft_model(AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32), config)
    for name, weights in adapter.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weights, std=0.3)
    adapter.save_pretrained(str(folder))
    return str(folder)


def make_opinionated(folder: Path) -> Path:
    """Give a model what those of the hub have: sampling settings, and a template with a system prompt of its own."""
    generation, template = folder / "generation_config.json", folder / "chat_template.jinja"
    generation.write_text(json.dumps(json.loads(generation.read_text()) | PLANTED))
    own = "{% if messages[0]['role'] != 'system' %}" + OWN_SYSTEM + "{% endif %}"
    template.write_text(own + template.read_text())
    return folder


def pad_vocabulary(folder: Path, *, rows: int) -> Path:
    """Give a model rows that are no tokens, as the hub's have for even shapes."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder)
    tokens = model.config.vocab_size
    model.resize_token_embeddings(tokens + rows, mean_resizing=False)
    with torch.no_grad():
        model.get_input_embeddings().weight[tokens:].normal_(0, 0.25, generator=torch.Generator().manual_seed(0))
    model.save_pretrained(folder)
    return folder


def write_tiny_encoder(folder: Path, *, seed: int = 0) -> str:
    """Write a one-layer BERT of random weights, which knows a few words, as a sentence encoder; returns its path."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "how", "many", "apples", "pears", "sums", "fruit", "=", "3"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(seed)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=len(words), **sizes)).save_pretrained(folder)
    return str(folder)
