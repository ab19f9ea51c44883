"""The public guide's job on the real ELI5 file, with a model of DistilGPT2's shape."""

import json

import pytest

from nextfill.cli import main

pytestmark = pytest.mark.trial


def run_json(capsys, *words):
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_thirty_steps_evaluated_and_generated_from(test_data, tmp_path, capsys):
    run = str(tmp_path / "run")
    result = run_json(
        capsys,
        *("train", "eli5-causal", "--out", run, "--max-steps", "30"),
        *("--model", "scratch:gpt2", "--tokenizer", str(test_data / "tokenizers" / "gpt2")),
        *("--set", "model.config.n_layer=6"),
        *("--data", str(test_data / "eli5_category" / "eli5-category-test.json.gz")),
    )
    assert result["steps"] == 30
    assert result["after"]["perplexity"] < 0.5 * result["before"]["perplexity"]
    ledger = result["ledger"]
    assert ledger["records"] == 5000
    assert ledger["tokens"] + ledger["separators"] == (
        ledger["trained"] + ledger["evaluated"] + sum(ledger["dropped"].values())
    )
    again = run_json(capsys, "evaluate", run)
    assert again["targets"] == result["after"]["targets"]
    assert again["nats"] == pytest.approx(result["after"]["nats"], rel=1e-6)
    prompt = "Somatic hypermutation allows the immune system to"
    texts = run_json(capsys, "generate", run, prompt, "--max-new-tokens", "20")
    assert texts[0]["generated_text"].startswith(prompt)
    print(result["before"]["perplexity"], result["after"]["perplexity"], texts)
