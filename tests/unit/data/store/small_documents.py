"""A handful of documents of one-letter words, with their ids."""

from __future__ import annotations

from collections.abc import Iterator

from tokenizers import Tokenizer, models, pre_tokenizers

from nextfill.data.document import Document

WORDS = Tokenizer(models.WordLevel({w: i for i, w in enumerate("?abcdé")}, "?"))
WORDS.pre_tokenizer = pre_tokenizers.WhitespaceSplit()

TEXTS = ["a b c", "", "d", "a a a a a", "  ", "é b", "c"]
IDS = [[1, 2, 3], [], [4], [1] * 5, [], [5, 2], [3]]


def documents() -> Iterator[Document]:
    for number, text in enumerate(TEXTS):
        yield Document(text, 10 * number, {"kind": f"k{number % 2}"})
