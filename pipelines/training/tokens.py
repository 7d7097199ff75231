"""From examples to lists of tokens: prompt, completion and stop token, with what each term of the loss wants to know.

    Example --chat template, tokenizer--> ids [L], columns --check--> tokens.parquet --> the training workers

Everything that can be wrong with tokenizer, template, vocabulary or data is found here, before a worker starts.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from raydistill.actors.engine.rendering import chat_text, plain_template, stop_token_id
from raydistill.actors.errors import TrainingError, UsageError
from raydistill.actors.rows import is_unicode
from raydistill.actors.storage import resolve
from raydistill.pipelines.data.records import Example, TokenIds
from raydistill.pipelines.training.losses.base import Encoding
from raydistill.pipelines.training.losses.table import term_columns, term_schema, trained_tokens

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from transformers import PreTrainedTokenizerBase

BATCH = 1000  # examples per call of the tokenizer


@dataclass(frozen=True, slots=True)
class Tokens:
    """One example as the model sees it, e.g. ``Tokens("e1", "q1", [1, 17, 9, 4, 2], {"weights": [0, 0, 0, 1, 1]})``."""

    id: str
    question_id: str
    ids: list[int]  # [L], prompt + completion + stop token
    columns: dict[str, Any]  # of the terms of the loss


@dataclass(frozen=True, slots=True)
class Counts:
    """What `write_tokens` made of the examples."""

    kept: int
    too_long: int  # dropped: longer than max_length
    tokens: int  # in the kept examples, prompts included
    trained: int  # of those, by any term of the loss


def load_tokenizer(student: str, revision: str | None) -> PreTrainedTokenizerBase:
    """The student's tokenizer, with the plain chat template where it has none, which its students keep.

    Raises UsageError if there is none, or none that reports character offsets.
    """
    tokenizer = _as_it_is(student, revision)
    if not tokenizer.is_fast:
        raise UsageError(f"student {student}: needs a fast tokenizer (tokenizer.json), which reports offsets")
    if not tokenizer.chat_template:
        tokenizer.chat_template = plain_template(tokenizer)
    return tokenizer


def _as_it_is(student: str, revision: str | None) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(student, revision=revision)  # type: ignore[no-any-return]
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UsageError(f"student {student}: no tokenizer could be loaded from there: {reason}") from None


def has_no_template(student: str, revision: str | None) -> bool:
    """Whether the tokenizer brings no chat template along, so that the plain one takes its place."""
    return not _as_it_is(student, revision).chat_template


def check_template(student: str, revision: str | None, messages: Sequence[Mapping[str, str]]) -> None:
    """Raise UsageError unless the student's chat template takes `messages` and says an assistant's turn back."""
    tokenizer = load_tokenizer(student, revision)
    stop_token_id(tokenizer)
    chat_text(tokenizer, messages)


def tokenise(tokenizer: PreTrainedTokenizerBase, examples: Iterable[Example]) -> Iterator[Tokens]:
    """The tokens of each example, in order.

    Prompt and completion are tokenised as one text, so that tokens are those a reader of that text would get; where
    that would merge characters across the border, which generation cannot do, the completion is tokenised alone. An
    example that comes with its ids keeps them.
    """
    stop = stop_token_id(tokenizer)
    iterator = iter(examples)
    while batch := list(itertools.islice(iterator, BATCH)):
        for example in batch:
            if not is_unicode([example.text, *(message["content"] for message in example.messages)]):
                raise TrainingError(f"example {example.id}: holds half of a surrogate pair, which is no Unicode")
        prompts = [chat_text(tokenizer, example.messages) for example in batch]
        prompt_ids = tokenizer(prompts, add_special_tokens=False).input_ids
        whole = [prompt + example.text for prompt, example in zip(prompts, batch, strict=True)]
        encoded = tokenizer(whole, add_special_tokens=False, return_offsets_mapping=True)
        for row, example in enumerate(batch):
            if example.tokens:
                yield _as_given(example, example.tokens)
                continue
            ids, start, border = encoded.input_ids[row], len(prompt_ids[row]), len(prompts[row])
            offsets = encoded.offset_mapping[row]
            if ids[:start] != prompt_ids[row]:
                alone = tokenizer(example.text, add_special_tokens=False, return_offsets_mapping=True)
                ids, offsets, border = prompt_ids[row] + alone.input_ids, [(0, 0)] * start + alone.offset_mapping, 0
            characters = [(begin - border, end - border) for begin, end in offsets[start:]]
            columns = term_columns(example, Encoding(start, characters))
            yield Tokens(example.id, example.question_id, [*ids, stop], columns)


def _as_given(example: Example, tokens: TokenIds) -> Tokens:
    """An example of ids; where its tokens lie in its text is not known, hence the single segment."""
    if len(example.completion) != 1 or not tokens.completion:
        raise TrainingError(
            f"example {example.id}: comes with {len(tokens.completion)} token ids and {len(example.completion)} "
            "segments of text; expected at least one token, and one segment, whose weight all of them get"
        )
    characters = [(0, 0)] * (len(tokens.completion) - 1)
    columns = term_columns(example, Encoding(len(tokens.prompt), characters))
    return Tokens(example.id, example.question_id, [*tokens.prompt, *tokens.completion], columns)


def token_schema() -> pa.Schema:
    """Arrow schema of `tokens.parquet`."""
    import pyarrow as pa

    own = [("id", pa.string()), ("question_id", pa.string()), ("ids", pa.large_list(pa.int32()))]
    return pa.schema([*own, *term_schema()])


def write_tokens(rows: Iterable[Tokens], path: str, *, max_length: int, vocabulary: int) -> Counts:
    """Check `rows` and write those of at most `max_length` tokens to the Parquet file `path`.

    Raises TrainingError for an example without any trained token, that a term of the loss refuses, or with a token id
    outside the model's vocabulary, and if nothing is left to train on.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    filesystem, target = resolve(path)
    filesystem.create_dir(target.rpartition("/")[0], recursive=True)
    schema, kept, too_long, tokens, trained = token_schema(), 0, 0, 0, 0
    iterator = iter(rows)
    with pq.ParquetWriter(target, schema, filesystem=filesystem) as writer:
        while batch := list(itertools.islice(iterator, BATCH)):
            fitting = [row for row in batch if len(row.ids) <= max_length]
            for row in fitting:
                trained += _checked(row, vocabulary)
                tokens += len(row.ids)
            own = {name: [getattr(row, name) for row in fitting] for name in ("id", "question_id", "ids")}
            columns = own | {name: [row.columns[name] for row in fitting] for name, _ in term_schema()}
            writer.write_table(pa.Table.from_pydict(columns, schema=schema))
            kept, too_long = kept + len(fitting), too_long + len(batch) - len(fitting)
    if not kept:
        raise TrainingError(f"no example left to train on: all {too_long} are longer than max_length {max_length}")
    return Counts(kept, too_long, tokens, trained)


