"""What each type of model in transformers makes of three documents, beside Nextfill's figures.

Each type is made tiny, saved, and read as a user's model would be. Its nats of each document come
from plain transformers, on that document alone and with a model that has seen no other; they are
compared with those of a batch of all three, as they are evaluated, and of rows into which they are
packed, as they are trained. Whether it looks ahead is found by changing each later token in turn.

    python -m tests.trials.architecture_table [TYPE ...]     prints the table
"""

from __future__ import annotations

import copy
import sys
import tempfile
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

from nextfill.config import ModelConfig
from nextfill.core.errors import NextfillError
from nextfill.models.documents.causality import looks_ahead
from nextfill.models.documents.isolation import Isolation, padding_isolation, probe_isolation
from nextfill.models.load import load_model
from nextfill.models.loaded_model import LoadedModel
from nextfill.models.step import StepModule
from tests.architectures import as_json, save_words, tiny_model, types

LENGTHS = (6, 47, 23)
"""Of the documents, in tokens; one is longer than every window, and than BigBird's short texts."""

MASKED_EACH = 5
NO_TARGET = -100


@dataclass
class Row:
    """What was found of one type.

    Args:
        objective: ``causal`` or ``masked``.
        kind: transformers' name of the type.
        verdict: ``equal``, ``refused``, ``not made`` (a tiny one cannot be had), or ``wrong``.
        ahead: Whether it looks ahead as transformers makes it, by the truth.
        probe: Whether the probe says so.
        changes: Settings that were changed at load.
        isolation: What keeps packed documents apart.
        differences: Largest relative difference of a document's nats, in a batch and packed.
        problems: What is wrong, or why it is refused or not made.
    """

    objective: str
    kind: str
    verdict: str = "equal"
    ahead: bool | None = None
    probe: bool | None = None
    changes: str = ""
    isolation: str = ""
    differences: tuple[float, float] | None = None
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        ahead = {None: "", True: "yes", False: "no"}[self.ahead]
        figures = "" if self.differences is None else "{:.0e} | {:.0e}".format(*self.differences)
        cells = [self.objective, self.kind, self.verdict, ahead, self.changes, self.isolation]
        return " | ".join([*cells, figures or " | ", "; ".join(self.problems)])


HEADER = (
    "objective | type | verdict | looks ahead as saved | put right by | documents apart by | "
    "in a batch | packed | reason"
)


def examine(objective: str, kind: str, folder: Path) -> Row:
    """Compare one type with plain transformers."""
    row = Row(objective, kind)
    try:
        model = tiny_model(kind, objective)
        if objective == "causal":
            row.ahead = moves_earlier_logits(model)
            row.probe = looks_ahead(model)
        model.save_pretrained(folder)  # type: ignore[operator]
        del model
    except NextfillError as error:
        row.verdict, row.problems = "refused", [str(error)]
    except Exception as error:  # noqa: BLE001  (whatever transformers answers is told)
        where = traceback.extract_tb(error.__traceback__)[-1]
        lines = str(error).strip().splitlines()
        first = lines[0][:120] if lines else ""
        row.verdict = "not made"
        row.problems = [f"{type(error).__name__}: {first} ({Path(where.filename).name})"]
        return row
    if row.ahead != row.probe:
        row.verdict, row.problems = "wrong", ["the probe is wrong on whether it looks ahead"]
        return row
    if row.verdict == "refused":
        return row
    save_words(folder)
    try:
        loaded = load_model(ModelConfig(name=str(folder)), objective)  # type: ignore[arg-type]
    except NextfillError as error:
        row.verdict, row.problems = "refused", [str(error)]
        return row
    row.changes = " and ".join(loaded.changes)
    _compare(row, loaded, folder)
    return row


def _compare(row: Row, loaded: LoadedModel, folder: Path) -> None:
    documents = _documents(row.objective, loaded)
    before = as_json(loaded.model.config), _state(loaded.model)
    expected = torch.stack([_alone(row.objective, loaded, folder, one) for one in documents])
    padded = padding_isolation(loaded.model, loaded.objective)
    packed = probe_isolation(loaded.model, loaded.objective)
    row.isolation = packed.kind + ("" if padded.heeds_padding else ", rows of one length")
    if row.objective == "causal" and moves_earlier_logits(copy.deepcopy(loaded.model)):
        row.problems.append("it looks ahead as it was loaded")
    found = []
    for isolation in (padded, packed):
        nats = _ours(loaded, isolation, documents)
        found.append(float(((nats - expected) / expected).abs().max()))
    row.differences = (found[0], found[1])
    if not max(found) <= 1e-5:
        row.problems.append("nats differ from plain transformers'")
    after = as_json(loaded.model.config), _state(loaded.model)
    if before != after:
        row.problems.append("computing left a trace in the model")
    if row.problems:
        row.verdict = "wrong"


