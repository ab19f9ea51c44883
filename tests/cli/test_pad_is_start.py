"""Models that count positions from their pad token, where that token begins every text."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoTokenizer, RobertaConfig, RobertaForCausalLM, RobertaForMaskedLM

import nextfill
from nextfill.models.documents.isolation import padding_isolation, probe_isolation

FEW = {"block_size": 32, "batch_size": 4, "learning_rate": 1e-2, "quiet": True}


def model_of(tokenizer, *, causal=True):
    """A RoBERTa whose pad token is the tokenizer's start token, with telling positions."""
    torch.manual_seed(0)
    shape = RobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=80,
        pad_token_id=tokenizer.bos_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        is_decoder=causal,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    model = (RobertaForCausalLM if causal else RobertaForMaskedLM)(shape).eval()
    with torch.no_grad():
        model.roberta.embeddings.position_embeddings.weight.normal_(0, 1)
    return model


@pytest.fixture(scope="module")
def model(tiny_tokenizer, tmp_path_factory):
    tokenizer = AutoTokenizer.from_pretrained(tiny_tokenizer)
    folder = tmp_path_factory.mktemp("roberta")
    model_of(tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("packing", ["best-fit", "pad", "concat"])
def test_an_evaluation_has_the_runs_figures(model, text_file, tmp_path, packing):
    run = tmp_path / "run"
    result = nextfill.train(
        model=str(model), data=text_file, out=run, max_steps=6, packing=packing, **FEW
    )
    again = nextfill.evaluate(str(run), base=False, quiet=True)
    assert again.nats == pytest.approx(result.after.nats, rel=1e-5)


def test_texts_in_one_row_cost_what_they_cost_alone(tiny_tokenizer):
    tokenizer = AutoTokenizer.from_pretrained(tiny_tokenizer)
    for causal in (True, False):
        model = model_of(tokenizer, causal=causal)
        objective = "causal" if causal else "masked"
        ids = torch.tensor([[tokenizer.bos_token_id, 40, 50, 60, 70]])
        places, one = torch.arange(5)[None], torch.zeros(1, 5, dtype=torch.long)
        alone = padding_isolation(model, objective).inputs(ids, places, one)
        packed = probe_isolation(model, objective)
        assert packed.kind in ("positions", "mask")
        both = packed.inputs(
            torch.cat([ids, ids], 1),
            torch.cat([places, places], 1),
            torch.cat([one, one + 1], 1),
        )
        with torch.no_grad():
            torch.testing.assert_close(model(**both).logits[:, 5:], model(**alone).logits)


def test_it_is_told_of(model, text_file, capsys):
    nextfill.evaluate(str(model), data=text_file, quiet=False)
    told = " ".join(capsys.readouterr().err.split())
    assert "counts a text's positions from its pad token, which begins each text here" in told
    assert "give it position_ids from 1 on" in told
