"""Files and folders on a local path or an object store (s3://, gs://, any pyarrow filesystem); names of local models.

What a run stores is written and read here alike wherever it lies. A path is known from a URI here alone.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raydistill.actors.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.fs import FileSystem


def scheme(path: str) -> str:
    """What a URI begins with ("s3://"); "" for a path."""
    return path[: path.find("://") + 3] if "://" in path else ""


def is_uri(path: str) -> bool:
    return bool(scheme(path))


def absolute(path: str) -> str:
    """The full path of a file or folder, whether it is there or not; a URI as it is, without a slash at its end.

    ``~`` is the home folder.
    """
    return path.rstrip("/") if is_uri(path) else str(Path(path).expanduser().resolve())


def local_path(model: str) -> str:
    """The full path of a model (or recording) on this machine, as actors run in folders of their own; else `model`."""
    return absolute(model) if Path(model).exists() else model


def resolve(uri: str) -> tuple[FileSystem, str]:
    """Filesystem and path of a local path or a URI (s3://, gs://, file://). Raises UsageError for another one."""
    from pyarrow import ArrowInvalid
    from pyarrow.fs import FileSystem, LocalFileSystem

    try:
        return FileSystem.from_uri(uri) if is_uri(uri) else (LocalFileSystem(), uri)
    except ArrowInvalid as error:
        raise UsageError(f"{uri}: {error}; expected a path, or a URI such as s3://bucket/folder") from None


def write_atomic(uri: str, data: bytes) -> None:
    """Write a whole file so that no reader ever sees a part of it. Creates the folder."""
    from pyarrow.fs import LocalFileSystem

    filesystem, path = resolve(uri)
    filesystem.create_dir(path.rpartition("/")[0] or ".", recursive=True)
    target = f"{path}.{uuid.uuid4().hex[:8]}.tmp" if isinstance(filesystem, LocalFileSystem) else path
    with filesystem.open_output_stream(target) as stream:
        stream.write(data)
    if target != path:
        filesystem.move(target, path)


def write_json(uri: str, content: Mapping[str, Any]) -> None:
    write_atomic(uri, json.dumps(content, indent=2, default=str).encode() + b"\n")


def read_bytes(uri: str) -> bytes | None:
    """The file's content, or None if there is no such file."""
    filesystem, path = resolve(uri)
    try:
        with filesystem.open_input_stream(path) as stream:
            return stream.read()
    except FileNotFoundError:
        return None


def write_table(uri: str, table: pa.Table) -> None:
    """Write one Parquet file atomically."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer)
    write_atomic(uri, buffer.getvalue().to_pybytes())


def remove(uri: str) -> None:
    """Remove a folder and what is in it, if it is there."""
    from pyarrow.fs import FileType

    filesystem, path = resolve(uri)
    if filesystem.get_file_info(path).type == FileType.Directory:
        filesystem.delete_dir(path)


def copy_folder(source: str, target: str) -> None:
    """Copy what is in the folder `source` into `target`, on the same filesystem."""
    from pyarrow.fs import copy_files

    filesystem, path = resolve(target)
    filesystem.create_dir(path, recursive=True)
    copy_files(resolve(source)[1], path, source_filesystem=filesystem, destination_filesystem=filesystem)
