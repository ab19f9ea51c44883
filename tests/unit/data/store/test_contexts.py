from __future__ import annotations

import json

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from nextfill.data.document import Document, ReadCounts
from nextfill.data.store.encoder import Encoder
from nextfill.data.store.store_cache import join_stores
from nextfill.data.store.token_store import CONTEXTS, TokenStore
from nextfill.data.store.writer import write_store

PAIRS = [
    ("How many trees? ", "Twelve trees."),
    ("", "Nothing stands before this."),
    ("a word that goes on in both: un", "break able"),
    ("Ünï ", "çödé 🙂"),
    ("x", "y"),
]
TEXTS = [before + text for before, text in PAIRS] * 8


def trained(pre_tokenizer, decoder, normalizer=None, byte_alphabet=False):
    made = Tokenizer(models.BPE(unk_token=None if byte_alphabet else "?"))
    made.pre_tokenizer, made.decoder = pre_tokenizer, decoder
    if normalizer is not None:
        made.normalizer = normalizer
    alphabet = pre_tokenizers.ByteLevel.alphabet() if byte_alphabet else list("▁")
    specials = [] if byte_alphabet else ["<unk>"]
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=alphabet, special_tokens=specials, show_progress=False
    )
    made.train_from_iterator(TEXTS, trainer)
    return made


@pytest.fixture(params=["bytes", "bytes with a space", "metaspace", "first metaspace", "prepend"])
def tokenizer(request):
    """Tokenizers that put nothing before a text, and three kinds that put a space before it."""
    kind = request.param
    if "bytes" in kind:
        space = kind != "bytes"
        pre = pre_tokenizers.ByteLevel(add_prefix_space=space)
        return trained(pre, decoders.ByteLevel(), byte_alphabet=True)
    if kind == "prepend":  # as Llama 2 has it
        steps = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        undone = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
        return trained(pre_tokenizers.Split("~", "isolated"), undone, steps)
    scheme = "first" if kind.startswith("first") else "always"
    return trained(
        pre_tokenizers.Metaspace(prepend_scheme=scheme), decoders.Metaspace(prepend_scheme=scheme)
    )


def store_of(path, pairs, tokenizer, **options):
    documents = [
        Document(before + text, number, context=len(before))
        for number, (before, text) in enumerate(pairs)
    ]
    counts = ReadCounts(len(pairs), len(pairs), context_field="prompt", text_field="completion")
    return write_store(
        path, documents, Encoder(tokenizer, "tokenizers"), key={}, counts=counts, **options
    )


def test_a_context_has_the_tokens_of_a_prompt_and_all_spell_the_record(tmp_path, tokenizer):
    store = store_of(tmp_path / "s", PAIRS, tokenizer, shard_tokens=12)
    assert store.num_shards > 1
    for number, (before, text) in enumerate(PAIRS):
        count = int(store.contexts["tokens"][number])
        ids = store.tokens(number).tolist()
        assert ids[:count] == tokenizer.encode(before, add_special_tokens=False).ids
        spelled = tokenizer.decode(ids, skip_special_tokens=False)
        # Byte-level decoders keep the space that was put before the first word.
        assert spelled.removeprefix(" ") == before + text
        if not before:
            assert ids == tokenizer.encode(text, add_special_tokens=False).ids


def test_sizes_of_a_context_are_what_the_text_leaves(tmp_path, tokenizer):
    store = store_of(tmp_path / "s", PAIRS, tokenizer)
    rest = {unit: store.documents[unit] - store.contexts[unit] for unit in ("bytes", "words")}
    assert rest["bytes"].tolist() == [len(text.encode()) for _, text in PAIRS]
    assert rest["words"].tolist() == [len(text.split()) for _, text in PAIRS]
    assert store.contexts["characters"].tolist() == [len(before) for before, _ in PAIRS]


def test_a_store_without_contexts_is_what_it_was(tmp_path, tokenizer):
    plain = [Document(before + text, number) for number, (before, text) in enumerate(PAIRS)]
    encoder = Encoder(tokenizer, "tokenizers")
    store = write_store(tmp_path / "s", plain, encoder, key={}, counts=ReadCounts(5, 5))
    assert store.contexts is None
    assert not list(store.path.rglob(CONTEXTS))
    meta = json.loads((store.path / "meta.json").read_text("utf-8"))
    assert "context_field" not in meta["counts"]


def test_another_boundary_is_other_content(tmp_path, tokenizer):
    one = store_of(tmp_path / "one", [("ab", "cd")], tokenizer)
    other = store_of(tmp_path / "other", [("abc", "d")], tokenizer)
    assert one.meta["content_sha256"] != other.meta["content_sha256"]


def test_contexts_are_there_after_joining_with_a_store_of_none(tmp_path, tokenizer):
    encoder = Encoder(tokenizer, "tokenizers")
    plain = write_store(
        tmp_path / "p", [Document("x y", 0)], encoder, key={}, counts=ReadCounts(1, 1)
    )
    store = store_of(tmp_path / "s", PAIRS, tokenizer)
    joined = join_stores([plain, store])
    assert joined.contexts["tokens"].tolist() == [0, *store.contexts["tokens"].tolist()]
    assert joined.meta["counts"]["context_field"] == "prompt"
    again = TokenStore.open(store.path)
    assert np.array_equal(again.contexts, store.contexts)
