"""Ten causal families and ten masked ones, tiny and random, from new weights to use by commands.

Takes about two minutes.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

import nextfill
from nextfill.cli.main import main
from nextfill.config import ModelConfig
from nextfill.models.load import load_model
from tests.cli.figures import figures

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
BEHIND_PADDING = {**ATTENTION, "max_position_embeddings": 130}
MASKED_SHAPES: dict[str, dict[str, Any]] = {
    "bert": ATTENTION,
    "roberta": BEHIND_PADDING,
    "distilbert": {
        "dim": 32,
        "hidden_dim": 64,
        "n_layers": 2,
        "n_heads": 2,
        "max_position_embeddings": 128,
    },
    "modernbert": {
        **ATTENTION,
        "local_attention": 16,
        "layer_types": ["full_attention", "sliding_attention"],
    },
    "electra": {**ATTENTION, "embedding_size": 16},
    "deberta-v2": {
        **ATTENTION,
        "relative_attention": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_biased_input": False,
    },
    "xlm-roberta": BEHIND_PADDING,
    "albert": {**ATTENTION, "embedding_size": 16},
    "mpnet": BEHIND_PADDING,
    "fnet": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "max_position_embeddings": 128,
    },
}
FAMILIES = [
    *(("causal", kind, shape) for kind, shape in SHAPES.items()),
    *(("masked", kind, shape) for kind, shape in MASKED_SHAPES.items()),
]
IDS = torch.arange(3, 43).reshape(2, 20)


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def masked_tokenizer(text_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte-level tokenizer with a mask token."""
    folder = tmp_path_factory.mktemp("masked") / "tokenizer"
    nextfill.train_tokenizer(data=text_file, vocab_size=400, out=folder)
    return folder


@pytest.mark.parametrize(("objective", "kind", "shape"), FAMILIES)
def test_a_family_from_new_weights_to_use(
    objective: str,
    kind: str,
    shape: dict[str, Any],
    tiny_tokenizer: Path,
    masked_tokenizer: Path,
    text_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run, other = tmp_path / "run", tmp_path / "resumed"
    job = {
        "model": f"scratch:{kind}",
        "tokenizer": str(masked_tokenizer if objective == "masked" else tiny_tokenizer),
        "data": str(text_file),
        "block_size": 64,
        "batch_size": 4,
        "learning_rate": 1e-2,
        "max_steps": 10 if objective == "causal" else 40,
        "save_every": 5 if objective == "causal" else 20,
        "precision": "fp32",
    }
    settings = {
        key: str(value).lower() if isinstance(value, bool) else value
        for key, value in shape.items()
    }
    config = [f"--set=model.config.{key}={value}" for key, value in settings.items()]
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
        f"{objective} {kind:11} {measured['isolation']:9} gathers {measured['gathers_targets']}  "
        f"perplexity {before:.1f} -> {after:.1f}"
    )
    with capsys.disabled():
        print(line)
    assert measured["gathers_targets"]
    assert trained["objective"] == objective
    assert after < 0.9 * before

    # Evaluated again, the saved model gives the figures of the run.
    again = command("evaluate", str(run), "--json", "--quiet")
    assert figures(again) == figures(trained["after"])

    # Plain transformers reads it to the same logits.
    ours = load_model(ModelConfig(name=str(run))).model
    auto = AutoModelForCausalLM if objective == "causal" else AutoModelForMaskedLM
    theirs = auto.from_pretrained(trained["model"], dtype=torch.float32).eval()
    plain = {"use_cache": False} if objective == "causal" else {}
    with torch.no_grad():
        one, two = (m(input_ids=IDS, **plain).logits for m in (ours, theirs))
    assert float((one - two).abs().max()) <= 1e-6

    # Interrupted at half, it ends in the same bytes.
    command(*train, f"--out={other}")
    checkpoints = other / "checkpoints"
    shutil.rmtree(max(checkpoints.glob("step-*")))
    resumed = command("train", f"--out={other}", "--resume", "--json", "--quiet")
    assert resumed["after"] == trained["after"]
    weights, same = (load_file(p / "model" / "model.safetensors") for p in (run, other))
    assert all(torch.equal(weights[name], same[name]) for name in weights)

    if objective == "masked":
        text = "the ___ carries old stones"
        answers = command("fill", str(run), text, "--top-k=3", "--json")
        assert [set(one) for one in answers] == [{"score", "token", "token_str", "sequence"}] * 3
        assert nextfill.fill(run, text, top_k=3) == answers
        return
    texts = command("generate", str(run), "the river", "--max-new-tokens=12", "--seed=1", "--json")
    assert texts[0]["generated_text"].startswith("the river")
    again = nextfill.generate(run, "the river", max_new_tokens=12, seed=1)
    assert again == texts
