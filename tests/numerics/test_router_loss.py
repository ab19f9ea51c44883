"""The loss of a mixture's router is transformers' own, in training and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file
from torch import Tensor, nn

import nextfill
from nextfill.config import LoraConfig
from nextfill.core.errors import Interrupted, ModelError
from nextfill.models.adapters.lora import add_adapter
from nextfill.models.architecture import checkpoint_gradients, configs_of
from nextfill.models.documents.isolation import Isolation, probe_isolation
from nextfill.models.inference.incremental_decoding import probe_batching, probe_feed
from nextfill.models.loaded_model import LoadedModel
from nextfill.models.loss import SWITCH, router_off
from nextfill.models.step import StepModule, has_router_loss
from tests.cli.figures import figures
from tests.interruption import interrupted

COMMON: dict[str, Any] = {
    **dict.fromkeys(["hidden_size", "d_model"], 32),
    **dict.fromkeys(["intermediate_size", "moe_intermediate_size", "shared_intermediate_size"], 32),
    "shared_expert_intermediate_size": 32,
    **dict.fromkeys(["num_hidden_layers", "n_layers", "num_attention_heads", "n_heads"], 2),
    **dict.fromkeys(["num_key_value_heads", "num_experts_per_tok", "moe_k"], 2),
    **dict.fromkeys(["num_local_experts", "num_experts", "moe_num_experts", "n_routed_experts"], 4),
    **{"max_position_embeddings": 128, "vocab_size": 100, "sliding_window": 8},
    **{"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None},
}
TWO = ["full_attention", "full_attention"]
LINEAR = ["linear_attention", "full_attention"]
BY_SLIDING = ["full_attention", "sliding_attention"]
MIXTURES: dict[str, dict[str, Any]] = {
    "dbrx": {
        "attn_config": {"kv_n_heads": 1, "rope_theta": 1e4, "clip_qkv": 8.0},
        "ffn_config": {
            **{"hidden_size": 32, "ffn_hidden_size": 32, "moe_num_experts": 4, "moe_top_k": 2},
            "moe_loss_weight": 5.0,
        },
    },
    "deepseek_v4": {
        "layer_types": ["heavily_compressed_attention", "compressed_sparse_attention"],
        "mlp_layer_types": ["moe", "moe"],
    },
    "doge": {"is_moe": True, "num_experts": 16},
    "ernie4_5_moe": {"moe_layer_start_index": 0},
    "flex_olmo": {},
    "flint": {"head_dim": 16, "layer_types": BY_SLIDING, "mlp_only_layers": [0]},
    "gpt_oss": {"head_dim": 16, "layer_types": BY_SLIDING},
    "granitemoe": {},
    "granitemoe_swa": {"layer_types": BY_SLIDING},
    "granitemoehybrid": {
        **{"layer_types": LINEAR, "mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 8},
    },
    "granitemoeshared": {},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "mamba_dt_rank": 4},
    "jetmoe": {"kv_channels": 16},
    "laguna": {"head_dim": 16, "layer_types": TWO, "mlp_layer_types": ["dense", "sparse"]},
    "mellum": {"head_dim": 16, "layer_types": TWO, "mlp_layer_types": ["sparse", "sparse"]},
    "minimax": {"layer_types": LINEAR[::-1]},
    "minimax_m2": {"head_dim": 16},
    "minimax_m3_vl_text": {
        **{"head_dim": 16, "layer_types": TWO, "mlp_layer_types": ["sparse", "sparse"]},
    },
    "mixtral": {},
    "olmoe": {},
    "phimoe": {},
    "qwen2_moe": {"layer_types": TWO},
    "qwen3_5_moe_text": {"head_dim": 16, "layer_types": LINEAR},
    "qwen3_moe": {},
    "qwen3_next": {"head_dim": 16, "layer_types": LINEAR},
    "qwen4_exp_text": {
        **{"head_dim": 16, "layer_types": ["linear_attention", "indexed_attention"]},
        **{"indexer_n_heads": 2, "indexer_kv_heads": 1, "indexer_head_dim": 16},
        **{"indexer_budget": 8, "indexer_compress_ratio": 2, "hc_lowrank": 8},
        **{"ngram_vocab_size_base": 50, "ple_embed_dim": 32},
    },
}
WITHOUT = {"llama4_text": {"head_dim": 16}, "deepseek_v2": {}, "hunyuan_v1_moe": {"head_dim": 16}}
"""Mixtures whose config has the switch, and which have no loss of their router in transformers."""

IDS = torch.randint(5, 90, (3, 9), generator=torch.Generator().manual_seed(0))


def mixture(kind: str, **settings: Any) -> Any:
    """Return a tiny random mixture that asks for its router's loss, five times as it is."""
    plain = transformers.CONFIG_MAPPING[kind]()
    common = {key: value for key, value in COMMON.items() if hasattr(plain, key)}
    own = {**common, **{**MIXTURES, **WITHOUT}[kind], SWITCH: True}
    shape = transformers.AutoConfig.for_model(kind, **{**own, **settings})
    for key in shape.to_dict():
        if isinstance(getattr(shape, key), float) and ("drop" in key or "jitter" in key):
            setattr(shape, key, 0.0)
        if "aux_loss_coef" in key and key not in settings:
            setattr(shape, key, 5.0)
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(shape).float().eval()
    with torch.no_grad():  # so that experts are chosen unevenly, and differently by token
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 and "A_log" not in name:
                parameter.normal_(std=0.3)
    return model


