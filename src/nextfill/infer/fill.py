"""Placeholder until the real one is merged."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from nextfill.models.loaded import LoadedModel

BLANK = "___"


def check_blanks(loaded: LoadedModel, text: str) -> None:
    """Check."""


def fill_blanks(loaded: LoadedModel, texts: Sequence[str]) -> list[str]:
    """Fill."""
    found = []
    tok = loaded.tokenizer
    loaded.model.eval()
    for one in texts:
        text = one
        t = text.replace(BLANK, tok.mask_token)
        ids = torch.tensor([tok(t)["input_ids"]], device=loaded.device)
        with torch.no_grad():
            logits = loaded.model(input_ids=ids).logits[0]
        for at in (ids[0] == tok.mask_token_id).nonzero().flatten().tolist():
            text = text.replace(BLANK, f"[{tok.decode([int(logits[at].argmax())]).strip()}]", 1)
        found.append(text)
    return found
