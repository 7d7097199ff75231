"""The demo models' tokenizer: byte-level BPE, digits one by one, with the chat template.

Byte level: any English text, Python or Unicode survives encode/decode unchanged. Digits stand alone so that a
number is copied and calculated digit by digit, as arithmetic in small models needs it.
"""

from collections.abc import Iterator
from random import Random
from typing import TYPE_CHECKING

from demo import families, gsm, invented, prompts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

VOCABULARY_SIZE = 1536
MAX_POSITIONS = 1024
SPECIAL_TOKENS = ("<pad>", "<bos>", "<eos>", prompts.SYSTEM, prompts.USER, prompts.ASSISTANT)
PAD_ID, BOS_ID, EOS_ID = 0, 1, 2
TEXT_SEED = 11

# Families whose wording the tokenizer should also cover well; later skills build on them.
OTHER_TASKS = invented.words("word_sorting calendar_arithmetic leg_counting letter_counting basic_arithmetic")
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
    """What the merges are learned from; the shares decide which words become single tokens."""
    import importlib
    import inspect

    import reasoning_gym

    rng = Random(TEXT_SEED)
    for template in gsm.USABLE_TEMPLATES:
        for _ in range(40):
            yield gsm.training_instance(template, rng).question
    for _ in range(3000):
        question, program = invented.operation_chain(rng)
        yield prompts.fenced(program)
        yield question if rng.random() < 0.3 else prompts.PROGRAM_INSTRUCTION
    for _ in range(200):
        yield families.family_program(rng)[1]
        yield prompts.RATIONALE_INSTRUCTION + prompts.ANSWER_SENTENCE
    for name in OTHER_TASKS:
        tasks = reasoning_gym.create_dataset(name, size=60, seed=TEXT_SEED)
        yield from (item["question"] for item in tasks)
    for name in PYTHON_MODULES:
        yield inspect.getsource(importlib.import_module(name))


def encode_example(tokenizer: "PreTrainedTokenizerBase", prompt: str, completion: str) -> tuple[list[int], list[int]]:
    """Token ids of the prompt part and of the trained part of one example.

    With a prompt: ``<bos><|user|>prompt<|assistant|>`` and ``completion<eos>``, as the chat template renders
    them. Without one the text stands alone: ``<bos>`` and ``completion<eos>``.
    """
    head = f"{prompts.USER}{prompt}{prompts.ASSISTANT}" if prompt else ""
    head_ids = tokenizer.encode(head, add_special_tokens=False)
    return [BOS_ID, *head_ids], [*tokenizer.encode(completion, add_special_tokens=False), EOS_ID]
