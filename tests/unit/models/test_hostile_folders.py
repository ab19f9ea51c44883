"""Folders of models that were tampered with are refused before a library reads them."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from nextfill.config import LoraConfig, ModelConfig
from nextfill.core.errors import ModelError, NextfillError
from nextfill.evaluation.job import outline_model
from nextfill.models.adapters.lora import add_adapter, name_base, save_adapter
from nextfill.models.load import load_model

WEIGHTS, CONFIG, TOKENIZER = "model.safetensors", "config.json", "tokenizer.json"
INDEX, ADAPTER = "model.safetensors.index.json", "adapter_config.json"


class Marked:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.fixture
def folder(tiny_model, tmp_path):
    """A copy of the tiny model that may be spoilt."""
    return shutil.copytree(tiny_model, tmp_path / "model")


@pytest.fixture(scope="module")
def adapter_of(tiny_model, tmp_path_factory):
    """A saved adapter for the tiny model."""
    place = tmp_path_factory.mktemp("adapter") / "saved"
    adapted = add_adapter(
        load_model(ModelConfig(name=str(tiny_model))), LoraConfig(rank=2, targets="c_attn"), seed=0
    )
    name_base(adapted, str(tiny_model), None)
    save_adapter(adapted, place)
    for file in tiny_model.glob("tokenizer*"):
        shutil.copy(file, place)
    return place


@pytest.fixture
def adapter(adapter_of, tmp_path):
    """A copy of the adapter that may be spoilt."""
    return shutil.copytree(adapter_of, tmp_path / "adapter")


@pytest.fixture
def refusal() -> Callable[[Path], str]:
    """Load a model that must be refused, and return the message."""

    def message(folder: Path) -> str:
        with pytest.raises(NextfillError) as caught:
            load_model(ModelConfig(name=str(folder)))
        return str(caught.value)

    return message


def change(path: Path, **settings: Any) -> None:
    """Set keys of a JSON file."""
    content = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps({**content, **settings}))


def in_two_files(folder: Path) -> None:
    """Save a model's weights in two files and an index."""
    weights = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    places = {}
    for number in range(2):
        name = f"model-{number}.safetensors"
        part = {key: weights[key] for key in sorted(weights)[number::2]}
        save_file(part, folder / name, metadata={"format": "pt"})
        places |= dict.fromkeys(part, name)
    change(folder / INDEX, metadata={"total_size": 1}, weight_map=places)


def test_weights_in_several_files_are_read(folder, tiny_model):
    in_two_files(folder)
    both = [load_model(ModelConfig(name=str(one))).model for one in (folder, tiny_model)]
    own, expected = (dict(model.named_parameters()) for model in both)
    assert all(torch.equal(own[key], expected[key]) for key in expected)


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ("weights.bin", "files that end in .safetensors"),
        ("../twin.safetensors", "leads out of the folder"),
        ("/dev/twin.safetensors", "leads out of the folder"),
        ("nothing.safetensors", "there is no such file"),
        (5, "is damaged"),
    ],
)
def test_an_index_names_only_safetensors_within_the_folder(folder, refusal, place, found):
    shutil.copy(folder / WEIGHTS, folder.parent / "twin.safetensors")
    in_two_files(folder)
    (folder / "weights.bin").write_bytes(pickle.dumps(Marked(folder / "marker")))
    places = json.loads((folder / INDEX).read_text())["weight_map"]
    change(folder / INDEX, weight_map={**places, next(iter(places)): place})
    assert found in refusal(folder)
    assert not (folder / "marker").exists()


def test_a_pickle_beside_the_weights_is_left_alone(folder):
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Marked(folder / "marker")))
    load_model(ModelConfig(name=str(folder)))
    assert not (folder / "marker").exists()


@pytest.mark.parametrize("name", [WEIGHTS, TOKENIZER])
@pytest.mark.parametrize(
    ("target", "found"),
    [(None, "a pipe"), ("/dev/zero", "leads out"), ("{name}", "leads nowhere"), ("../o", "leads")],
)
def test_only_regular_files_of_the_folder_are_read(folder, refusal, name, target, found):
    (folder / name).rename(folder.parent / "o")
    if target is None:
        os.mkfifo(folder / name)
    else:
        (folder / name).symlink_to(target.format(name=name))
    assert found in refusal(folder)


