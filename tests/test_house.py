"""How the house stands: who may import whom, and what may be imported before it is needed."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ALLOWED = {"actors": {"actors"}, "pipelines": {"actors", "pipelines"}, "serve": {"actors", "pipelines", "serve"}}
HEAVY = ("torch", "vllm", "transformers", "ray", "datasets", "reasoning_gym", "peft", "lancedb")
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for package in ALLOWED
    for path in (ROOT / package).rglob("*.py")
    if path.name not in ("__main__.py", "zygote.py")
)


def imports(path: Path) -> list[tuple[str, int]]:
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.append((node.module, node.lineno))
    return found


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_go_one_way(package: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in (ROOT / package).rglob("*.py")
        for name, line in imports(path)
        if name.partition(".")[0] in {"actors", "pipelines", "serve", "demo", "tests"} - ALLOWED[package]
        and path.name != "cli.py"
    ]
    assert not wrong


def test_recipes_import_neither_each_other_nor_ray() -> None:
    recipes = {"pad", "mcc_kd", "rebase", "tripost"}
    for recipe in recipes:
        path = ROOT / "pipelines" / f"{recipe}.py"
        for name, line in imports(path) if path.exists() else ():
            assert name.partition(".")[0] != "ray", f"{path}:{line}"
            assert name.removeprefix("pipelines.") not in recipes - {recipe}, f"{path}:{line}"


def test_every_module_imports_without_the_heavy_packages() -> None:
    program = (
        f"import sys, importlib\nfor name in {HEAVY!r}: sys.modules[name] = None\n"
        f"for module in {MODULES!r}: importlib.import_module(module)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-1000:]
