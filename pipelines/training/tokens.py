"""From examples to weighted token lists: prompt, completion and stop token, each weighted as the example says.

    Example --chat template, tokenizer--> ids [L], weights [L] --check--> tokens.parquet --> the training workers

Everything that can be wrong with tokenizer, template, vocabulary or data is found here, before a worker starts.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raydistill.actors.errors import TrainingError, UsageError
from raydistill.actors.storage import resolve
from raydistill.pipelines.data.records import Example

if TYPE_CHECKING:
    import numpy as np


if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from transformers import PreTrainedTokenizerBase

BATCH = 1000  # examples per call of the tokenizer
SENTINEL = "raydistill-sentinel"


@dataclass(frozen=True, slots=True)
class Tokens:
    """One example as the model sees it, e.g. ``Tokens("e1", "q1", [1, 17, 9, 4, 2], [0, 0, 0, 1.0, 1.0])``.

    `weights[t]` multiplies the cross-entropy of predicting `ids[t]` from what precedes it; 0 is not trained. The rest
    is for consistency training and empty otherwise: rows of one `group` are drawn as pairs, which are compared at
    the tokens [answer_start, answer_end) or where these agree (`pipelines.training.answer_spans`).
    """

    id: str
    question_id: str
    ids: list[int]  # [L], prompt + completion + stop token
    weights: list[float]  # [L]
    group: str = ""
    answer_start: int = 0
    answer_end: int = 0
    consistency: float = 0.0
    temperature: float = 1.0


@dataclass(frozen=True, slots=True)
class Counts:
    """What `write_tokens` made of the examples."""

    kept: int
    too_long: int  # dropped: longer than max_length
    tokens: int  # in the kept examples, prompts included
    trained: int  # of those, with a weight other than 0
    grouped: int = 0  # examples for consistency training


def load_tokenizer(student: str, revision: str | None) -> PreTrainedTokenizerBase:
    """The student's tokenizer. Raises UsageError if there is none, or none that reports character offsets."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(student, revision=revision)
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UsageError(f"student {student}: no tokenizer could be loaded from there: {reason}") from None
    if not tokenizer.is_fast:
        raise UsageError(f"student {student}: needs a fast tokenizer (tokenizer.json), which reports offsets")
    return tokenizer


def stop_token_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token that ends an assistant turn: the first special one that the chat template puts there, else EOS."""
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    if tokenizer.chat_template:
        turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": SENTINEL}]
        tail = str(tokenizer.apply_chat_template(turns, tokenize=False)).rpartition(SENTINEL)[2]
        for token in tokenizer(tail, add_special_tokens=False).input_ids:
            if token in special:
                return token
    if tokenizer.eos_token_id is None:
        raise UsageError(f"tokenizer {tokenizer.name_or_path}: no end-of-turn token in its template and no EOS")
    return tokenizer.eos_token_id


def prompt_text(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Mapping[str, str]]) -> str:
    """The prompt as the engine sends it: through the chat template or, without one, the contents joined by newlines.

    Without a template the tokenizer's BOS goes in front where the tokenizer itself would put it.
    """
    if tokenizer.chat_template:
        turns = [*map(dict, messages)]
        return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
    first = tokenizer("?").input_ids[0]
    bos = tokenizer.bos_token if first == tokenizer.bos_token_id else ""
    return bos + "\n".join(message["content"] for message in messages)


def tokenise(tokenizer: PreTrainedTokenizerBase, examples: Iterable[Example]) -> Iterator[Tokens]:
    """Weighted tokens of each example, in order.

    Prompt and completion are tokenised as one text, so that tokens are those a reader of that text would get; where
    that would merge characters across the border, which generation cannot do, the completion is tokenised alone.
    """
    stop = stop_token_id(tokenizer)
    iterator = iter(examples)
    while batch := list(itertools.islice(iterator, BATCH)):
        prompts = [prompt_text(tokenizer, example.messages) for example in batch]
        prompt_ids = tokenizer(prompts, add_special_tokens=False).input_ids
        whole = [prompt + example.text for prompt, example in zip(prompts, batch, strict=True)]
        encoded = tokenizer(whole, add_special_tokens=False, return_offsets_mapping=True)
        for row, example in enumerate(batch):
            ids, start, border = encoded.input_ids[row], len(prompt_ids[row]), len(prompts[row])
            offsets = encoded.offset_mapping[row]
            if ids[:start] != prompt_ids[row]:
                alone = tokenizer(example.text, add_special_tokens=False, return_offsets_mapping=True)
                ids, offsets, border = prompt_ids[row] + alone.input_ids, [(0, 0)] * start + alone.offset_mapping, 0
            characters = [(begin - border, end - border) for begin, end in offsets[start:]]
            asked = [0.0, *[example.prompt_weight] * start][:start]  # from nothing no first token is predicted
            weights = asked + _weights(example, [begin for begin, _ in characters])
            yield Tokens(example.id, example.question_id, [*ids, stop], weights, *_pairing(example, characters, start))


def _weights(example: Example, begins: Sequence[int]) -> list[float]:
    """Weights of the completion's tokens and of the stop token; a token belongs to the segment it begins in.

    `begins[t]` is the character of the completion at which token t begins.
    """
    if not example.completion:
        return [0.0] * (len(begins) + 1)
    ends = list(itertools.accumulate(len(segment.text) for segment in example.completion))
    last = len(ends) - 1
    places = [min(bisect.bisect_right(ends, max(begin, 0)), last) for begin in begins]
    return [example.completion[place].weight for place in [*places, last]]


def _pairing(example: Example, characters: Sequence[tuple[int, int]], start: int) -> tuple[Any, ...]:
    """The fields of `Tokens` behind `weights`; the answer is looked for at the end of the completion.

    `characters` are those of the completion that each of its tokens covers, `start` is the first one's place.
    """
    if not example.consistency:
        return ()
    place = example.text.rfind(example.answer) if example.answer else -1
    first, end = answer_window(characters, place, place + len(example.answer)) if place >= 0 else (0, 0)
    weight, temperature = example.consistency.weight, example.consistency.temperature
    return example.group, first + start, end + start, weight, temperature


def token_schema() -> pa.Schema:
    """Arrow schema of `tokens.parquet`."""
    import pyarrow as pa

    lists = [("ids", pa.large_list(pa.int32())), ("weights", pa.large_list(pa.float32()))]
    answer = [("answer_start", pa.int32()), ("answer_end", pa.int32())]
    pairing = [("group", pa.string()), *answer, ("consistency", pa.float32()), ("temperature", pa.float32())]
    return pa.schema([("id", pa.string()), ("question_id", pa.string()), *lists, *pairing])


def write_tokens(rows: Iterable[Tokens], path: str, *, max_length: int, vocabulary: int) -> Counts:
    """Check `rows` and write those of at most `max_length` tokens to the Parquet file `path`.

    Raises TrainingError for an example without any trained token, whose stop token is not trained, or with a
    token id outside the model's vocabulary, and if nothing is left to train on.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    filesystem, target = resolve(path)
    filesystem.create_dir(target.rpartition("/")[0], recursive=True)
    schema, kept, too_long, tokens, trained, grouped = token_schema(), 0, 0, 0, 0, 0
    iterator = iter(rows)
    with pq.ParquetWriter(target, schema, filesystem=filesystem) as writer:
        while batch := list(itertools.islice(iterator, BATCH)):
            fitting = [row for row in batch if len(row.ids) <= max_length]
            for row in fitting:
                _check(row, vocabulary)
                tokens += len(row.ids)
                trained += sum(weight != 0 for weight in row.weights)
                grouped += row.group != ""
            columns = {name: [getattr(row, name) for row in fitting] for name in schema.names}
            writer.write_table(pa.Table.from_pydict(columns, schema=schema))
            kept, too_long = kept + len(fitting), too_long + len(batch) - len(fitting)
    if not kept:
        raise TrainingError(f"no example left to train on: all {too_long} are longer than max_length {max_length}")
    return Counts(kept, too_long, tokens, trained, grouped)


