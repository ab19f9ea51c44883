"""Rows of packed documents as a batch for a transformers model, none of which sees another."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from nextfill.config import Objective
from nextfill.config.foreign.foreign_keywords import answers_keywords
from nextfill.core.errors import ConfigError, ModelError
from nextfill.data.packing.block_reader import NO_TARGET
from nextfill.models.documents.causality import check_causality
from nextfill.models.documents.isolation import Isolation, Kind, probe_isolation, stated_isolation
from nextfill.models.objective import live_objective

_ENOUGH = 512
"""Number of targets of which, masked at random, some differ from the input for certain."""


class Collator:
    """Pads rows to a batch and keeps the documents of a row apart in this model.

    The means are position ids that restart with each document, or a block-diagonal attention mask,
    and for causal models always ``use_cache=False``: with a cache, or with an attention mask of
    ones, transformers lets packed documents see one another and says nothing. A probe with the
    model finds the one that it needs. Masked models are kept from the padding, too.

    Args:
        model: The model that is trained, or one of its kind, for the probe alone. Without one, the
            rows are those of a causal model.
        pad_to_multiple_of: Widths are rounded up to it; the block size makes all batches alike.
        isolation: Leaves the probe out, which computes in float32 and so needs room for a copy of
            weights that are not: ``positions``, ``mask``, ``pad`` (a document a row), or ``none``.

    Raises:
        ConfigError: If a setting cannot be used.

    Example:
        >>> collator = Collator(None, isolation="positions")
        >>> rows = [{"input_ids": [5, 6, 7, 8], "labels": [-100, 6, -100, 8],
        ...          "position_ids": [0, 1, 0, 1]}, {"input_ids": [9, 5], "labels": [-100, 5]}]
        >>> batch = collator([{k: torch.tensor(v) for k, v in row.items()} for row in rows])
        >>> batch["position_ids"].tolist(), batch["labels"].tolist(), batch["use_cache"]
        ([[0, 1, 0, 1], [0, 1, 0, 0]], [[-100, 6, -100, 8], [-100, 5, -100, -100]], False)
    """

    @answers_keywords("nextfill.Collator")
    def __init__(
        self,
        model: nn.Module | None,
        *,
        pad_to_multiple_of: int | None = None,
        isolation: Kind | None = None,
    ) -> None:
        if pad_to_multiple_of is not None and pad_to_multiple_of < 1:
            raise ConfigError(
                [f"pad_to_multiple_of: found {pad_to_multiple_of}; expected 1 or more"]
            )
        if isolation not in (None, "positions", "mask", "pad", "none"):
            raise ConfigError(
                [f"isolation: found {isolation!r}; expected positions, mask, pad, none"]
            )
        if model is not None and not callable(getattr(model, "parameters", None)):
            raise ConfigError(
                [
                    f"Collator takes the model that is trained, and found a "
                    f"{type(model).__name__}: give Collator(model). It needs no tokenizer, and for "
                    "Keras there is nextfill.keras.dataset(blocks)."
                ]
            )
        if isolation is None and model is None:
            raise ConfigError(["Give the model, for the probe, or isolation."])
        self.pad_to_multiple_of = pad_to_multiple_of or 1
        self._name = "this model" if model is None else type(model).__name__
        self._dtype = torch.float32 if model is None else next(model.parameters()).dtype
        objective = "causal" if model is None else live_objective(model, None, self._name)
        if model is not None and objective == "causal":
            check_causality(_InFloat32(model), f"This {self._name}")
        self._isolation: Isolation = (
            probe_isolation(_InFloat32(model), objective)
            if isolation is None
            else stated_isolation(model, objective, isolation)
        )

    @property
    def isolation(self) -> Kind:
        """The means that keeps documents apart: ``positions``, ``mask``, ``pad``, ``none``."""
        return self._isolation.kind

    def __call__(self, rows: Sequence[dict[str, Tensor]]) -> dict[str, Any]:
        """Make a batch.

        Args:
            rows: Each with ``input_ids`` and ``labels``, ``[T] int64``, and ``position_ids``
                unless Trainer has taken them out for a model that does not know them.

        Returns:
            ``input_ids`` and ``labels``, ``[B, T] int64``, and to keep documents apart
            ``position_ids``, ``[B, T] int64``, or ``attention_mask``, ``[B, 1, T, T]``.

        Raises:
            ModelError: If documents are packed and nothing keeps them apart in this model.
        """
        longest = max(len(row["input_ids"]) for row in rows)
        width = -(-longest // self.pad_to_multiple_of) * self.pad_to_multiple_of
        self._check(rows)
        starts = [_starts(row, self._isolation.objective) for row in rows]
        documents = [started.cumsum(0) - 1 for started in starts]
        if self.isolation == "pad" and any(int(numbers[-1]) > 0 for numbers in documents):
            raise ModelError(
                f"Nothing keeps documents in one row apart in {self._name}: make the data set with "
                "packing='pad', or with isolate=False if they may see one another. If you know "
                "what does, give Collator(model, isolation='positions') or 'mask'."
            )
        if not self._isolation.heeds_padding and any(len(row["input_ids"]) < width for row in rows):
            raise ModelError(
                f"Padding changes what a {self._name} makes of a text, and no mask keeps it from "
                "that: give batches of rows of one length, or let nextfill.train make them; or "
                "say that padding may be seen, with Collator(model, isolation='none')."
            )
        positions = [_positions(started) for started in starts]
        batch = self._isolation.inputs(
            _padded([row["input_ids"] for row in rows], width, 0),
            _padded(positions, width, 0),
            _padded(documents, width, -1),
        )
        if (mask := batch.get("attention_mask")) is not None:
            batch["attention_mask"] = self._in_dtype(mask)
        return {**batch, "labels": _padded([row["labels"] for row in rows], width, NO_TARGET)}

    def _check(self, rows: Sequence[dict[str, Tensor]]) -> None:
        """Refuse rows that hide where documents begin, or show a masked model its targets."""
        if self._isolation.objective == "causal":
            if self.isolation != "none" and any(map(_hides_starts, rows)):
                raise ModelError(
                    "The rows have lost their position_ids, and their labels do not tell where a "
                    "document begins, as those of a context are -100, too: give "
                    "TrainingArguments(remove_unused_columns=False)."
                )
            return
        if self.isolation != "none" and any("position_ids" not in row for row in rows):
            raise ModelError(
                "The rows have lost their position_ids, which tell where a document begins: give "
                "TrainingArguments(remove_unused_columns=False). Trainer takes them out for a "
                f"model that does not know them, such as {self._name}."
            )
        ids, labels = (torch.cat([row[name] for row in rows]) for name in ("input_ids", "labels"))
        target = labels != NO_TARGET
        if int(target.sum()) >= _ENOUGH and bool((ids[target] == labels[target]).all()):
            raise ModelError(
                f"Nothing is hidden in these rows, and a {self._name} would learn to copy: make "
                'them with packed_dataset(objective="masked").'
            )

    def _in_dtype(self, mask: Any) -> Any:
        """Return additive masks, of each kind of layer perhaps, in the type of the weights."""
        if isinstance(mask, dict):
            return {kind: self._in_dtype(one) for kind, one in mask.items()}
        if not mask.is_floating_point():
            return mask
        return mask.clamp_min(torch.finfo(self._dtype).min).to(self._dtype)


def _starts(row: dict[str, Tensor], objective: Objective) -> Tensor:
    """Return whether a document begins at each position, ``[T] bool``."""
    if "position_ids" in row:
        return row["position_ids"] == 0
    if objective == "masked":  # its labels do not show it
        return torch.arange(len(row["labels"])) == 0
    return row["labels"] == NO_TARGET


def _hides_starts(row: dict[str, Tensor]) -> bool:
    """Check for labels of -100 one after another in a row without positions."""
    missing = row["labels"] == NO_TARGET
    return "position_ids" not in row and bool((missing[1:] & missing[:-1]).any())


def _positions(started: Tensor) -> Tensor:
    """Count from 0 at each start, ``[T] int64``."""
    place = torch.arange(len(started))
    return place - torch.where(started, place, 0).cummax(0).values


def _padded(rows: Sequence[Tensor], width: int, value: int) -> Tensor:
    batch = torch.full((len(rows), width), value, dtype=torch.long)
    for at, row in enumerate(rows):
        batch[at, : len(row)] = row
    return batch


class _InFloat32(nn.Module):
    """A model that computes in float32, whatever its weights are in.

    The probe looks at the fourth digit, which bfloat16 does not have.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.config = model.config

    def get_input_embeddings(self) -> Any:
        return self.model.get_input_embeddings()

    def forward(self, **inputs: Any) -> Any:
        state = chain(self.model.named_parameters(), self.model.named_buffers())
        precise = {name: t.float() if t.is_floating_point() else t for name, t in state}
        return torch.func.functional_call(self.model, precise, kwargs=inputs)
