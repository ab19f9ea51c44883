"""What a tokenizer learns from is what training would train on, and not a text more."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import pre_tokenizers
from transformers import AutoTokenizer

from nextfill.config import DataConfig
from nextfill.core.errors import DataError
from nextfill.data.preparation import prepare_data
from nextfill.data.source_parts import open_parts, open_whole
from nextfill.data.train_test_split import split_validation
from nextfill.tokenizers.texts import divide, snippets, texts_to_inspect

TEXTS = st.text(
    st.sampled_from("ab'é \n\t\r\x1c\x85\u00a0\u3000.,1日😀") | st.characters(codec="utf-8"),
    max_size=80,
)


def nothing(label: str, done: int, total: int) -> None:
    pass


@given(TEXTS, st.integers(1, 30))
def test_snippets_are_cut_where_no_pre_tokenizer_joins(text, size):
    pieces = list(snippets(text, size))
    assert "".join(pieces) == text
    assert all(len(piece) >= size for piece in pieces[:-1])
    for rule in (
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        pre_tokenizers.BertPreTokenizer(),
    ):
        whole = [word for word, _ in rule.pre_tokenize_str(text)]
        assert [word for one in pieces for word, _ in rule.pre_tokenize_str(one)] == whole


@pytest.mark.parametrize("run", ["x" * 3500, "日" * 3500, "\r\n" * 1750, "a\u00a0" + " " * 3500])
def test_runs_without_an_end_are_cut(run):
    text = f"before {run} after"
    pieces = list(snippets(text))
    assert "".join(pieces) == text
    assert max(map(len, pieces)) <= 1000 + len("before a ")


@pytest.fixture
def file(tmp_path, paragraphs):
    """Records of two texts each, some of which stand in several records."""
    made = paragraphs(60)
    path = tmp_path / "texts.jsonl"
    records = [{"text": [made[n], made[(n * 7) % 60]]} for n in range(50)]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


SETTINGS = [
    {},
    {"explode": True},
    {"test_size": 0.3},
    {"test_size": 7, "join": " | "},
    {"validation_size": 0.2},
    {"split": "train[:30]", "eval_split": "train[25:40]"},
    {"eval_split": "train[40:]", "explode": True, "validation_size": 5},
]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("seed", [0, 3])
def test_the_division_is_that_of_training(file, tiny_tokenizer, tmp_path, settings, seed):
    data = DataConfig(source=file, **settings)
    tokenizer = AutoTokenizer.from_pretrained(tiny_tokenizer)
    prepared = prepare_data(data, tokenizer, seed=seed, cache=tmp_path / "cache")
    if data.validation_size is not None:
        prepared = split_validation(prepared, data.validation_size, seed)

    def texts_of(part):
        store = part.store
        return [tokenizer.decode(store.tokens(n).tolist()) for n in part.documents.tolist()]

    division = divide(data, seed, nothing)
    assert [one.text for one in division.learnt.documents()] == texts_of(prepared.train)
    assert [one.text for one in division.held_out.documents()] == texts_of(prepared.held_out)
    assert division.learnt.num_documents == len(prepared.train.documents)
    everything = prepared.train.store.num_documents
    assert division.left_out == everything - len(prepared.train.documents)
    assert division.learnt.num_characters == sum(map(len, texts_of(prepared.train)))
    assert not set(texts_of(prepared.train)) & set(texts_of(prepared.held_out))


def test_texts_are_read_again_and_again(file):
    learnt = divide(DataConfig(source=file), 0, nothing).learnt
    assert list(learnt) == list(learnt) != []


def test_what_is_inspected(file):
    def number(**settings):
        texts = texts_to_inspect(DataConfig(source=file, **settings), 0, nothing)
        return sum(1 for _ in texts.documents())

    assert number() == 50
    assert number(split="train[:20]") == 20
    assert number(test_size=5) == divide(DataConfig(source=file, test_size=5), 0, nothing).left_out


def test_a_source_that_holds_out_a_part_of_its_own():
    def held_out(**settings):
        return open_parts(DataConfig(source="builtin:stdlib-docs", **settings))[1]

    assert (
        held_out().fingerprint == open_whole(DataConfig(source="builtin:stdlib-docs")).fingerprint
    )
    assert held_out(test_size=0.1) is None
    assert held_out(split="test") is None  # the part itself is divided, as any text is


def test_nothing_to_learn_from(tmp_path):
    blank, same = tmp_path / "blank.txt", tmp_path / "same.txt"
    blank.write_text("\n\n  \n\n")
    same.write_text("one text\n\nanother text\n")
    with pytest.raises(DataError, match="holds no"):
        divide(DataConfig(source=str(blank)), 0, nothing)
    with pytest.raises(DataError, match="nothing is left to learn from"):
        divide(DataConfig(source=str(same), eval_source=str(same)), 0, nothing)
    empty = tmp_path / "empty.jsonl"
    empty.write_text('{"text": " "}\n{"text": null}\n')
    with pytest.raises(DataError, match="1 null and 1 empty at the text field"):
        divide(DataConfig(source=str(empty), text_field=None), 0, nothing)
    with pytest.raises(DataError, match="1 null and 1 empty at text"):
        list(texts_to_inspect(DataConfig(source=str(empty), text_field="text"), 0, nothing))


@pytest.mark.parametrize("number", [1, 3])
def test_few_documents_are_divided_before_their_ends(number, tmp_path, paragraphs):
    for at in range(number):
        (tmp_path / f"{at}.md").write_text("\n\n".join(paragraphs(40, seed=at)))
    data = DataConfig(source=str(tmp_path), validation_size=0.1)
    division = divide(data, 0, lambda *_: None)
    learnt, held = (
        [one.text for one in part.documents()] for part in (division.learnt, division.held_out)
    )
    assert len(learnt) == len(held) == number
    for at in range(number):
        whole = (tmp_path / f"{at}.md").read_text()
        assert whole.startswith(learnt[at])
        assert whole.endswith(held[at])
        assert len(learnt[at]) == pytest.approx(0.81 * len(whole), rel=0.05)


def test_documents_in_pieces_are_counted_as_documents(tiny_tokenizer, tmp_path, paragraphs):
    folder = tmp_path / "chapters"
    folder.mkdir()
    for at in range(3):
        (folder / f"{at}.txt").write_text("\n\n".join(paragraphs(40, seed=at)))
    data = DataConfig(source=str(folder))
    tokenizer = AutoTokenizer.from_pretrained(tiny_tokenizer)
    division = divide(data, 0, nothing)
    trained = prepare_data(data, tokenizer, seed=0, cache=tmp_path / "cache").train.joined()
    assert division.learnt.num_documents == len(trained.documents) == 3
    assert division.held_out.num_documents == division.left_out == 3
