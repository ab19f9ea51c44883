"""The text of one token, of which the bytes may be a part of a character."""

from __future__ import annotations

import re
from typing import Any

_UNKNOWN = "\ufffd"
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
"""A byte of its own in SentencePiece."""

_PRINTED = [*range(33, 127), *range(161, 173), *range(174, 256)]
_BYTES = {chr(one): one for one in _PRINTED}
_BYTES |= {chr(256 + n): one for n, one in enumerate(sorted({*range(256)} - {*_PRINTED}))}
"""Bytes by the characters that byte-level BPE writes for them, which are printed ones.

Source:
    `bytes_to_unicode` of GPT-2, Radford et al. 2019.
"""


_SPACE = "\u2581"
"""A space in SentencePiece, whose decoders drop one at the beginning of a text."""


def token_text(tokenizer: Any, token: int) -> str:
    """Return the text of a token, and bytes that are no whole character as ``<C3>``."""
    text = str(tokenizer.decode([token]))
    if _UNKNOWN not in text:
        return _with_space(tokenizer, token, text)
    spelled = _entry_bytes(str(tokenizer.convert_ids_to_tokens(token)))
    if spelled is None:
        return text
    partly = spelled.decode("utf-8", "surrogateescape")
    return "".join(f"<{ord(c) - 0xDC00:02X}>" if "\udc80" <= c <= "\udcff" else c for c in partly)


def token_bytes(tokenizer: Any, token: int) -> bytes:
    """Return the bytes that a token adds to a text in UTF-8, which may be a part of a character."""
    text = str(tokenizer.decode([token]))
    if _UNKNOWN not in text:
        return _with_space(tokenizer, token, text).encode("utf-8")
    spelled = _entry_bytes(str(tokenizer.convert_ids_to_tokens(token)))
    return text.encode("utf-8") if spelled is None else spelled


def _with_space(tokenizer: Any, token: int, text: str) -> str:
    """Return a token's text with the space before it that a decoder drops."""
    if not text.startswith(" "):
        entry = tokenizer.convert_ids_to_tokens(token)
        if isinstance(entry, str) and entry.startswith(_SPACE):
            return f" {text}"
    return text


def _entry_bytes(entry: str) -> bytes | None:
    """Return the bytes of a vocabulary's entry; None where it is none of bytes."""
    if byte := _BYTE.fullmatch(entry):
        return bytes([int(byte[1], 16)])
    if all(one in _BYTES for one in entry):
        return bytes(_BYTES[one] for one in entry)
    return None
