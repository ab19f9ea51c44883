"""The frame of every page that is written: one file that makes no request."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib import resources

from nextfill.colouring import page_rules
from nextfill.markup import STYLE, Html, element

STYLES = ("page.css", "tokens.css")
SCRIPTS = ("hover.js", "tokens.js")


def whole_page(title: str, body: Sequence[Html], notes: Mapping[str, str] | None = None) -> str:
    """Return a page.

    Args:
        title: Its title.
        body: What stands on it.
        notes: What its head holds for programs, by name.

    Returns:
        The page. Its policy allows the browser this very style and script, and no request.
    """
    style = Html(STYLE + "".join(map(_resource, STYLES)) + page_rules())
    # Each in a block of its own, so that neither knows the other's names.
    blocks = "".join(f"{{{_resource(name)}}}\n" for name in SCRIPTS)
    script = Html(f'"use strict";\n{blocks}')
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    head = [
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("link", rel="icon", href="data:,"),
        *(element("meta", name=key, content=value) for key, value in (notes or {}).items()),
        element("title", title),
        element("style", style),
    ]
    whole = element("body", *body, element("script", script), class_="nextfill")
    page = element("html", element("head", *head), whole, lang="en")
    return f"<!doctype html>\n{page}\n"


def _resource(name: str) -> str:
    return (resources.files("nextfill.reporting") / name).read_text("utf-8")


def _hash(text: str) -> str:
    """Return what a policy allows a text by."""
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"
