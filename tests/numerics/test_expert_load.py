"""The load of a mixture's experts and the loss of its router, beside figures made by hand."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nextfill
from nextfill.models.architecture import configs_of
from nextfill.models.documents.isolation import Isolation
from nextfill.models.loss import SWITCH, router_off
from nextfill.models.step import StepModule
from tests.architecture_paths import NEEDS_MORE
from tests.architectures import save_words, tiny_model, types

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
EXPERTS, CHOSEN = 4, 2
WITH_LOSS = ["mixtral", "qwen3_moe", "gpt_oss", "olmoe"]
BY_BIAS = "deepseek_v3"
"""It has no loss of its router: a bias, which nothing moves in transformers, evens it out."""

UNCOUNTED = {"jetmoe", "llama4", "llama4_text"}
"""Mixtures whose experts are not handed the numbers of those that are chosen."""


def mixture(kind: str) -> nn.Module:
    settings = {SWITCH: True, "router_aux_loss_coef": 5.0} if kind in WITH_LOSS else {}
    model = tiny_model(kind, "causal", **settings)
    with torch.no_grad():
        for name, bias in model.named_buffers():
            if name.endswith("e_score_correction_bias"):
                bias.copy_(torch.linspace(-0.3, 0.3, bias.numel()))
    return model


def step_module(model: nn.Module) -> StepModule:
    with router_off(configs_of(model)):
        return StepModule(model, Isolation("pad"))


def batch() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return three rows of one document each, two of them padded."""
    ids = torch.randint(5, 90, (3, 9), generator=torch.Generator().manual_seed(0))
    documents = torch.zeros_like(ids)
    documents[1, 6:], documents[2, 3:] = -1, -1
    labels = torch.full_like(ids, -100)
    labels[:, :-1] = ids.where(documents == 0, -100)[:, 1:]
    return ids, labels, torch.arange(9).expand(3, 9), documents


