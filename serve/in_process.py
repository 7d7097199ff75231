"""A student in this process, for notebooks and scripts: no Ray, no HTTP, the same answers as the service's.

with raydistill.Student("runs/demo") as student:
    student.solve("A loaf costs $9 and a bun $3. What do 5 loaves cost?", n=5).answer
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import replace
from threading import Thread
from typing import Any

from pydantic import ValidationError

from raydistill.actors.engine.engine import Engine
from raydistill.actors.errors import UsageError
from raydistill.actors.executor import Executor, Limits
from raydistill.pipelines.config.sections import EngineConfig
from raydistill.pipelines.recipes.registry import make_recipe
from raydistill.pipelines.runtime.pools import engine_environment, engine_settings
from raydistill.serve.schema import SolveAnswer, SolveRequest
from raydistill.serve.solver import Solver
from raydistill.serve.student import Student, find_student
from raydistill.serve.students.naming import FIRST

HOSTING: dict[str, Any] = {"max_num_seqs": 64, "kv_cache_gb": 1.0}  # unless the student or the caller says otherwise


class Direct:
    """Calls a member as a pool's client does, in this process."""

    def __init__(self, member: Any, adapter: str | None = None) -> None:
        self._member, self._adapter = member, adapter

    async def call(self, method: str, *arguments: Any) -> Any:
        """The result of ``member.method(*arguments)``; requests are for the adapter, where there is one."""
        if self._adapter and method == "generate":
            arguments = ([replace(request, adapter=self._adapter) for request in arguments[0]],)
        function = getattr(self._member, method)
        if asyncio.iscoroutinefunction(function):
            return await function(*arguments)
        return await asyncio.to_thread(function, *arguments)


class InProcessStudent:
    """The student of a run, or one in a folder of its own, with the recipe that says how it is asked.

    `hosting` are settings of the engine (docs/reference/settings.md, `teacher`): dtype, max_model_len, kv_cache_gb, ...
    Raises UsageError where there is no student, EngineError where vLLM cannot load it.
    """

    def __init__(self, path: str, **hosting: Any) -> None:
        student = self._student = find_student(path)
        config = _config(student, hosting)
        os.environ.update({name: value for name, value in engine_environment(config).items() if name not in os.environ})
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="student", daemon=True)
        self._thread.start()
        self._engine = Engine(engine_settings(config, ledger=None))
        self._executor: Executor | None = None
        try:
            if make_recipe(student.recipe).student.executes:
                limits, grade = student.execution, student.execution.minimum_grade
                self._executor = Executor(Limits(limits.cpu_s, limits.wall_s, limits.memory_mb), minimum_grade=grade)
            self._run(self._engine.start())
        except BaseException:
            self.close()
            raise
        executors = Direct(self._executor) if self._executor else None
        self._solver = Solver(student, Direct(self._engine, student.adapter), executors)

    def solve(self, question: str, **request: Any) -> SolveAnswer:
        """The answer that most of n samples give; `request` as in POST /v1/solve (docs/service.md).

        Raises UsageError for what the service would refuse.
        """
        asked = {"max_tokens": self._student.max_tokens} | request | {"question": question}
        try:
            checked = SolveRequest.model_validate(asked)
        except ValidationError as error:
            first = error.errors()[0]
            raise UsageError(f"solve: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
        if checked.model not in (None, FIRST, self._student.name):
            raise UsageError(f"solve: model: there is no {checked.model!r:.100} here; expected {self._student.name}")
        return self._run(self._solver.solve(checked))

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        """Stop engine and executor."""
        self._run(self._engine.stop())
        if self._executor:
            self._executor.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def __enter__(self) -> InProcessStudent:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _config(student: Student, hosting: Mapping[str, Any]) -> EngineConfig:
    """The student's engine: as its run says, changed by `hosting`; on a CPU in float32."""
    import torch

    said = student.hosting.model_dump(include=set(EngineConfig.model_fields), exclude_none=True)
    fixed = {"model": student.model, "revision": student.revision, "replicas": (1, 1)}
    place = {"dtype": "auto" if torch.cuda.is_available() else "float32"}
    rank = {"max_lora_rank": student.adapter_rank} if student.adapter else {}
    try:
        return EngineConfig(**{**HOSTING, **place, **rank, **said, **hosting, **fixed})
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"Student: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
