import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from nextfill.config import ModelConfig
from nextfill.core.errors import ConfigError, ModelError
from nextfill.models.load import load_model
from nextfill.models.loaded_model import fitting_block_size


@pytest.fixture
def scratch(tiny_tokenizer):
    def make(kind, **shape):
        return ModelConfig(name=f"scratch:{kind}", tokenizer=str(tiny_tokenizer), config=shape)

    return make


def test_bfloat16_checkpoint_gives_float32_master_weights(tiny_model, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    weights = load_file(folder / "model.safetensors")
    halves = {name: tensor.bfloat16() for name, tensor in weights.items()}
    save_file(halves, folder / "model.safetensors", metadata={"format": "pt"})
    loaded = load_model(ModelConfig(name=str(folder)))
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.float32}


def test_unexpected_weights_are_listed(tiny_model, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    weights = load_file(folder / "model.safetensors")
    weights["transformer.extra"] = torch.zeros(2)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert load_model(ModelConfig(name=str(folder))).unexpected == ("transformer.extra",)


def test_scratch_is_a_function_of_its_seed(scratch):
    config = scratch("gpt2", n_embd=16, n_layer=1, n_head=2)
    first, same, other = (load_model(config, seed=seed).model.state_dict() for seed in (1, 1, 2))
    weight = "transformer.h.0.mlp.c_fc.weight"
    assert torch.equal(first[weight], same[weight])
    assert not torch.equal(first[weight], other[weight])


def test_scratch_takes_vocabulary_and_special_ids_from_the_tokenizer(scratch):
    loaded = load_model(scratch("gpt2", n_embd=16, n_layer=1, n_head=2))
    assert loaded.model.config.vocab_size == len(loaded.tokenizer)
    assert loaded.model.config.eos_token_id == loaded.tokenizer.eos_token_id


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_dropout_is_set_wherever_there_is_some(scratch, kind):
    names = {"gpt2": {"n_embd": 16, "n_layer": 1, "n_head": 2}, "llama": {"hidden_size": 16}}
    shape = {**names[kind], "num_attention_heads": 2, "num_hidden_layers": 1}
    loaded = load_model(scratch(kind, **shape), dropout=0.25)
    rates = {m.p for m in loaded.model.modules() if isinstance(m, torch.nn.Dropout)}
    rates |= {value for key, value in loaded.model.config.to_dict().items() if "drop" in key}
    assert 0.25 in rates
    assert rates <= {0.25, None}


def test_block_size_follows_the_positions_unless_given(tiny_model):
    loaded = load_model(ModelConfig(name=str(tiny_model)))
    assert fitting_block_size(None, loaded) == 128
    assert fitting_block_size(100, loaded) == 100
    with pytest.raises(ConfigError, match="give --block-size 128 or less"):
        fitting_block_size(129, loaded)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9\n", "git lfs pull"),
        ("/annex/objects/SHA256E-s9--4d7a\n", "git annex get"),
        ("<!DOCTYPE html><html>Sign in</html>", "found a web page (HTML) in the place of the file"),
        ("", "is empty (0 bytes)"),
    ],
)
def test_what_lies_in_the_place_of_a_models_file_is_named(
    tiny_model, tmp_path, name, content, found
):
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    (folder / name).write_text(content)
    with pytest.raises(ModelError) as caught:
        load_model(ModelConfig(name=str(folder)))
    assert str(folder / name) in str(caught.value)
    assert found in str(caught.value)
