"""Blanks are found in every spelling and place, and targets in the form that a blank needs."""

from __future__ import annotations

import pytest
from transformers import AddedToken, AutoTokenizer, RobertaConfig, RobertaForMaskedLM

from nextfill.core.errors import ModelError, NextfillError
from nextfill.filling.blanks import check_blanks, encode_blanks, filled_text, target_ids
from nextfill.generation.prompts import PromptText, name_prompts
from nextfill.models.loaded_model import LoadedModel

ROOM = 20


@pytest.fixture(scope="module")
def load(tiny_tokenizer):
    """Return a function that makes a model of 20 positions; its mask may take spaces."""

    def make(**how):
        tokenizer = AutoTokenizer.from_pretrained(tiny_tokenizer)
        mask = AddedToken("<|blank|>", special=True, normalized=False, **how)
        tokenizer.add_special_tokens({"mask_token": mask})
        sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
        shape = RobertaConfig(
            vocab_size=len(tokenizer),
            intermediate_size=8,
            max_position_embeddings=ROOM + 2,
            pad_token_id=1,
            bos_token_id=0,
            eos_token_id=0,
            **sizes,
        )
        return LoadedModel(RobertaForMaskedLM(shape), tokenizer, "a model", "masked")

    return make


@pytest.fixture(scope="module")
def loaded(load):
    return load(lstrip=True)


def only(loaded, text, **options):
    (blanks,) = encode_blanks(loaded, [PromptText(text)], **options)
    return blanks


@pytest.mark.parametrize("blank", ["<|blank|>", "<mask>", "[MASK]", "___", "_" * 9])
def test_every_spelling_is_the_models_own_mask(loaded, blank):
    found = only(loaded, f"the river {blank}, old")
    plain = loaded.tokenizer("the river <|blank|>, old")["input_ids"]
    assert list(found.ids) == plain
    assert [found.ids[at] for at in found.places] == [loaded.tokenizer.mask_token_id]
    assert found.pieces == ("the river ", ", old")
    assert found.text == f"the river {blank}, old"


def test_what_is_no_blank_stays_text(loaded):
    found = only(loaded, "__a [mask] <b> ___")
    assert found.pieces == ("__a [mask] <b> ", "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("___ a", [False]),
        ("a ___", [True]),
        ("a___ ___", [False, True]),
        ("a\n___", [False]),
        ("a\n ___", [True]),
        ("é 🙂 ___\t___", [True, False]),
        ("___ ___", [False, True]),
    ],
)
@pytest.mark.parametrize("how", [{"lstrip": True}, {"lstrip": True, "rstrip": True}])
def test_whether_a_space_belongs_to_the_blank(load, text, expected, how):
    found = only(load(**how), text)
    if "rstrip" not in how or "___ ___" not in text:  # else the first takes the space
        assert list(found.after_space) == expected
    assert "___".join(found.pieces) == text


def test_a_mask_that_leaves_the_space_alone(load):
    found = only(load(), "a ___ b")
    assert found.after_space == (False,)  # the space is a token before it
    assert found.pieces == ("a ", " b")


def test_answers_stand_in_brackets_in_the_text_as_it_was_given(loaded):
    found = only(loaded, "The ___,\n\n  <mask>!\tend")
    assert filled_text(found, [" sky", "is\n"]) == "The [sky],\n\n  [is]!\tend"
    assert filled_text(found, ["\n", " "]) == "The ['\\n'],\n\n  [' ']!\tend"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"empty.*<\|blank\|>, <mask>, \[MASK\] or ___"),
        (" \n", "empty"),
        ("a b", r"no blank in the text: put <\|blank\|>, <mask>, \[MASK\] or ___"),
        ("a __ b", "no blank"),
        ("a \ud800 ___", r"'\\ud800', which is no character"),
        (7, "has to be a str; found an int"),
        (
            ("___ " * 21).strip(),
            r"has 21 tokens, 21 of them blank; the model has 20 positions: give a sh",
        ),
    ],
)
def test_what_cannot_be_filled_is_told(loaded, text, message):
    with pytest.raises(NextfillError, match=message):
        check_blanks(loaded, text)


def test_all_bad_texts_are_told_with_their_places(loaded):
    with pytest.raises(NextfillError) as caught:
        encode_blanks(loaded, name_prompts(["a", "b ___", "", *["c"] * 9], "text"))
    lines = str(caught.value).split("\n")
    assert [line.partition(":")[0] for line in lines[:5]] == [f"text {n}" for n in (1, 3, 4, 5, 6)]
    assert lines[5] == "and 6 more"


def test_there_has_to_be_room_for_the_answer(loaded):
    text = "___ " * 18
    assert only(loaded, text.strip(), answer_tokens=3)
    with pytest.raises(NextfillError, match=r"answer may have 4.*give --answer-tokens 3 at most"):
        only(loaded, text.strip(), answer_tokens=4)
    assert only(loaded, ("___ " * 20).strip())


def test_blanks_that_the_tokenizer_does_not_find_are_told(load):
    with pytest.raises(NextfillError, match="finds 1 of 2 blanks: put spaces around"):
        only(load(single_word=True), "the___ river ___")


def test_a_tokenizer_without_a_mask_is_told(loaded, tiny_tokenizer):
    without = AutoTokenizer.from_pretrained(tiny_tokenizer)
    with pytest.raises(ModelError, match="has no mask token"):
        check_blanks(LoadedModel(loaded.model, without, "a model", "masked"), "a ___")


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
        ("rivers", True, r"in the place of --targets type: --answer-tokens 2$"),
        ("🙂", True, r"not one token but \d"),
        ("river" * 99, True, r"'(river){10}…' is not one token but \d+: .* and \d+ more\. Give"),
        ("dogg", True, r"^((?!Did you mean).)*$"),  # of whose pieces none is a word
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
