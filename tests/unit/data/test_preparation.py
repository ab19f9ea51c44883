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
    with pytest.raises(DataError, match=r"makes no token of any of its .* documents.*--tokenizer"):
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
