"""`nextfill train` without a model: worth its minutes, and worth having a base model for."""

import time

import pytest

import nextfill
from nextfill.terminal.progress_bar import Terminal

pytestmark = pytest.mark.trial

MOST_OF_BEFORE = {"causal": 0.6, "masked": 0.8}
MOST_MINUTES = {"causal": 10, "masked": 5}
"""On two cores with nothing else to do; the masked run's is a promise of its own."""

SHAPE = {
    "hidden_size": 192,
    "intermediate_size": 512,
    "num_hidden_layers": 5,
    "num_attention_heads": 3,
    "max_position_embeddings": 512,
}
CASES = {
    "causal": (
        "quickstart",
        {
            "name": "scratch:llama",
            "config": {**SHAPE, "num_key_value_heads": 3, "tie_word_embeddings": True},
        },
    ),
    "masked": (
        "quickstart-masked",
        {
            "name": "scratch:modernbert",
            "config": {**SHAPE, "layer_types": ["full_attention"] * 5},
        },
    ),
}


@pytest.mark.parametrize("objective", CASES)
def test_learns_a_new_domain_better_than_random_weights_do(objective, tmp_path, capsys):
    recipe, random_weights = CASES[objective]
    began = time.monotonic()
    tuned = nextfill.train(objective=objective, out=tmp_path / "tuned", observer=Terminal())
    minutes = (time.monotonic() - began) / 60
    scratch = nextfill.train(
        recipe,
        out=tmp_path / "scratch",
        model={**random_weights, "tokenizer": f"builtin:base-{objective}"},
        observer=Terminal(),
    )
    before, after = tuned.before.perplexity, tuned.after.perplexity
    with capsys.disabled():
        print(
            f"{objective}: {minutes:.1f} minutes, perplexity {before:.2f} -> {after:.2f}; "
            f"from scratch {scratch.after.perplexity:.2f}"
        )
    assert tuned.objective == objective
    assert tuned.steps == scratch.steps
    assert tuned.after.targets == scratch.after.targets
    assert after <= MOST_OF_BEFORE[objective] * before
    assert after < scratch.after.perplexity
    assert minutes <= MOST_MINUTES[objective]
