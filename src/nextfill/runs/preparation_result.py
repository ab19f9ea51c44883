"""The result of `prepare`: a typed object that shows itself as text, HTML and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from nextfill.core.amounts import amount
from nextfill.rendering.result_cards import card, card_lines, card_table, text_table
from nextfill.runs.result_rows import ledger_rows


@dataclass(frozen=True)
class PrepareResult:
    """The outcome of a preparation.

    Args:
        store: Folder of the training part's token store.
        held_out_store: Folder of the held-out part's token store, which may be the same one.
        blocks: Training blocks.
        block_size: Tokens per block.
        ledger: Where every record and token went.
        reused: Whether the stores were already in the cache.
        stores: Folders of all token stores; of several sources each has one or two.
    """

    store: str
    held_out_store: str
    blocks: int
    block_size: int
    ledger: Mapping[str, Any]
    reused: bool
    stores: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain data."""
        return asdict(self)

    def __repr__(self) -> str:
        return text_table("Ledger", (), ledger_rows(self.ledger)) + f"\n{self._summary()}"

    def _repr_html_(self) -> str:
        rows = card_table((), ledger_rows(self.ledger))
        return card("Ledger", rows, card_lines([self._summary()]))

    def _summary(self) -> str:
        there = " (already there)" if self.reused else ""
        return f"{amount(self.blocks, 'block')} of {self.block_size} tokens in {self.store}{there}"
