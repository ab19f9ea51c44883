"""Training's fast path beside the plain one: transformers' model, whole logits, PyTorch's AdamW.

The plain path is given the batches of a run and computes each document by itself, so that neither
packing nor masks of attention are needed; it has nothing of ours but the batches and the rates.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

import nextfill
from nextfill.training import loop

pytestmark = pytest.mark.trial

STEPS, BLOCK = 200, 128
SMALL = {"num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4}
GPT2 = {"n_layer": 2, "n_embd": 64, "n_head": 4, "n_positions": 128}
CASES = {
    "base-causal": ("causal", "builtin:base-causal", {}),
    "base-masked": ("masked", "builtin:base-masked", {}),
    "gpt2": ("causal", "scratch:gpt2", GPT2),
    "roberta": ("masked", "scratch:roberta", {**SMALL, "intermediate_size": 128}),
}
DATA = {"data": "builtin:torch-docs", "split": "train[:800]", "test_size": 40}
ADAMW = {"beta1": 0.9, "beta2": 0.95, "weight_decay": 0.1, "warmup_steps": 0.05}
MOST = {"fp32": 1e-5, "bf16": 1e-2}
MOST_AT_THE_END = 0.005


@pytest.mark.parametrize("precision", MOST)
@pytest.mark.parametrize("packing", ["best-fit", "concat"])
@pytest.mark.parametrize("case", CASES)
def test_the_losses_are_those_of_the_plain_path(
    case: str,
    packing: str,
    precision: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    objective, model, config = CASES[case]
    batches, rates, weights = [], [], dict[str, torch.Tensor]()
    own = loop.batch_of

    def batch_of(setup: Any, *others: Any) -> Any:
        if not weights:
            weights.update({k: v.clone() for k, v in setup.loaded.model.state_dict().items()})
        batches.append(own(setup, *others))
        rates.append(loop.learning_rate_of(setup, len(rates)))
        return batches[-1]

    monkeypatch.setattr(loop, "batch_of", batch_of)
    nextfill.train(
        model={"name": model, "tokenizer": f"builtin:base-{objective}", "config": config},
        objective=objective,
        out=tmp_path / "run",
        **DATA,
        **ADAMW,
        **{"block_size": BLOCK, "batch_size": 8, "packing": packing, "precision": precision},
        **{"dropout": 0.0, "max_steps": STEPS, "learning_rate": 1e-3, "eval_every": STEPS},
    )
    events = [
        json.loads(one) for one in (tmp_path / "run" / "events.jsonl").read_text().splitlines()
    ]
    losses = [one["loss"] for one in events if one["event"] == "step"]
    kind = AutoModelForCausalLM if objective == "causal" else AutoModelForMaskedLM
    plain = kind.from_pretrained(tmp_path / "run" / "model", dtype=torch.float32)
    plain.load_state_dict(weights)
    differences = [
        abs(loss - other)
        for loss, other in zip(losses, plain_losses(plain, batches, rates, precision), strict=True)
    ]
    after = [one for one in events if one["event"] == "evaluation"][-1]
    shutil.copytree(tmp_path / "run" / "model", tmp_path / "plain")
    plain.save_pretrained(tmp_path / "plain")
    scored = nextfill.evaluate(str(tmp_path / "plain"), block_size=BLOCK, **DATA)
    ends = [after["nats"] / after["targets"], scored.nats / scored.targets]
    assert (after["targets"], objective) == (scored.targets, scored.objective)
    with capsys.disabled():
        print(f"\n{case}, {packing}, {precision}: {max(differences):.1e}, {ends}")
    assert len(losses) == STEPS
    assert max(differences) < MOST[precision]
    assert ends[0] == pytest.approx(ends[1], rel=MOST_AT_THE_END)


def plain_losses(
    model: nn.Module, batches: list[Any], rates: list[float], precision: str
) -> Iterator[float]:
    """Train a model on batches, each document by itself, and yield the loss of each step."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.95), foreach=False, fused=False)
    model.train()
    for batch, rate in zip(batches, rates, strict=True):
        nats = torch.zeros(())
        for row in range(len(batch.input_ids)):
            for document in np.unique(batch.document_ids[row]):
                places = batch.document_ids[row] == document
                ids, labels = (
                    torch.from_numpy(part[row][places]) for part in (batch.input_ids, batch.labels)
                )
                if document < 0 or not (labels >= 0).any():
                    continue
                with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                    logits = model(input_ids=ids[None]).logits[0]
                nats = nats + nn.functional.cross_entropy(logits.float(), labels, reduction="sum")
        loss = nats / batch.num_targets
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        yield loss.item()
