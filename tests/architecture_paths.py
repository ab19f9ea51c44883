"""The whole path of a type of model, through the Python front door.

A tiny random model is saved as a user's would be; its text is prepared, it is trained for a few
steps, evaluated, read by plain transformers, used for what it is for, and gone on with after a cut.
"""

from __future__ import annotations

import json
import random
import shutil
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    CONFIG_MAPPING,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoTokenizer,
    PreTrainedTokenizerFast,
)

import nextfill
from nextfill.config import ModelConfig
from nextfill.config.settings.model_settings import Live
from nextfill.core.errors import NextfillError
from nextfill.models.documents.isolation import padding_isolation
from nextfill.models.load import load_model
from tests.architectures import save_words, tiny_model

GONE = {
    "mega": "MEGA",
    "open-llama": "OpenLlama",
    "qdqbert": "QDQBert",
    "speech_to_text_2": "Speech2Text2",
    "transfo-xl": "Transformer-XL",
    "xlm-prophetnet": "XLM-ProphetNet",
    "nezha": "Nezha",
}
"""Types of the guides that transformers 5 has no more."""

NEEDS_MORE = {
    "blt": "reads bytes, cut by another model",
    "dots3_note": "wants images; its text part is tried alone (dots3_note_text)",
    "gemma3n": "wants the timm library; its text part is tried alone (gemma3n_text)",
    "gemma4_assistant": "wants the model that it drafts for",
    "gemma4_unified_assistant": "wants the model that it drafts for",
    "mimo_v2_flash": "has a shape that nobody has made small yet",
    "musicgen": "transformers' own causal class fails on its configuration",
    "musicgen_melody": "transformers' own causal class fails on its configuration",
}
"""Types of which no tiny model can be made here, and the reason."""

STEPS = 6
IDS = torch.arange(5, 37).reshape(2, 16)
TOLERANCE = 1e-6


@dataclass
class Outcome:
    """What became of one type.

    Args:
        objective: ``causal`` or ``masked``.
        kind: transformers' name of the type.
        verdict: ``works``, ``refused``, ``not made`` (no tiny one can be had) or ``fault``.
        limits: What it does in a way of its own, or not.
        reason: Of another verdict than ``works``.
        seconds: Of the whole path.
    """

    objective: str
    kind: str
    verdict: str = "works"
    limits: list[str] = field(default_factory=list)
    reason: str = ""
    seconds: float = 0.0


def try_path(objective: str, kind: str, folder: Path) -> Outcome:
    """Take a type through the whole path, in a new folder."""
    outcome, started = Outcome(objective, kind), time.perf_counter()
    saved = folder / "model"
    try:
        model = tiny_model(kind, objective, **_special_ids(kind))
        model.save_pretrained(saved)  # type: ignore[operator]
        del model
        save_words(saved)
    except Exception as error:  # noqa: BLE001  (whatever transformers answers is told)
        first = (str(error).strip().splitlines() or [""])[0]
        outcome.verdict = "not made"
        outcome.reason = NEEDS_MORE.get(kind) or f"{type(error).__name__}: {first[:150]}"
        return outcome
    try:
        _take(outcome, folder)
    except NextfillError as error:
        outcome.verdict, outcome.reason = "refused", _plain(error, folder)
        if kind in NEEDS_MORE:
            outcome.verdict, outcome.reason = "not made", NEEDS_MORE[kind]
    except Exception as error:  # noqa: BLE001  (no type may end in a traceback, which is told)
        where = traceback.extract_tb(error.__traceback__)[-1]
        outcome.verdict = "fault"
        outcome.reason = f"{error!r} ({Path(where.filename).name}, line {where.lineno})"
    outcome.seconds = round(time.perf_counter() - started, 2)
    return outcome


def _special_ids(kind: str) -> dict[str, int]:
    """Return the ids of the tokenizer's special tokens, of those that a configuration has."""
    config = CONFIG_MAPPING[kind]()
    names = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    return {key: at for key, at in names.items() if isinstance(getattr(config, key, None), int)}


