"""Documents cut for infilling: nothing is lost, the ids are those of the paper, chance is fair."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from nextfill.config import InfillingConfig
from nextfill.core.errors import ConfigError
from nextfill.data.infilling import (
    AS_IT_IS,
    PREFIX_FIRST,
    SUFFIX_FIRST,
    TOO_SHORT,
    Infilling,
    infilling_of,
)
from nextfill.data.infilling_tokens import (
    KNOWN,
    InfillingTokens,
    find_infilling_tokens,
    record_infilling_tokens,
)
from nextfill.data.store.encoder import Encoder

TOKENS = InfillingTokens(1, 2, 3, None, ("<PRE>", "<SUF>", "<MID>"))


def always(tokens=TOKENS, *, spm_rate=0.0, seed=0, min_characters=1):
    return Infilling(tokens, 1.0, spm_rate, min_characters, seed)


@pytest.fixture(scope="module")
def tokenizer(tiny_tokenizer):
    found = AutoTokenizer.from_pretrained(tiny_tokenizer)
    found.add_tokens([AddedToken(name) for name in KNOWN[0][:3]])
    return found


@given(st.text(), st.integers(0, 2**40), st.integers(0, 2**62))
def test_the_three_parts_are_the_text(text, number, seed):
    assert "".join(always(seed=seed).cut(text, number)) == text


def test_every_place_is_as_likely():
    text, cuts = "abc", 16_000
    found = Counter(always().cut(text, number) for number in range(cuts))
    # Two places of four, in either order: ten pairs, and equal ones half as often.
    assert len(found) == 10
    for (before, middle, after), times in found.items():
        share = times / cuts * 16
        assert share == pytest.approx(2 if middle else 1, rel=0.15), (before, middle, after)


def limited(most, *, seed=0):
    return Infilling(TOKENS, 1.0, 0.0, 1, seed, max_middle=most)


@given(st.text(), st.integers(1, 50), st.integers(0, 2**40), st.integers(0, 2**62))
def test_a_middle_has_no_more_characters_than_its_limit(text, most, number, seed):
    parts = limited(most, seed=seed).cut(text, number)
    assert "".join(parts) == text
    assert len(parts[1]) <= most


def test_every_length_up_to_a_limit_is_as_likely_and_then_every_place():
    text, cuts = "abc", 12_000
    found = Counter(limited(2).cut(text, number) for number in range(cuts))
    # No character at four places, one at three, two at two.
    assert len(found) == 4 + 3 + 2
    for (_, middle, _), times in found.items():
        assert times / cuts * 3 == pytest.approx(1 / (4 - len(middle)), rel=0.15), middle
    beyond = Counter(len(limited(9).cut(text, number)[1]) for number in range(cuts))
    assert [beyond[length] / cuts for length in range(4)] == pytest.approx([0.25] * 4, rel=0.1)


def test_a_limit_makes_another_store_and_none_the_one_there_was():
    assert limited(40).to_json() != limited(41).to_json() != always().to_json()
    assert "max_middle" not in always().to_json()


def test_the_shares_are_those_of_the_settings():
    infilling = Infilling(TOKENS, 0.4, 0.25, 10, 7)
    kinds = infilling.kinds(np.full(20_000, 10))
    cut = (kinds == PREFIX_FIRST) | (kinds == SUFFIX_FIRST)
    assert cut.mean() == pytest.approx(0.4, abs=0.02)
    assert (kinds == SUFFIX_FIRST).sum() / cut.sum() == pytest.approx(0.25, abs=0.02)
    assert (kinds == AS_IT_IS).sum() == (~cut).sum()
    assert set(infilling.kinds(np.full(50, 9)).tolist()) == {TOO_SHORT}
    assert not np.array_equal(kinds, Infilling(TOKENS, 0.4, 0.25, 10, 8).kinds(np.full(20_000, 10)))


@given(st.integers(0, 300), st.integers(0, 300))
def test_what_becomes_of_a_document_follows_from_its_number(first, count):
    infilling = Infilling(TOKENS, 0.5, 0.5, 5, 3)
    whole = infilling.kinds(np.full(first + count, 9))
    assert np.array_equal(infilling.kinds(np.full(count, 9), first), whole[first:])


def hand_made(tokenizer, text, infilling, number, *, suffix_first):
    before, middle, after = infilling.cut(text, number)
    ids = [
        tokenizer(part, add_special_tokens=False)["input_ids"] for part in (before, middle, after)
    ]
    prefix, suffix, mid = tokenizer.convert_tokens_to_ids(list(KNOWN[0][:3]))
    if suffix_first:
        return [prefix, suffix, *ids[2], mid, *ids[0], *ids[1]]
    return [prefix, *ids[0], suffix, *ids[2], mid, *ids[1]]


@pytest.mark.parametrize("suffix_first", [False, True])
def test_the_ids_are_those_made_by_hand(tokenizer, paragraphs, suffix_first):
    texts = [*paragraphs(40, 2), "a", "\n\n", "e\u0301 \U0001f98a caf\u00e9"]
    infilling = always(find_infilling_tokens(tokenizer), spm_rate=float(suffix_first))
    ids, lengths = infilling.encode(Encoder(tokenizer), texts, 5)
    rows = np.split(ids, np.cumsum(lengths)[:-1])
    for at, (row, text) in enumerate(zip(rows, texts, strict=True)):
        expected = hand_made(tokenizer, text, infilling, 5 + at, suffix_first=suffix_first)
        assert row.tolist() == expected, text


def test_batches_change_nothing_and_some_documents_stay_as_they_are(tokenizer, paragraphs):
    texts = [*paragraphs(60, 4), "short", ""]
    infilling = Infilling(find_infilling_tokens(tokenizer), 0.5, 0.5, 20, 11)
    ids, lengths = infilling.encode(Encoder(tokenizer), texts, 0)
    parts = [infilling.encode(Encoder(tokenizer), texts[at : at + 7], at) for at in range(0, 62, 7)]
    assert np.array_equal(ids, np.concatenate([part[0] for part in parts]))
    assert np.array_equal(lengths, np.concatenate([part[1] for part in parts]))
    rows = np.split(ids, np.cumsum(lengths)[:-1])
    kinds = infilling.kinds(np.array([len(text) for text in texts]))
    assert set(kinds.tolist()) == {AS_IT_IS, PREFIX_FIRST, SUFFIX_FIRST, TOO_SHORT}
    for row, text, kind in zip(rows, texts, kinds.tolist(), strict=True):
        plain = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert (row.tolist() == plain) == (kind in (AS_IT_IS, TOO_SHORT))


def test_no_space_is_put_before_what_goes_on(tmp_path):
    letters = [*"abcdefgh", "\u2581"]
    vocabulary = {letter: at for at, letter in enumerate(letters)}
    core = Tokenizer(models.BPE(vocabulary, []))
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Metaspace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core)
    tokenizer.add_tokens([AddedToken(one) for one in ("\u2581<PRE>", "\u2581<SUF>", "\u2581<MID>")])
    tokenizer.add_tokens([AddedToken("\u2581<EOT>")])
    infilling = always(find_infilling_tokens(tokenizer))
    text = "abcdefgh"
    before, middle, after = infilling.cut(text, 0)
    ids, _ = infilling.encode(Encoder(tokenizer), [text], 0)
    pieces = tokenizer.convert_ids_to_tokens(ids.tolist())
    first = ["\u2581", *before] if before else []
    marks = ["\u2581<PRE>", "\u2581<SUF>", "\u2581<MID>", "\u2581<EOT>"]
    assert pieces == [marks[0], *first, marks[1], *after, marks[2], *middle, marks[3]]


def test_tokens_are_found_by_known_names_and_as_they_are_named_or_recorded(tiny_tokenizer):
    plain = AutoTokenizer.from_pretrained(tiny_tokenizer)
    assert find_infilling_tokens(plain) is None
    for names in KNOWN:
        found = deepcopy(plain)
        found.add_tokens([AddedToken(name) for name in names if name])
        tokens = find_infilling_tokens(found)
        assert tokens.names == tuple(name for name in names if name)
        ids = [tokens.prefix, tokens.suffix, tokens.middle, tokens.end]
        assert ids[: len(tokens.names)] == found.convert_tokens_to_ids(list(tokens.names))
    plain.add_tokens(["[[A]]", "[[B]]", "[[C]]"])
    assert find_infilling_tokens(plain) is None
    tokens = find_infilling_tokens(plain, "[[A]], [[B]],[[C]]")
    assert tokens.names == ("[[A]]", "[[B]]", "[[C]]")
    record_infilling_tokens(plain, tokens)
    assert find_infilling_tokens(plain) == tokens


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("a,b", "expected three tokens"),
        ("a,a,b", "expected three tokens"),
        ("a,,b", "expected three tokens"),
        ("the,<x>,<y>", r"<x>, <y> are no tokens"),
    ],
)
def test_names_that_are_none_are_refused(tokenizer, named, message):
    with pytest.raises(ConfigError, match=message):
        find_infilling_tokens(tokenizer, named)


def test_what_lacks_is_told_with_what_to_type(tiny_tokenizer, tokenizer):
    plain = AutoTokenizer.from_pretrained(tiny_tokenizer)
    wanted = InfillingConfig(rate=0.5)
    flags = r"--add-tokens '<\|fim_prefix\|>' --add-tokens '<\|fim_suffix\|>' --add-tokens"
    options = {"name": "mine", "seed": 0}
    with pytest.raises(ConfigError, match=flags):
        infilling_of(wanted, plain, "causal", can_add=True, **options)
    with pytest.raises(ConfigError, match="give another --tokenizer"):
        infilling_of(wanted, plain, "causal", **options)
    with pytest.raises(ConfigError, match="mine is a masked one"):
        infilling_of(wanted, tokenizer, "masked", **options)
    assert infilling_of(InfillingConfig(), plain, "masked", **options) is None
    assert infilling_of(wanted, tokenizer, "causal", **options).rate == 0.5
    endless = deepcopy(tokenizer)
    endless.eos_token = None
    with pytest.raises(ConfigError, match="no end token"):
        infilling_of(wanted, endless, "causal", **options)
