"""Blanks are found in every spelling, in the place where they stand, and refused with it."""

from __future__ import annotations

import pytest
from transformers import AddedToken, AutoTokenizer, RobertaConfig, RobertaForMaskedLM

from nextfill.core.errors import ModelError, NextfillError
from nextfill.filling.blanks import check_blanks, encode_blanks, filled_text
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
        (7, "has to be a text; found int"),
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
