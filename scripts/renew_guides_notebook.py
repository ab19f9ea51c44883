"""Copies the tables of docs/guides.md into docs/guides.ipynb, each below its heading.

Run it after a change of the page: python scripts/renew_guides_notebook.py
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1] / "docs"
PAGE, NOTEBOOK = DOCS / "guides.md", DOCS / "guides.ipynb"

_TABLE = re.compile(r"(?:^\|.*\n?)+", re.MULTILINE)


def tables(page: str) -> dict[str, str]:
    """Return the table of each section of the page, by its heading."""
    sections = page.split("\n## ")[1:]
    found = {one.partition("\n")[0]: _TABLE.search(one) for one in sections}
    return {heading: table[0].strip("\n") for heading, table in found.items() if table}


def renewed(book: dict[str, Any], page: str) -> dict[str, Any]:
    """Return the notebook with the tables of the page."""
    rows = tables(page)
    cells = []
    for cell in book["cells"]:
        text = "".join(cell["source"])
        heading = text.partition("\n")[0].removeprefix("## ")
        if cell["cell_type"] == "markdown" and text.startswith("## "):
            old = _TABLE.search(f"{text}\n")
            text = text if old is None else text.replace(old[0].strip("\n"), rows[heading])
        cells.append({**cell, "source": text.splitlines(keepends=True)})
    return {**book, "cells": cells}


def main() -> None:
    """Write the notebook anew."""
    book = renewed(json.loads(NOTEBOOK.read_text("utf-8")), PAGE.read_text("utf-8"))
    NOTEBOOK.write_text(json.dumps(book, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