def _take(outcome: Outcome, folder: Path) -> None:
    objective, run = outcome.objective, folder / "run"
    data = _texts(folder / "texts.jsonl")
    common: dict[str, Any] = {
        **{"data": data, "cache_dir": folder / "cache", "block_size": 40, "quiet": True},
        **{"test_size": 6, "objective": objective},
    }
    model, own = str(folder / "model"), _tokenizer(folder / "model")
    blocks = nextfill.prepare(model=model, **common, **own).blocks
    _demand(blocks > 0, "no blocks were prepared")
    trained = nextfill.train(
        **common,
        **own,
        **{"model": model, "out": run, "max_steps": STEPS, "save_every": STEPS // 2},
        **{"batch_size": 4, "learning_rate": 1e-3, "precision": "fp32"},
    )
    _demand(trained.steps == STEPS, f"{trained.steps} steps were taken")
    again = nextfill.evaluate(run, quiet=True, **own)
    figures = [(one.nats, one.targets) for one in (trained.after, again)]
    _demand(figures[0] == figures[1], f"evaluated again it has {figures[1]}, not {figures[0]}")
    loaded = load_model(ModelConfig(name=str(run)), live=Live(**own))
    _compare(loaded.model, objective, trained.model)
    _note_limits(outcome, run, loaded.model)
    try:
        _use(objective, run, own)
    except NextfillError as error:
        verb = "generating" if objective == "causal" else "filling"
        outcome.limits.append(f"{verb} is refused: {_plain(error, folder)}")
    _go_on(run, own)


def _tokenizer(folder: Path) -> dict[str, Any]:
    """Return the tokenizer to hand over, where transformers makes bytes of a folder of words."""
    if AutoTokenizer.from_pretrained(folder)("w05 w06")["input_ids"] == [5, 6]:
        return {}
    return {"tokenizer": PreTrainedTokenizerFast.from_pretrained(folder)}


def _texts(path: Path) -> Path:
    """Write documents of words of which each tells something about the next."""
    rng = random.Random(3)
    with path.open("w") as file:
        for _ in range(60):
            first, step = rng.randrange(5, 95), rng.randrange(1, 4)
            numbers = [5 + (first + step * at) % 90 for at in range(rng.randrange(8, 36))]
            file.write(json.dumps({"text": " ".join(f"w{n:02d}" for n in numbers)}) + "\n")
    return path


def _compare(ours: nn.Module, objective: str, folder: str) -> None:
    """Hold the logits against those of plain transformers."""
    auto = AutoModelForCausalLM if objective == "causal" else AutoModelForMaskedLM
    theirs = auto.from_pretrained(folder, dtype=torch.float32).eval()
    plain = {"use_cache": False} if objective == "causal" else {}
    with torch.no_grad():
        one, two = (model(input_ids=IDS, **plain).logits for model in (ours, theirs))
    worst = float((one - two).abs().max() / two.abs().max().clamp(min=1))
    _demand(worst <= TOLERANCE, f"plain transformers' logits differ by {worst:.1e}")


def _note_limits(outcome: Outcome, run: Path, model: nn.Module) -> None:
    measured = json.loads((run / "measured.json").read_text("utf-8"))
    if changed := measured["changed_settings"]:
        outcome.limits.append(f"used with {' and '.join(changed)}")
    if measured["isolation"] == "pad":
        outcome.limits.append("each document in a row of its own")
    if not padding_isolation(model, outcome.objective).heeds_padding:  # type: ignore[arg-type]
        outcome.limits.append("rows of one length at a time")


def _use(objective: str, run: Path, own: dict[str, Any]) -> None:
    """Continue a text or fill a blank, twice with the same result."""
    if objective == "masked":
        text = "w05 w06 ___ w08 w09 w10"
        answers = nextfill.fill(run, text, top_k=3, **own)
        _demand(len(answers) == 3, f"{len(answers)} fillings")
        _demand(
            answers == nextfill.fill(run, text, top_k=3, **own),
            "it fills otherwise the second time",
        )
        return
    settings: dict[str, Any] = {"max_new_tokens": 5, "seed": 1, "quiet": True, **own}
    texts = nextfill.generate(run, "w05 w06 w07", **settings)
    _demand(texts[0]["generated_text"].startswith("w05 w06 w07"), f"it generates {texts}")
    _demand(texts == nextfill.generate(run, "w05 w06 w07", **settings), "it generates otherwise")


def _go_on(run: Path, own: dict[str, Any]) -> None:
    """Cut a run back to its first checkpoint, go on with it, and expect the same bytes."""
    weights = run / "model" / "model.safetensors"
    before, timing = weights.read_bytes(), (run / "timing.jsonl").read_text("utf-8")
    shutil.rmtree(max((run / "checkpoints").glob("step-*")))
    shutil.rmtree(run / "model")
    nextfill.train(out=run, resume=True, quiet=True, **own)
    taken = len((run / "timing.jsonl").read_text("utf-8").splitlines())
    _demand(taken > len(timing.splitlines()), "no step was taken again")
    _demand(weights.read_bytes() == before, "gone on with it ends in other weights")


def _demand(held: bool, otherwise: str) -> None:
    if not held:
        raise AssertionError(otherwise)


def _plain(error: NextfillError, folder: Path) -> str:
    """Return a message without the folder's place."""
    text = " ".join(str(error).split())
    return text.replace(str(folder / "model"), "MODEL").replace(str(folder / "run"), "RUN")
