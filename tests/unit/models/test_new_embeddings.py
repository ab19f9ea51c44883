"""Rows for new tokens in models of several kinds: set from their pieces, saved, read again."""

from __future__ import annotations

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoTokenizer,
    CpmAntConfig,
    IBertConfig,
)

from nextfill.core.errors import ModelError
from nextfill.models.libraries import auto_class
from nextfill.models.loaded_model import LoadedModel
from nextfill.models.new_embeddings import add_embeddings
from nextfill.models.new_tokens import extend_tokenizer
from tests.unit.models.test_new_tokens import trained

KINDS = {
    "gpt2": ("causal", "byte-level"),
    "llama": ("causal", "byte-level"),
    "bert": ("masked", "wordpiece"),
    "roberta": ("masked", "byte-level"),
    "electra": ("masked", "unigram"),
}
SMALL = {
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64},
    **{
        kind: {
            **{"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2},
            **{"intermediate_size": 48, "max_position_embeddings": 64},
        }
        for kind in ("llama", "bert", "roberta", "electra")
    },
}
WORDS = ["autograd", "Zeppelin"]


def small(kind: str, rows: int | None = None, **settings):
    from transformers import AutoConfig

    objective, sort = KINDS[kind]
    tokenizer = trained(sort)
    ends = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), 1)
    shape = {"vocab_size": rows or len(tokenizer), **SMALL[kind], **ends, **settings}
    torch.manual_seed(0)
    model = auto_class(objective).from_config(AutoConfig.for_model(kind, **shape)).eval()
    for name, one in model.named_parameters():
        if name.endswith("bias"):  # which are all 0 before training
            torch.nn.init.normal_(one)
    return LoadedModel(model, tokenizer, kind, objective)


def logits(model, ids):
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids])).logits[0]


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_the_model_is_what_it_was_and_reads_new_words(kind, tied, tmp_path):
    loaded = small(kind, tie_word_embeddings=tied)
    old_rows = len(loaded.tokenizer)
    text = "the autograd Zeppelin and (autograd) foxes"
    old = loaded.tokenizer(text, add_special_tokens=False)["input_ids"]
    before = logits(loaded.model, old)
    table = loaded.model.get_input_embeddings().weight.detach().clone()
    out = loaded.model.get_output_embeddings()
    head, bias = out.weight.detach().clone(), getattr(out, "bias", None)
    bias = None if bias is None else bias.detach().clone()
    assert (out.weight is loaded.model.get_input_embeddings().weight) == tied

    extension = extend_tokenizer(loaded.tokenizer, WORDS, kind)
    random = torch.get_rng_state()
    extended = add_embeddings(loaded, extension)
    assert torch.equal(torch.get_rng_state(), random)
    model, new = extended.model, old_rows + len(extension.tokens)
    assert model.config.vocab_size == new
    assert not model.training
    torch.testing.assert_close(logits(model, old)[:, :old_rows], before, atol=1e-6, rtol=0)
    out = model.get_output_embeddings()
    assert (out.weight is model.get_input_embeddings().weight) == tied
    for one in extension.tokens:
        pieces = list(one.pieces)
        assert torch.equal(model.get_input_embeddings().weight[one.id], table[pieces].mean(0))
        assert torch.equal(out.weight[one.id], head[pieces].mean(0))
        if bias is not None:
            assert torch.equal(out.bias[one.id], bias[pieces].mean())

    model.save_pretrained(tmp_path)
    extended.tokenizer.save_pretrained(tmp_path)
    auto = AutoModelForCausalLM if loaded.objective == "causal" else AutoModelForMaskedLM
    again, tokenizer = auto.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert ids == extended.tokenizer(text, add_special_tokens=False)["input_ids"]
    assert set(ids) & {one.id for one in extension.tokens}
    assert len(ids) < len(old)
    torch.testing.assert_close(logits(again, ids), logits(model, ids), atol=1e-6, rtol=0)
    out = again.get_output_embeddings()
    assert (out.weight is again.get_input_embeddings().weight) == tied


@pytest.mark.parametrize("kind", ["gpt2", "roberta"])
def test_rows_that_a_model_has_beyond_its_tokenizer_are_used_first(kind):
    length = len(trained(KINDS[kind][1]))
    loaded = small(kind, rows=length + 64)
    extension = extend_tokenizer(loaded.tokenizer, WORDS, kind)
    first = extension.tokens[0]
    unused = loaded.model.get_input_embeddings().weight[first.id].detach().clone()
    model = add_embeddings(loaded, extension).model
    assert model.config.vocab_size == length + 64
    assert model.get_input_embeddings().weight.shape[0] == length + 64
    assert not torch.equal(model.get_input_embeddings().weight[first.id], unused)


@pytest.mark.parametrize(
    ("config", "objective", "why"),
    [
        (
            IBertConfig(
                **{"vocab_size": 330, "hidden_size": 32, "num_hidden_layers": 1},
                **{"num_attention_heads": 2, "intermediate_size": 48},
            ),
            "masked",
            "ibert takes no new tokens: a IBertForMaskedLM is not resized",
        ),
        (
            CpmAntConfig(
                **{"vocab_size": 330, "hidden_size": 32, "num_hidden_layers": 1, "dim_head": 16},
                **{"num_attention_heads": 2, "dim_ff": 48, "prompt_types": 2, "prompt_length": 2},
            ),
            "causal",
            "cpmant takes no new tokens: resized to .* which has no place",
        ),
    ],
)
def test_a_model_that_cannot_be_resized_is_refused(config, objective, why):
    tokenizer = trained("byte-level")
    model = auto_class(objective).from_config(config).eval()
    tokenizer.add_tokens(
        [f"filler{at}" for at in range(model.get_input_embeddings().weight.shape[0])]
    )
    extension = extend_tokenizer(tokenizer, WORDS, "it")
    with pytest.raises(ModelError, match=why):
        add_embeddings(LoadedModel(model, tokenizer, config.model_type, objective), extension)
