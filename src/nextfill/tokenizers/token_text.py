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


def token_text(tokenizer: Any, token: int) -> str:
    """Return the text of a token, and bytes that are no whole character as ``<C3>``."""
    text = str(tokenizer.decode([token]))
    if _UNKNOWN not in text:
        return text
    entry = str(tokenizer.convert_ids_to_tokens(token))
    if byte := _BYTE.fullmatch(entry):
        return f"<{byte[1].upper()}>"
    if not all(one in _BYTES for one in entry):
        return text
    spelled = bytes(_BYTES[one] for one in entry).decode("utf-8", "surrogateescape")
    return "".join(f"<{ord(c) - 0xDC00:02X}>" if "\udc80" <= c <= "\udcff" else c for c in spelled)
