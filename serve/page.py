"""The page at `/`: ask the student in a browser. One file that loads nothing but the answers of this service."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

PAGE = Path(__file__).with_name("page.html")


def add_page(app: FastAPI, *, keyed: bool) -> None:
    """Serve the page, with a policy by which nothing runs but its own script, whatever a student writes.

    Where a key is wanted (`keyed`) the page asks for one first.
    """
    text = PAGE.read_text(encoding="utf-8")
    if keyed:
        text = text.replace('<div id="keyed" hidden>', '<div id="keyed">')
    headers = {
        "Content-Security-Policy": policy(text),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def page() -> HTMLResponse:
        return HTMLResponse(text, headers=headers)


def policy(text: str) -> str:
    """What the page may do: its own script and style, by their hashes, and requests to where it comes from."""
    script, style = (f"'sha256-{digest(text, tag)}'" for tag in ("script", "style"))
    rest = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; img-src data:"
    return f"default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'; {rest}"


def digest(text: str, tag: str) -> str:
    """The hash of what stands in the page's one element of this name."""
    [inside] = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    return base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
