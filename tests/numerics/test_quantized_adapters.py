"""Adapters over weights of 4 bits: what is computed, saved, read and merged is one model."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bitsandbytes
import peft
import pytest
import torch
import transformers

from nextfill.config import LoraConfig, Objective
from nextfill.core.errors import ConfigError, ModelError
from nextfill.models.adapters.adapter_initialization import adapted_layers
from nextfill.models.adapters.layer_use import only_called
from nextfill.models.adapters.lora import (
    add_adapter,
    merge_adapter,
    name_base,
    read_adapter,
    save_adapter,
)
from nextfill.models.adapters.quantization import QUANTIZATION_FILE, quantize
from nextfill.models.computation import autocast
from nextfill.models.loaded_model import LoadedModel
from tests.architectures import tiny_model
from tests.numerics.little_training import IDS, distance, logits, train_a_little
from tests.representative import often

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing"),
    # By PEFT alone, of what it reads.
    pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`"),
    pytest.mark.filterwarnings("ignore:fan_in_fan_out is set"),
]

KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "rank-stabilised": {"scaling": "rank-stabilised"},
    "dora": {"dora": True},
    "head": {"head": True},
    "head, dora": {"head": True, "dora": True},
}
MODELS: dict[str, tuple[str, Objective]] = {
    "gpt2": ("gpt2", "causal"),  # layers with their weights the other way round
    "llama": ("llama", "causal"),
    "llama, tied": ("llama", "causal"),
    "bert": ("bert", "masked"),  # whose head shares the embedding's weights
    "mixtral": ("mixtral", "causal"),  # whose experts share one weight
}
WIDE: dict[str, dict[str, Any]] = {  # whose rows are whole blocks
    "gpt2": {"n_embd": 64},
    "bert": {"hidden_size": 64, "intermediate_size": 128},
    "llama": {"hidden_size": 64, "intermediate_size": 128},
    "mixtral": {"hidden_size": 64, "intermediate_size": 128},
}
CELLS = [(model, kind) for model in MODELS for kind in KINDS if "dora" not in kind]
CELLS += [(model, kind) for model in ("gpt2", "llama") for kind in ("dora", "head, dora")]
OFTEN = [
    *(("gpt2", kind) for kind in KINDS),
    *(("llama", "dora"), ("llama, tied", "head"), ("bert", "plain"), ("mixtral", "plain")),
]
IN_4_BITS = LoraConfig(rank=4, quantization="nf4")


@pytest.fixture(params=MODELS)
def fresh(
    request: pytest.FixtureRequest,
    make_model: Callable[..., Any],
    make_masked: Callable[..., Any],
) -> Callable[[], LoadedModel]:
    """Return a function that makes the same model again."""
    kind, objective = MODELS[request.param]
    tied = {"tie_word_embeddings": True} if "tied" in request.param else {}
    make = make_model if objective == "causal" else make_masked
    return lambda: LoadedModel(make(kind, scale=3.0, **WIDE[kind], **tied), None, "a", objective)


@pytest.fixture
def plain(make_model: Callable[..., Any]) -> Callable[[], LoadedModel]:
    """Return a function that makes the same GPT-2 again."""
    return lambda: LoadedModel(make_model("gpt2", scale=3.0, n_embd=64), None, "a model")


def nf4_by_hand(weight: torch.Tensor) -> torch.Tensor:
    """Return a weight rounded to NF4 in blocks of 64, by the paper's own table of values."""
    below = [-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453]
    below += [-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0]
    above = [0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224]
    above += [0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0]
    values = torch.tensor(below + above)
    blocks = weight.reshape(-1, 64)
    scales = blocks.abs().amax(1, keepdim=True)
    nearest = (blocks[..., None] / scales[..., None] - values).abs().argmin(-1)
    return (values[nearest] * scales).reshape(weight.shape)


@pytest.mark.parametrize("fresh", ["gpt2", "llama"], indirect=True)
def test_the_weights_are_the_papers_but_for_the_scales_of_8_bits(
    fresh: Callable[[], LoadedModel],
) -> None:
    whole = {name: one.detach().clone() for name, one in fresh().model.named_parameters()}
    loaded = add_adapter(fresh(), IN_4_BITS, seed=0)
    layers = list(adapted_layers(loaded.model))
    assert len(layers) == len(loaded.quantization.layers)  # type: ignore[union-attr]
    for name, layer in layers:
        held = layer.get_base_layer()
        assert type(held.weight) is bitsandbytes.nn.Params4bit
        weight = whole[f"{name}.weight"]
        weight = (
            weight.T if type(fresh().model.get_submodule(name)).__name__ == "Conv1D" else weight
        )
        expected = nf4_by_hand(weight.contiguous())
        assert distance(held.dense_weight(), expected) < 0.02  # one scale in 256 is of a byte
        assert distance(held.dense_weight(), weight) > 0.02


