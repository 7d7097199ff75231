"""Sampling of the next round beside the training of this one: its samples are one round stale.

    round 1     samples by student 0     training: student 1
    round 2     samples by student 0 ----^           training: student 2
    round 3                  samples by student 1 ---^

Whose samples a round learns from follows from the configuration alone, so a run gives the same wherever it finds room.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

from raydistill.pipelines.config.sections import EngineConfig

if TYPE_CHECKING:
    from raydistill.pipelines.context import ExampleSet, RunContext
    from raydistill.pipelines.training.train import TrainResult

T = TypeVar("T")


def train_beside(
    ctx: RunContext,
    collect: Callable[[], T],
    engine: EngineConfig,
    examples: ExampleSet,
    *,
    start: TrainResult | None,
    **settings: Any,
) -> tuple[TrainResult, T]:
    """Train on `examples` while `collect` asks engines of `engine`; what both give.

    One after the other where the cluster has no room for both.
    """
    train = ctx.config.train
    assert train is not None  # there are examples to train on
    if not ctx.has_room(train, beside=engine):
        collected = collect()
        return ctx.train(examples, start=start, **settings), collected
    with meanwhile(collect) as collected_there:
        trained = ctx.train(examples, start=start, beside=True, **settings)
    return trained, collected_there.result()


@contextmanager
def meanwhile(work: Callable[[], T]) -> Iterator[Future[T]]:
    """Do `work` in a thread beside the block. Its error is raised to who asks for its result.

    An error of the block waits for the work, which is stored and not to be done again; Ctrl-C waits for nobody.
    """
    done: Future[T] = Future()

    def do() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    Thread(target=do, daemon=True).start()
    try:
        yield done
    except Exception:  # whatever training failed of; not Ctrl-C
        wait([done])
        raise
