"""Ten families, tiny and random, from new weights to text, through the commands alone.

Takes about a minute.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

import nextfill
from nextfill.cli import main
from nextfill.config import ModelConfig
from nextfill.models.load import load_model

pytestmark = pytest.mark.trial

ATTENTION = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 128,
}
GROUPED = {**ATTENTION, "num_key_value_heads": 1, "head_dim": 16}
SHAPES: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 128},
    "llama": {**ATTENTION, "num_key_value_heads": 1},
    "qwen3": GROUPED,
    "gemma2": {**GROUPED, "query_pre_attn_scalar": 16, "sliding_window": 16},
    "mixtral": {**ATTENTION, "num_key_value_heads": 1, "num_local_experts": 4},
    "gpt_neox": ATTENTION,
    "opt": {
        "hidden_size": 32,
        "word_embed_proj_dim": 32,
        "ffn_dim": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 128,
    },
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 2},
    "mamba": {"hidden_size": 32, "state_size": 8, "num_hidden_layers": 2},
    "bart": {
        "d_model": 32,
        "decoder_layers": 2,
        "decoder_ffn_dim": 64,
        "decoder_attention_heads": 2,
        "max_position_embeddings": 128,
    },
}
IDS = torch.arange(3, 43).reshape(2, 20)


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("kind", SHAPES)
def test_a_family_from_new_weights_to_text(
    kind: str,
    tiny_tokenizer: Path,
    text_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run, other = tmp_path / "run", tmp_path / "resumed"
    job = {
        "model": f"scratch:{kind}",
        "tokenizer": str(tiny_tokenizer),
        "data": str(text_file),
        "block_size": 64,
        "batch_size": 4,
        "learning_rate": 1e-2,
        "max_steps": 10,
        "save_every": 5,
        "precision": "fp32",
    }
    config = [f"--set=model.config.{key}={value}" for key, value in SHAPES[kind].items()]
    words = [f"--{key.replace('_', '-')}={value}" for key, value in job.items()]
    train = ["train", *words, *config, "--json", "--quiet"]

    def command(*words: str) -> Any:
        capsys.readouterr()
        assert main(list(words)) == 0
        return json.loads(capsys.readouterr().out)

    trained = command(*train, f"--out={run}")
    measured = json.loads((run / "measured.json").read_text("utf-8"))
    before, after = trained["before"]["perplexity"], trained["after"]["perplexity"]
    line = (
        f"{kind:9} {measured['isolation']:9} gathers {measured['gathers_targets']}  "
        f"perplexity {before:.1f} -> {after:.1f}"
    )
    with capsys.disabled():
        print(line)
    assert measured["gathers_targets"]
    assert after < 0.9 * before

    # Evaluated again, the saved model gives the figures of the run.
    assert command("evaluate", str(run), "--json", "--quiet") == trained["after"]

    # Plain transformers reads it to the same logits.
    ours = load_model(ModelConfig(name=str(run))).model
    theirs = AutoModelForCausalLM.from_pretrained(trained["model"], dtype=torch.float32).eval()
    with torch.no_grad():
        one, two = (m(input_ids=IDS, use_cache=False).logits for m in (ours, theirs))
    assert float((one - two).abs().max()) <= 1e-6

    # Interrupted at half, it ends in the same bytes.
    command(*train, f"--out={other}")
    checkpoints = other / "checkpoints"
    for path in (checkpoints / "step-00000010").iterdir():
        path.unlink()
    (checkpoints / "step-00000010").rmdir()
    resumed = command("train", f"--out={other}", "--resume", "--json", "--quiet")
    assert resumed["after"] == trained["after"]
    weights, same = (load_file(p / "model" / "model.safetensors") for p in (run, other))
    assert all(torch.equal(weights[name], same[name]) for name in weights)

    texts = command("generate", str(run), "the river", "--max-new-tokens=12", "--seed=1", "--json")
    assert texts[0]["generated_text"].startswith("the river")
    again = nextfill.generate(run, "the river", max_new_tokens=12, seed=1)
    assert again == texts