def test_a_snapshot_in_the_hubs_cache_is_links_to_blobs(tiny_model, tmp_path):
    snapshot, blobs = (tmp_path / "models--a--b" / name for name in ("snapshots/1a2b", "blobs"))
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for file in tiny_model.iterdir():
        shutil.copy(file, blobs / f"0f-{file.name}")
        (snapshot / file.name).symlink_to(Path("..", "..", "blobs", f"0f-{file.name}"))
    assert load_model(ModelConfig(name=str(snapshot))).num_parameters > 0
    (tmp_path / "link").symlink_to(snapshot)
    assert load_model(ModelConfig(name=str(tmp_path / "link"))).num_parameters > 0


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"n_layer": 10**6}, "too few for so many layers"),
        ({"n_layer": 900}, "do not belong together"),
        ({"n_layer": 2**40}, "no model has more than"),
        ({"vocab_size": 2**40}, "no model has more than"),
        ({"vocab_size": 10**6}, "do not belong together"),
        ({"vocab_size": 10**400}, "a number of 1329 bits"),
        ({"n_inner": 2**20}, "do not belong together"),
        ({"n_positions": 2**50}, "do not belong together"),
        ({"num_labels": 2**31}, "no model has more than"),
        ({"n_embd": "wide"}, "n_embd"),
        ({"n_embd": 64}, "of another shape"),
        ({"n_layer": 3}, "missing"),
        ({"eos_token_id": 5000}, "eos_token_id is 5,000"),
        ({"pad_token_id": -7}, "pad_token_id is -7"),
        ({"_attn_implementation": "owner/kernel"}, "a program from elsewhere"),
        ({"attn_implementation": {"": "owner/kernel"}}, "a program from elsewhere"),
        ({"attn_implementation": "flash_attention_2"}, "a program from elsewhere"),
        ({"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}, "bitsa"),
        ({"transformers_weights": "../x.safetensors"}, "leads out of the folder"),
        ({"transformers_weights": "weights.bin"}, "files that end in .safetensors"),
        ({"model_type": "nobodys"}, "nobodys"),
        ({"auto_map": {"AutoConfig": "own.Own"}, "model_type": "own"}, "--trust-remote-code"),
        ({"dtype": "system"}, "system"),
        ({"layer_norm_epsilon": float("nan")}, "no numbers (NaN)"),
    ],
)
def test_a_configuration_is_held_against_the_weights(folder, refusal, settings, found):
    (folder / "own.py").write_text("raise SystemExit('run')")
    change(folder / CONFIG, **settings)
    assert found in refusal(folder)


@pytest.mark.parametrize("name", [CONFIG, "generation_config.json", TOKENIZER])
@pytest.mark.parametrize(
    ("content", "found"),
    [
        ('{"a":' * 500 + "1" + "}" * 500, "deep within one another"),
        ('{"a":' * 90_000 + "1" + "}" * 90_000, "deep within one another"),
        ("[1]", "expected an object"),
        ('{"a": ', "is damaged"),
    ],
)
def test_deep_or_damaged_json(folder, refusal, name, content, found):
    (folder / name).write_text(content)
    assert found in refusal(folder)


def test_ids_of_generation_are_within_the_vocabulary(folder, refusal):
    change(folder / "generation_config.json", suppress_tokens=[1, 99_999])
    assert "suppress_tokens is 99,999" in refusal(folder)


