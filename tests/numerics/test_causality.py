"""No model that sees what it is to predict is trained, scored or used as a causal one."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

import nextfill
from nextfill.cli.main import main
from nextfill.config import ModelConfig
from nextfill.core.errors import ConfigError, ModelError
from nextfill.models.collator import Collator
from nextfill.models.documents.causality import looks_ahead
from nextfill.models.load import load_model
from tests.architectures import as_json, save_words, tiny_config, tiny_model
from tests.representative import often
from tests.trials.architecture_table import moves_earlier_logits

ENCODERS = ["bert", "roberta", "electra", "camembert", "megatron-bert", "rembert", "roformer"]
OPENED: dict[str, dict[str, Any]] = {
    **{kind: {} for kind in ENCODERS},
    "bert-generation": {},
    "xlnet": {},
    "xlm": {"is_decoder": True},
    "big_bird": {},
    "llama": {"is_causal": False},
    "gemma3_text": {"use_bidirectional_attention": True},
}
"""Types that look ahead with these settings, many with those that transformers gives them."""

OFTEN = ["bert", "roformer", "xlnet", "xlm", "big_bird", "llama", "gemma3_text"]
HONEST = ["gpt2", "llama", "gemma3_text", "mixtral", "mamba", "rwkv", "bart", "opt", "xmod"]


@pytest.fixture
def saved(tmp_path: Path) -> Any:
    """Return a function that saves a tiny causal model as a user would have it."""

    def save(kind: str, **settings: Any) -> Path:
        folder = tmp_path / kind
        tiny_model(kind, "causal", **settings).save_pretrained(folder)  # type: ignore[operator]
        save_words(folder)
        return folder

    return save


@pytest.fixture(scope="module")
def random_words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts of 50 words, all equally likely: nothing tells which comes next."""
    rng = random.Random(7)
    texts = [" ".join(f"w{rng.randrange(5, 55):02d}" for _ in range(30)) for _ in range(200)]
    file = tmp_path_factory.mktemp("words") / "random.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return file


@pytest.mark.parametrize("kind", often(OPENED, OFTEN))
def test_a_model_that_looks_ahead_is_put_right_and_told(saved: Any, kind: str) -> None:
    folder = saved(kind, **OPENED[kind])
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    assert moves_earlier_logits(plain)
    assert looks_ahead(plain)
    loaded = load_model(ModelConfig(name=str(folder)), "causal")
    assert loaded.changes
    assert all(change in str(loaded.change_note) for change in loaded.changes)
    assert not moves_earlier_logits(loaded.model)


@pytest.mark.parametrize("kind", HONEST)
@pytest.mark.parametrize("scale", often([0.1, 1.0, 10.0], [10.0]))
def test_an_honest_model_is_left_as_it_is(saved: Any, kind: str, scale: float) -> None:
    settings = {"is_decoder": True} if kind == "xmod" else {}
    model = tiny_model(kind, "causal", **settings)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale)
    assert not moves_earlier_logits(copy.deepcopy(model))
    assert not looks_ahead(model)
    assert load_model(ModelConfig(name=str(saved(kind, **settings)))).changes == ()


@pytest.mark.parametrize("kind", ["cpmant", "prophetnet", "reformer"])
def test_what_no_setting_puts_right_is_refused_by_name(saved: Any, kind: str) -> None:
    with pytest.raises(ModelError, match=f"{kind} is a .* that looks ahead"):
        load_model(ModelConfig(name=str(saved(kind))))


def test_a_new_model_that_would_look_ahead_once_trained_is_refused(saved: Any) -> None:
    """ProphetNet's bias by distance begins so small that its leak is less than rounding."""
    config = tiny_config("prophetnet")
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    weights = copy.deepcopy(model.state_dict())
    assert not looks_ahead(model)
    assert looks_ahead(model, new=True)
    after = model.state_dict()
    assert all(torch.equal(weights[name], after[name]) for name in weights)
    save_words(folder := saved("gpt2"))
    keys = ("hidden_size", "num_encoder_layers", "num_decoder_layers", "decoder_ffn_dim")
    shape = {key: getattr(config, key) for key in keys}
    scratch = ModelConfig(name="scratch:prophetnet", tokenizer=str(folder), config=shape)
    with pytest.raises(ModelError, match="looks ahead"):
        load_model(scratch)


def test_a_live_model_that_looks_ahead_is_refused_with_what_to_set(saved: Any) -> None:
    folder = saved("bert")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = load_model(ModelConfig(name=str(folder)), "causal").tokenizer
    with pytest.raises(ModelError, match="load or make it with is_decoder=true"):
        nextfill.generate(model, "w05", tokenizer=tokenizer)
    with pytest.raises(ModelError, match="load or make it with is_decoder=true"):
        Collator(model)


def test_xlm_that_is_causal_by_its_own_setting_is_causal(saved: Any) -> None:
    loaded = load_model(ModelConfig(name=str(saved("xlm", causal=True))))
    assert loaded.objective == "causal"
    assert loaded.changes == ()


def test_random_words_are_not_foreseen_by_any_command(
    saved: Any, random_words: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was put right is told, recorded and saved, for training, evaluation and generation."""
    folder, run = saved("bert"), tmp_path / "run"
    words = [f"--data={random_words}", f"--cache-dir={tmp_path / 'cache'}"]
    train = ["train", f"--model={folder}", "--objective=causal", f"--out={run}", *words]
    train += ["--max-steps=60", "--batch-size=16", "--learning-rate=5e-3", "--block-size=32"]
    assert main([*train, "--json"]) == 0
    captured = capsys.readouterr()
    assert "is_decoder=true" in captured.err
    after = json.loads(captured.out)["after"]
    assert after["perplexity"] > 45
    assert json.loads((run / "measured.json").read_text())["changed_settings"] == [
        "is_decoder=true"
    ]
    assert AutoConfig.from_pretrained(run / "model").is_decoder
    assert main(["evaluate", str(folder), "--objective=causal", *words]) == 0
    captured = capsys.readouterr()
    assert "is_decoder=true" in captured.out + captured.err
    assert main(["generate", str(folder), "w05 w06", "--max-new-tokens=3"]) == 0
    assert "is_decoder=true" in capsys.readouterr().err


@pytest.fixture
def perceiver(tmp_path: Path) -> Path:
    folder = tmp_path / "perceiver"
    tiny_model("perceiver", "masked").save_pretrained(folder)  # type: ignore[operator]
    save_words(folder)
    return folder


def test_logits_that_are_not_one_row_a_token_are_refused(perceiver: Path) -> None:
    with pytest.raises(ModelError, match="no table with a row for each token"):
        load_model(ModelConfig(name=str(perceiver)))


def test_a_shape_that_does_not_compute_is_a_message(saved: Any, random_words: Path) -> None:
    """Such as heads that do not fit their rotary part, which only a forward pass shows."""
    job: dict[str, Any] = {"data": random_words, "tokenizer": str(saved("gpt2"))}
    shape = {"n_embd": 32, "n_head": 2, "n_layer": 1, "rotary_dim": 64}
    with pytest.raises((ModelError, ConfigError), match="does not take rows of token ids alone"):
        nextfill.train(model={"name": "scratch:gptj", "config": shape}, **job)


def test_the_configuration_is_the_users_own_but_for_what_is_changed(saved: Any) -> None:
    folder = saved("roberta")
    loaded = load_model(ModelConfig(name=str(folder)), "causal")
    expected = AutoConfig.from_pretrained(folder)
    expected.is_decoder = True
    assert as_json(loaded.model.config) == as_json(expected)
