"""What is no setting is checked too: its type, its place; a result stands for its folder."""

from __future__ import annotations

from pathlib import Path

import pytest

import nextfill
from nextfill.api.arguments import folder_of
from nextfill.core.errors import ConfigError, NextfillError

WRONG = [None, 5, b"x", [], {}, Path("nope"), True, object()]
MODEL = "builtin:base-causal"
TAKES_NONE = ("prompt", "text")
TAKES_A_PATH = ("model", "run", "other")

CALLS = {
    "evaluate model": lambda one: nextfill.evaluate(one, quiet=True),
    "evaluate other": lambda one: nextfill.evaluate(MODEL, one, quiet=True),
    "generate model": lambda one: nextfill.generate(one, "The"),
    "generate prompt": lambda one: nextfill.generate(MODEL, one),
    "fill model": lambda one: nextfill.fill(one, "a ___"),
    "fill text": lambda one: nextfill.fill("builtin:base-masked", one),
    "report run": nextfill.report,
    "bundle run": nextfill.bundle,
    "share run": lambda one: nextfill.share(one, "me/notes"),
    "share repo": lambda one: nextfill.share("nope", one),
    "inspect_tokenizer tokenizers": lambda one: nextfill.inspect_tokenizer(one, data=["a b"]),
    "read_records data": lambda one: [*nextfill.read_records(one)],
    "train recipe": lambda one: nextfill.train(one, data=5),
    "login token": nextfill.login,
}


@pytest.mark.parametrize("value", WRONG, ids=[*map(repr, WRONG[:-1]), "object"])
@pytest.mark.parametrize("call", CALLS)
def test_an_argument_of_another_type_is_an_error_of_ours(call, value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    name = call.split()[1]
    if name in TAKES_NONE and value in (None, []):
        pytest.skip("a document begins, or there are no texts")
    with pytest.raises(NextfillError) as told:
        CALLS[call](value)
    message = str(told.value)
    assert " a int" not in message
    assert "object has no" not in message


@pytest.mark.parametrize("value", ["no", "yes", 2, []])
@pytest.mark.parametrize("name", ["quiet", "resume", "rewarm"])
def test_what_is_on_or_off_takes_no_word(name, value):
    with pytest.raises(ConfigError, match=rf"{name}: found .*\. Give True or False\.$"):
        nextfill.train(data=["a"], **{name: value})
    if name == "quiet":
        with pytest.raises(ConfigError, match=r"quiet: found"):
            nextfill.share("nope", "me/notes", quiet=value)


def test_a_number_is_no_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"^out: found 5\. Expected a text, such as out='5'\.$"):
        nextfill.train(data=["a"], out=5)
    with pytest.raises(ConfigError, match="text_field: found 5"):
        nextfill.prepare(data=[{"text": "a"}], text_field=5)
    assert not [*tmp_path.iterdir()]


def test_one_cause_is_told_once():
    with pytest.raises(ConfigError, match=r"^block_size: found True\. Expected a number\.$"):
        nextfill.train(data=["a"], block_size=True)


def test_texts_in_the_place_of_their_file_are_told_theirs():
    for verb in (nextfill.generate, nextfill.fill):
        with pytest.raises(
            ConfigError, match=r"It names a file; texts themselves follow the model"
        ):
            verb(MODEL, prompts=["The a", "The b"])


def test_texts_may_come_from_an_iterator():
    found = nextfill.generate(MODEL, (text for text in ("The", "A")), max_new_tokens=1)
    assert [one[0]["generated_text"].split(" ")[0][:1] for one in found] == ["T", "A"]


def test_a_result_stands_for_its_run_and_its_tokenizer(tmp_path):
    rows = [f"The river {number} was old." for number in range(40)]
    made = nextfill.train_tokenizer(data=rows, vocab_size=300, out=tmp_path / "words")
    job = {"data": rows, "max_steps": 1, "batch_size": 2, "block_size": 16, "quiet": True}
    result = nextfill.train(model=MODEL, out=tmp_path / "run", **job)
    assert folder_of(result) == result.run
    assert folder_of(made) == made.tokenizer
    assert nextfill.evaluate(result).nats == pytest.approx(result.after.nats)
    assert [*nextfill.evaluate(MODEL, result, data=rows).evaluations] == [MODEL, result.run]
    assert nextfill.generate(result, "The", max_new_tokens=1)
    assert nextfill.report(result) == Path(result.run) / "report.html"
    assert nextfill.bundle(result, out=str(tmp_path / "run.zip")).path.exists()
    assert nextfill.prepare(data=rows, tokenizer=made).blocks
    assert nextfill.look(data=rows, model=result).tokenizer == result.run
    again = nextfill.train(out=result, resume=True)
    assert again.after == result.after
    with pytest.raises(ConfigError, match=r"a TrainResult in place.*further, give model='"):
        nextfill.train(result)


def test_keywords_that_a_call_does_not_have_are_told():
    with pytest.raises(ConfigError, match=r"read_records has no text_field\. It takes data, split"):
        nextfill.read_records("notes.txt", text_field="x")
    with pytest.raises(ConfigError, match=r"login has no name\. It takes "):
        nextfill.login(name="x")


def test_a_row_longer_than_any_models_is_refused():
    for verb in (nextfill.prepare, nextfill.look, nextfill.packed_dataset):
        with pytest.raises(
            ConfigError, match=r"block_size: found 100000000\. Input should be less"
        ):
            verb(data=["a b c"] * 20, block_size=10**8)