def spoil_header(path: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    """Change the header of weights and leave the rest."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    edit(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])


@pytest.mark.parametrize(
    ("change_of", "found"),
    [
        ({"dtype": "I32"}, "whole numbers"),
        ({"dtype": "U32"}, "of type U32; expected one of"),
        ({"shape": [2**40]}, "is damaged"),
        ({"data_offsets": [0, 2**40]}, "is damaged"),
    ],
)
def test_headers_are_held_against_the_file_and_the_model(folder, refusal, change_of, found):
    name = "transformer.wte.weight"
    spoil_header(folder / WEIGHTS, lambda header: header[name].update(change_of))
    assert found in refusal(folder)


def test_a_header_of_gigabytes(folder, refusal):
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(struct.pack("<Q", 2**31) + content[8:])
    assert "its header is 2,147,483,648 bytes long" in refusal(folder)


def test_weights_that_many_processes_wrote_are_not_taken_instead(folder, refusal):
    shutil.copy(folder / WEIGHTS, folder / "shard-00000-model-00001-of-00001.safetensors")
    assert "many processes wrote" in refusal(folder)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(folder, number):
    weights = load_file(folder / WEIGHTS)
    weights["transformer.ln_f.bias"][3] = number
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"1 of transformer.ln_f.bias are infinite or no numbers"):
        load_model(ModelConfig(name=str(folder)))


def test_large_weights_are_numbers(folder):
    weights = load_file(folder / WEIGHTS)
    weights["transformer.ln_f.bias"][:] = 3e38  # whose sum is infinite
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    assert load_model(ModelConfig(name=str(folder))).num_parameters > 0


@pytest.mark.parametrize("settings", [{"n_layer": 900}, {"eos_token_id": 5000}])
def test_an_outline_is_held_together_as_the_model_is(folder, settings):
    change(folder / CONFIG, **settings)
    with pytest.raises(ModelError):
        outline_model(ModelConfig(name=str(folder)))


def far_id(content: dict[str, Any]) -> None:
    content["model"]["vocab"]["far"] = 2**26


def far_added(content: dict[str, Any]) -> None:
    content["added_tokens"].append({**content["added_tokens"][0], "content": "<far>", "id": 2**26})


def slow(content: dict[str, Any]) -> None:
    pattern = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated"}
    content["pre_tokenizer"] = {**pattern, "invert": False}


def growth(content: dict[str, Any]) -> None:
    one = {"type": "Replace", "pattern": {"String": "e"}, "content": "e" * 9}
    content["normalizer"] = {"type": "Sequence", "normalizers": [one] * 12}


def template(content: dict[str, Any]) -> None:
    content["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<x>", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {"<x>": {"id": "<x>", "ids": [9999], "tokens": ["<x>"]}},
    }


@pytest.mark.parametrize(
    ("edit", "found"),
    [
        (far_id, "the id 67,108,864"),
        (far_added, "the id 67,108,864"),
        (slow, "takes ages"),
        (growth, "times as long"),
        (template, "makes ids up to 9999"),
    ],
)
def test_a_tokenizer_of_far_ids_or_slow_patterns(folder, refusal, edit, found):
    content = json.loads((folder / TOKENIZER).read_text())
    edit(content)
    (folder / TOKENIZER).write_text(json.dumps(content))
    assert found in refusal(folder)


def test_a_chat_template_is_not_run(folder):
    (folder / "chat_template.jinja").write_text("{% for a in range(10 ** 9) %}{{ a }}{% endfor %}")
    load_model(ModelConfig(name=str(folder)))


SLOW = r"(\w+\.?)+X"


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"base_model_name_or_path": None}, "names no base model"),
        ({"base_model_name_or_path": "https://example.com/m"}, "is an adapter for https://"),
        ({"revision": 5}, "a revision or null"),
        ({"r": 2**26}, "is a rank of"),
        ({"rank_pattern": {"c_attn": 2**30}}, "is a rank of"),
        ({"target_modules": SLOW}, "takes ages"),
        ({"modules_to_save": [SLOW]}, "takes ages"),
        ({"target_modules": "("}, "the regular expression '(' is none"),
        ({"peft_type": "PROMPT_TUNING"}, "expected one of LORA"),
        ({"megatron_config": {"a": 1}, "megatron_core": "os"}, "sets megatron_config"),
        ({"lora_ga_config": {"cache_file": "x.bin"}}, "sets lora_ga_config"),
        ({"lora_alpha": "much"}, "cannot be read"),
    ],
)
def test_an_adapter_is_looked_at_before_peft(adapter, settings, found):
    change(adapter / ADAPTER, **settings)
    with pytest.raises(ModelError) as caught:
        load_model(ModelConfig(name=str(adapter)))
    assert found in str(caught.value)


def test_an_adapter_as_it_was_saved(adapter):
    assert load_model(ModelConfig(name=str(adapter))).adapter is not None


def test_an_adapter_of_pickles(adapter):
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    with pytest.raises(ModelError, match=r"Pickled weights can run code"):
        load_model(ModelConfig(name=str(adapter)))


def test_adapters_in_a_circle(adapter, refusal):
    other = shutil.copytree(adapter, adapter.parent / "other")
    change(adapter / ADAPTER, base_model_name_or_path=str(other))
    change(other / ADAPTER, base_model_name_or_path=str(adapter))
    assert "adapters in a circle" in refusal(adapter)
    change(adapter / ADAPTER, base_model_name_or_path=str(adapter))
    assert "adapters in a circle" in refusal(adapter)