def step_module(model: Any) -> StepModule:
    with router_off(configs_of(model)):
        return StepModule(model, probe_isolation(model))


def batch(*, padded: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return three rows of one document each, for a step module."""
    documents = torch.zeros_like(IDS)
    if padded:
        documents[1, 6:], documents[2, 3:] = -1, -1
    labels = torch.full_like(IDS, -100)
    labels[:, :-1] = IDS.where(documents == 0, -100)[:, 1:]
    return IDS, labels, torch.arange(9).expand(3, 9), documents


def gradients(model: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def check_as_transformers(model: Any, module: StepModule, *, padded: bool) -> float:
    """Compare loss and gradients with those of the model's own loss; return the router's part."""
    ids, labels, positions, documents = batch(padded=padded)
    model.train()
    nats, router = module(ids, labels, positions, documents, with_router=True)
    assert router is not None
    ours = nats.mean() + router
    found = gradients(model, ours)
    mask = (documents >= 0).long()
    own = ids.where(documents == 0, -100)
    theirs = model(input_ids=ids, attention_mask=mask, labels=own, use_cache=False).loss
    expected = gradients(model, theirs)
    assert found.keys() == expected.keys()
    size = torch.stack([one.norm() for one in expected.values()]).norm()
    worst = torch.stack([(found[name] - expected[name]).norm() for name in found]).norm() / size
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-6)
    assert worst.item() < 1e-6
    return router.item()


@pytest.mark.parametrize("kind", list(MIXTURES))
def test_loss_and_gradients_are_those_of_transformers(kind: str) -> None:
    model = mixture(kind)
    module = step_module(model)
    before = model.config.to_dict()
    assert has_router_loss(module, kind)
    # Doge chooses what it looks at among the positions of the whole row, padding or not.
    router = check_as_transformers(model, module, padded=kind != "doge")
    assert router > 1
    assert model.config.to_dict() == before


def test_every_mixture_of_transformers_is_tried() -> None:
    """Another version of transformers may know more of them."""
    found = set()
    for (
        kind,
        name,
    ) in transformers.models.auto.modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.items():
        source = Path(transformers.__file__).parent / "models"
        module = transformers.models.auto.configuration_auto.model_type_to_module_name(kind)
        file = source / module / f"modeling_{module}.py"
        if not file.is_file():
            continue
        classes = file.read_text("utf-8").split("\nclass ")
        own = [text for text in classes if text.startswith(f"{name}(")]
        if own and "load_balancing_loss_func(" in own[0]:
            found.add(kind)
    # Two types are the text part of a model that also sees, under the name of the whole.
    assert found - {"qwen3_5_moe", "qwen4_exp"} == set(MIXTURES)


@pytest.mark.parametrize("kind", list(WITHOUT))
def test_a_mixture_without_such_a_loss_has_none(kind: str) -> None:
    module = step_module(mixture(kind))
    assert not has_router_loss(module, kind)
    nats, router = module(*batch(padded=False), with_router=True)
    assert router is None
    assert nats.numel() == 24


def test_without_the_switch_there_is_none() -> None:
    module = step_module(mixture("mixtral", **{SWITCH: False}))
    assert not has_router_loss(module, "mixtral")
    assert module(*batch(padded=False), with_router=True)[1] is None


def test_an_adapter_and_recomputed_activations_change_nothing() -> None:
    lora = LoraConfig(rank=2, targets="q_proj,v_proj")
    loaded = add_adapter(LoadedModel(mixture("mixtral"), None, "a model"), lora, seed=0)
    assert check_as_transformers(loaded.model, step_module(loaded.model), padded=True) > 1
    model = mixture("mixtral")
    checkpoint_gradients(model)
    assert check_as_transformers(model, step_module(model), padded=True) > 1


def test_packed_documents_are_balanced_together_and_kept_apart() -> None:
    model = mixture("mixtral")
    module = StepModule(model, Isolation("positions"))
    ids, labels, positions, documents = batch(padded=False)
    positions, documents, labels = positions.clone(), documents.clone(), labels.clone()
    positions[:, 5:] -= 5
    documents[:, 5:], labels[:, 4] = 1, -100
    nats, router = module(ids, labels, positions, documents, with_router=True)
    assert torch.equal(nats, module(ids, labels, positions, documents))
    with torch.no_grad():
        output = model(input_ids=ids, position_ids=positions, use_cache=False)
    assert router.item() == pytest.approx(5 * output.aux_loss.item(), rel=1e-6)


def test_scoring_computes_none_and_gives_the_same_nats() -> None:
    model, plain = mixture("mixtral"), mixture("mixtral", **{SWITCH: False})
    asked: list[bool] = []
    model.model.register_forward_pre_hook(
        lambda module, args, kwargs: asked.append(bool(kwargs["output_router_logits"])),
        with_kwargs=True,
    )
    inputs = batch(padded=True)
    for isolation in (Isolation("pad"), Isolation("mask")):  # that mask would make the loss fail
        with torch.no_grad():
            nats = StepModule(model, isolation)(*inputs)
            assert torch.equal(nats, StepModule(plain, isolation)(*inputs))
    assert asked
    assert not any(asked)
    assert model.config.output_router_logits is True


def test_a_mask_of_another_shape_does_not_reach_the_router() -> None:
    model = mixture("mixtral", sliding_window=None)
    found = [
        StepModule(model, Isolation(kind))(*batch(padded=True), with_router=True)
        for kind in ("positions", "mask", "pad")
    ]
    for nats, router in found[1:]:
        torch.testing.assert_close(nats, found[0][0], rtol=1e-5, atol=1e-5)
        assert router.item() == pytest.approx(found[0][1].item(), rel=1e-6)


def test_texts_of_different_lengths_are_generated_together(
    tiny_tokenizer: Path, tmp_path: Path
) -> None:
    model = mixture("mixtral", vocab_size=500)
    mask = (torch.arange(9) >= torch.tensor([[0], [3], [6]])).long()
    with pytest.raises(RuntimeError):  # transformers' own way, which the switch breaks
        model.generate(input_ids=IDS, attention_mask=mask, max_new_tokens=3, do_sample=False)
    with router_off(configs_of(model)):
        assert probe_batching(model, 0, probe_feed(model, 0)) == "padded"
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_tokenizer)
    prompts = ["the river", "old stones past seven quiet mills"]
    calls: list[int] = []
    model.register_forward_pre_hook(
        lambda module, args, kwargs: calls.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    job = {"tokenizer": tokenizer, "max_new_tokens": 4, "greedy": True}
    texts = nextfill.generate(model, prompts, **job)
    assert calls[-1] == 2  # both at once
    assert texts == [nextfill.generate(model, one, **job) for one in prompts]
    assert model.config.output_router_logits is True


class Louder(transformers.MixtralForCausalLM):
    """A mixture with a loss that no other has."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        output = super().forward(*args, **kwargs)
        if output.loss is not None:
            output.loss = output.loss + 0.1 * output.router_logits[0].logsumexp(-1).pow(2).mean()
        return output


def test_a_loss_of_another_kind_is_refused_by_name() -> None:
    model = Louder(mixture("mixtral").config).float().eval()
    with pytest.raises(ModelError, match=r"louder asks for .* way of its own.*Set output_router"):
        has_router_loss(step_module(model), "louder")


def test_a_mixture_without_an_expert_is_refused_by_name() -> None:
    model = mixture("qwen2_moe", mlp_only_layers=[0, 1])
    with pytest.raises(ModelError, match=r"dense .*does not compute it.*Set output_router_logits"):
        has_router_loss(step_module(model), "dense")


SHAPE = {
    **{k: v for k, v in COMMON.items() if k in vars(transformers.MixtralConfig())},
    SWITCH: True,
}
SHAPE = {k: v for k, v in SHAPE.items() if "token_id" not in k and k != "vocab_size"}


@pytest.fixture
def trained(
    tiny_tokenizer: Path, text_file: Path, tmp_path: Path
) -> Callable[..., nextfill.TrainResult]:
    """Return a function that trains a tiny mixture for 6 steps."""

    def train(name: str, coefficient: float, **settings: Any) -> nextfill.TrainResult:
        return nextfill.train(
            model={
                "name": "scratch:mixtral",
                "config": {**SHAPE, "router_aux_loss_coef": coefficient},
            },
            **{
                **{"tokenizer": str(tiny_tokenizer), "data": text_file, "out": tmp_path / name},
                **{"block_size": 48, "batch_size": 4, "max_steps": 6, "learning_rate": 1e-3},
                **{"precision": "fp32", "save_every": 3, "dropout": 0.1},
                **settings,
            },
        )

    return train


def events(run: str, kind: str) -> list[dict[str, Any]]:
    lines = Path(run, "events.jsonl").read_text("utf-8").splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == kind]


