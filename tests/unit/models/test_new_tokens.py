"""New words in tokenizers of all kinds: found whole, not in longer words, and nothing else."""

from __future__ import annotations

import json
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer, BertConfig, GPT2Config, LlamaConfig, PreTrainedTokenizerFast

from nextfill.core.errors import ConfigError, ModelError
from nextfill.models.new_tokens import check_saved, check_words, extend_tokenizer

TEXTS = [
    "the quick brown fox jumps over the lazy dog, and (so they say) over the old stone wall",
    "Zanzibar and Quebec: an engine for tensors with torches, 12 of them; it's gradually better!",
] * 10
WORDS = ["autograd", "Zeppelin", "quickfox"]


def trained(kind: str) -> PreTrainedTokenizerFast:
    unknown, start, end = special = ["<unk>", "<s>", "</s>"]
    if kind == "byte-level":
        core = Tokenizer(models.BPE())
        core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        core.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=330, special_tokens=special, initial_alphabet=alphabet, show_progress=False
        )
    elif kind == "wordpiece":
        core = Tokenizer(models.WordPiece(unk_token=unknown))
        core.normalizer = normalizers.BertNormalizer(lowercase=True)
        core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        core.decoder = decoders.WordPiece()
        trainer = trainers.WordPieceTrainer(
            vocab_size=120, special_tokens=special, show_progress=False
        )
    elif kind == "unigram":
        core = Tokenizer(models.Unigram())
        core.normalizer = normalizers.NFKC()
        core.pre_tokenizer = pre_tokenizers.Metaspace()
        core.decoder = decoders.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=80, special_tokens=special, unk_token=unknown, show_progress=False
        )
    else:  # a line is one word, as for Llama 2
        core = Tokenizer(models.BPE(unk_token=unknown, fuse_unk=True))
        core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
        core.decoder = decoders.Metaspace(prepend_scheme="first", split=False)
        trainer = trainers.BpeTrainer(vocab_size=150, special_tokens=special, show_progress=False)
    core.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=core, unk_token=unknown, bos_token=start, eos_token=end
    )


@cache
def pair(kind: str):
    tokenizer = trained(kind)
    return tokenizer, extend_tokenizer(tokenizer, WORDS, kind)


KINDS = ["byte-level", "wordpiece", "unigram", "one line"]


def written(tokenizer, text: str) -> str:
    return tokenizer.backend_tokenizer.decode(ids(tokenizer, text), skip_special_tokens=False)


