"""`evaluate --pseudo` and `evaluate --out`, as a user types them."""

from __future__ import annotations

import contextlib
import io
import json
import math
from pathlib import Path

import pytest

import nextfill
from nextfill.cli.main import main

MASKED = Path(__file__).parents[1] / "numerics" / "minicons"
SENTENCES = json.loads(MASKED.with_suffix(".json").read_text("utf-8"))["sentences"][:8]
PLAIN = {"word_perplexity", "byte_perplexity", "bits_per_byte"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "sentences.txt"
    path.write_text("\n".join(SENTENCES) + "\n", encoding="utf-8")
    return ["--data", str(path), "--txt", "line"]


@pytest.fixture
def evaluate(data):
    """Run `evaluate` on the sentences; return status, stdout and stderr."""

    def run(model, *words):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = main(["evaluate", str(model), *data, *map(str, words)])
        return status, out.getvalue(), err.getvalue()

    return run


def lines(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.mark.parametrize("kind", ["roberta", "bert"])
@pytest.mark.parametrize("metric", ["original", "within-word"])
def test_figures_by_names_of_their_own(evaluate, tmp_path, kind, metric):
    out = tmp_path / "scores.jsonl"
    words = ["--pseudo", "--pseudo-metric", metric, "--out", out, "--json"]
    status, printed, err = evaluate(MASKED / kind, *words)
    assert status == 0, err
    found = json.loads(printed)
    recorded = json.loads(MASKED.with_suffix(".json").read_text("utf-8"))
    theirs = recorded["log_probabilities"][kind][metric][: len(SENTENCES)]
    assert found["nats"] == pytest.approx(-sum(map(sum, theirs)), abs=1e-4)
    assert found["targets"] == sum(map(len, theirs))
    assert found["pseudo_metric"] == metric
    assert found["pseudo_log_likelihood"] == -found["nats"]
    nats, size = found["nats"], sum(len(text.encode()) for text in SENTENCES)
    assert found["pseudo_perplexity"] == found["perplexity"]
    assert found["perplexity"] == pytest.approx(math.exp(nats / found["targets"]))
    assert found["pseudo_bits_per_byte"] == pytest.approx(nats / math.log(2) / size)
    assert found["pseudo_byte_perplexity"] == pytest.approx(math.exp(nats / size))
    per_word = math.exp(nats / sum(len(text.split()) for text in SENTENCES))
    assert found["pseudo_word_perplexity"] == pytest.approx(per_word)
    assert {found[name] for name in PLAIN} == {None}

    written = lines(out)
    assert [line["record"] for line in written] == list(range(len(SENTENCES)))
    for line, text, one in zip(written, SENTENCES, theirs, strict=True):
        spelled = "".join(word["word"] for word in line["words_scored"])
        assert spelled.replace(" ", "") == (text.lower() if kind == "bert" else text).replace(
            " ", ""
        )
        assert kind == "bert" or spelled == text
        assert line["nats"] == pytest.approx(-sum(one), abs=1e-4)
        assert sum(word["nats"] for word in line["words_scored"]) == pytest.approx(line["nats"])
        assert sum(word["tokens"] for word in line["words_scored"]) == line["targets"] == len(one)
        assert line["bytes"] == len(text.encode())
        assert line["words"] == len(text.split())


def test_from_python_it_is_the_same(evaluate, data, tmp_path):
    _, printed, _ = evaluate(MASKED / "roberta", "--pseudo", "--json")
    out = tmp_path / "python.jsonl"
    found = nextfill.evaluate(
        MASKED / "roberta", data=data[1], txt="line", pseudo=True, out=out, quiet=True
    )
    assert found.pseudo is not None
    assert found.pseudo.metric == "within-word"
    assert found.to_json()["nats"] == json.loads(printed)["nats"]
    assert len(lines(out)) == len(SENTENCES)
    assert "pseudo-perplexity (within-word)" in repr(found)


def test_for_a_person_the_table_says_which(evaluate):
    status, printed, err = evaluate(MASKED / "bert", "--pseudo", "--pseudo-metric", "original")
    assert status == 0
    for name in ("log-likelihood", "perplexity (original)", "word perplexity", "bits per byte"):
        assert f"pseudo-{name}" in printed
    assert "hiding one token after another" in err
    assert "tokens (original)" in err


def test_documents_of_other_evaluations_have_no_words(evaluate, tiny_model, tmp_path):
    for number, model in enumerate((MASKED / "bert", tiny_model)):
        out = tmp_path / f"{number}.jsonl"
        status, printed, err = evaluate(model, "--out", out, "--json")
        assert status == 0, err
        found, written = json.loads(printed), lines(out)
        assert {"pseudo_perplexity", "pseudo_metric"}.isdisjoint(found)
        assert len(written) == found["documents"]
        for name in ("nats", "targets", "bytes", "characters", "words"):
            assert sum(line[name] for line in written) == pytest.approx(found[name])
        assert list(written[0]) == ["record", "nats", "targets", "bytes", "characters", "words"]


def test_documents_without_a_target_are_counted(tmp_path, capsys):
    """Of a few words perhaps none is masked; with --pseudo all of them are."""
    data, out = tmp_path / "letters.txt", tmp_path / "scores.jsonl"
    data.write_text("\n".join("abcdefghijklmnop"), encoding="utf-8")
    words = ["evaluate", str(MASKED / "bert"), "--data", str(data), "--txt", "line"]
    assert main([*words, "--out", str(out)]) == 0
    count = len(lines(out))
    assert 0 < count < 16
    assert (
        f"in no figure, as nothing of them can be scored: {16 - count} without a token to score"
        in capsys.readouterr().err
    )
    assert main([*words, "--pseudo"]) == 0
    assert "without a token to score" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "telling"),
    [
        (["--pseudo-metric", "original"], "--pseudo-metric says how --pseudo hides a token"),
        (["--pseudo", "--pseudo-metric", "l2r"], "'original' or 'within-word'"),
        (["--pseudo", "--stride", "4"], "--stride slides a causal model's window"),
        (["--stride", "4"], "--stride slides a causal model's window"),
        (["--pseudo", "--mask-rate", "0.3"], "--mask-rate chooses what is masked, and --pseudo"),
        (["--pseudo", "--mask-seed", "3"], "--mask-seed chooses what is masked, and --pseudo"),
        (["--pseudo", "--block-size", "2"], "2 special tokens around a text"),
        (["--out", "scores.csv"], "the name has to end in .jsonl"),
        (["--out", "no/scores.jsonl"], "there is no folder"),
    ],
)
def test_what_cannot_be_asked_is_refused(evaluate, words, telling, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, printed, err = evaluate(MASKED / "bert", *words)
    assert (status, printed) == (2, "")
    assert telling in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_a_causal_model_has_no_pseudo_likelihood(evaluate, tiny_model):
    status, _, err = evaluate(tiny_model, "--pseudo")
    assert status == 2
    assert "a causal model's log-likelihood is exact: leave --pseudo out" in err


def test_a_file_that_is_there_is_left(evaluate, tmp_path):
    out = tmp_path / "scores.jsonl"
    out.write_text("precious")
    status, _, err = evaluate(MASKED / "bert", "--pseudo", "--out", out)
    assert status == 2
    assert "is there already" in err
    assert out.read_text() == "precious"
