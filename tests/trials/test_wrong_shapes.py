"""Configurations of wrong shapes, of every type of model: a model that computes, or words.

Each is tried as new weights and as a folder: one wrong value of each setting for a type, another
for the next, or all for every type with NEXTFILL_TEST_SHAPES=all. Takes about ten minutes.
"""

from __future__ import annotations

import json
import os
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from transformers import CONFIG_MAPPING

from nextfill.config import ModelConfig
from nextfill.core.errors import NextfillError
from nextfill.models.load import load_model
from tests.architectures import save_words, tiny_model, tiny_settings, types

pytestmark = pytest.mark.trial

WIDTHS = ("hidden_size", "d_model", "n_embd", "dim", "emb_dim", "embedding_size")
HEADS = ("num_attention_heads", "n_head", "n_heads", "decoder_attention_heads", "num_heads")
GROUPS = ("num_key_value_heads", "num_kv_heads", "num_experts_per_tok")
LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "decoder_layers")
WRONG: dict[tuple[str, ...], tuple[Any, ...]] = {
    WIDTHS: (33, 0, -32, "wide", None, 32.5),
    HEADS: (3, 0, -2, "two", None),
    GROUPS: (3, 0, -1, 100),
    LAYERS: (0, -1, "two", 1.5),
    ("vocab_size",): (0, -1, "many", 7),
    ("intermediate_size", "ffn_dim", "d_ff", "decoder_ffn_dim"): (0, -1, "wide"),
    ("head_dim",): (0, 7, -16),
    ("max_position_embeddings", "n_positions"): (0, -1, 4),
    ("hidden_act", "activation_function"): ("no such function", 3, None),
}
"""By names of settings of one meaning, of which a type has one or the other, wrong values."""

TYPES = slice(*map(int, os.environ.get("NEXTFILL_TEST_TYPES", "0:1000").split(":")))
ALL = os.environ.get("NEXTFILL_TEST_SHAPES") == "all"


def cases(kind: str, turn: int) -> Iterator[tuple[str, Any]]:
    known = CONFIG_MAPPING[kind]().to_dict()
    for names, values in WRONG.items():
        for name in [name for name in names if name in known][:1]:
            some = values if ALL else (values[turn % len(values)],)
            yield from ((name, value) for value in some)


@pytest.mark.filterwarnings("ignore")  # of shapes that make no sense
@pytest.mark.parametrize("objective", ["causal", "masked"])
def test_a_wrong_shape_ends_in_words(
    objective: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = tmp_path / "words"
    save_words(words)
    ends, faults = Counter[str](), []
    for turn, kind in list(enumerate(types(objective)))[TYPES]:
        folder = tmp_path / kind
        try:
            tiny_settings(kind)
        except Exception:  # noqa: BLE001  (transformers cannot make its own default)
            ends["not made"] += 1
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tiny_model(kind, objective).save_pretrained(folder)  # type: ignore[operator]
            save_words(folder)
        except Exception:  # noqa: BLE001  (types of which no tiny model can be made)
            folder = None
        for name, value in cases(kind, turn):
            for config in (_new(kind, name, value, words), _saved(folder, name, value)):
                if config is None:
                    continue
                try:
                    load_model(config, objective)
                    ends["loaded"] += 1
                except NextfillError:
                    ends["words"] += 1
                except Exception as error:  # noqa: BLE001  (a traceback is what is looked for)
                    door = "new" if config.config else "saved"
                    faults.append(f"{door} {kind} {name}={value!r}: {error!r}"[:300])
                    with capsys.disabled():
                        print(faults[-1], flush=True)
    with capsys.disabled():
        print(f"{objective}: {dict(ends)}, {len(faults)} faults")
    assert faults == []
    assert ends["words"] > ends["loaded"]


def _new(kind: str, name: str, value: Any, words: Path) -> ModelConfig:
    settings = json.loads(json.dumps(tiny_settings(kind), default=lambda one: one.to_dict()))
    return ModelConfig(
        name=f"scratch:{kind}", tokenizer=str(words), config={**settings, name: value}
    )


def _saved(folder: Path | None, name: str, value: Any) -> ModelConfig | None:
    if folder is None:
        return None
    file = folder / "config.json"
    whole = folder / "whole.txt"
    if not whole.exists():
        whole.write_text(file.read_text("utf-8"), "utf-8")
    config = {**json.loads(whole.read_text("utf-8")), name: value}
    file.write_text(json.dumps(config), "utf-8")
    return ModelConfig(name=str(folder))