def ids(tokenizer, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_word_is_one_token_and_nothing_else_changes(kind):
    before, extension = pair(kind)
    assert extension.words == tuple(WORDS)
    assert extension.already == ()
    new = {one.id: one for one in extension.tokens}
    assert min(new) == len(before)
    assert sorted(new) == list(range(len(before), len(before) + len(new)))
    for one in extension.tokens:
        assert ids(before, one.text.strip())  # in pieces, whose rows are its own
        assert all(piece < len(before) for piece in one.pieces)
    for word in WORDS:
        found = ids(extension.tokenizer, f"the {word} and")
        assert sum(one in new for one in found) == 1, kind
        assert len(found) < len(ids(before, f"the {word} and"))
        if kind != "unigram":  # where an entry may begin a longer word
            longer = f"the x{word} {word}x and"
            assert ids(extension.tokenizer, longer) == ids(before, longer)
    for text in TEXTS:
        assert ids(extension.tokenizer, text) == ids(before, text)
    assert len(before) == min(new)  # the first tokenizer is as it was


AROUND = st.text(alphabet="abz AZé,.()\n_-'\u65e5x1", max_size=12)


@pytest.mark.parametrize("kind", KINDS)
@given(parts=st.lists(AROUND | st.sampled_from(WORDS), max_size=8))
def test_texts_around_new_words_are_written_as_before(kind, parts):
    before, extension = pair(kind)
    text = "".join(parts)
    old, now = written(before, text), written(extension.tokenizer, text)
    if kind == "byte-level":
        assert now == text  # every text comes back
    if "<unk>" not in old:
        assert now == old


@pytest.mark.parametrize("kind", KINDS)
def test_transformers_reads_its_files_with_every_config(kind, tmp_path):
    _, extension = pair(kind)
    for number, config in enumerate((GPT2Config(), LlamaConfig(), BertConfig())):
        check_saved(extension, config, kind, trust_remote_code=False)
        extension.tokenizer.save_pretrained(tmp_path / f"{number}")
        again = AutoTokenizer.from_pretrained(tmp_path / f"{number}")
        for text in [*TEXTS, "the autograd (autograd) autograds\nZeppelin quickfox's"]:
            assert ids(again, text) == ids(extension.tokenizer, text)


def test_a_word_of_bytes_has_a_token_after_a_space_and_one_without(tmp_path):
    before, extension = pair("byte-level")
    texts = [one.text for one in extension.tokens]
    assert texts == [" autograd", "autograd", " Zeppelin", "Zeppelin", " quickfox", "quickfox"]
    assert [one.pieces for one in extension.tokens[:2]] == [
        tuple(ids(before, " autograd")),
        tuple(ids(before, "autograd")),
    ]


def test_a_word_that_is_cut_in_two_is_an_added_token():
    before = trained("byte-level")
    extension = extend_tokenizer(before, ["x-ray", "autograd"], "it")
    new = {one.text: one.id for one in extension.tokens}
    assert new.keys() == {"x-ray", " autograd", "autograd"}
    assert new["x-ray"] in ids(extension.tokenizer, "an x-ray of")
    assert new["x-ray"] not in ids(extension.tokenizer, "an x-rays of ax-ray")
    assert written(extension.tokenizer, "an x-ray (x-ray)") == "an x-ray (x-ray)"


def test_an_uncased_tokenizer_finds_a_word_in_any_letters():
    _, extension = pair("wordpiece")
    new = {one.id for one in extension.tokens}
    for word in ("zeppelin", "Zeppelin", "ZEPPELIN"):
        assert set(ids(extension.tokenizer, f"the {word}.")) & new


def test_a_word_that_is_one_token_is_left_as_it_is():
    before = trained("byte-level")
    extension = extend_tokenizer(before, ["the"], "it")
    assert (extension.words, extension.tokens, extension.already) == ((), (), ("the",))
    assert extension.tokenizer is before


def test_added_tokens_keep_their_ids():
    for kind in ("byte-level", "unigram"):
        before = trained(kind)
        before.add_tokens(["<extra>"])
        place = before.convert_tokens_to_ids("<extra>")
        extension = extend_tokenizer(before, WORDS, kind)
        assert extension.tokenizer.convert_tokens_to_ids("<extra>") == place
        assert min(one.id for one in extension.tokens) == place + 1
        assert place in ids(extension.tokenizer, "a <extra> of autograd")


def test_entries_that_merges_never_make_stay_unused():
    """With ignore_merges a text would become such an entry, which it is not now."""
    tree = json.loads(trained("byte-level").backend_tokenizer.to_str())
    tree["model"]["vocab"]["wallstone"] = len(tree["model"]["vocab"])
    before = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(tree)))
    extension = extend_tokenizer(before, ["autograd"], "it")
    text = "a wallstone of (autograd)"
    assert tree["model"]["vocab"]["wallstone"] not in ids(before, text)
    assert tree["model"]["vocab"]["wallstone"] not in ids(extension.tokenizer, text)
    assert extension.tokens[0].id in ids(extension.tokenizer, text)


def test_a_word_with_which_text_would_be_written_otherwise_is_refused():
    """An added token with a letter of the byte alphabet is decoded as that byte."""
    with pytest.raises(ModelError, match=r"would write .* leave this word out"):
        extend_tokenizer(trained("byte-level"), ["café-bar"], "it")


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        ("two words", "holds a space"),
        ("one,two", "holds a comma"),
        ("</s>", "is a special token"),
        ("x" * 101, "has 101 characters"),
    ],
)
def test_what_is_no_word_is_refused(word, why):
    with pytest.raises(ConfigError, match=why):
        check_words(["autograd", word], trained("byte-level"), "--add-tokens")


def test_all_that_are_no_words_are_told_at_once():
    with pytest.raises(ConfigError) as told:
        check_words(["a b", "ok", "c d", "a b"], trained("byte-level"), "--add-tokens")
    assert len(told.value.problems) == 2
    assert check_words(["b", "a", "b"], trained("byte-level"), "--add-tokens") == ["b", "a"]
