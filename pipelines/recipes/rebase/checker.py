"""A task's own checker, named in the configuration: a function of the user's that answers the task's questions.

    load_checker("raydistill.demo.target_task:solve")("Mia has 5 apples. Then 7 are bought. How many remain?") --> "12"

It is code of the user's, as the configuration is, and runs on the driver; what models write never runs here.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raydistill.actors.errors import UsageError
from raydistill.pipelines.tasks.base import as_text


@dataclass(frozen=True, slots=True)
class Checker:
    """Answers questions; `version` changes with the file that the function stands in."""

    solve: Callable[[str], Any]
    version: str

    def __call__(self, question: str) -> str | None:
        """The answer, None where the function gives none or cannot read the question."""
        try:
            answer = self.solve(question)
        except Exception:  # it expects questions of the task; what it chokes on is none
            return None
        return as_text(answer) or None


def load_checker(name: str) -> Checker:
    """The function ``module:function``; modules are also found in the working directory.

    Raises UsageError where there is no such module or function.
    """
    module_name, _, function_name = name.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
        solve = getattr(module, function_name)
        source = Path(inspect.getsourcefile(module) or "").read_bytes()
    except (ImportError, AttributeError, ValueError, TypeError, OSError) as error:
        raise UsageError(
            f"recipe.check: {name}: no such function ({error}); expected module:function, importable from here"
        ) from None
    finally:
        sys.path.remove(str(Path.cwd()))
    return Checker(solve, hashlib.sha256(source).hexdigest()[:16])
