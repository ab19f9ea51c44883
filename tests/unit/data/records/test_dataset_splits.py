"""Dicts of splits and saved data sets of several: which is trained on, and which is held out."""

from __future__ import annotations

import logging

import datasets
import pytest

import nextfill
from nextfill.core.errors import ConfigError, DataError
from nextfill.data.records.sources import open_source

SIZES = {"train": 30, "test": 6, "validation": 4}


def splits(**sizes: int) -> dict[str, datasets.Dataset]:
    return {
        name: datasets.Dataset.from_list([{"text": f"{name} text {n}"} for n in range(size)])
        for name, size in sizes.items()
    }


FORMS = {
    "dict of lists": lambda found: {name: list(one) for name, one in found.items()},
    "dict of data sets": dict,
    "DatasetDict": datasets.DatasetDict,
    "IterableDatasetDict": lambda found: datasets.IterableDatasetDict(
        {name: one.to_iterable_dataset() for name, one in found.items()}
    ),
}


@pytest.fixture
def counts(tiny_tokenizer):
    """Prepare data, and count the documents of both parts."""

    def run(data, **settings):
        made = nextfill.prepare(data=data, tokenizer=str(tiny_tokenizer), **settings)
        return made.ledger["train_documents"], made.ledger["held_out_documents"]

    return run


def saved(folder, **sizes):
    datasets.DatasetDict(splits(**sizes)).save_to_disk(folder)
    return folder


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("sizes", "settings", "expected"),
    [
        (SIZES, {}, (30, 6)),
        ({"train": 30, "validation": 4}, {}, (30, 4)),
        ({"train": 30, "extra": 9}, {}, (27, 3)),
        (SIZES, {"eval_split": "validation"}, (30, 4)),
        (SIZES, {"eval_split": "test[:2]"}, (30, 2)),
        (SIZES, {"split": "train[:10]"}, (10, 6)),
        (SIZES, {"test_size": 3}, (27, 3)),
        (SIZES, {"split": "test", "test_size": 2}, (4, 2)),
        (SIZES, {"split": "validation", "eval_split": "test"}, (4, 6)),
        (SIZES, {"eval_data": ["other"] * 5}, (30, 5)),
    ],
)
def test_train_is_trained_on_and_test_is_held_out(form, sizes, settings, expected, counts):
    assert counts(FORMS[form](splits(**sizes)), **settings) == expected


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, (30, 6)),
        ({"eval_split": "validation"}, (30, 4)),
        ({"split": "train[:10]"}, (10, 6)),
        ({"test_size": 3}, (27, 3)),
        ({"split": "train+validation"}, (34, 6)),
        ({"split": "test", "test_size": 2}, (4, 2)),
    ],
)
def test_a_saved_data_set_of_several_splits_is_divided_likewise(
    settings, expected, counts, tmp_path
):
    assert counts(saved(tmp_path / "saved", **SIZES), **settings) == expected


def test_of_a_saved_one_validation_is_held_out_where_there_is_no_test(counts, tmp_path):
    assert counts(saved(tmp_path / "saved", train=30, validation=4)) == (30, 4)


def test_what_was_taken_is_told(counts, caplog, tmp_path):
    with caplog.at_level(logging.WARNING, "nextfill"):
        counts(datasets.DatasetDict(splits(**SIZES)))
        counts(saved(tmp_path / "saved", **SIZES))
    live, on_disk = (one for one in caplog.messages if "held out" in one)
    assert live == (
        "data, by split: the data are train (30 records); held out is test (6 records); "
        "not used: validation (4 records)"
    )
    assert "trained on is train, held out test, of the splits test, train, validation" in on_disk


@pytest.mark.parametrize(
    ("sizes", "settings", "words"),
    [
        ({"test": 5}, {}, "found the splits test, and none of them is called train"),
        (SIZES, {"split": "trian"}, "There is no split 'trian' .* Did you mean 'train'"),
        (SIZES, {"eval_split": "tset"}, "There is no split 'tset' .*eval_split"),
        (SIZES, {"split": "train+test"}, "names several splits of live data. Join them first"),
    ],
)
def test_mistakes(sizes, settings, words, counts):
    with pytest.raises(ConfigError, match=words):
        counts(splits(**sizes), **settings)


def test_mistakes_of_a_saved_one(counts, tmp_path):
    folder = saved(tmp_path / "saved", **SIZES)
    with pytest.raises(DataError, match=r"There is no split 'trian' .* Did you mean 'train'"):
        counts(folder, split="trian")
    with pytest.raises(DataError, match="There is no split 'train'"):
        counts(saved(tmp_path / "other", test=5))


def test_fingerprints_tell_the_splits_apart(tmp_path):
    folder = str(saved(tmp_path / "saved", a=5, b=5))
    specs = ("a", "b", "a+b", "b+a", "a[:2]+b[:2]+a[3:]", "a[:2]+b[:2]+b[3:]")
    assert len({open_source(folder, split=one).fingerprint for one in specs}) == len(specs)


def test_a_look_takes_them_too(tiny_tokenizer, tmp_path):
    for data in (splits(**SIZES), saved(tmp_path / "saved", **SIZES)):
        seen = nextfill.look(data=data, tokenizer=str(tiny_tokenizer), records=1)
        assert (seen.records, seen.num_documents) == ([{"text": "train text 0"}], 30)


def test_a_run_of_splits_goes_on_and_is_evaluated(tiny_model, tmp_path):
    data = datasets.DatasetDict(splits(**SIZES))
    job = {"data": data, "eval_split": "validation", "out": str(tmp_path / "run")}
    small = {"max_steps": 1, "batch_size": 1, "block_size": 16, "model": str(tiny_model)}
    first = nextfill.train(**job, **small)
    assert first.after.documents == 4
    assert nextfill.train(**job, resume=True).after == first.after
    assert nextfill.evaluate(first.run).documents == 4
    assert nextfill.evaluate(str(tiny_model), data=data).documents == 6


@pytest.mark.parametrize("form", ["dict of data sets", "DatasetDict", "IterableDatasetDict"])
def test_data_sets_are_splits_whatever_their_names(counts, form):
    halves = FORMS[form](splits(train_asks=30, test_asks=6))
    with pytest.raises(nextfill.ConfigError, match="none of them is called train"):
        counts(halves)
    assert counts(halves, split="train_asks", eval_split="test_asks") == (30, 6)


@pytest.mark.parametrize("fault", ["train", "test"])
def test_lists_of_texts_by_split_are_joined_in_every_split(fault):
    splits = {name: [["a", "b"]] * 9 if name == fault else ["a"] * 9 for name in ("train", "test")}
    with pytest.raises(DataError) as raised:
        nextfill.prepare(data=splits, model="builtin:base-causal")
    said = str(raised.value)
    assert said.startswith(f"data[{fault!r}], record 0: found a value of type list")
    typed = said.partition("Join its texts: data=")[2]
    joined = eval(typed, {"data": {"train": [["a", "b"]], "test": [["c"]]}})  # noqa: S307 - ours
    assert joined == {"train": ["a b"], "test": ["c"]}
