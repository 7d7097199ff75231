"""Tokenizers that cut answers in different ways, and rationales that end in the same answer."""

from __future__ import annotations

from functools import cache
from typing import Any

from raydistill.pipelines.data.records import Consistency, Example, WeightedText
from tests.pipelines.training.training_examples import TEMPLATE

ANSWERS = ("18", "1080", "-3.5", "B", "the red house", "Zürich")
SPECIALS = ["<pad>", "<bos>", "<eos>", "<|user|>", "<|assistant|>", "<|end|>", "<unk>"]
CORPUS = [f"Therefore, the answer is {answer}." for answer in ANSWERS for _ in range(9)] + [
    f"She sells {i} boxes and keeps {2 * i}, so {i} + {2 * i} = {3 * i}." for i in range(0, 1000, 7)
]
KINDS = ("digits_split", "digits_merged", "leading_space", "bytes", "words")
FUSED = "fused"  # one that makes "18." a single token


@cache
def build(kind: str) -> Any:
    """A fast tokenizer with a chat template: 18 is 1 8 (digits_split, bytes), 18 (digits_merged), or ▁18."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    digits, lines, marks = (pre_tokenizers.Split(Regex(cut), "isolated") for cut in (r"\d", r"\n", r"[\n.]"))
    before = {
        "digits_split": pre_tokenizers.Sequence([digits, byte_level]),
        "digits_merged": byte_level,
        "leading_space": pre_tokenizers.Sequence([marks, pre_tokenizers.Metaspace(prepend_scheme="never")]),
        FUSED: pre_tokenizers.Sequence([lines, pre_tokenizers.Metaspace(prepend_scheme="never")]),
        "bytes": byte_level,
        "words": pre_tokenizers.Whitespace(),
    }[kind]
    after = {"words": decoders.Fuse(), "leading_space": decoders.Metaspace(), FUSED: decoders.Metaspace()}
    decoder = after.get(kind, decoders.ByteLevel())
    model = models.WordLevel(unk_token="<unk>") if kind == "words" else models.BPE(unk_token="<unk>")
    alphabet = pre_tokenizers.ByteLevel.alphabet() if kind not in after else []
    shared: dict[str, Any] = {"special_tokens": SPECIALS, "show_progress": False}
    if kind == "words":
        trainer: Any = trainers.WordLevelTrainer(vocab_size=2000, **shared)
    else:
        size = len(alphabet) + len(SPECIALS) if kind == "bytes" else 900
        trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, **shared)
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer, tokenizer.decoder = before, decoder
    tokenizer.train_from_iterator(CORPUS, trainer)
    names = {"pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>"}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=TEMPLATE, **names)
    fast.add_special_tokens({"additional_special_tokens": SPECIALS[3:6]})
    return fast


def rationale(number: int, question: int, answer: str, *, weight: float = 0.5, temperature: float = 1.3) -> Example:
    """The `number`-th of a question's rationales: other sums each time, the same last sentence."""
    sums = "".join(f"She sells {7 * i} boxes and keeps {14 * i}.\n" for i in range(1, number % 4 + 2))
    text = f"{sums}Therefore, the answer is {answer}."
    messages = ({"role": "user", "content": f"How many are left of {question}?"},)
    pull = Consistency(weight, temperature)
    name = f"q{question}"
    return Example(
        f"{name}/{number}", name, messages, (WeightedText(text),), group=name, answer=answer, consistency=pull
    )
