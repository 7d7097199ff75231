"""`raydistill serve`: its options."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console


def serve(
    students: Annotated[
        list[str],
        typer.Argument(help="run directories, or student directories; NAME=PATH names one", metavar="STUDENT_OR_RUN"),
    ],
    host: Annotated[str, typer.Option(help="address to listen on; loopback unless told otherwise")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="port to listen on")] = 8000,
    replicas: Annotated[int, typer.Option(help="most engine replicas")] = 1,
    body_bytes: Annotated[int, typer.Option(help="larger request bodies are refused", min=1)] = 1_000_000,
    keys: Annotated[str | None, typer.Option(help="file of API keys; RAYDISTILL_API_KEYS has some, too")] = None,
    is_open: Annotated[bool, typer.Option("--open", help="no keys, and whoever reaches --host may ask")] = False,
    admin_key_file: Annotated[
        str | None, typer.Option(help="key of who may add, roll and remove students; else RAYDISTILL_ADMIN_KEY has it")
    ] = None,
    queue: Annotated[int, typer.Option(help="requests under way; further ones are refused", min=1)] = 256,
    deadline: Annotated[float, typer.Option(help="seconds that a request may take", min=0.1)] = 300,
    grace: Annotated[float, typer.Option(help="seconds that requests have to end when it stops", min=0)] = 30,
    request_log: Annotated[
        str | None, typer.Option(help="folder with a JSON line for each request; else beside Ray Serve's logs")
    ] = None,
    log_contents: Annotated[
        bool, typer.Option("--log-contents", help="questions and answers in that log, too")
    ] = False,
) -> None:
    """Serve students: OpenAI-compatible chat and completions, and POST /v1/solve with executed answers."""
    from raydistill.serve.app import serve_students

    serve_students(
        students,
        host=host,
        port=port,
        replicas=replicas,
        body_bytes=body_bytes,
        keys=keys,
        is_open=is_open,
        admin_key_file=admin_key_file,
        queue=queue,
        deadline_s=deadline,
        grace_s=grace,
        request_log=request_log,
        log_contents=log_contents,
        console=Console(soft_wrap=True),
    )