@pytest.mark.parametrize(("fresh", "kind"), often(CELLS, OFTEN), indirect=["fresh"])
def test_what_is_trained_is_what_is_saved_read_and_merged(
    fresh: Callable[[], LoadedModel], kind: str, tmp_path: Path
) -> None:
    before = logits(fresh().model)
    loaded = add_adapter(fresh(), LoraConfig(rank=4, quantization="nf4", **KINDS[kind]), seed=0)
    begun = logits(loaded.model)
    assert distance(begun, before) > 1e-4
    assert torch.equal(logits(add_adapter(fresh(), IN_4_BITS, seed=3).model), begun) or "d" in kind
    train_a_little(loaded)
    after = logits(loaded.model)
    assert distance(after, begun) > 1e-3

    name_base(loaded, "somewhere", None)
    save_adapter(loaded, tmp_path)
    again = read_adapter(fresh(), tmp_path, "an adapter")
    assert torch.equal(logits(again.model), after)
    assert again.quantization == loaded.quantization
    assert again.num_parameters == loaded.num_parameters

    merged = merge_adapter(again)
    assert distance(logits(merged.model), after) < 1e-5
    assert merged.quantization is None
    same = fresh().model
    assert {n: type(m) for n, m in merged.model.named_modules()} == {
        n: type(m) for n, m in same.named_modules()
    }
    assert {p.dtype for p in merged.model.parameters()} == {torch.float32}
    merged.model.save_pretrained(tmp_path / "whole")  # type: ignore[operator]
    whole = type(same).from_pretrained(tmp_path / "whole")  # type: ignore[attr-defined]
    assert torch.equal(logits(whole), logits(merged.model))


def test_evaluating_is_in_float32_and_writes_no_weight(plain: Callable[[], LoadedModel]) -> None:
    """bitsandbytes turns to bfloat16 there, on processors that have it, and packs weights anew."""
    loaded = add_adapter(plain(), IN_4_BITS, seed=0)
    held = [layer.get_base_layer() for _, layer in adapted_layers(loaded.model)]
    packed = [layer.weight.detach().clone() for layer in held]
    loaded.model.eval()
    evaluated = logits(loaded.model)
    with torch.no_grad():
        one_token = loaded.model(input_ids=IDS[:1, :1]).logits
    loaded.model.train()
    assert torch.equal(logits(loaded.model), evaluated)
    assert distance(one_token, evaluated[:1, :1]) < 1e-5
    assert all(torch.equal(one, layer.weight) for one, layer in zip(packed, held, strict=True))


def test_the_type_follows_the_precision_of_each_pass(plain: Callable[[], LoadedModel]) -> None:
    loaded = add_adapter(plain(), IN_4_BITS, seed=0)
    layer = loaded.model.transformer.h[0].mlp.c_fc.get_base_layer()  # type: ignore[union-attr]
    rows = torch.randn(3, 64)
    with autocast(torch.device("cpu"), "bf16"):
        assert layer(rows).dtype == torch.bfloat16
        halved = loaded.model(input_ids=IDS).logits
    assert layer(rows).dtype == torch.float32
    assert distance(layer(rows), rows @ layer.dense_weight().T + layer.bias) < 1e-6
    assert 1e-4 < distance(halved.detach().float(), logits(loaded.model)) < 0.1


def test_the_weights_are_the_same_on_any_number_of_threads() -> None:
    """Two threads add the halves of 65,536 scales, whose mean then is often another."""

    def held(threads: int) -> dict[str, Any]:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        model = torch.nn.Sequential(torch.nn.Linear(4096, 1024, bias=False))
        torch.manual_seed(0)
        model[0].weight = torch.nn.Parameter(torch.randn(1024, 4096))
        quantize(model, ["0"], "a test")
        assert torch.get_num_threads() == threads
        torch.set_num_threads(before)
        return model.state_dict()

    one, two = held(1), held(2)
    assert one.keys() == two.keys()
    assert len(one) > 4
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_model_of_4_bits_counts_the_weights_that_it_stands_for(
    plain: Callable[[], LoadedModel],
) -> None:
    whole = add_adapter(plain(), LoraConfig(rank=4), seed=0)
    loaded = add_adapter(plain(), IN_4_BITS, seed=0)
    assert loaded.num_parameters == whole.num_parameters
    assert loaded.num_trained == whole.num_trained
    found = loaded.quantization
    assert found is not None
    assert found.weights == 2 * 12 * 64 * 64
    assert found.bytes_before == 4 * found.weights
    assert 0.5 < found.bytes_now / found.weights < 0.55
    assert found.left == ("lm_head",)


