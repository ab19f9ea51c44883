"""The verbs of the public API on data that the program holds."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import nextfill


@pytest.fixture
def texts(paragraphs: Callable[..., list[str]]) -> list[str]:
    return paragraphs(40)


@pytest.fixture
def settings(tiny_model: Path, tmp_path: Path) -> dict[str, Any]:
    small = {"block_size": 64, "batch_size": 4, "max_steps": 2, "precision": "fp32"}
    return {"model": str(tiny_model), "device": "cpu", "out": str(tmp_path / "run"), **small}


def as_file(texts: list[str], path: Path) -> Path:
    import json

    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return path


def test_a_run_on_texts_is_the_run_on_their_file(
    texts: list[str], settings: dict[str, Any], tmp_path: Path
) -> None:
    live = nextfill.train(data=(text for text in texts), **settings)
    file = as_file(texts, tmp_path / "texts.jsonl")
    same = nextfill.train(data=file, **{**settings, "out": str(tmp_path / "same")})
    assert (live.before, live.after, live.ledger) == (same.before, same.after, same.ledger)


def test_a_run_remembers_its_data(
    texts: list[str], settings: dict[str, Any], tmp_path: Path
) -> None:
    done = nextfill.train(data=texts, eval_data=texts[:3] + ["a text of its own"] * 2, **settings)
    recorded = tomllib.loads((tmp_path / "run" / "config.toml").read_text("utf-8"))["data"]
    assert Path(recorded["source"]).name.startswith("40-texts.")
    assert Path(recorded["eval_source"]).name.startswith("5-texts.")
    assert nextfill.evaluate(done.run).nats == pytest.approx(done.after.nats, rel=1e-6)
    recipe = tmp_path / "run" / "config.toml"
    again = nextfill.train(recipe, out=str(tmp_path / "again"))
    assert again.after == done.after


def test_a_run_goes_on_with_the_same_data_and_refuses_others(
    texts: list[str], settings: dict[str, Any]
) -> None:
    done = nextfill.train(data=texts, **settings)
    assert nextfill.train(out=settings["out"], resume=True).after == done.after
    assert nextfill.train(out=settings["out"], data=iter(texts), resume=True).after == done.after
    with pytest.raises(nextfill.NextfillError, match="data: the run has"):
        nextfill.train(out=settings["out"], data=texts[1:], resume=True)


def test_a_run_directory_is_named_by_what_was_passed(
    texts: list[str], settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    del settings["out"]
    assert Path(nextfill.train(data=texts, **settings).run).name.endswith("-40-texts")


def test_evaluate_and_prepare_take_live_data(texts: list[str], tiny_model: Path) -> None:
    everything = nextfill.evaluate(tiny_model, data=texts, block_size=64)
    assert everything.documents == len(texts)
    prepared = nextfill.prepare(
        data=[{"body": text, "n": 1} for text in texts],
        eval_data=({"body": text} for text in ["other words"]),
        model=tiny_model,
        text_field="body",
    )
    assert prepared.ledger["documents"] == len(texts) + 1
    in_section = nextfill.prepare(data={"source": texts, "split": "train[:20]"}, model=tiny_model)
    assert in_section.ledger["documents"] == 20


def test_an_iterator_is_kept_until_the_settings_are_right(
    texts: list[str], settings: dict[str, Any]
) -> None:
    taken: list[str] = []

    def stream() -> Iterator[str]:
        for text in texts:
            taken.append(text)
            yield text

    with pytest.raises(nextfill.NextfillError, match="learnig_rate"):
        nextfill.train(data=stream(), learnig_rate=1.0, **settings)
    Path(settings["out"]).mkdir()
    (Path(settings["out"]) / "mine").touch()
    with pytest.raises(nextfill.NextfillError, match="is not empty"):
        nextfill.train(data=stream(), **settings)
    assert taken == []


def test_messages_name_what_was_passed_and_the_record(
    texts: list[str], settings: dict[str, Any], tmp_path: Path
) -> None:
    records: list[dict[str, Any]] = [{"a": text} for text in texts]
    with pytest.raises(
        nextfill.NextfillError, match=r"^40 records from Python \(record 0\): .*'b'"
    ):
        nextfill.train(data=records, text_field="b", **settings)
    records[7] = {"a": 5}
    with pytest.raises(nextfill.NextfillError, match=r"^40 records from Python \(record 7\)"):
        nextfill.train(data=records, text_field="a", **settings)
    with pytest.raises(nextfill.NextfillError, match=r"^40 records from Python \(record 7\)"):
        nextfill.train(data=records, text_field="a", split="train[5:]", **settings)
    done = nextfill.train(data=texts, **settings)
    for file in Path(
        str(tomllib.loads((Path(done.run) / "config.toml").read_text("utf-8"))["data"]["source"])
    ).parent.iterdir():
        file.unlink()
    with pytest.raises(nextfill.NextfillError, match="40 texts from Python are no longer"):
        nextfill.evaluate(done.run)


def test_records_are_read_changed_and_passed_on(texts: list[str], tmp_path: Path) -> None:
    path = as_file(texts, tmp_path / "texts.jsonl")
    records = nextfill.read_records(path, split="train[2:30]")
    assert next(records) == {"text": texts[2]}
    changed = ({"text": record["text"].upper()} for record in records)
    assert nextfill.prepare(data=changed, test_size=5).ledger["records"] == 27
    with pytest.raises(nextfill.NextfillError, match="no such file"):
        nextfill.read_records(tmp_path / "text.jsonl")


def test_evaluation_sets_take_live_data(
    texts: list[str], settings: dict[str, Any], tmp_path: Path
) -> None:
    sets = {"lists": ["some other words"] * 3, "dicts": {"source": iter([{"a": "b"}]), "join": ","}}
    done = nextfill.train(data=texts, evaluation={**sets, "stride": 8}, **settings)
    assert {name: one.after.documents for name, one in done.sets.items()} == {
        "lists": 3,
        "dicts": 1,
    }
    recorded = tomllib.loads((tmp_path / "run" / "config.toml").read_text("utf-8"))["evaluation"]
    assert Path(recorded["lists"]["source"]).name.startswith("3-texts.")
    assert recorded["dicts"]["join"] == ","
    assert recorded["stride"] == 8
    wrong = {"a": {"source": ["a text"], "text_feild": "b"}}
    with pytest.raises(nextfill.NextfillError, match="Did you mean 'text_field'"):
        nextfill.train(data=texts, evaluation=wrong, **{**settings, "out": str(tmp_path / "b")})


def test_transformers_speaks_again_afterwards(texts: list[str], tiny_model: Path) -> None:
    from transformers.utils import logging

    logging.set_verbosity_info()
    try:
        nextfill.prepare(data=texts, model=tiny_model)
        assert logging.get_verbosity() == logging.INFO
        assert logging.is_progress_bar_enabled()
    finally:
        logging.set_verbosity_warning()
