"""Examples that a tiny student learns, and tokenizers that split them in different ways."""

from __future__ import annotations

from raydistill.pipelines.data.records import Consistency, Example, Question, WeightedText

TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>\n{{ message.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def sums(count: int) -> list[Example]:
    """Two examples per question: a program that adds two numbers, in one segment and in two."""
    examples = []
    for number in range(count):
        left, right = number % 37, number * 7 % 41
        question = Question.make("sums", f"What is {left} plus {right}, asked {number // 2} times?", "")
        program = f"def solution():\n    return {left} + {right}\n"
        pieces = (
            (WeightedText(program),)
            if number % 2
            else (WeightedText(program[:16], 1.0), WeightedText(program[16:], 1.5))
        )
        messages = ({"role": "user", "content": question.text},)
        examples.append(Example(f"e{number}", f"q{number // 2}", messages, pieces))
    return examples


def rationales(questions: int, each: int = 3, alpha: float = 0.5) -> list[Example]:
    """Ways to tell a sum, for consistency training; they end in the same sentence."""
    examples = []
    for number in range(questions):
        left, right = number % 9 + 1, number * 7 % 11
        messages = ({"role": "user", "content": f"What is {left} plus {right}, asked {number} times?"},)
        end = f"Therefore, the answer is {left + right}."
        ways = (f"{left} + {right} = {left + right}.", f"Count {right} on from {left}.", f"First {left}, then more.")
        for way in range(each):
            text = f"{ways[way]}\n{end}"
            shared = {"group": f"q{number}", "answer": str(left + right), "consistency": Consistency(alpha, 1.3)}
            examples.append(Example(f"q{number}/{way}", f"q{number}", messages, (WeightedText(text),), **shared))
    return examples


def make_tokenizer(*, chat: bool = True):
    """A byte-level BPE tokenizer of 320 entries whose template ends turns with <|end|>, or without template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<pad>", "<bos>", "<eos>", "<|user|>", "<|assistant|>", "<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([example.text for example in sums(200)], trainer)
    tokens = {"pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>"}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **tokens)
    fast.chat_template = TEMPLATE if chat else None
    return fast