def _check(row: Tokens, vocabulary: int) -> None:
    if not any(row.weights):
        raise TrainingError(f"example {row.id}: no trained token (all weights of its completion are 0)")
    if row.weights[-1] == 0:
        raise TrainingError(f"example {row.id}: its stop token is not trained (the last segment's weight is 0)")
    if max(row.ids) >= vocabulary:
        raise TrainingError(
            f"example {row.id}: token id {max(row.ids)}, but the student's vocabulary has {vocabulary} entries; "
            "tokenizer and model do not belong together"
        )


class TokenTable:
    """The rows of `tokens.parquet` in memory as flat arrays; ``table[3]`` is (ids [L], weights [L]).

    For consistency training: `groups` [rows] numbers the groups, -1 for a row that is trained alone; `windows`
    [rows, 2] are the answers' tokens, `consistency` and `temperature` [rows] the loss's weight and temperature.
    """

    def __init__(self, path: str) -> None:
        import numpy as np
        import pyarrow.parquet as pq

        filesystem, source = resolve(path)
        table = pq.read_table(source, filesystem=filesystem).combine_chunks()
        self._ids, self._offsets = _flat(table, "ids")
        self._weights, _ = _flat(table, "weights")
        self.question_ids: list[str] = table.column("question_id").to_pylist()
        groups = table.column("group").to_pylist()
        numbers = {group: number for number, group in enumerate(dict.fromkeys(filter(None, groups)))}
        self.groups = np.array([numbers.get(group, -1) for group in groups])
        self.windows = np.stack([table.column(name).to_numpy() for name in ("answer_start", "answer_end")], axis=1)
        self.consistency: np.ndarray = table.column("consistency").to_numpy()
        self.temperature: np.ndarray = table.column("temperature").to_numpy()

    def __len__(self) -> int:
        return len(self.question_ids)

    def __getitem__(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        piece = slice(self._offsets[row], self._offsets[row + 1])
        return self._ids[piece], self._weights[piece]

    @property
    def lengths(self) -> np.ndarray:
        """Tokens per row, [rows]."""
        return self._offsets[1:] - self._offsets[:-1]

    @property
    def trained(self) -> np.ndarray:
        """Trained tokens per row, [rows]."""
        import numpy as np

        return np.add.reduceat(self._weights != 0, self._offsets[:-1], dtype=np.int64)


def _flat(table: pa.Table, name: str) -> tuple[Any, Any]:
    column = table.column(name).chunk(0)
    return column.values.to_numpy(zero_copy_only=False), column.offsets.to_numpy()


def answer_window(offsets: Sequence[tuple[int, int]], start: int, end: int) -> tuple[int, int]:
    """The tokens [first, last + 1) that hold any of the characters [start, end); (0, 0) if there are none.

    `offsets` are the characters [begin, end) of each token, as a fast tokenizer reports them. A token that holds
    more than the answer, a leading space or a unit, counts as a whole.
    """
    held = [place for place, (begin, stop) in enumerate(offsets) if begin < end and stop > start and begin < stop]
    return (held[0], held[-1] + 1) if held else (0, 0)