def _documents(objective: str, loaded: LoadedModel) -> list[tuple[Tensor, Tensor]]:
    """Make documents, each its ids and labels, ``[T] int64``."""
    generator = torch.Generator().manual_seed(11)
    found = []
    for length in LENGTHS:
        ids = torch.randint(5, 100, (length,), generator=generator)
        labels = torch.full_like(ids, NO_TARGET)
        if objective == "causal":
            labels[:-1] = ids[1:]
        else:
            places = torch.randperm(length, generator=generator)[:MASKED_EACH]
            labels[places] = ids[places]
            ids[places] = int(loaded.tokenizer.mask_token_id)
        found.append((ids, labels))
    return found


@torch.no_grad()
def _alone(
    objective: str, loaded: LoadedModel, folder: Path, document: tuple[Tensor, Tensor]
) -> Tensor:
    """Score a document with plain transformers, alone, with a model that has seen no other."""
    ids, labels = document
    auto = AutoModelForCausalLM if objective == "causal" else AutoModelForMaskedLM
    shape = AutoConfig.from_pretrained(folder)
    for change in loaded.changes:
        key, _, value = change.partition("=")
        setattr(
            shape.get_text_config(decoder=True),
            key,
            {"true": True, "false": False}.get(value, value),
        )
    model = auto.from_pretrained(folder, config=shape, dtype=torch.float32).eval()
    arguments = {"use_cache": False} if objective == "causal" else {}
    logits = model(input_ids=ids[None], **arguments).logits[0]
    return functional.cross_entropy(
        logits.double(), labels, ignore_index=NO_TARGET, reduction="sum"
    )


@torch.no_grad()
def _ours(
    loaded: LoadedModel, isolation: Isolation, documents: list[tuple[Tensor, Tensor]]
) -> Tensor:
    """Score the documents in one batch, each in a row or all in one, as the isolation has it."""
    module = StepModule(loaded.model, isolation)
    lengths = [len(ids) for ids, _ in documents]
    together = isolation.kind in ("positions", "mask")
    shape = (1, sum(lengths)) if together else (len(lengths), max(lengths))
    ids = torch.full(shape, loaded.pad_id)
    labels, numbers = torch.full(shape, NO_TARGET), torch.full(shape, -1)
    positions = torch.zeros(shape, dtype=torch.long)
    first = 0
    for number, (own, targets) in enumerate(documents):
        place = (0 if together else number, slice(first, first + len(own)))
        ids[place], labels[place] = own, targets
        numbers[place], positions[place] = number, torch.arange(len(own))
        first += len(own) if together else 0
    nats = module(ids, labels, positions, numbers).double()
    counts = [int((targets != NO_TARGET).sum()) for _, targets in documents]
    return torch.stack([part.sum() for part in nats.split(counts)])


@torch.no_grad()
def moves_earlier_logits(model: nn.Module, length: int = 47) -> bool:
    """Say whether any later token, changed alone, moves an earlier logit: the truth."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(5, 100, (1, length), generator=generator)
    base = model(input_ids=ids, use_cache=False).logits.double()
    worst = 0.0
    for at in range(1, length):
        changed = ids.clone()
        changed[0, at] = (ids[0, at] - 5 + 17) % 95 + 5
        logits = model(input_ids=changed, use_cache=False).logits.double()
        worst = max(worst, float((logits - base)[:, :at].abs().max()))
    return worst > 1e-5 * float(base.abs().max())


def _state(model: nn.Module) -> dict[str, Any]:
    """Return what a model holds, to be compared."""
    found: dict[str, Any] = {name: value.clone() for name, value in model.state_dict().items()}
    sums = {name: float(value.double().sum()) for name, value in found.items()}
    plain = {
        f"{name}.{key}": value
        for name, module in model.named_modules()
        for key, value in vars(module).items()
        if isinstance(value, str | int | float | bool | None) and key != "training"
    }
    return {**sums, **plain}


def main(words: list[str]) -> int:
    """Print the table, and return how many types are wrong."""
    torch.set_num_threads(1)
    wrong = 0
    print(HEADER)
    for objective in ("causal", "masked"):
        for kind in types(objective):
            if words and kind not in words:
                continue
            with tempfile.TemporaryDirectory() as folder:
                row = examine(objective, kind, Path(folder))
            print(row, flush=True)
            wrong += row.verdict == "wrong"
    return wrong


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]) > 0)
