"""Sending an export to the hub, by huggingface_hub; nothing is sent unless asked for, and a repository is private."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from raydistill.actors.errors import UsageError


def check_name(repository: str) -> None:
    """Raise UsageError unless a repository of the hub may have this name."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise UsageError(f"--push {repository!r}: {error}; expected owner/name") from None


def push(
    folder: Path,
    repository: str,
    kind: Literal["dataset", "model"],
    *,
    public: bool,
    dry_run: bool,
    say: Callable[[str], object],
) -> None:
    """Create the repository ``owner/name`` where it is missing, and upload what is in `folder`.

    `dry_run` says what would be sent. Raises UsageError for a bad name, or where the hub does not take it.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    check_name(repository)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    access = "public" if public else "private"
    if dry_run:
        say(f"would send to the {access} {kind} {repository}:")
        for path in files:
            say(f"  {path.relative_to(folder)}  {path.stat().st_size:,} bytes")
        return
    api = HfApi()
    try:
        api.create_repo(repository, repo_type=kind, private=not public, exist_ok=True)
        api.upload_folder(repo_id=repository, repo_type=kind, folder_path=folder)
    except (HfHubHTTPError, LocalTokenNotFoundError, OSError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UsageError(f"--push {repository}: {reason}; log in with `hf auth login`, or set HF_TOKEN") from None
    say(f"sent to the {access} {kind} {repository}")
