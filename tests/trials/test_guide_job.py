"""The public guides' jobs on the real ELI5 file, with models of DistilGPT2's and DistilRoBERTa's
shapes and random weights.

Takes about 15 minutes.
"""

import json

import pytest

from nextfill.cli.main import main
from tests.processes import kill_when, start, steps_taken

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
    check(result, 30, run_json(capsys, "evaluate", run))
    prompt = "Somatic hypermutation allows the immune system to"
    texts = run_json(capsys, "generate", run, prompt, "--max-new-tokens", "20")
    assert texts[0]["generated_text"].startswith(prompt)
    print(result["before"]["perplexity"], result["after"]["perplexity"], texts)


def test_fifty_masked_steps_killed_resumed_evaluated_and_filled_in(test_data, tmp_path, capsys):
    run = tmp_path / "run"
    job = [
        *("eli5-masked", "--out", run, "--max-steps", "50", "--save-every", "20"),
        *("--model", "scratch:roberta", "--tokenizer", test_data / "tokenizers" / "roberta"),
        *("--set", "model.config.num_hidden_layers=6"),
        *("--set", "model.config.max_position_embeddings=514"),
        *("--data", test_data / "eli5_category" / "eli5-category-test.json.gz"),
    ]
    kill_when(start(*job), lambda: steps_taken(run) >= 25, most_s=1800)
    result = run_json(capsys, "train", "--out", str(run), "--resume")
    check(result, 50, run_json(capsys, "evaluate", str(run)))
    text = "The Milky Way is a <mask> galaxy."
    answers = run_json(capsys, "fill", str(run), text, "--top-k", "3")
    assert len(answers) == 3
    with capsys.disabled():
        print(result["before"]["perplexity"], result["after"]["perplexity"], answers)
        print(json.dumps(result["ledger"]))


def check(result, steps, again):
    """Check what a run came to, and that it is found again."""
    assert result["steps"] == steps
    assert result["after"]["perplexity"] < 0.5 * result["before"]["perplexity"]
    ledger = result["ledger"]
    assert ledger["records"] == 5000
    assert ledger["tokens"] + ledger["separators"] == (
        ledger["trained"] + ledger["evaluated"] + sum(ledger["dropped"].values())
    )
    assert again["targets"] == result["after"]["targets"]
    assert again["nats"] == pytest.approx(result["after"]["nats"], rel=1e-6)
