"""The attention that is asked for is the one that computes, and changes no figure that matters."""

import json

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

import nextfill
from nextfill.cli.main import main
from nextfill.config import ModelConfig
from nextfill.core.errors import ConfigError
from nextfill.models.libraries import attention_of
from nextfill.models.load import load_model


@pytest.mark.parametrize("asked", ["eager", "sdpa"])
def test_a_model_of_a_folder_and_a_new_one_take_it(asked, tiny_model, tiny_tokenizer):
    loaded = load_model(ModelConfig(name=str(tiny_model), attn_implementation=asked))
    assert attention_of(loaded.model) == asked
    new = ModelConfig(
        name="scratch:llama",
        tokenizer=str(tiny_tokenizer),
        attn_implementation=asked,
        config={
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
        },
    )
    assert attention_of(load_model(new).model) == asked


def test_without_it_the_model_has_what_transformers_takes(tiny_model):
    assert attention_of(load_model(ModelConfig(name=str(tiny_model))).model) == "sdpa"


@pytest.mark.parametrize("name", ["scratch:bloom", "scratch:mamba"])
def test_a_model_without_it_is_refused_by_name(name, tiny_tokenizer):
    config = ModelConfig(
        name=name,
        tokenizer=str(tiny_tokenizer),
        attn_implementation="sdpa",
        config={"hidden_size": 16},
    )
    with pytest.raises(ConfigError, match=rf"--attn-implementation sdpa: {name} does not take it"):
        load_model(config)


def test_a_live_model_keeps_its_own(tiny_model, text_file):
    model, tokenizer = (
        kind.from_pretrained(tiny_model) for kind in (AutoModelForCausalLM, AutoTokenizer)
    )
    with pytest.raises(ConfigError, match=r"set it where you make the model, model\.set_attn"):
        nextfill.evaluate(model, tokenizer=tokenizer, data=text_file, attn_implementation="eager")


def test_a_run_records_it_and_is_scored_and_gone_on_with_by_it(
    tiny_model, text_file, tmp_path, capsys
):
    runs = {}
    for asked in ("eager", "sdpa"):
        runs[asked] = run = tmp_path / asked
        words = ["--model", tiny_model, "--data", text_file, "--max-steps", 4, "--quiet"]
        words += ["--attn-implementation", asked, "--block-size", 32, "--precision", "fp32"]
        assert main(["train", *map(str, [*words, "--out", run])]) == 0
        measured = json.loads((run / "measured.json").read_bytes())
        assert (measured["attention"], measured["isolation"]) == (asked, "positions")
        assert f'attn_implementation = "{asked}"' in (run / "config.toml").read_text("utf-8")
        assert '"_attn' not in (run / "model/config.json").read_text("utf-8")
    eager, sdpa = (results(run) for run in runs.values())
    assert eager.nats == pytest.approx(sdpa.nats, rel=1e-5)
    assert main(["evaluate", str(runs["eager"]), "--quiet", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["nats"] == eager.nats
    words = ["train", "--out", str(runs["eager"]), "--resume", "--quiet"]
    assert main([*words, "--attn-implementation", "sdpa"]) == 2
    assert "the run has 'eager', not 'sdpa'" in capsys.readouterr().err
    assert main(words) == 0


def results(run):
    from nextfill.runs.reader import train_result

    return train_result(run).after


@pytest.mark.parametrize(
    "words",
    [
        ["generate", "{causal}", "Leaf", "--max-new-tokens", "3", "--greedy"],
        ["fill", "{masked}", "Leaf ___ river", "--top-k", "2"],
        ["evaluate", "{causal}", "builtin:base-causal", "--data", "{data}", "--json"],
    ],
)
def test_it_serves_where_a_model_is_used(words, tiny_model, tiny_masked, text_file, capsys):
    names = {"causal": tiny_model, "masked": tiny_masked, "data": text_file}
    words = [word.format(**names) for word in words]
    said = []
    for asked in ("eager", "sdpa"):
        assert main([*words, "--attn-implementation", asked, "--quiet"]) == 0
        said.append(capsys.readouterr().out)
    if words[0] == "evaluate":
        figures = [json.loads(text)["evaluations"] for text in said]
        said = [[round(one["nats"], 2) for one in each.values()] for each in figures]
    assert said[0] == said[1]


def test_what_reads_no_model_refuses_it(text_file, capsys):
    words = ["--data", str(text_file), "--attn-implementation", "eager"]
    assert main(["prepare", *words]) == 2
    assert "for training and for using a model" in capsys.readouterr().err
    assert main(["train", *words[:2], "--attn-implementation", "flash"]) == 2
    assert "should be 'eager' or 'sdpa'" in capsys.readouterr().err
