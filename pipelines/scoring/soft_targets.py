"""A local teacher's distribution at each token of training examples (arXiv 1503.02531): asked once, stored, resumed.

examples --student's tokenizer--> ids --teacher, one prefill each--> top-k and log-probabilities --> examples with them
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from raydistill.actors.storage import local_path
from raydistill.pipelines.config.sections import EngineConfig, Train
from raydistill.pipelines.data.examples import read_examples, write_examples
from raydistill.pipelines.data.records import Example, SoftTargets, TokenIds
from raydistill.pipelines.runtime.engines import model_identity
from raydistill.pipelines.sampling.sampler import Sampler
from raydistill.pipelines.scoring.rows import score_rows, scores_folder
from raydistill.pipelines.training.tokens import Tokens, load_tokenizer, tokenise

EXAMPLES_AT_ONCE = 2000


def soft_targets_key(ctx: Sampler, teacher: EngineConfig, train: Train) -> tuple[Any, ...]:
    """What soft targets depend on beside the examples."""
    settings = train.soft_targets
    assert settings is not None
    scored = scores_folder(ctx, teacher, "", settings.top_k).partition("/scores/")[2]
    return scored, model_identity(train.student, train.revision), settings.model_dump(), train.max_length


def write_soft_targets(
    ctx: Sampler, source: str, folder: str, name: str, teacher: EngineConfig, train: Train
) -> dict[str, Any]:
    """Write the examples in `source` into `folder`, each with `teacher`'s distribution at its tokens; and tell of it.

    Those that are too long to be trained are not asked about. Raises EngineError where too many could not be scored.
    """
    settings = train.soft_targets
    assert settings is not None
    tokenizer, told = load_tokenizer(local_path(train.student), train.revision), {"scored_tokens": 0, "unknown": 0}
    how = {"weight": settings.weight, "temperature": settings.temperature, "beta": settings.beta}

    def made() -> Iterator[Example]:
        examples = read_examples(source)
        for part in itertools.count():
            some = list(itertools.islice(examples, EXAMPLES_AT_ONCE))
            if not some:
                return
            rows = [
                _row(tokens) if len(tokens.ids) <= train.max_length else None for tokens in tokenise(tokenizer, some)
            ]
            asked = [row for row in rows if row]
            found = score_rows(ctx, "soft targets", teacher, asked, name=f"{name}/{part}", top_k=settings.top_k)
            told["scored_tokens"] += found.tokens
            scores = iter(found.scores)
            for example, row in zip(some, rows, strict=True):
                if row is None:
                    yield example
                elif scored := next(scores):
                    yield replace(example, soft_targets=SoftTargets(scored.top_ids, scored.top_logprobs, **how))
                else:
                    told["unknown"] += 1
                    yield example

    count = write_examples(made(), folder)
    return {"examples": count, **told}


def _row(tokens: Tokens) -> TokenIds:
    start = tokens.columns["soft_start"]
    return TokenIds(tuple(tokens.ids[:start]), tuple(tokens.ids[start:]))
