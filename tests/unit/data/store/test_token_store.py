"""Several stores seen as one hold the documents of all, and number their records on."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from nextfill.data.document import Document, ReadCounts
from nextfill.data.store.encoder import Encoder
from nextfill.data.store.token_store import TokenStore, join_stores
from nextfill.data.store.writer import write_store

WORDS = Tokenizer(models.WordLevel({w: i for i, w in enumerate("?abcd")}, "?"))
WORDS.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
ENCODER = Encoder(WORDS, engine="tokenizers")


def make(path: Path, texts: list[str], *columns: str, field: str | None = None) -> TokenStore:
    documents = [
        Document(text, number, {name: f"{name}{number}" for name in columns})
        for number, text in enumerate(texts)
    ]
    counts = ReadCounts(len(texts) + 1, len(texts), 0, {"null": 1}, {}, len(texts), field)
    options = {"key": {}, "counts": counts, "name": path.name, "shard_tokens": 3}
    return write_store(path, iter(documents), ENCODER, **options)


@pytest.fixture
def stores(tmp_path):
    first = make(tmp_path / "first", ["a b", "c", "d d d d"], "kind", "place", field="text")
    return [
        first,
        make(tmp_path / "second", [], field="text"),
        make(tmp_path / "third", ["b", "a c"], "kind"),
    ]


def test_the_documents_of_all_in_their_order(stores):
    joined = join_stores(stores)
    assert joined.num_documents == 5
    assert joined.num_tokens == 10
    ids = [joined.tokens(number).tolist() for number in range(5)]
    assert ids == [[1, 2], [3], [4, 4, 4, 4], [2], [1, 3]]
    # Four records were read for the first store, one of which gave no document; one for the second.
    assert joined.documents["record"].tolist() == [0, 1, 2, 5, 6]
    assert joined.num_shards == sum(store.num_shards for store in stores)
    assert joined.columns("kind") == ["kind0", "kind1", "kind2", "kind0", "kind1"]
    with pytest.raises(Exception, match="'place' was not kept"):
        joined.columns("place")


def test_what_was_counted_is_added_up(stores):
    joined = join_stores(stores)
    counts = joined.meta["counts"]
    assert (counts["records"], counts["with_text"], counts["skipped"]) == (8, 5, {"null": 3})
    assert counts["text_field"] is None  # not the same in all
    assert join_stores(stores[:2]).meta["counts"]["text_field"] == "text"
    for name in ("bytes", "words", "tokens"):
        assert joined.meta["totals"][name] == sum(s.meta["totals"][name] for s in stores)


def test_the_digest_tells_the_order_and_the_texts(stores, tmp_path):
    digests = {
        join_stores(some).meta["content_sha256"]
        for some in (stores, stores[::-1], stores[:2], [stores[0], make(tmp_path / "x", ["b a"])])
    }
    assert len(digests) == 4


def test_one_store_is_itself(stores):
    assert join_stores(stores[:1]) is stores[0]


def test_joined_stores_are_joined_again(stores):
    twice = join_stores([join_stores(stores[:2]), stores[2]])
    once = join_stores(stores)
    assert twice.documents["record"].tolist() == once.documents["record"].tolist()
    assert [twice.tokens(n).tolist() for n in range(5)] == [
        once.tokens(n).tolist() for n in range(5)
    ]
