"""`nextfill train` without arguments: worth its minutes, and worth having a base model for."""

import pytest

import nextfill
from nextfill.training.progress import Terminal

pytestmark = pytest.mark.trial

MOST_OF_BEFORE = 0.6
SHAPE = {
    "hidden_size": 192,
    "intermediate_size": 512,
    "num_hidden_layers": 5,
    "num_attention_heads": 3,
    "num_key_value_heads": 3,
    "max_position_embeddings": 512,
    "tie_word_embeddings": True,
}


def test_learns_a_new_domain_better_than_random_weights_do(tmp_path):
    tuned = nextfill.train(out=tmp_path / "tuned", observer=Terminal())
    scratch = nextfill.train(
        "quickstart",
        out=tmp_path / "scratch",
        model={"name": "scratch:llama", "tokenizer": "builtin:base-causal", "config": SHAPE},
        observer=Terminal(),
    )
    before, after = tuned.before.perplexity, tuned.after.perplexity
    print(f"perplexity {before:.2f} -> {after:.2f}; from scratch {scratch.after.perplexity:.2f}")
    assert tuned.steps == scratch.steps
    assert tuned.after.targets == scratch.after.targets
    assert after <= MOST_OF_BEFORE * before
    assert after < scratch.after.perplexity
