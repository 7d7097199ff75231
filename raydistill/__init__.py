"""The one import name of the distribution: `raydistill.actors`, `raydistill.pipelines`, `raydistill.serve`.

These three are links to the folders at the repository's top; a wheel holds the folders themselves. What notebooks and
scripts need is here by name, imported when it is first asked for: `run`, `load_run`, `Sandbox`, `grade`, `Student`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raydistill.pipelines.api import Report, Sandbox, grade, load_run, run
    from raydistill.serve.in_process import InProcessStudent as Student

_HOMES = {
    **{name: ("raydistill.pipelines.api", name) for name in ("Report", "Sandbox", "grade", "load_run", "run")},
    "Student": ("raydistill.serve.in_process", "InProcessStudent"),
}
__all__ = ["Report", "Sandbox", "Student", "grade", "load_run", "run"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
