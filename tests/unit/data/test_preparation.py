"""The two parts of a job's data: no text on both sides, and every token accounted for."""

import json

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from nextfill.config import BlocksConfig, DataConfig
from nextfill.core.errors import ConfigError, DataError
from nextfill.data.ledger import make_ledger
from nextfill.data.preparation import prepare_data
from nextfill.data.special_tokens import evaluation_frame, plan_training, training_frame
from nextfill.data.train_test_split import split_validation


@pytest.fixture(scope="module")
def tokenizer(tiny_tokenizer):
    return AutoTokenizer.from_pretrained(tiny_tokenizer)


@pytest.fixture
def write(tmp_path):
    def write(name, texts):
        path = tmp_path / name
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        return str(path)

    return write


def prepared(tokenizer, tmp_path, **data):
    return prepare_data(DataConfig(**data), tokenizer, seed=0, cache=tmp_path / "cache")


def test_a_tokenizer_that_makes_nothing_of_the_text_is_named_as_the_cause(tmp_path, write):
    core = Tokenizer(models.BPE({"<s>": 0}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    roles = dict.fromkeys(("bos_token", "eos_token"), "<s>")
    empty = PreTrainedTokenizerFast(tokenizer_object=core, **roles)
    source = write("a.jsonl", [f"text {n}" for n in range(30)])
    with pytest.raises(DataError, match=r"makes no token of any of its .*another tokenizer"):
        prepared(empty, tmp_path, source=source)


def ledger_of(ready, tokenizer, *, end_of_document=True, **blocks):
    frame = training_frame(tokenizer, end_of_document=end_of_document)
    plan = plan_training(ready.train, BlocksConfig(block_size=16, **blocks), frame)
    return make_ledger(ready, plan, evaluation_frame(tokenizer))


def texts_of(part, tokenizer):
    numbers = part.documents.tolist()
    return {tokenizer.decode(part.store.tokens(number).tolist()) for number in numbers}


SOURCES = [
    {},
    {"test_size": 0.3},
    {"eval_split": "train[30:]"},
    {"split": "train[:25]", "eval_split": "train[20:]"},
    {"explode": True},
]
BLOCKS = [{"packing": "best-fit"}, {"packing": "pad"}, {"packing": "concat"}]
BLOCKS += [{"packing": "concat", "window_rows": 7, "end_of_document": False}]


@pytest.mark.parametrize("data", SOURCES)
@pytest.mark.parametrize("blocks", BLOCKS)
def test_every_token_is_accounted_for_and_no_text_is_on_both_sides(
    data, blocks, tokenizer, write, tmp_path, paragraphs
):
    texts = paragraphs(30)
    source = write("a.jsonl", [*texts, *texts[:5], "", " ", texts[7], "one", "one"])
    ready = prepared(tokenizer, tmp_path, source=source, **data)
    ledger = ledger_of(ready, tokenizer, **blocks)
    assert ledger["tokens"] + ledger["separators"] == (
        ledger["trained"] + ledger["evaluated"] + sum(ledger["dropped"].values())
    )
    both = texts_of(ready.train, tokenizer) & texts_of(ready.held_out, tokenizer)
    assert {text for text in both if text.strip()} == set()


def test_training_texts_that_are_also_held_out_are_dropped_and_counted(
    tokenizer, write, tmp_path, paragraphs
):
    texts = paragraphs(20)
    source, other = write("a.jsonl", texts), write("b.jsonl", texts[15:] + paragraphs(3, seed=9))
    ready = prepared(tokenizer, tmp_path, source=source, eval_source=other)
    assert len(ready.train.documents) == 15
    also = sum(len(ids) for ids in tokenizer(texts[15:], add_special_tokens=False)["input_ids"])
    assert ledger_of(ready, tokenizer)["dropped"] == {"also held out": also}


def test_evaluating_on_the_training_data_is_refused(tokenizer, write, tmp_path, paragraphs):
    source = write("a.jsonl", paragraphs(5))
    with pytest.raises(DataError, match="Every training document also stands in the evaluation"):
        prepared(tokenizer, tmp_path, source=source, eval_source=source)


@pytest.mark.parametrize("other", [{"eval_source": "b.jsonl"}, {"eval_split": "train[:5]"}])
def test_two_ways_to_hold_out_are_refused(tokenizer, write, tmp_path, other, paragraphs):
    source = write("a.jsonl", paragraphs(5))
    with pytest.raises(ConfigError, match="not both"):
        prepared(tokenizer, tmp_path, source=source, test_size=0.2, **other)


def test_a_slice_of_a_built_in_corpus_keeps_its_held_out_modules(tokenizer, tmp_path):
    ready = prepared(tokenizer, tmp_path, source="builtin:stdlib-docs", split="train[:40]")
    assert len(ready.train.documents) == 40
    assert len(ready.held_out.documents) > 400
    assert ready.held_out.store.path != ready.train.store.path


@pytest.fixture
def write_folder(tmp_path, paragraphs):
    def write_folder(number):
        folder = tmp_path / "chapters"
        folder.mkdir()
        for at in range(number):
            text = "\n\n".join(paragraphs(40, seed=at + 1))
            (folder / f"chapter-{at}.txt").write_text(text)
        return str(folder)

    return write_folder


@pytest.mark.parametrize("number", [1, 2, 4])
def test_the_ends_of_few_files_are_held_out(number, tokenizer, tmp_path, write_folder):
    source = write_folder(number)
    ready = prepared(tokenizer, tmp_path, source=source)
    assert ready.held_out.num_texts == number
    assert ready.held_out.num_tokens < 0.2 * ready.train.store.num_tokens
    assert set(ready.train.rows["record"]) == set(ready.held_out.rows["record"])
    ledger = ledger_of(ready, tokenizer)
    assert ledger["files"] == ledger["records"] == number
    assert ledger["tokens"] + ledger["separators"] == (
        ledger["trained"] + ledger["evaluated"] + sum(ledger["dropped"].values())
    )
    assert len(list((tmp_path / "cache" / "stores").iterdir())) == 1  # read into tokens once
    again = prepared(tokenizer, tmp_path, source=source)
    assert again.reused
    assert (again.held_out.documents == ready.held_out.documents).all()


@pytest.mark.parametrize("size", [None, 0.05, 0.3, 2])
def test_a_validation_part_of_three_files(size, tokenizer, tmp_path, write_folder):
    source = write_folder(3)
    ready = prepared(tokenizer, tmp_path, source=source, validation_size=size)
    divided = split_validation(ready, size, seed=0)
    share = divided.validation.num_tokens / ready.train.num_tokens
    assert share == pytest.approx(2 / 3 if size == 2 else size or 0.05, abs=0.1)
    assert divided.held_out is ready.held_out
    assert divided.train.num_tokens + divided.validation.num_tokens == ready.train.num_tokens


def test_a_validation_part_that_nobody_sized_is_one_document_of_few(
    tokenizer, tmp_path, write_folder
):
    ready = prepared(tokenizer, tmp_path, source=write_folder(6))
    assert split_validation(ready, None, seed=0).validation.num_texts == 1
