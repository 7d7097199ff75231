"""The pages of docs/reference, made from the code: settings, commands and the columns of stored files.

python docs/make_reference.py            # write them
python docs/make_reference.py --check    # say which differ, and end with 1
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from typer.main import get_command

from raydistill.pipelines.cli.app import app
from raydistill.pipelines.data.examples import example_schema
from raydistill.pipelines.run_config import Run
from raydistill.pipelines.sampling.schemas import completion_schema, verdict_schema

FOLDER = Path(__file__).parent / "reference"
MADE = "<!-- made by docs/make_reference.py: change the code, then run it -->"
LIMITS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<", "min_length": "length >="}
SCHEMAS = {
    "completions/": (completion_schema, "A row per sample that a model has written."),
    "verdicts/": (verdict_schema, "A row per sample that was judged; reasons: [sandbox](../sandbox.md)."),
    "examples/": (example_schema, "What a student learns: one row per example."),
}


def settings_page() -> str:
    """Every key of a run's YAML file, section by section."""
    lines = [
        "# Settings",
        "",
        "A run is one YAML file; any key is changed on the command line as `key.path=value`. Unknown keys are errors.",
        "A setting in **bold** has no default. `null` stands for none.",
        "",
    ]
    for path, model in sections(Run):
        heading = f"## `{path}`" if path else "## At the top"
        lines += [heading, "", *paragraph(model.__doc__), "", *table(HEADER, list(rows(model))), ""]
    return "\n".join(lines)


HEADER = ("key", "type", "default", "what it says")


def sections(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """A model and those within it, by the path at which they stand; each recipe's under its name."""
    yield path, model
    for name, field in model.model_fields.items():
        for inner in models_of(field.annotation):
            recipe = inner.model_fields.get("recipe")
            suffix = f" ({recipe.default})" if name == "recipe" and recipe else ""
            yield from sections(inner, f"{path}.{name}{suffix}".lstrip("."))


def models_of(annotation: Any) -> list[type[BaseModel]]:
    """The models that a type may be, without those of the settings' own union of recipes twice."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in models_of(part)]


def rows(model: type[BaseModel]) -> Iterator[tuple[str, ...]]:
    for name, field in model.model_fields.items():
        key = f"**`{name}`**" if field.is_required() else f"`{name}`"
        yield key, f"{typed(field.annotation)}{limits(field)}", default(field), plain(field.description)


def typed(annotation: Any) -> str:
    """A type in the words of a YAML file: text, number, list of text, one of the words a, b."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return typed(arguments[0])
    if origin in (Union, UnionType):
        parts = [typed(part) for part in arguments if part is not NoneType]
        return " or ".join(dict.fromkeys(parts))
    if origin is Literal:
        return " / ".join(f"`{word}`" for word in arguments)
    if origin in (tuple, list, set, frozenset):
        if len(arguments) == 2 and arguments[1] is not Ellipsis:
            return "[" + ", ".join(typed(part) for part in arguments) + "]"
        return f"list of {typed(arguments[0])}" if arguments else "list"
    if origin is dict:
        return "mapping"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    return {str: "text", int: "integer", float: "number", bool: "true / false"}.get(annotation, "any")


def limits(field: FieldInfo) -> str:
    """What a value must keep to: ``, >= 1``."""
    pairs = ((rule, name) for rule in field.metadata for name in LIMITS if hasattr(rule, name))
    return "".join(f", {LIMITS[name]} {getattr(rule, name)}" for rule, name in pairs)


def default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return ""
    if isinstance(value, BaseModel):
        return "its defaults"
    if value is None or isinstance(value, bool):
        return f"`{json.dumps(value)}`"
    if isinstance(value, tuple):
        return "`[" + ", ".join(map(str, value)) + "]`"
    return f"`{value}`" if value != "" else '`""`'


def commands_page() -> str:
    """Every command with its arguments and options."""
    lines = ["# Commands", "", *paragraph(app.info.help), ""]
    for path, command in commands(get_command(app)):
        rows = [(f"`{given(one)}`", plain(getattr(one, "help", ""))) for one in command.params]
        lines += [f"## `{path}`", "", *paragraph(command.help), ""]
        lines += [*table(("argument or option", "what it says"), rows), ""] if rows else []
    return "\n".join(lines)


def given(parameter: Any) -> str:
    """How a parameter is typed: ``--quiet, -q``, ``CONFIG``, ``[OVERRIDES]...``."""
    if parameter.param_type_name == "option":
        return ", ".join(parameter.opts)
    return str(parameter.metavar or parameter.name).upper()


def commands(command: Any, path: str = "raydistill") -> Iterator[tuple[str, Any]]:
    """The commands that do something, by what is typed."""
    if hasattr(command, "commands"):
        for name, inner in command.commands.items():
            yield from commands(inner, f"{path} {name}")
    else:
        yield path, command


def files_page() -> str:
    """The columns of what a run stores, as pyarrow, `datasets` and DuckDB see them."""
    lines = ["# Columns of a run's files", "", "All of them are Parquet, in the folders of a run directory.", ""]
    for folder, (schema, about) in SCHEMAS.items():
        columns = [(f"`{column.name}`", f"`{column.type}`") for column in schema()]
        lines += [f"## `{folder}`", "", about, "", *table(("column", "type"), columns), ""]
    return "\n".join(lines)


def plain(text: str | None) -> str:
    """A description as a cell of a Markdown table."""
    return (text or "").replace("|", "\\|").replace("<", "&lt;")


def paragraph(text: str | None) -> list[str]:
    """A docstring's lines in Markdown."""
    return [line.strip().replace("``", "`") for line in (text or "").strip().splitlines()]


def table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    body = [" | ".join(row) for row in (header, ("---",) * len(header), *rows)]
    return [f"| {' '.join(line.split())} |" for line in body]


PAGES = {"settings.md": settings_page, "commands.md": commands_page, "files.md": files_page}


def main() -> None:
    differing = []
    FOLDER.mkdir(exist_ok=True)
    for name, make in PAGES.items():
        path, text = FOLDER / name, f"{MADE}\n\n{make().rstrip()}\n"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            differing.append(name)
            if "--check" not in sys.argv:
                path.write_text(text, encoding="utf-8")
    if "--check" in sys.argv and differing:
        sys.exit(f"docs/reference: {', '.join(differing)} differ from the code; run python docs/make_reference.py")


if __name__ == "__main__":
    main()
