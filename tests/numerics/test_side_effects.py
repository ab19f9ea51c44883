"""No probe and no short text leaves a trace in a model."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

from nextfill.config import ModelConfig
from nextfill.core.errors import ModelError
from nextfill.models.computation import guarded, restored
from nextfill.models.documents.causality import looks_ahead
from nextfill.models.documents.isolation import padding_isolation, probe_isolation
from nextfill.models.load import load_model
from nextfill.models.step import StepModule, row_problem
from tests.architectures import as_json, save_words, tiny_model
from tests.trials.architecture_table import _alone, _documents, _ours

# Each changes in a way of its own; the last two do not.
CAUSAL = ["big_bird", "rwkv", "recurrent_gemma", "gpt2", "bart"]
MASKED = ["big_bird", "reformer", "funnel", "bert", "modernvbert"]
KINDS = [*(("causal", kind) for kind in CAUSAL), *(("masked", kind) for kind in MASKED)]


def traces(model: nn.Module) -> dict[str, Any]:
    """Return all that hangs on a model: weights by value, the rest by what it is."""
    found: dict[str, Any] = {"config": as_json(model.config)}
    found |= {name: value.clone() for name, value in model.state_dict().items()}
    for name, module in model.named_modules():
        found[f"type of {name}"] = type(module).__name__
        for key, value in vars(module).items():
            if value is None or isinstance(value, str | int | float | bool | torch.Tensor):
                found[f"{name}.{key}"] = value
    return found


def differences(some: dict[str, Any], others: dict[str, Any]) -> list[str]:
    def same(one: Any, two: Any) -> bool:
        if isinstance(one, torch.Tensor) and isinstance(two, torch.Tensor):
            return torch.equal(one, two)
        return type(one) is type(two) and bool(one == two)

    return [key for key in some.keys() | others.keys() if not same(some.get(key), others.get(key))]


@pytest.mark.parametrize(("objective", "kind"), KINDS)
def test_probes_and_batches_leave_a_model_as_it_was(objective: Any, kind: str) -> None:
    model = tiny_model(kind, objective)
    before = traces(model)
    if objective == "causal":
        looks_ahead(model)
    for isolation in (padding_isolation(model, objective), probe_isolation(model, objective)):
        module = StepModule(model, isolation)
        assert row_problem(module, "fp32", 24) is None
        ids = torch.full((1, 6), 7)  # Funnel takes no fewer
        module(ids, ids, torch.arange(6)[None], torch.zeros_like(ids))
        assert differences(before, traces(model)) == []


@pytest.mark.parametrize(("objective", "kind"), KINDS)
def test_a_text_costs_the_same_after_a_shorter_one(
    objective: Any, kind: str, tmp_path: Path
) -> None:
    """As it costs in plain transformers with a model that has seen no other text."""
    tiny_model(kind, objective).save_pretrained(tmp_path)  # type: ignore[operator]
    save_words(tmp_path)
    loaded = load_model(ModelConfig(name=str(tmp_path)), objective)
    documents = _documents(objective, loaded)
    isolation = padding_isolation(loaded.model, objective)
    expected = [float(_alone(objective, loaded, tmp_path, one)) for one in documents]
    for order in ([0, 1, 2], [2, 1, 0]):
        found = [float(_ours(loaded, isolation, [documents[at]])) for at in order]
        assert found == pytest.approx([expected[at] for at in order], rel=1e-5)
    again = _ours(loaded, isolation, documents)
    assert again.tolist() == pytest.approx(expected, rel=1e-5)


def test_bigbird_in_plain_transformers_does_change() -> None:
    """Else the tests above would try nothing."""
    model = tiny_model("big_bird", "masked")
    before = traces(model)
    with torch.no_grad():
        model(input_ids=torch.full((1, 3), 7))
    assert "bert.attention_type" in differences(before, traces(model))


def test_rwkv_is_saved_with_the_weights_that_were_trained(tmp_path: Path) -> None:
    """Its evaluation divides them by powers of two, and a saved model would be divided again."""
    model = tiny_model("rwkv", "causal")
    weights = copy.deepcopy(model.state_dict())
    module = StepModule(model, padding_isolation(model, "causal"))
    ids = torch.full((1, 3), 7)
    with torch.no_grad():
        module.eval()(ids, ids, torch.arange(3)[None], torch.zeros_like(ids))
    model.save_pretrained(tmp_path)  # type: ignore[operator]
    saved = AutoModelForCausalLM.from_pretrained(tmp_path).state_dict()
    assert all(torch.equal(weights[name], saved[name]) for name in weights)


def test_a_model_that_was_used_before_is_put_right() -> None:
    model = tiny_model("rwkv", "causal")
    weights = copy.deepcopy(model.state_dict())
    with torch.no_grad():
        model(input_ids=torch.full((1, 3), 7), use_cache=False)  # by someone else
    assert not torch.equal(
        weights[name := "rwkv.blocks.1.attention.output.weight"], model.state_dict()[name]
    )
    with restored(model):
        pass
    assert all(torch.equal(weights[key], value) for key, value in model.state_dict().items())


class Writer(nn.Module):
    """A model that counts in its own weights."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self) -> None:
        with torch.no_grad():
            self.weight.add_(1)


def test_a_model_that_writes_into_its_weights_is_refused() -> None:
    model = Writer()
    with pytest.raises(ModelError, match="writes into its own weights"), restored(model):
        model()


def test_only_models_that_change_are_guarded() -> None:
    still = tiny_model("gpt2", "causal")
    looks_ahead(still)
    module, changing = nn.Linear(2, 2), tiny_model("big_bird", "masked")
    padding_isolation(changing, "masked")
    for model, guards in ((still, False), (changing, True), (module, False)):
        with guarded(model):
            model.mark = 1
        assert hasattr(model, "mark") != guards


def test_each_part_keeps_its_mode_and_no_random_number_is_missed() -> None:
    model = tiny_model("bert", "masked").train()
    model.bert.embeddings.eval()  # frozen by its owner
    modes = [module.training for module in model.modules()]
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    module = StepModule(model, probe_isolation(model, "masked"))
    row_problem(module, "fp32", 8, training=True)
    assert [part.training for part in model.modules()] == modes
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("length", [3, 40])
def test_bigbird_fills_a_long_text_as_transformers_does(length: int, tmp_path: Path) -> None:
    tiny_model("big_bird", "masked").save_pretrained(tmp_path)  # type: ignore[operator]
    save_words(tmp_path)
    loaded = load_model(ModelConfig(name=str(tmp_path)))
    ids = torch.arange(5, 5 + length)[None]
    plain = AutoModelForMaskedLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    with torch.no_grad():
        assert torch.allclose(loaded.model(input_ids=ids).logits, plain(input_ids=ids).logits)


def test_what_libraries_note_on_a_model_stays() -> None:
    """transformers puts its hooks on a mixture once and notes it; without the note, twice."""
    model = tiny_model("mixtral", "causal", output_router_logits=True)
    for _ in range(3):
        with restored(model):
            found = model(input_ids=torch.full((1, 3), 7), use_cache=False)
    assert len(found.router_logits) == model.config.num_hidden_layers
