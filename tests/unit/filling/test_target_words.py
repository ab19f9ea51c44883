"""Targets are found in the form that a word has where its blank stands."""

from __future__ import annotations

import pytest
from transformers import AutoTokenizer

from nextfill.core.errors import NextfillError
from nextfill.filling.target_words import target_ids


@pytest.fixture(scope="module")
def tokenizer(tiny_tokenizer):
    """A byte-level one that knows `` river`` with its space, and ``r`` with and without."""
    return AutoTokenizer.from_pretrained(tiny_tokenizer)


def names(tokenizer, targets, *, after_space):
    return tokenizer.convert_ids_to_tokens(
        list(target_ids(tokenizer, targets, after_space=after_space))
    )


def test_without_targets_every_token_counts(tokenizer):
    assert target_ids(tokenizer, [], after_space=True) is None


def test_the_form_follows_the_space(tokenizer):
    assert names(tokenizer, ["river", "r"], after_space=True) == ["Ġriver", "Ġr"]
    assert names(tokenizer, ["r"], after_space=False) == ["r"]
    for after in (True, False):
        assert names(tokenizer, [" river", "Ġriver"], after_space=after) == ["Ġriver"]


def test_each_counts_once_in_the_order_given(tokenizer):
    assert names(tokenizer, ["the", "river", "the"], after_space=True) == ["Ġthe", "Ġriver"]


@pytest.mark.parametrize(
    ("target", "after", "message"),
    [
        ("rivers", True, r"'rivers' is not one token but 2: ' river', 's'.*Did you mean 'river'"),
        ("river", False, r"'river' is not one token but .*Did you mean ' river'"),
        ("🙂", True, r"not one token but \d"),
        ("river" * 99, True, r"'(river){10}…' is not one token but \d+: .* and \d+ more\. Give"),
        ("\ud800", True, r"which is no character"),
    ],
)
def test_what_is_not_one_token_is_told(tokenizer, target, after, message):
    with pytest.raises(NextfillError, match=message):
        target_ids(tokenizer, [target], after_space=after)


def test_all_of_them_are_told_at_once(tokenizer):
    with pytest.raises(NextfillError) as caught:
        target_ids(tokenizer, ["rivers", "river", "mills!"], after_space=True)
    told = str(caught.value).split("\n")
    assert [line.split("'")[1] for line in told] == ["rivers", "mills!"]


def test_a_word_that_the_vocabulary_has_no_token_for():
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.WordPiece({"[UNK]": 0, "river": 1, "##s": 2}, unk_token="[UNK]"))  # noqa: S106
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    own = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="[UNK]")  # noqa: S106
    assert target_ids(own, ["river", "##s"], after_space=True) == (1, 2)
    assert target_ids(own, ["river", "##s", "[UNK]"], after_space=False) == (1, 2, 0)
    with pytest.raises(NextfillError, match="no token for the target '🙂'"):
        target_ids(own, ["🙂"], after_space=True)
    with pytest.raises(NextfillError, match="'rivers' is not one token but 2: 'river', '##s'"):
        target_ids(own, ["rivers"], after_space=True)