def test_a_run_has_it_in_its_steps_and_in_no_figure(
    trained: Callable[..., nextfill.TrainResult],
) -> None:
    none, much = trained("none", 0.0), trained("much", 50.0)
    steps = [events(one.run, "step") for one in (none, much)]
    assert [step["router_loss"] for step in steps[0]] == [0.0] * 6
    assert all(90 < step["router_loss"] < 200 for step in steps[1])  # 50 times 2, where even
    # The first step starts from the same weights: its nats are the same, its gradient is not.
    assert steps[0][0]["nats"] == steps[1][0]["nats"]
    assert steps[0][0]["grad_norm"] != steps[1][0]["grad_norm"]
    assert steps[1][0]["loss"] == steps[1][0]["nats"] / steps[1][0]["targets"]
    assert none.before == replace(much.before, settings=none.before.settings)
    weights = [load_file(Path(one.run, "model", "model.safetensors")) for one in (none, much)]
    assert any(not torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    again = nextfill.evaluate(much.run)
    assert figures(again.to_json()) == figures(much.after.to_json())
    config = json.loads(Path(much.run, "model", "config.json").read_text("utf-8"))
    assert config[SWITCH] is True


def test_a_resumed_run_ends_in_the_same_bytes(trained: Callable[..., nextfill.TrainResult]) -> None:
    whole = trained("whole", 0.5, micro_batch_size=2)
    with interrupted(before=4, by=KeyboardInterrupt()), pytest.raises(Interrupted):
        trained("cut", 0.5, micro_batch_size=2)
    resumed = nextfill.train(out=Path(whole.run).with_name("cut"), resume=True)
    for name in ("events.jsonl", "model/model.safetensors"):
        assert Path(resumed.run, name).read_bytes() == Path(whole.run, name).read_bytes(), name
