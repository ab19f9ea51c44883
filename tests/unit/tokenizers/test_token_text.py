"""The text of one token, also where it is a part of a character."""

from __future__ import annotations

import pytest

from nextfill.tokenizers.token_text import token_bytes, token_text


class Entries:
    """A tokenizer of given entries, none of which is a character."""

    def decode(self, ids):
        return "\ufffd"

    def convert_ids_to_tokens(self, entry):
        return entry


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ("\u00c3", "<C3>"),
        ("<0xE9>", "<E9>"),
        ("\u0120\u00c3", " <C3>"),
        ("\u00c3\u00ab\u00c3", "\u00eb<C3>"),
        ("\u00ef\u00bf\u00bd", "\ufffd"),  # which stands in the text itself
        ("\u96e8", "\ufffd"),
    ],
)
def test_bytes_are_spelled(entry, text):
    assert token_text(Entries(), entry) == text


def test_bytes_are_those_of_a_text():
    assert token_bytes(Entries(), "\u0120\u00c3") == b" \xc3"
    assert token_bytes(Entries(), "<0xE9>") == b"\xe9"


def test_a_space_of_sentencepiece_is_told(tmp_path):
    from transformers import AutoTokenizer

    from tests.tiny_exports import give_sentencepiece

    give_sentencepiece(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    ids = tokenizer("return self")["input_ids"]
    assert "".join(token_text(tokenizer, one) for one in ids) == " return self"
    assert b"".join(token_bytes(tokenizer, one) for one in ids) == b" return self"