def test_in_plain_transformers_and_peft_it_is_the_same_model(
    plain: Callable[[], LoadedModel], tmp_path: Path
) -> None:
    plain().model.save_pretrained(tmp_path / "base")  # type: ignore[operator]
    loaded = add_adapter(plain(), IN_4_BITS, seed=0)
    train_a_little(loaded)
    name_base(loaded, str(tmp_path / "base"), None)
    save_adapter(loaded, tmp_path / "adapter")
    config = transformers.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
        llm_int8_skip_modules=["lm_head"],
    )
    for quantized, least, most in ((config, 0.0, 1e-6), (None, 1e-4, 0.3)):
        base = transformers.AutoModelForCausalLM.from_pretrained(
            tmp_path / "base", dtype=torch.float32, quantization_config=quantized
        )
        theirs = peft.PeftModel.from_pretrained(base, tmp_path / "adapter")
        theirs.train()  # for it evaluates in bfloat16, where the processor can
        assert least <= distance(logits(theirs), logits(loaded.model)) <= most


def test_experts_that_share_a_weight_stay_whole(make_model: Callable[..., Any]) -> None:
    loaded = LoadedModel(make_model("mixtral", **WIDE["mixtral"]), None, "a model")
    only = LoraConfig(rank=2, quantization="nf4", targets="experts.down_proj,experts.gate_up_proj")
    with pytest.raises(ConfigError, match="none of which can be: expected linear"):
        add_adapter(loaded, only, seed=0)
    loaded = add_adapter(loaded, IN_4_BITS, seed=0)
    assert loaded.quantization is not None
    assert not any("experts" in name for name in loaded.quantization.layers)


def test_layers_whose_rows_are_no_whole_blocks_stay_whole(make_model: Callable[..., Any]) -> None:
    model = make_model("llama", hidden_size=96, num_attention_heads=2, intermediate_size=128)
    loaded = add_adapter(LoadedModel(model, None, "a model"), IN_4_BITS, seed=0)
    assert loaded.quantization is not None
    assert {n.rpartition(".")[2] for n in loaded.quantization.layers} == {"down_proj"}
    assert len(loaded.quantization.left) == 13


@pytest.mark.parametrize(
    ("kind", "end"),
    [
        ("deepseek_v32", "weights_proj"),  # which turns its inputs into the type of its weight
        ("longcat_flash", "classifier"),  # which is not called, and whose weight is read
    ],
)
def test_a_weight_that_another_part_reads_stays_whole(kind: str, end: str) -> None:
    model = tiny_model(kind, "causal", hidden_size=64)
    modules = dict(model.named_modules())
    loaded = add_adapter(LoadedModel(model, None, "a model"), IN_4_BITS, seed=0)
    found = loaded.quantization
    assert found is not None
    assert found.layers
    assert any(name.endswith(end) for name in modules)
    assert not any(name.endswith(end) for name in found.layers)
    held = logits(loaded.model)
    assert distance(logits(merge_adapter(loaded).model), held) < 1e-5


@pytest.mark.skipif(not Path("/proc/self/maps").is_file(), reason="Linux tells what is mapped")
def test_the_file_of_the_whole_weights_is_let_go(
    plain: Callable[[], LoadedModel], tmp_path: Path
) -> None:
    plain().model.save_pretrained(tmp_path)  # type: ignore[operator]
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    maps = Path("/proc/self/maps")
    assert str(tmp_path) in maps.read_text()
    names = [
        name for name, _ in model.named_modules() if name.endswith(("c_fc", "c_attn", "c_proj"))
    ]
    quantize(model, names, "a test")
    gc.collect()
    assert str(tmp_path) not in maps.read_text()
    assert model.lm_head.weight is model.transformer.wte.weight


def test_what_is_watched_is_put_back(make_model: Callable[..., Any]) -> None:
    model = make_model("llama", **WIDE["llama"])
    before = [(name, id(one)) for name, one in model.named_modules()]
    model.train()
    names = [name for name, one in model.named_modules() if isinstance(one, torch.nn.Linear)]
    assert only_called(model, names) == names
    assert [(name, id(one)) for name, one in model.named_modules()] == before
    assert all(one.training for one in model.modules())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"type": "fp4"}, "says type is 'fp4'; expected 'nf4'"),
        ({"block_size": 128}, "says block_size is '128'; expected 64"),
        ({"double_quantization": None}, "says double_quantization is 'None'; expected True"),
        ({"layers": "all"}, "expected the names of layers under 'layers'"),
        ({"layers": []}, "expected the names of layers under 'layers'"),
        ({"layers": [3]}, "expected the names of layers under 'layers'"),
        ({"layers": ["lm_head"]}, r"names 1 layer that the model has not.*\(lm_head\)"),
        ({"layers": ["transformer.wte"]}, r"names 1 layer that the model has not"),
    ],
)
def test_a_record_that_is_damaged_is_refused(
    plain: Callable[[], LoadedModel], tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    loaded = add_adapter(plain(), IN_4_BITS, seed=0)
    name_base(loaded, "somewhere", None)
    save_adapter(loaded, tmp_path)
    record = tmp_path / QUANTIZATION_FILE
    record.write_text(json.dumps(json.loads(record.read_text()) | change))
    with pytest.raises(ModelError, match=said):
        read_adapter(plain(), tmp_path, "an adapter")
