"""YAML files of settings: read, overridden by the command line, checked. What is wrong is one line of UsageError."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from raydistill.actors.errors import UsageError
from raydistill.pipelines.config.shipped import shipped

Settings = TypeVar("Settings", bound=BaseModel)


def read_settings(path: Path, overrides: Sequence[str] = (), *, kind: str = "file") -> dict[str, Any]:
    """The mapping in a YAML file after ``key.path=value`` overrides (values are YAML).

    Raises UsageError for a missing file (told as a missing `kind`), an error of YAML, something else than a mapping.
    """
    try:
        data = yaml.safe_load(Path(shipped(str(path))).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path}: no such {kind}") from None
    except IsADirectoryError:
        raise UsageError(f"{path}: is a folder; expected a YAML file of settings") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}; expected a YAML file of settings") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: no UTF-8, or a date such as 2020-13-45
        raise UsageError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise UsageError(f"{path}: expected a mapping of keys to values, got {type(data).__name__}")
    for override in overrides:
        apply_override(data, override)
    return data


def apply_override(data: dict[str, Any], override: str) -> None:
    """Set in `data` what ``key.path=value`` says. Raises UsageError where it says nothing, or a parent is no group."""
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise UsageError(f"override {override!r}: expected key.path=value, for example teacher.temperature=0.7")
    *parents, leaf = key.split(".")
    node = data
    for parent in parents:
        node = node.setdefault(parent, {})
        if not isinstance(node, dict):
            raise UsageError(f"override {override!r}: {parent} is not a group of settings")
    try:
        node[leaf] = yaml.safe_load(value)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        problem = getattr(error, "problem", None) or str(error)
        raise UsageError(
            f"override {override!r}: the value is no YAML ({' '.join(problem.split())}); expected for example "
            f"{key}=0.7, or in quotes where it has blanks, braces or signs: '{key}={{rank: 16}}', '{key}=\"@main\"'"
        ) from None


def validated(kind: type[Settings], data: Any, where: str) -> Settings:
    """`data` as settings of this kind; raises UsageError naming each unknown key and bad value."""
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise UsageError(f"{where}: " + "; ".join(map(_describe, error.errors()))) from None


def _describe(error: Any) -> str:
    where = ".".join(map(str, error["loc"])) or "configuration"
    if error["type"] == "extra_forbidden":
        return f"{where}: unknown key"
    whole = error["type"] == "missing" or isinstance(error["input"], dict)  # a group of settings says nothing here
    got = "" if whole else f" (got {shortened(repr(error['input']))})"
    return f"{where}: {error['msg'].removeprefix('Value error, ')}{got}"


def shortened(text: str, most: int = 120) -> str:
    return text if len(text) <= most else f"{text[:most]} ..."


def expand(path: str) -> str:
    """`path` with each ``${VAR}`` replaced by that environment variable; UsageError if it is not set."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise UsageError(f"{path}: the environment variable {match[1]} is not set; export {match[1]}=...")
        return os.environ[match[1]]

    return os.path.expanduser(re.sub(r"\$\{(\w+)\}", value, path))
