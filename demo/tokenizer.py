"""The demo models' tokenizer: byte-level BPE, digits one by one, with the chat template.

Byte level: any English text, Python or Unicode survives encode/decode unchanged. Digits stand alone so that a
number is copied and calculated digit by digit, as arithmetic in small models needs it.
"""

import importlib
import inspect
from collections.abc import Iterator
from random import Random
from typing import TYPE_CHECKING

from raydistill.demo import gsm, invented, mixture, prompts
from raydistill.demo.skill import Example
from raydistill.pipelines.prompts import context_names, load_context

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

VOCABULARY_SIZE = 2048
MAX_POSITIONS = 1024
FOCUS_WEIGHT = 8.0  # of the tokens that decide whether a completion is right: they are few among many
SPECIAL_TOKENS = ("<pad>", "<bos>", "<eos>", prompts.SYSTEM, prompts.USER, prompts.ASSISTANT)
PAD_ID, BOS_ID, EOS_ID = 0, 1, 2
TEXT_SEED = 11
QUESTIONS_PER_TEMPLATE = 40
EXAMPLES_PER_SKILL = 800

PYTHON_MODULES = invented.words("random fractions statistics textwrap")


def train_tokenizer() -> "PreTrainedTokenizerBase":
    """A tokenizer trained on questions (never with their answers), invented programs and Python source."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\d"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(training_texts(), trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        additional_special_tokens=[prompts.SYSTEM, prompts.USER, prompts.ASSISTANT],
        model_max_length=MAX_POSITIONS,
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )
    tokenizer.chat_template = prompts.CHAT_TEMPLATE
    return tokenizer


def training_texts() -> Iterator[str]:
    """What the merges are learned from: ``gsm_symbolic`` questions alone, other skills' prompts and answers, Python."""
    rng = Random(TEXT_SEED)
    for template in gsm.USABLE_TEMPLATES:
        for _ in range(QUESTIONS_PER_TEMPLATE):
            yield gsm.training_instance(template, rng).question
    for skill in mixture.SKILLS:
        for _ in range(EXAMPLES_PER_SKILL if skill.invent else 0):
            example = skill.invent(rng)
            yield from (example.prompt, example.completion)
    for context in map(load_context, context_names()):
        yield context.instruction
        yield from (demonstration.answer for demonstration in context.demonstrations)
    for name in PYTHON_MODULES:
        yield inspect.getsource(importlib.import_module(name))


def encode_example(tokenizer: "PreTrainedTokenizerBase", example: Example) -> tuple[list[int], list[float]]:
    """Token ids of an example and the loss weight of each.

    A chat is rendered as the chat template does: ``<bos><|user|>prompt<|assistant|>completion<eos>``, earlier
    turns before the last one in the same form. A text without a prompt stands alone: ``<bos>completion<eos>``.
    """
    ids, weights = [BOS_ID], [0.0]

    def add(text: str, weight: float, end: bool = False) -> None:
        tokens = [*tokenizer.encode(text, add_special_tokens=False), *[EOS_ID] * end]
        ids.extend(tokens)
        weights.extend([weight] * len(tokens))

    for asked, answered in example.turns:
        add(f"{prompts.USER}{asked}{prompts.ASSISTANT}", example.prompt_weight)
        add(answered, example.turns_weight, end=True)
    if example.prompt:
        add(f"{prompts.USER}{example.prompt}{prompts.ASSISTANT}", example.prompt_weight)
    add(example.completion, 1.0, end=True)
    if example.focus:
        tokens = tokenizer(example.completion, add_special_tokens=False, return_offsets_mapping=True)
        start = len(ids) - 1 - len(tokens["input_ids"])
        matches = [found.span() for found in example.focus.finditer(example.completion)]
        for place, (first, last) in enumerate(tokens["offset_mapping"], start):
            if any(first < end and begin < last for begin, end in matches):
                weights[place] = FOCUS_WEIGHT
    return ids, weights


def chat(example: Example) -> list[dict[str, str]]:
    """An example's messages up to the user's last turn, as chat templates and servers take them."""
    texts = [text for turn in example.turns for text in turn] + [example.prompt]
    return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]
