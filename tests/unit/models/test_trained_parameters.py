"""The choice of the parameters that training changes, and their learning rates."""

from __future__ import annotations

import pytest
from transformers import (
    AlbertConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    BertConfig,
    GPT2Config,
    LlamaConfig,
    XLMConfig,
)

from nextfill.config import TrainingConfig
from nextfill.core.errors import ConfigError
from nextfill.models.trained_parameters import (
    bias_names,
    choose_trained,
    embedding_names,
    norm_names,
    num_layers,
    rate_factors,
    trained_as_before,
)
from nextfill.training.optimizer import make_optimizer, parameter_groups, set_learning_rate

ENCODER = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24, "vocab_size": 40}


@pytest.fixture
def gpt2():
    shape = {"n_embd": 16, "n_layer": 3, "n_head": 2, "n_positions": 8, "vocab_size": 40}
    return AutoModelForCausalLM.from_config(GPT2Config(**shape))


@pytest.fixture
def bert():
    return AutoModelForMaskedLM.from_config(BertConfig(**ENCODER, num_hidden_layers=2))


def trained(model):
    return {name for name, one in model.named_parameters() if one.requires_grad}


def test_parts_of_a_model(gpt2, bert):
    assert embedding_names(gpt2) == {
        "transformer.wte.weight",
        "transformer.wpe.weight",
        "lm_head.weight",
    }
    assert norm_names(gpt2) == {
        f"transformer.{name}.{part}"
        for name in ("ln_f", *(f"h.{layer}.ln_{n}" for layer in range(3) for n in (1, 2)))
        for part in ("weight", "bias")
    }
    names = {name for name, _ in bert.named_parameters()}
    assert bias_names(bert) >= {name for name in names if name.endswith("bias")}
    kinds = ("word", "position", "token_type")
    assert embedding_names(bert) >= {f"bert.embeddings.{kind}_embeddings.weight" for kind in kinds}


def test_only_some_are_trained(gpt2):
    choose_trained(gpt2, ["embeddings"], [])
    assert trained(gpt2) == {"transformer.wte.weight", "transformer.wpe.weight"}


def test_layers_and_patterns_are_left_out(gpt2):
    choose_trained(gpt2, ["layers:1-2"], ["*.attn.*", "layers:2, biases"])
    assert trained(gpt2) == {
        f"transformer.h.1.{name}.weight" for name in ("ln_1", "ln_2", "mlp.c_fc", "mlp.c_proj")
    }


def test_a_shared_weight_goes_by_each_of_its_names(gpt2):
    choose_trained(gpt2, [], ["lm_head.*"])
    assert "transformer.wte.weight" not in trained(gpt2)
    assert "transformer.wpe.weight" in trained(gpt2)


def test_what_is_frozen_already_stays_so(gpt2):
    gpt2.transformer.wpe.weight.requires_grad_(False)
    choose_trained(gpt2, ["embeddings"], [])
    assert trained(gpt2) == {"transformer.wte.weight"}


@pytest.mark.parametrize(
    ("train_only", "freeze", "message"),
    [
        (["embedding"], [], "--train-only: .* no parameter embedding. Did you mean embeddings"),
        ([], ["layers:3"], "--freeze: .* no parameter layers:3; .*layers:0-2"),
        ([], ["layers:2-1"], "--freeze: .* layers:2-1; "),
        ([], ["transformer.h.0.attn"], "transformer.h.0.attn; .*such as transformer.h.0.attn.c"),
        (["norms"], ["norms"], "leave no parameter to train"),
        ([], ["*"], "leave no parameter to train"),
    ],
)
def test_names_of_nothing_are_refused(gpt2, train_only, freeze, message):
    before = trained(gpt2)
    with pytest.raises(ConfigError, match=message):
        choose_trained(gpt2, train_only, freeze)
    assert trained(gpt2) == before


def test_a_live_model_gets_its_own_choice_back(gpt2):
    gpt2.transformer.wpe.weight.requires_grad_(False)
    before = trained(gpt2)
    with trained_as_before(gpt2):
        choose_trained(gpt2, ["norms"], [])
        assert trained(gpt2) == norm_names(gpt2)
    assert trained(gpt2) == before
    with trained_as_before(None):
        pass


def test_rates_fall_from_the_last_layer_to_the_embeddings(gpt2, bert):
    factors = rate_factors(gpt2, 0.5)
    assert factors["transformer.ln_f.weight"] == 1
    assert [factors[f"transformer.h.{n}.ln_1.bias"] for n in range(3)] == [0.25, 0.5, 1]
    assert factors["transformer.wte.weight"] == factors["transformer.wpe.weight"] == 0.125
    factors = rate_factors(bert, 0.5)
    assert factors["bert.encoder.layer.0.output.dense.weight"] == 0.5
    assert factors["bert.embeddings.word_embeddings.weight"] == 0.25
    assert factors["cls.predictions.transform.dense.weight"] == 1


def test_layers_of_models_that_keep_them_in_other_ways():
    llama = AutoModelForCausalLM.from_config(LlamaConfig(**ENCODER, num_hidden_layers=4))
    assert num_layers(llama) == 4
    xlm = XLMConfig(n_words=40, emb_dim=16, n_layers=3, n_heads=2)  # a list for each kind of part
    assert num_layers(AutoModelForMaskedLM.from_config(xlm)) == 3
    albert = AlbertConfig(**ENCODER, embedding_size=8, num_hidden_layers=5)  # one set of weights
    assert num_layers(AutoModelForMaskedLM.from_config(albert)) == 1


def test_groups_have_one_decay_and_one_rate(gpt2):
    plain = parameter_groups(gpt2, TrainingConfig(weight_decay=0.1))
    assert [(one["weight_decay"], one["rate_factor"]) for one in plain] == [(0.1, 1), (0.0, 1)]
    training = TrainingConfig(layer_rate_decay=0.5, learning_rate=0.4)
    optimizer = make_optimizer(gpt2, training)
    set_learning_rate(optimizer, 0.4)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    factors = rate_factors(gpt2, 0.5)
    assert len(rates) == len(factors)
    for name, parameter in gpt2.named_parameters():
        assert rates[id(parameter)] == pytest.approx(0.4 * factors[name])
