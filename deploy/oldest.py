"""The oldest versions that pyproject.toml allows, one pin a line: what `make test-oldest` puts beside the locked set.

python deploy/oldest.py          # of what is needed, and of the extras that the tests use

torch and Ray are left out: their one version is that of the engine.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

EXTRAS = ("datastore", "real")
BOUND = re.compile(r"^([\w-]+)(?:\[[\w,-]+\])?>=([\d.]+)")
ENGINE_S = ("torch",)


def oldest(project: dict[str, object]) -> Iterator[str]:
    """``name==version`` of each requirement with a lower bound."""
    extras: dict[str, list[str]] = project["optional-dependencies"]  # type: ignore[assignment]
    needed: list[str] = project["dependencies"]  # type: ignore[assignment]
    for requirement in [*needed, *(one for name in EXTRAS for one in extras[name])]:
        if (bound := BOUND.match(requirement)) and bound[1] not in ENGINE_S:
            yield f"{bound[1]}=={bound[2]}"


if __name__ == "__main__":
    text = (Path(__file__).resolve().parent.parent / "pyproject.toml").read_text(encoding="utf-8")
    print("\n".join(oldest(tomllib.loads(text)["project"])))
