"""How large the key-value cache is without a GPU: whole gigabytes by vLLM's variable, anything else by its argument.

The engine of `tests/actors/engine/test_engine.py` has a quarter of a gigabyte, the service of
`tests/serve/test_serve.py` half of one.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from raydistill.actors.engine.engine import CACHE_VARIABLE, cache_arguments
from raydistill.pipelines.config.sections import EngineConfig
from raydistill.pipelines.runtime import pools


@pytest.fixture(autouse=True)
def no_gpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(pools, "has_gpus", lambda: False)
    yield


@pytest.mark.parametrize(
    ("size", "variable", "arguments"),
    [
        (0.25, None, {"kv_cache_memory_bytes": 2**28}),
        (1.5, None, {"kv_cache_memory_bytes": 3 * 2**29}),
        (1, "1", {}),
        (2.0, "2", {}),
    ],
)
def test_a_fraction_is_an_argument_and_leaves_the_variable_unset(
    size: float, variable: str | None, arguments: dict[str, int]
) -> None:
    settings = pools.engine_pool("", EngineConfig(model="a/model", kv_cache_gb=size), "").settings
    assert settings.environment.get(CACHE_VARIABLE) == variable
    [engine] = settings.arguments
    assert cache_arguments(engine.kv_cache_gb) == arguments


@pytest.mark.parametrize("size", [0, -1])
def test_a_cache_of_nothing_is_refused(size: float) -> None:
    with pytest.raises(ValidationError, match="greater than 0"):
        EngineConfig(model="a/model", kv_cache_gb=size)