def by_hand(
    model: nn.Module, inputs: tuple[Tensor, ...]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return each router's logits of the tokens that are text, and the experts it chooses."""
    ids, _, _, documents = inputs
    seen: list[tuple[nn.Module, Tensor]] = []
    routers = [m for n, m in model.named_modules() if n.endswith((".gate", ".router"))]
    hooks = [
        one.register_forward_pre_hook(lambda module, args: seen.append((module, args[0])))
        for one in routers
    ]
    with torch.no_grad(), router_off(configs_of(model)):
        model(input_ids=ids, use_cache=False)
    for hook in hooks:
        hook.remove()
    logits, chosen = [], []
    for module, hidden in seen:
        states = hidden.reshape(-1, hidden.shape[-1])[(documents >= 0).flatten()].numpy()
        found = states @ module.weight.detach().numpy().T
        if getattr(module, "bias", None) is not None:
            found = found + module.bias.detach().numpy()
        liked = found
        if hasattr(module, "e_score_correction_bias"):
            liked = 1 / (1 + np.exp(-found)) + module.e_score_correction_bias.numpy()
        logits.append(found)
        chosen.append(np.argsort(-liked, axis=1)[:, :CHOSEN])
    return logits, chosen


@pytest.mark.parametrize("kind", [*WITH_LOSS, BY_BIAS])
def test_every_token_is_counted_where_its_router_sends_it(kind: str) -> None:
    model, inputs = mixture(kind), batch()
    module = step_module(model)
    module(*inputs, with_router=True)
    _, chosen = by_hand(model, inputs)
    counts = [np.bincount(one.ravel(), minlength=EXPERTS).tolist() for one in chosen]
    assert module.expert_load.counts == counts
    assert [sum(one) for one in counts] == [18 * CHOSEN] * len(counts)  # without padding
    assert any(len(set(one)) > 1 for one in counts)
    figures = module.expert_load.figures()
    shares = np.array(counts) / np.sum(counts, axis=1, keepdims=True)
    assert figures["expert_load"] == pytest.approx((shares.max(axis=1) * EXPERTS).tolist())
    entropy = [-sum(p * math.log(p) for p in one if p) for one in shares]
    assert figures["expert_entropy"] == pytest.approx(entropy)
    module(*inputs, with_router=True)
    assert module.expert_load.counts == [[2 * n for n in one] for one in counts]  # added up
    module.expert_load.reset()
    assert module.expert_load.figures() == {}


@pytest.mark.parametrize("kind", WITH_LOSS)
def test_the_routers_loss_is_that_of_the_paper(kind: str) -> None:
    """Fedus et al. 2021, equations (4) to (6), over the tokens of all layers together."""
    model, inputs = mixture(kind), batch()
    _, router = step_module(model)(*inputs, with_router=True)
    logits, chosen = by_hand(model, inputs)
    scores = np.exp(np.concatenate(logits).astype(np.float64))
    probabilities = scores / scores.sum(axis=1, keepdims=True)
    share = np.bincount(np.concatenate(chosen).ravel(), minlength=EXPERTS) / len(scores)
    expected = 5.0 * EXPERTS * float(share @ probabilities.mean(axis=0))
    assert router.item() == pytest.approx(expected, rel=1e-5)


def test_evaluations_and_compiled_layers_count_nothing() -> None:
    module, inputs = step_module(mixture("mixtral")), batch()
    module(*inputs)
    assert module.expert_load.counts == []
    module.compile_layers()
    module(*inputs, with_router=True)
    assert module.expert_load.counts == []


def test_recomputed_activations_are_counted_once() -> None:
    model, inputs = mixture("mixtral"), batch()
    module = step_module(model)
    module.train()
    model.activation_checkpointing_enable({"use_reentrant": False})
    nats, _ = module(*inputs, with_router=True)
    nats.sum().backward()
    assert [sum(one) for one in module.expert_load.counts] == [18 * CHOSEN] * 2


def test_rows_of_one_length_at_a_time_are_counted_whole() -> None:
    inputs = batch()
    module = StepModule(mixture("olmoe"), Isolation("pad", heeds_padding=False))
    with_groups = module(*inputs, with_router=True), module.expert_load.counts
    assert [sum(one) for one in with_groups[1]] == [18 * CHOSEN] * 2


def test_a_model_without_experts_has_no_figures() -> None:
    module = step_module(tiny_model("llama", "causal"))
    module(*batch(), with_router=True)
    assert module.expert_load.num_layers == 0
    assert module.expert_load.figures() == {}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a tiny mixture, in micro-batches."""
    folder = tmp_path_factory.mktemp("mixture")
    mixture("mixtral").save_pretrained(folder / "model")  # type: ignore[operator]
    save_words(folder / "model")
    words = [f"w{number:02d}" for number in range(5, 95)]
    data = [" ".join(words[at : at + 12]) for at in range(60)]
    nextfill.train(
        model=str(folder / "model"),
        data=data,
        out=folder / "run",
        cache_dir=folder / "cache",
        **{"max_steps": 4, "batch_size": 8, "micro_batch_size": 2, "block_size": 24},
        **{"precision": "fp32", "quiet": True},
    )
    return folder / "run"


def steps_of(run: Path) -> list[dict[str, Any]]:
    lines = (run / "events.jsonl").read_text("utf-8").splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == "step"]


def test_each_step_of_a_run_has_them_by_layer(run: Path) -> None:
    for step in steps_of(run):
        assert step["router_loss"] > 0
        assert len(step["expert_load"]) == len(step["expert_entropy"]) == 2
        assert all(1 <= one <= EXPERTS / CHOSEN for one in step["expert_load"])
        assert all(math.log(CHOSEN) <= one <= math.log(EXPERTS) for one in step["expert_entropy"])


def test_the_report_draws_them(run: Path) -> None:
    page = (run / "report.html").read_text("utf-8")
    steps = steps_of(run)
    expected = {
        "busiest": [max(step["expert_load"]) for step in steps],
        "mean": [sum(step["expert_load"]) / 2 for step in steps],
        "router_loss": [step["router_loss"] for step in steps],
    }
    for name, values in expected.items():
        tag = re.search(rf'<g [^>]*data-figure="curve/router/{name}"[^>]*>', page)
        assert tag, name
        drawn = re.search(r'data-y="([^"]*)"', tag[0])
        assert drawn
        assert [float(value) for value in drawn[1].split()] == values


@pytest.mark.trial  # of another version of transformers, which may have more
def test_every_mixture_of_transformers_is_counted_or_known_not_to_be() -> None:
    """Another version of transformers may have more of them."""
    uncounted = set()
    for kind in types("causal"):
        if kind in NEEDS_MORE:
            continue
        model = mixture(kind)
        if not any("Experts" in type(one).__name__ for one in model.modules()):
            continue
        module = step_module(model)
        if module.expert_load.num_layers == 0:
            uncounted.add(kind)
            continue
        module(*batch(), with_router=True)
        sums = {sum(one) for one in module.expert_load.counts}
        assert len(module.expert_load.counts) == module.expert_load.num_layers, kind
        assert all(0 < one <= 18 * EXPERTS for one in sums), kind
    assert uncounted == UNCOUNTED
