"""Arrow schemas of what synthesis streams and stores. One row per sample in the stored files.

Arrow turns what it is not told about into pickled objects or tensors; everything here is named and plain, so that
pyarrow, `datasets` and DuckDB open every file of a run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def question_schema() -> pa.Schema:
    """A question on its way into a sampling job; `stored_...` name segments that hold samples of it."""
    import pyarrow as pa

    text = pa.string()
    return pa.schema(
        [
            ("question_id", text),
            ("text", text),
            ("answer", text),
            ("meta", text),  # JSON
            ("stored_completions", pa.list_(text)),
            ("stored_verdicts", pa.list_(text)),
        ]
    )


def completion_schema() -> pa.Schema:
    """A finished completion: what the engine wrote, for which sample, at what price."""
    import pyarrow as pa

    text, number = pa.string(), pa.int64()
    return pa.schema(
        [
            ("sample_id", text),
            ("question_id", text),
            ("context", text),
            ("format", text),  # program, rationale or text: what the prompt asks for
            ("index", number),
            ("seed", number),
            ("text", text),
            ("reasoning", text),
            ("finish_reason", text),
            ("prompt_tokens", number),
            ("completion_tokens", number),
            ("engine", text),
            ("model", text),  # as the configuration calls it; null in rows of earlier versions
            ("error", text),  # why there is no completion; such rows are not stored
            # Where log-probabilities were asked for, else null: the tokens as the engine had them, nats of each sampled
            ("prompt_ids", pa.list_(pa.int32())),
            ("token_ids", pa.list_(pa.int32())),
            ("logprobs", pa.list_(pa.float32())),
        ]
    )


def verdict_schema() -> pa.Schema:
    """What verification found in a completion. `grade` is the sandbox's, `lane` the way the program was run."""
    import pyarrow as pa

    text, number = pa.string(), pa.float64()
    return pa.schema(
        [
            ("sample_id", text),
            ("question_id", text),
            ("status", text),
            ("reason", text),
            ("value", text),
            ("kind", text),
            ("output", text),
            ("message", text),
            ("stdout", text),
            ("cpu_s", number),
            ("wall_s", number),
            ("grade", text),
            ("lane", text),
        ]
    )


def generated_schema() -> pa.Schema:
    """A question carrying its completions."""
    import pyarrow as pa

    completions = pa.list_(pa.struct(list(completion_schema())))
    made = question_schema().append(pa.field("completions", completions)).append(_count("generated"))
    return made.append(_count("unasked")).append(pa.field("cap", pa.string()))


def verified_schema() -> pa.Schema:
    """A question carrying its completions and their verdicts, in the same order."""
    import pyarrow as pa

    verdicts = pa.list_(pa.struct(list(verdict_schema())))
    return generated_schema().append(pa.field("verdicts", verdicts)).append(_count("verified"))


def outcome_schema() -> pa.Schema:
    """What the driver hears of a question after a round: counts and short values, no text."""
    import pyarrow as pa

    texts = pa.list_(pa.string())
    return pa.schema(
        [
            ("question_id", pa.string()),
            ("finished", pa.bool_()),  # otherwise another round follows
            ("contexts", texts),
            ("statuses", texts),
            ("reasons", texts),
            ("values", texts),
            ("kept", texts),  # sample ids that became examples
            ("dropped", texts),  # reasons why samples did not
            ("prompt_tokens", pa.int64()),
            ("completion_tokens", pa.int64()),
            ("grade", pa.string()),
            ("error", pa.string()),
            ("cap", pa.string()),  # of the budget, which has left samples unasked
            _count("unasked"),
            _count("generated"),
            _count("verified"),
        ]
    )


def _count(name: str) -> pa.Field:
    import pyarrow as pa

    return pa.field(name, pa.int64())  # how many were made now, as against read from earlier runs
