"""How the house stands: who may import whom, how full a room may be, and that there is one copy of each module."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from tests import ROOT

FLOORS = ("actors", "pipelines", "serve")  # each may import itself and those in front of it
HEAVY = ("torch", "vllm", "transformers", "ray", "datasets", "reasoning_gym", "peft", "lancedb")
MOST_FILES, MOST_FILES_AT_THE_TOP = 16, 8
NOT_IMPORTED = ("__main__.py", "zygote.py")  # they start by themselves


def files(*folders: str) -> dict[str, Path]:
    """The modules in these folders by their names: ``pipelines.run``, ``pipelines.tasks`` for an ``__init__``."""
    found = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in found}


MODULES = files(*FLOORS)


def only_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def walk(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that run for type checkers alone."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not only_for_types(child):
            yield from walk(child)


def imports(module: str, path: Path) -> Iterator[tuple[str, ast.AST]]:
    """What a module imports when it runs, at its top or later; names of ours without ``raydistill.``."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])]).removeprefix("raydistill.")
            for alias in node.names:
                yield (inner if (inner := f"{base}.{alias.name}") in MODULES else base), node


IMPORTS = {module: list(imports(module, path)) for module, path in MODULES.items()}


def may_import(module: str, name: str, node: ast.AST) -> bool:
    """Whether `module` may import `name`: nothing from a higher floor, save that a command starts service or demo."""
    floor, other = module.partition(".")[0], name.partition(".")[0]
    if other in ("tests", "benchmarks"):
        return False
    if other != "demo" and (other not in FLOORS or FLOORS.index(other) <= FLOORS.index(floor)):
        return True
    return module.startswith("pipelines.cli.") and getattr(node, "col_offset", 0) > 0


def test_imports_go_one_way() -> None:
    wrong = [
        f"{module} imports {name}"
        for module, found in IMPORTS.items()
        for name, node in found
        if not may_import(module, name, node)
    ]
    assert not wrong


def circle(arrows: Mapping[str, set[str]]) -> str:
    """The circle in `arrows`, if there is one."""
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        return " <- ".join(error.args[1])
    return ""


def test_there_is_no_circle_of_files() -> None:
    assert not circle({module: {name for name, _ in found if name in MODULES} for module, found in IMPORTS.items()})


def room(module: str) -> str:
    """The room of a module: a folder of `pipelines`, a file at its top, or the whole floor elsewhere."""
    folder = MODULES[module].parent.relative_to(ROOT).parts
    return module if folder == ("pipelines",) else ".".join(folder[:2]) if folder[0] == "pipelines" else folder[0]


def test_there_is_no_circle_of_rooms() -> None:
    arrows: dict[str, set[str]] = {}
    for module, found in IMPORTS.items():
        others = {room(name) for name, _ in found if name in MODULES}
        arrows.setdefault(room(module), set()).update(others - {room(module)})
    assert not circle(arrows)


def test_no_room_is_too_full() -> None:
    folders = {path.parent for path in files(*FLOORS, "benchmarks", "demo", "tests").values()}
    full = {str(folder.relative_to(ROOT)): len(list(folder.glob("*.py"))) for folder in folders}
    allowed = {"pipelines": MOST_FILES_AT_THE_TOP, "demo": 32}  # demo: scripts that make models, in no room yet
    assert not {folder: count for folder, count in full.items() if count > allowed.get(folder, MOST_FILES)}


def test_a_recipe_imports_no_other_recipe() -> None:
    for module, found in IMPORTS.items():
        folder = module.split(".")[:3]
        if folder[:2] == ["pipelines", "recipes"] and MODULES[module].parent.name != "recipes":
            others = [name for name, _ in found if name.startswith("pipelines.recipes.")]
            assert all(name.split(".")[:3] in (folder, ["pipelines", "recipes", "base"]) for name in others), module


RECIPE_NAMES = re.compile(
    r"(?i:mcc[-_ ]?kd|llm2llm|tripost|rebase|mixed[-_ ]?distillation)|\bPaD"
    r"|[\"'](?:pad|mixed|opd)[\"']|\brecipe (?:pad|mixed|opd)\b"
)
"""The recipes by name, in identifiers, strings and docstrings; a paper is cited by its number."""


def test_only_recipes_and_their_registry_name_a_recipe() -> None:
    named = [
        f"{module}:{number}: {line.strip()}"
        for module, path in MODULES.items()
        if not module.startswith("pipelines.recipes")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if RECIPE_NAMES.search(line) or re.search(r"pipelines\.recipes\.(?!registry\b|commands\b)", line)
    ]
    assert not named


def test_every_module_imports_without_the_heavy_packages() -> None:
    names = [f"raydistill.{module}" for module, path in sorted(MODULES.items()) if path.name not in NOT_IMPORTED]
    program = (
        f"import sys, importlib\nfor name in {HEAVY!r}: sys.modules[name] = None\n"
        f"for module in {names!r}: importlib.import_module(module)\n"
        f"assert not {set(FLOORS)!r} & sys.modules.keys()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-1000:]


def second_copies() -> list[str]:
    """What this process has loaded under a top-level name of ours, after loading what lives on nodes."""
    import raydistill.actors.engine.worker
    import raydistill.serve.ingress  # noqa: F401

    return [name for name in FLOORS if name in sys.modules]


def test_no_second_copy_is_imported(cluster: None) -> None:
    """`actors` beside `raydistill.actors` would be two of every class, of which neither is an instance of the other.

    `tests/actors/engine/test_engine.py` looks into an engine.
    """
    import ray

    assert second_copies() == []
    assert ray.get(ray.remote(second_copies).options(num_cpus=0).remote()) == []


def test_files_and_modules_that_sentences_name_are_there() -> None:
    """Of docstrings and comments: `sampling/stages.py`, `pipelines.run`, `Name(...)` in the docstring of a class."""
    paths = [f"/{path.relative_to(ROOT)}" for path in ROOT.rglob("*") if not {".venv", ".git"} & {*path.parts}]
    wrong = []
    for module, path in files(*FLOORS, "benchmarks").items():
        text = path.read_text(encoding="utf-8")
        named = re.findall(r"(?<![\w/.$-])([a-z_]+/[\w/]+\.py)\b", text)
        wrong += [f"{module}: {name}" for name in named if not any(known.endswith(f"/{name}") for known in paths)]
        for name in re.findall(r"`(?:raydistill\.)?((?:actors|pipelines|serve)\.[\w.]+)`", text):
            parents = [name.rsplit(".", count)[0] for count in range(3)]
            wrong += [] if any(parent in MODULES for parent in parents) else [f"{module}: {name}"]
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef) and (said := ast.get_docstring(node)):
                examples = re.findall(r"`([A-Z]\w+)\(", said)
                wrong += [f"{module}: {name} for {node.name}" for name in examples if name != node.name]
    assert not wrong