def _checked(row: Tokens, vocabulary: int) -> int:
    """How many tokens of `row` are trained."""
    try:
        trained = trained_tokens(row.columns)
    except TrainingError as error:
        raise TrainingError(f"example {row.id}: {error}") from None
    if not trained:
        raise TrainingError(f"example {row.id}: no trained token (all weights of its completion are 0)")
    if max(row.ids) >= vocabulary:
        raise TrainingError(
            f"example {row.id}: token id {max(row.ids)}, but the student's vocabulary has {vocabulary} entries; "
            "tokenizer and model do not belong together"
        )
    return trained


@dataclass(frozen=True, slots=True)
class Lists:
    """A column of lists as flat arrays; ``lists[3]`` is row 3's, [its length]."""

    values: np.ndarray
    offsets: np.ndarray  # [rows + 1]

    def __getitem__(self, row: int) -> np.ndarray:
        return self.values[self.offsets[row] : self.offsets[row + 1]]


class TokenTable:
    """The rows of `tokens.parquet`; each column is read when it is first asked for, as most terms' often are not."""

    def __init__(self, path: str) -> None:
        self._filesystem, self._source = resolve(path)
        self.question_ids: list[str] = self.column("question_id").to_pylist()

    def __len__(self) -> int:
        return len(self.question_ids)

    def column(self, name: str) -> Any:
        """The Arrow array of a column, [rows]."""
        import pyarrow.parquet as pq

        table = pq.read_table(self._source, columns=[name], filesystem=self._filesystem)
        return table.combine_chunks().column(name).chunk(0)

    def lists(self, name: str) -> Lists:
        """A column of lists, which are of any lengths."""
        column = self.column(name)
        return Lists(column.values.to_numpy(zero_copy_only=False), column.offsets.to_numpy())

    @cached_property
    def ids(self) -> Lists:
        """Token ids of each row, [its tokens] int32."""
        return self.lists("ids")

    @property
    def lengths(self) -> np.ndarray:
        """Tokens per row, [rows]."""
        return self.ids.offsets[1:] - self.ids.offsets[:-1]
