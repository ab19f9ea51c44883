"""The page to try models on: one HTML file, whose style and script are its own."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources

from nextfill.rendering.html import STYLE

_PARTS = "playground.html", "playground.css", "playground.js"


@cache
def page() -> str:
    """Return the page, whole."""
    frame, style, script = _parts()
    return frame.replace("/* style */", style).replace("/* script */", script)


@cache
def page_headers() -> dict[str, str]:
    """Return the headers of the page, by which a browser runs its own script and no other."""
    _, style, script = _parts()
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }


@cache
def _parts() -> tuple[str, str, str]:
    folder = resources.files("nextfill.serving")
    frame, style, script = ((folder / name).read_text("utf-8") for name in _PARTS)
    return frame, STYLE + style, script


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
