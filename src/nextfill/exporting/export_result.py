"""The result of an export, as it is returned and as ``export.json`` records it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextfill.config import ExportFormat, ExportQuantization
from nextfill.core.amounts import amount

if TYPE_CHECKING:
    from nextfill.exporting.comparison import Agreement

RECORD = "export.json"


@dataclass(frozen=True)
class Export:
    """A model in the form of another program.

    Args:
        path: Its folder.
        model: The name of the model that it was made from.
        to: The format.
        quantization: Its weights.
        files: The sizes in bytes of the files, by name.
        comparison: How it compares with the model.
        comparison_in_full: The same before its weights got fewer bits; else None.
        checksums: Of the model's own files, of the weights that were exported, of the tokenizer.
        written: Of the files that were written, as ``export.json`` has them.
        versions: Of the libraries.
        usage: A line to type, to use it.
    """

    path: Path
    model: str
    to: ExportFormat
    quantization: ExportQuantization
    files: Mapping[str, int]
    comparison: Agreement
    comparison_in_full: Agreement | None
    checksums: Mapping[str, Any]
    written: Mapping[str, Any]
    versions: Mapping[str, str]
    usage: str

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"path": str(self.path), **self.record(), "usage": self.usage}

    def record(self) -> dict[str, Any]:
        """Return what ``export.json`` says, which is nothing of this machine's folders."""
        full = self.comparison_in_full
        return {
            "model": self.model,
            "to": self.to,
            "quantization": self.quantization,
            "files": dict(self.files),
            "comparison": self.comparison.to_json(),
            "comparison_in_full": None if full is None else full.to_json(),
            "checksums": dict(self.checksums),
            "written": dict(self.written),
            "versions": dict(self.versions),
        }

    def __str__(self) -> str:
        size = f"{sum(self.files.values()) / 1e6:,.1f} MB, {amount(len(self.files), 'file')}"
        return (
            f"exported: {self.path} ({size})\n"
            f"compared: {self.comparison}\nuse it with:\n  {self.usage}"
        )
