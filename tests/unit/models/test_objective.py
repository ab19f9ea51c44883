"""What a model is for follows from its config, and a wrong use is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

import nextfill
from nextfill.cli.main import main
from nextfill.config import ModelConfig
from nextfill.core.errors import ModelError
from nextfill.core.shell_command import shell_command
from nextfill.models.objective import (
    choose_objective,
    default_objective,
    live_objective,
    objective_of,
)

TEXT = "a text with ___ in it"


def shape(kind: str, *architectures: str, **settings: Any) -> Any:
    return AutoConfig.for_model(kind, architectures=list(architectures) or None, **settings)


@pytest.mark.parametrize(
    ("config", "objective"),
    [
        (shape("gpt2"), "causal"),
        (shape("llama", "LlamaForCausalLM"), "causal"),
        (shape("mpnet"), "masked"),
        (shape("distilbert", "DistilBertModel"), "masked"),
        (shape("bert"), "masked"),
        (shape("bert", "BertForPreTraining"), "masked"),
        (shape("bert", "BertForMaskedLM"), "masked"),
        (shape("bert", "BertLMHeadModel", is_decoder=True), "causal"),
        (shape("bert", is_decoder=True), "causal"),
        (shape("roberta", "RobertaForMaskedLM"), "masked"),
        (shape("bart"), "causal"),
        (shape("bart", "BartForConditionalGeneration"), "causal"),
        (shape("vit"), None),
    ],
)
def test_the_objective_follows_from_the_model(config: Any, objective: str | None) -> None:
    assert default_objective(config) == objective


def test_another_use_is_refused_with_what_the_model_does() -> None:
    with pytest.raises(ModelError, match=r"masked language model, not a causal one.*nextfill fill"):
        choose_objective(shape("roberta", "RobertaForMaskedLM"), "causal", "my-roberta")
    with pytest.raises(ModelError, match=r"causal language model, not a masked.*nextfill generate"):
        choose_objective(shape("gpt2"), "masked", "gpt2")
    with pytest.raises(ModelError, match="neither a causal nor a masked"):
        choose_objective(shape("vit"), None, "a/vit")


def test_a_verb_without_the_setting_gives_no_advice_on_it(capsys):
    model = "builtin:base-masked"
    assert main(["generate", model, "Once"]) == 2
    told = capsys.readouterr().err
    assert "--objective" not in told
    assert told.endswith(f"It fills blanks: {shell_command('fill', model, TEXT)}\n")
    with pytest.raises(ModelError) as error:
        nextfill.generate(model, "Once")
    assert str(error.value).endswith(f"It fills blanks: nextfill.fill({model!r}, {TEXT!r})")


def test_a_live_model_tells_by_its_class() -> None:
    tiny = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "vocab_size": 20}
    config = shape("bert", num_attention_heads=1, **tiny)
    assert live_objective(AutoModelForMaskedLM.from_config(config), None, "live") == "masked"
    config.is_decoder = True
    assert live_objective(AutoModelForCausalLM.from_config(config), None, "live") == "causal"
    with pytest.raises(ModelError, match="not a masked one"):
        live_objective(AutoModelForCausalLM.from_config(config), "masked", "live")


@pytest.mark.parametrize(
    ("name", "settings", "objective"),
    [
        ("builtin:base-causal", {}, "causal"),
        ("builtin:base-masked", {}, "masked"),
        ("scratch:gpt2", {}, "causal"),
        ("scratch:roberta", {}, "masked"),
        ("scratch:roberta", {"is_decoder": True}, "causal"),
        ("scratch:nothing", {}, "causal"),
    ],
)
def test_data_are_prepared_for_the_objective_of_the_model(
    name: str, settings: dict[str, Any], objective: str
) -> None:
    config = ModelConfig(name=name, config=settings)
    assert objective_of(config, None) == objective
    assert objective_of(config, "masked") == "masked"


def test_it_is_read_off_a_folder_or_the_base_of_an_adapter(tmp_path: Path) -> None:
    shapes = {
        "causal": shape("bert", "BertLMHeadModel", is_decoder=True),
        "masked": shape("bert", "BertForMaskedLM"),
    }
    for expected, config in shapes.items():
        folder = tmp_path / f"model-{expected}"
        config.save_pretrained(folder)
        assert objective_of(ModelConfig(name=str(folder)), None) == expected
        adapter = tmp_path / f"adapter-{expected}"
        adapter.mkdir()
        (adapter / "adapter_config.json").write_text(
            json.dumps({"base_model_name_or_path": str(folder)}), encoding="utf-8"
        )
        assert objective_of(ModelConfig(name=str(adapter)), None) == expected
    (tmp_path / "tokenizer").mkdir()
    assert objective_of(ModelConfig(name=str(tmp_path / "tokenizer")), None) == "causal"
