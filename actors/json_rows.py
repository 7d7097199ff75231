"""Objects in a JSON file: one a line, all in one array, or written over several lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from io import StringIO
from itertools import chain
from typing import Any

BLANK = "\ufeff \t\r\n"  # files put together have the mark of their encoding in the middle


def json_rows(
    path: str, lines: Iterable[str], leave_out: Callable[[str, str], None]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each object with the number of the line that it begins on; `leave_out` gets what is none, and a complaint."""
    lines = iter(lines)
    start = next((place for place in enumerate(lines, start=1) if place[1].strip(BLANK)), None)
    if start is None:
        return
    number, first = start
    if first.lstrip(BLANK).startswith("[") or not _is_json(first):
        text = "".join(chain([first], lines))
        if first.lstrip(BLANK).startswith("[") or _begins_with_object(text):
            yield from _checked(path, _values(text, number), leave_out)
            return
        first, lines = "", StringIO(text, newline="")
        number -= 1
    rows = chain([(number, first)], enumerate(lines, start=number + 1))
    yield from _checked(path, ((n, _read(line.strip(BLANK))) for n, line in rows if line.strip(BLANK)), leave_out)


def _checked(
    path: str, values: Iterable[tuple[int, Any]], leave_out: Callable[[str, str], None]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects among values; an error stands for one that could not be read."""
    for number, value in values:
        if isinstance(value, dict):
            yield number, value
        elif isinstance(value, Exception):
            leave_out("malformed", f"{path}:{number}: not valid JSON: {value}")
        else:
            leave_out("malformed", f"{path}:{number}: expected a JSON object, got {type(value).__name__}")


def _read(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        return ValueError(str(error))


def _values(text: str, number: int) -> Iterator[tuple[int, Any]]:
    """The values that stand one after the other in `text`, which begins on line `number`, and those of arrays."""
    decoder = json.JSONDecoder()
    place, counted, in_array = 0, 0, False
    while True:
        while place < len(text) and (text[place] in BLANK or (in_array and text[place] == ",")):
            place += 1
        number, counted = number + text.count("\n", counted, place), place
        if place == len(text):
            if in_array:
                yield number, ValueError("the array has no end")
            return
        if text[place] == "[" and not in_array or text[place] == "]" and in_array:
            in_array = not in_array
            place += 1
            continue
        try:
            value, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            yield number, ValueError(str(error).partition(": line ")[0])
            return
        yield number, value


def _is_json(line: str) -> bool:
    return not isinstance(_read(line.strip(BLANK)), ValueError)


def _begins_with_object(text: str) -> bool:
    _, value = next(_values(text, 1), (1, None))
    return isinstance(value, dict)
