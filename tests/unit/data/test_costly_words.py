"""The words that a tokenizer splits, counted in a store as in the text itself."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
from transformers import AutoTokenizer

from nextfill.config import DataConfig
from nextfill.data.costly_words import costly_words
from nextfill.data.parts import Part
from nextfill.data.preparation import prepare_part
from nextfill.data.store.store_cache import cache_dir


def part_of(tokenizer, texts, tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("\n\n".join(texts), "utf-8")
    return prepare_part(DataConfig(source=str(path)), tokenizer, cache=cache_dir())


def counted(tokenizer, texts):
    """Count each word's tokens less one, in the texts themselves."""
    saved: Counter[str] = Counter()
    for text in texts:
        for space, word in re.findall(r"( ?)([^\W\d_]+)", text):
            number = len(tokenizer.tokenize(space + word))
            saved[word] += number - 1
    return {word: number for word, number in saved.items() if number}


def test_words_are_counted_as_in_the_text(tiny_tokenizer, paragraphs, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(tiny_tokenizer)
    texts = [f"{one} Zeppelin, (Zeppelin)!" for one in paragraphs(30, 5)]
    texts.append("An albatross, and a yak: quixotic, both.")
    found = costly_words(part_of(tokenizer, texts, tmp_path), tokenizer)
    expected = counted(tokenizer, texts)
    assert {one.text: one.saved for one in found} == expected
    assert [one.text for one in found] == sorted(expected, key=lambda w: (-expected[w], w))
    assert next(one.count for one in found if one.text == "Zeppelin") == 60


def test_documents_of_the_part_alone_are_counted(tiny_tokenizer, paragraphs, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(tiny_tokenizer)
    texts = [*paragraphs(6), "Zeppelin Zeppelin", "Quebec Quebec"]
    whole = part_of(tokenizer, texts, tmp_path)
    without = Part(whole.store, np.arange(7))
    words = {one.text for one in costly_words(without, tokenizer)}
    assert "Zeppelin" in words
    assert "Quebec" not in words
    assert "Quebec" in {one.text for one in costly_words(whole, tokenizer)}


def test_what_is_no_word_is_not_among_them(tiny_tokenizer, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(tiny_tokenizer)
    texts = ["12345678 ///// Zeppelin 日本語日本語 <|endoftext|> " + "x" * 200]
    found = [one.text for one in costly_words(part_of(tokenizer, texts, tmp_path), tokenizer)]
    assert found == ["Zeppelin"]


@pytest.mark.parametrize("kind", ["wordpiece", "unigram"])
def test_words_of_other_tokenizers_have_no_marks_of_theirs(kind, paragraphs, tmp_path):
    from tests.unit.models.test_new_tokens import trained

    tokenizer = trained(kind)
    texts = [*paragraphs(8), "Quebec zeppelin, (zeppelin) zeppelin: quebecian."]
    found = {one.text: one for one in costly_words(part_of(tokenizer, texts, tmp_path), tokenizer)}
    assert found["zeppelin"].count == 3
    assert not {"zeppelin,", "(zeppelin)", "##in", "▁zeppelin"} & found.keys()
