"""Records of a context and what is learnt after it, from the source to the report and the card."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch

import nextfill
from nextfill.cli.main import main
from nextfill.core.errors import ConfigError, DataError, ModelError

NUMBER = 60


@pytest.fixture
def rows(paragraphs):
    """Records of a prompt and a completion."""
    return [
        {"prompt": f"{n}. {text[:60]}", "completion": text[60:180]}
        for n, text in enumerate(paragraphs(NUMBER))
    ]


@pytest.fixture
def pairs(rows, tmp_path):
    """The records as a file of JSON lines."""
    return write_lines(tmp_path / "pairs.jsonl", rows)


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


@pytest.fixture
def job(tiny_model):
    return {
        **{"model": tiny_model, "device": "cpu", "precision": "fp32", "batch_size": 4},
        **{"max_steps": 6, "block_size": 64, "quiet": True},
    }


def steps_of(run):
    lines = (run / "events.jsonl").read_text("utf-8").splitlines()
    events = [json.loads(line) for line in lines]
    return [(one["nats"], one["targets"]) for one in events if one["event"] == "step"]


def bytes_of(rows):
    return sum(len(row["completion"].encode()) for row in rows)


def test_every_source_gives_the_same_run(job, rows, pairs, tmp_path):
    """JSON lines, CSV with other names, Parquet, dicts and a data set: the figures are equal."""
    datasets = pytest.importorskip("datasets")
    table = tmp_path / "pairs.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["answer", "question"])
        writer.writerows((row["completion"], row["prompt"]) for row in rows)
    made = datasets.Dataset.from_list([{"id": 1, **row} for row in rows])
    made.to_parquet(tmp_path / "pairs.parquet")
    named = {"context_field": "question"}
    sources = [
        {"data": pairs},
        {"data": table, "text_field": "answer", **named},
        {"data": table, **named},
        {"data": tmp_path / "pairs.parquet"},
        {"data": rows},
        {"data": made},
    ]
    results = [
        nextfill.train(out=tmp_path / f"run{n}", **job, **source)
        for n, source in enumerate(sources)
    ]
    first = results[0].after
    assert first.nats > 0
    assert {(one.after.nats, one.after.targets, one.after.bytes) for one in results} == {
        (first.nats, first.targets, first.bytes)
    }
    ledger = results[0].ledger
    assert (ledger["text_field"], ledger["context_field"]) == ("completion", "prompt")
    assert ledger["context_tokens"] + ledger["target_tokens"] == ledger["tokens"]
    assert ledger["tokens"] + ledger["separators"] == (
        ledger["trained"] + ledger["evaluated"] + sum(ledger["dropped"].values())
    )
    assert ledger["records"] == NUMBER
    assert ledger["bytes"] == bytes_of(rows) + sum(len(row["prompt"].encode()) for row in rows)


def test_figures_are_of_completions_and_reports_say_so(job, rows, pairs, tmp_path, capsys):
    run = tmp_path / "run"
    held = write_lines(tmp_path / "held.jsonl", rows[:9])
    learnt = write_lines(tmp_path / "learnt.jsonl", rows[9:])
    result = nextfill.train(data=learnt, eval_data=held, out=run, **job)
    assert result.after.bytes == bytes_of(rows[:9])
    assert result.after.documents == 9
    assert all(0 < targets < 4 * 64 for _, targets in steps_of(run))
    report = (run / "report.html").read_text("utf-8")
    assert "that come after prompt, as do all that are scored" in report
    card = (run / "model" / "README.md").read_text("utf-8")
    assert "What stands in prompt was neither learnt nor scored: it is given." in card
    assert main(["evaluate", str(run), "--out", str(tmp_path / "d.jsonl")]) == 0
    printed = capsys.readouterr()
    assert "completion after prompt" in printed.out
    assert "tokens are context and are not scored" in printed.err
    lines = [json.loads(line) for line in (tmp_path / "d.jsonl").read_text("utf-8").splitlines()]
    assert [one["bytes"] for one in lines] == [len(r["completion"].encode()) for r in rows[:9]]
    again = nextfill.evaluate(run, quiet=True)
    assert (again.nats, again.targets) == (result.after.nats, result.after.targets)
    shown = nextfill.evaluate(run, show=1, quiet=True).texts[0]
    unscored = "".join(token.text for token in shown.tokens if token.nats is None)
    assert unscored == rows[shown.record]["prompt"]


def test_a_stream_and_a_run_that_goes_on_end_the_same(job, pairs, tmp_path):
    job |= {"data": pairs, "streaming": True, "portion_size": 0.004, "schedule": "constant"}
    whole = nextfill.train(out=tmp_path / "whole", **job)
    assert whole.ledger["stream"]["portions"] > 1
    part = whole.ledger
    assert part["context_tokens"] + part["target_tokens"] == part["tokens"]
    nextfill.train(out=tmp_path / "part", **{**job, "max_steps": 3})
    resumed = nextfill.train(out=tmp_path / "part", resume=True, max_steps=6)
    assert resumed.after.nats == whole.after.nats
    assert steps_of(tmp_path / "part") == steps_of(tmp_path / "whole")


def test_records_that_lack_something_are_counted(rows, tmp_path, tiny_tokenizer):
    rows[1]["completion"] = " \n"
    rows[2]["completion"] = None
    del rows[3]["completion"]
    rows[4]["prompt"] = None
    del rows[5]["prompt"]
    rows[6]["prompt"] = ""
    path = write_lines(tmp_path / "holes.jsonl", rows)
    made = nextfill.prepare(data=path, tokenizer=tiny_tokenizer, quiet=True)
    assert made.ledger["skipped"] == {
        **{"empty completion": 1, "null": 1, "missing": 1},
        **{"context null": 1, "context missing": 1},
    }
    assert made.ledger["documents"] == NUMBER - 5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "--context-field completion --text-field completion",
            "--context-field and --text-field both name completion",
        ),
        ("--context-field prompt --explode", "leave one of them out"),
        ("--context-field promt", "pairs.jsonl:1: found no field 'promt' (--context-field)"),
        ("--context-field number", "pairs.jsonl:1: the field 'number' holds a number"),
        ("--context-field a..b", "--context-field 'a..b' has an empty name"),
        ("--objective masked", "prompt is context, of which nothing is learnt"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    fails, rows, here, tiny_tokenizer, masked_tokenizer, words, message
):
    write_lines(here / "pairs.jsonl", [{"number": 3, **row} for row in rows])
    tokenizer = masked_tokenizer if "masked" in words else tiny_tokenizer
    words = ["--data", "pairs.jsonl", "--tokenizer", tokenizer, *words.split()]
    assert message in fails("prepare", *words)


def test_a_completion_after_a_first_record_without_one_is_named(fails, rows, here, tiny_tokenizer):
    del rows[0]["completion"]
    write_lines(here / "pairs.jsonl", rows)
    said = fails("prepare", "--data", "pairs.jsonl", "--tokenizer", tiny_tokenizer)
    assert "pairs.jsonl:2: found a completion beside the prompt" in said
    assert "--text-field completion, with --context-field prompt" in said


def test_a_program_is_told_keywords(rows, tiny_tokenizer):
    job = {"data": rows, "tokenizer": tiny_tokenizer, "quiet": True}
    with pytest.raises(ConfigError, match=r"context_field= and text_field= both name"):
        nextfill.prepare(context_field="completion", text_field="completion", **job)
    with pytest.raises(DataError, match=r"\(context_field=\)"):
        nextfill.prepare(context_field="other", **job)


def test_a_masked_model_is_refused_in_training_and_evaluation(pairs, tiny_masked, tmp_path):
    job = {"data": pairs, "quiet": True}
    with pytest.raises(DataError, match="a masked one sees what follows a blank"):
        nextfill.train(model=tiny_masked, objective="masked", out=tmp_path / "run", **job)
    with pytest.raises(DataError, match="a masked one sees what follows a blank"):
        nextfill.evaluate(tiny_masked, **job)
    seen = nextfill.look(objective="masked", model=tiny_masked, **job)
    assert "a masked one sees what follows a blank" in seen.problem


def test_a_look_shows_context_and_text_apart(pairs, rows, tiny_tokenizer):
    seen = nextfill.look(data=pairs, tokenizer=tiny_tokenizer, block_size=64, quiet=True)
    assert (seen.text_field, seen.context_field) == ("completion", "prompt")
    assert seen.contexts[0] == rows[0]["prompt"]
    assert seen.documents[0] == rows[0]["completion"]
    assert 0 < seen.context_tokens < seen.num_tokens
    assert 0 < seen.example.without_target < len(seen.example.tokens)
    text = seen.text()
    for words in ("context: prompt, before the text", "  its context: ", "with a target)"):
        assert words in text
    uses = {one.path: one.use for one in seen.fields}
    assert uses == {"completion": "taken", "prompt": "context"}


def test_the_text_alone_is_as_it_was(pairs, rows, tiny_tokenizer):
    made = nextfill.prepare(
        data=pairs, text_field="completion", tokenizer=tiny_tokenizer, quiet=True
    )
    assert "context_tokens" not in made.ledger
    assert made.ledger["bytes"] == bytes_of(rows)


def test_few_documents_are_held_out_whole(rows, tiny_tokenizer, tmp_path):
    path = write_lines(tmp_path / "three.jsonl", rows[:3])
    made = nextfill.prepare(data=path, tokenizer=tiny_tokenizer, quiet=True)
    assert made.ledger["documents"] == 3
    assert made.ledger["held_out_documents"] == 1


def test_packed_blocks_have_labels_after_contexts_alone(rows, tiny_model, tiny_tokenizer):
    job = {"data": rows, "tokenizer": tiny_tokenizer, "quiet": True, "block_size": 32}
    blocks = nextfill.packed_dataset(packing="pad", **job)
    labels = [blocks[n]["labels"] for n in range(len(blocks))]
    assert all((one != -100).any() for one in labels)
    assert sum(int((one != -100).sum()) for one in labels) == blocks.num_targets
    assert blocks.plan.dropped["in blocks without a target"] > 0
    learnt = "".join(row["completion"] for row in rows)
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_tokenizer)
    whole = nextfill.packed_dataset(**{**job, "block_size": 128}, packing="pad")
    ids = np.concatenate([whole[n]["labels"].numpy() for n in range(len(whole))])
    spelled = tokenizer.decode(ids[ids != -100], skip_special_tokens=True)
    assert spelled == learnt
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    collator = nextfill.Collator(model)
    batch = collator([blocks[0], blocks[1]])
    assert torch.isfinite(model(**batch).loss)
    bare = [{k: v for k, v in blocks[n].items() if k != "position_ids"} for n in range(2)]
    with pytest.raises(ModelError, match="remove_unused_columns=False"):
        collator(bare)


def test_the_same_question_is_no_leak_of_another_answer(paragraphs, tiny_tokenizer):
    question, answers = paragraphs(1)[0], paragraphs(40, seed=7)
    rows = [
        {"prompt": f"{question}\n", "completion": f"{n} {text}"} for n, text in enumerate(answers)
    ]
    job = {"tokenizer": tiny_tokenizer, "quiet": True, "test_size": 5}
    assert nextfill.prepare(data=rows, **job).ledger["leaks"]["near"] == 0
    near = [{**row, "completion": f"Near {answers[0]} {n}"} for n, row in enumerate(rows)]
    assert nextfill.prepare(data=near, **job).ledger["leaks"]["near"] == 5


def test_several_sources_some_with_contexts(rows, pairs, text_file, job, tmp_path):
    each = [nextfill.DataConfig(source=str(pairs)), nextfill.DataConfig(source=str(text_file))]
    result = nextfill.train(data=each, out=tmp_path / "run", **job)
    assert result.ledger["context_field"] == "prompt"
    assert 0 < result.ledger["context_tokens"] < result.ledger["target_tokens"]


def test_a_further_set_may_have_contexts(rows, text_file, pairs, job, tmp_path):
    further = {"source": str(pairs), "context_field": "prompt"}
    job |= {"data": text_file, "evaluation": {"asked": further}}
    result = nextfill.train(out=tmp_path / "run", **job)
    assert result.sets["asked"].after.bytes == bytes_of(rows)


@pytest.mark.parametrize("verb", ["train", "evaluate", "prepare", "packed_dataset"])
@pytest.mark.parametrize("given", [{}, {"text_field": "completion", "context_field": "prompt"}])
def test_contexts_of_a_masked_model_are_refused_before_the_data_are_read(
    rows, here, tiny_masked, verb, given
):
    path = write_lines(here / "pairs.jsonl", rows)
    with path.open("a", encoding="utf-8") as lines:
        lines.write("{this line is no JSON\n")
    job = {"data": str(path), "quiet": True, **given}
    models = (str(tiny_masked),) if verb == "evaluate" else ()
    keywords = {} if models else {"model": str(tiny_masked)}
    with pytest.raises(DataError, match=r"pairs.jsonl: prompt is context, of which nothing"):
        getattr(nextfill, verb)(*models, **keywords, **job)
