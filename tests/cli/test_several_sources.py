"""Several sources in one job: each with its own field and split, no text on both sides."""

from __future__ import annotations

import json
import tomllib

import jsonschema
import pytest

import nextfill
from nextfill.cli.main import main
from nextfill.config import DataConfig, TrainConfig
from nextfill.config.layers import build, keyword_assignments
from nextfill.config.recipe_file import read_recipe, to_toml
from nextfill.config.resolve import train_config
from nextfill.data.preparation import prepare_data

RECIPE = """
[model]
name = "{model}"

[blocks]
block_size = 64

[training]
max_steps = 2
batch_size = 2

[[data]]
source = "answers.jsonl"
text_field = "answers.text"
test_size = 6

[[data]]
source = "notes.txt"
split = "train[:30]"

[[data]]
source = "builtin:stdlib-docs"
split = "train[:20]"
eval_split = "test[:5]"
"""


@pytest.fixture
def here(tmp_path, monkeypatch, tiny_model):
    """A folder with two files and a recipe of three sources; the files have texts in common."""
    shared = [f"the river carries leaf number {n}" for n in range(8)]
    answers = [
        {"answers": {"text": [text]}} for text in [*shared, *(f"an answer {n}" for n in range(40))]
    ]
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in answers))
    (tmp_path / "notes.txt").write_text("\n\n".join([*shared, *(f"note {n}" for n in range(40))]))
    (tmp_path / "several.toml").write_text(RECIPE.format(model=tiny_model))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_json(capsys, *words):
    assert main([*map(str, words), "--json", "--quiet"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def test_a_run_over_three_sources(here, capsys):
    trained = run_json(capsys, "train", "several.toml", "--out", "run")
    ledger = trained["ledger"]
    assert list(ledger["sources"]) == ["answers.jsonl", "notes.txt", "builtin:stdlib-docs"]
    held_out = {name: one["held_out_documents"] for name, one in ledger["sources"].items()}
    assert held_out == {"answers.jsonl": 6, "notes.txt": 3, "builtin:stdlib-docs": 5}
    assert ledger["held_out_documents"] == trained["after"]["documents"] == 14
    assert ledger["documents"] == 48 + 30 + 20 + 5
    made = ledger["tokens"] + ledger["separators"]
    assert made == ledger["trained"] + ledger["evaluated"] + sum(ledger["dropped"].values())
    evaluated = run_json(capsys, "evaluate", "run")
    assert evaluated["targets"] == trained["after"]["targets"]
    assert evaluated["nats"] == pytest.approx(trained["after"]["nats"], rel=1e-6)
    again = run_json(capsys, "train", "run/config.toml", "--out", "again")
    assert again["after"] == trained["after"]
    assert (here / "run/events.jsonl").read_bytes() == (here / "again/events.jsonl").read_bytes()
    assert "answers.jsonl" in (here / "run/model/README.md").read_text("utf-8")
    assert str(here) not in (here / "run/model/README.md").read_text("utf-8")
    assert "answers.jsonl" in (here / "run/report.html").read_text("utf-8")


def test_it_resumes(here, capsys):
    whole = run_json(capsys, "train", "several.toml", "--out", "whole")
    run_json(capsys, "train", "several.toml", "--out", "cut")
    for name in ("model", "report.html"):
        (here / "cut" / name).rename(here / f"old-{name}")
    resumed = run_json(capsys, "train", "--out", "cut", "--resume")
    assert resumed["after"] == whole["after"]


def test_no_text_stands_on_both_sides(here, tiny_model):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    config = train_config("several.toml", [])
    for seed in range(4):
        prepared = prepare_data(config.data, tokenizer, seed=seed, cache=here / "cache")
        rows = prepared.train.store.documents
        train, held_out = (
            {tuple(pair) for pair in rows["hash"][part.documents].tolist()}
            for part in (prepared.train, prepared.held_out)
        )
        assert not train & held_out
        records = rows["record"]
        assert not set(records[prepared.train.documents]) & set(
            records[prepared.held_out.documents]
        )
    assert any(
        prepare_data(config.data, tokenizer, seed=seed, cache=here / "cache").dropped
        for seed in range(4)
    )  # the texts that both files have


def test_what_is_said_for_all_holds_for_each_that_says_nothing(here):
    given, problems = keyword_assignments(TrainConfig, {"test_size": 2, "text_field": "body"})
    each = train_config("several.toml", given, problems).data.each
    assert [one.test_size for one in each] == [6, 2, 2]
    assert [one.text_field for one in each] == ["answers.text", "body", "body"]


def test_one_source_takes_the_place_of_several_and_several_of_one(here):
    given, _ = keyword_assignments(TrainConfig, {"data": "notes.txt"})
    data = train_config("several.toml", given).data
    assert (len(data.each), data.source) == (1, str(here / "notes.txt"))
    sources = [
        DataConfig(source="notes.txt"),
        DataConfig(source="answers.jsonl", split="train[:9]"),
    ]
    given, problems = keyword_assignments(TrainConfig, {"data": sources})
    data = train_config(None, given, problems).data
    assert [one.source for one in data.each] == [
        str(here / "notes.txt"),
        str(here / "answers.jsonl"),
    ]
    assert [one.split for one in data.each] == [None, "train[:9]"]


def test_from_python(here):
    sources = [
        nextfill.DataConfig(source="answers.jsonl", text_field="answers.text"),
        nextfill.DataConfig(source="notes.txt", txt="line"),
    ]
    prepared = nextfill.prepare(data=sources)
    assert prepared.ledger["documents"] == 48 + 95
    assert len(prepared.stores) == 2
    again = nextfill.prepare(data=sources)
    assert again.reused
    assert again.ledger == prepared.ledger
    alone = nextfill.prepare(data=sources[1:])
    assert alone.ledger["documents"] == 95


def test_a_recipe_of_several_is_written_and_allowed(here):
    config = train_config("several.toml", [])
    (here / "again.toml").write_text(to_toml(config))
    tree = tomllib.loads(to_toml(config))
    assert [one["source"] for one in tree["data"]][1:] == [
        str(here / "notes.txt"),
        "builtin:stdlib-docs",
    ]
    assert build(TrainConfig, [read_recipe("again.toml")]).data.each == config.data.each
    jsonschema.validate(tree, nextfill.recipe_schema())


@pytest.mark.parametrize(
    ("table", "telling"),
    [
        ('split = "train"', "table 2: found no source"),
        (
            'source = "a.txt"\nsplt = "train"',
            "table 2: splt: there is no such setting. Did you mean 'split'?",
        ),
        ('source = "a.txt"\nexplode = "perhaps"', "table 2: explode: found 'perhaps'"),
        (
            'source = "-"',
            "standard input, and addresses that hold a secret, cannot be",
        ),
        ('source = "https://me:secret@example.org/a.txt"', "cannot be among several"),
        ('source = "none.txt"', "there is no such file"),
    ],
)
def test_mistakes(here, capsys, table, telling):
    (here / "bad.toml").write_text(f'[[data]]\nsource = "notes.txt"\n\n[[data]]\n{table}\n')
    assert main(["train", "bad.toml", "--quiet"]) == 2
    err = capsys.readouterr().err
    assert telling in " ".join(err.split())
    assert "secret@" not in err
    assert not (here / "runs").exists()


def test_a_tokenizer_is_learnt_from_one_source(here):
    with pytest.raises(nextfill.NextfillError, match="several sources where one is expected"):
        nextfill.train_tokenizer(
            data=[DataConfig(source="notes.txt"), DataConfig(source="answers.jsonl")], out="tok"
        )


def test_a_source_may_lack_a_field_that_another_has(here, capsys, caplog, tiny_model):
    rows = [{"text": f"a text of the team, {n}", "meta": {"team": "ab"[n % 2]}} for n in range(20)]
    (here / "with.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sources = ["notes.txt", "with.jsonl", "answers.jsonl"]
    fields = {"answers.jsonl": 'text_field = "answers.text"'}
    tables = [f'[[data]]\nsource = "{one}"\n{fields.get(one, "")}\n' for one in sources]
    head = RECIPE.partition("[[data]]")[0].format(model=tiny_model)
    (here / "several.toml").write_text(head + "".join(tables))
    for out in ("one", "two"):  # the second time from the cache
        trained = run_json(capsys, "train", "several.toml", "--by", "meta.team", "--out", out)
        assert "(none)" in trained["after"]["groups"]
        assert {"a", "b"} & set(trained["after"]["groups"])
    assert "notes.txt: has no field 'meta.team'" in caplog.text
    assert "with.jsonl: has no" not in caplog.text
    assert main(["train", "several.toml", "--by", "meta.taem", "--out", "three"]) == 2
    assert "found no field 'meta.taem' (--by, or keep_fields)" in capsys.readouterr().err


@pytest.mark.parametrize("lacking", ["train", "held-out"])
def test_one_of_training_and_held_out_data_may_lack_a_field(
    here, capsys, caplog, tiny_model, lacking
):
    rows = [{"text": f"a text of the team, {n}", "team": "ab"[n % 2]} for n in range(20)]
    files = {"train": "some.jsonl", "held-out": "other.jsonl"}
    for part, name in files.items():
        of_part = [{"text": row["text"] + part} if part == lacking else row for row in rows]
        (here / name).write_text("".join(json.dumps(row) + "\n" for row in of_part))
    words = [
        "train",
        "--model",
        str(tiny_model),
        "--data",
        "some.jsonl",
        "--eval-data",
        "other.jsonl",
    ]
    words += ["--max-steps", "1", "--block-size", "8"]
    trained = run_json(capsys, *words, "--by", "team", "--out", "one")
    assert set(trained["after"]["groups"]) == ({"a", "b"} if lacking == "train" else {"(none)"})
    assert f"{files[lacking]}: has no field 'team'" in caplog.text
    assert main([*words, "--by", "taem", "--out", "two"]) == 2
    assert "found no field 'taem' (--by, or keep_fields)" in capsys.readouterr().err
