"""A vocabulary as tables by id: the bytes of each token, and the words that it opens or closes."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Spelling = Callable[[str], tuple[bytes, bool, bool]]
"""From an entry to its bytes, whether it opens a word, and whether it closes one."""

_Spelled = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_UNKNOWN = b"?"


@dataclass(frozen=True)
class Vocabulary:
    """A vocabulary as tables by id; an id without a token has no bytes.

    Args:
        written: The UTF-8 bytes of all ids, one after the other, uint8; a space where the tokenizer
            begins or ends a word.
        bounds: Bytes of id ``i`` are ``written[bounds[i] : bounds[i + 1]]``, ``[ids + 1] int64``.
        opens: A word begins at this token, ``[ids] bool``.
        closes: A word begins after this token, ``[ids] bool``.
        alone: Added tokens, words by themselves that no word goes across, ``[ids] bool``.
        pre_tokenizer: The pre-tokenizer, where words show in the text and not in the tokens; or
            None.
        whole: Every token is a word.
    """

    written: NDArray[np.uint8]
    bounds: NDArray[np.int64]
    opens: NDArray[np.bool_]
    closes: NDArray[np.bool_]
    alone: NDArray[np.bool_]
    pre_tokenizer: Any
    whole: bool


def read_vocabulary(backend: Tokenizer) -> Vocabulary:
    """Read the vocabulary of a tokenizer.

    Its kind follows from the model, the decoder and the pre-tokenizer, not from a name: a suffix
    that ends words (``</w>``), a prefix that continues them (``##``), bytes, a mark for the space
    (``\u2581``), or none of these.
    """
    model, decoder = _model_settings(backend), _flat(_settings(backend.decoder))
    steps = [*decoder, *_flat(_settings(backend.pre_tokenizer))]
    of_bytes = any(step["type"] == "ByteLevel" for step in steps)
    suffix = model.get("end_of_word_suffix") or _setting(steps, "BPEDecoder", "suffix")
    spell: Spelling = _unmarked
    if suffix:
        spell = _with_suffix(suffix, of_bytes=of_bytes)
    elif prefix := model.get("continuing_subword_prefix"):
        spell = _with_prefix(prefix)
    elif of_bytes:
        spell = _of_bytes
    elif mark := _setting(steps, "Metaspace", "replacement") or _replaced(decoder):
        spell = _with_mark(mark)
    in_text = spell is _of_bytes and backend.pre_tokenizer is not None
    unknown = model.get("unk_id")
    # Where every byte has an entry, the unknown token only comes from the text itself.
    added = set(backend.get_added_tokens_decoder()) - (set() if in_text else {unknown})
    tokens = {id_: token for token, id_ in backend.get_vocab(with_added_tokens=True).items()}
    size = max(tokens, default=-1) + 1
    own = sorted(tokens.keys() - added)
    opens, closes, alone = (np.zeros(size, np.bool_) for _ in range(3))
    for table in (opens, closes, alone):
        table[[*(tokens.keys() & added)]] = True
    each = [tokens[id_] if id_ != unknown else None for id_ in own]
    written, lengths, opens[own], closes[own] = _spelled(each, spell)
    if unknown in tokens and unknown not in added:
        # It may be the end of a word, where words have suffixes.
        opens[unknown], closes[unknown] = spell(tokens[unknown])[1], bool(suffix)
    sizes = np.zeros(size, np.int64)
    sizes[own] = lengths
    return Vocabulary(
        written=written,
        bounds=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        opens=opens,
        closes=closes,
        alone=alone,
        pre_tokenizer=backend.pre_tokenizer if in_text else None,
        whole=spell is _unmarked,
    )


def _settings(part: Any) -> Mapping[str, Any] | None:
    """Return the settings of a decoder or a pre-tokenizer; the whole backend's take 0.05 s."""
    return None if part is None else json.loads(part.__getstate__())


def _model_settings(backend: Tokenizer) -> Mapping[str, Any]:
    """Return what a model says of its entries, and ``unk_id``, the id of its unknown token."""
    model = backend.model
    if type(model).__name__ == "Unigram":
        described: Mapping[str, Any] = json.loads(model.__getstate__())
        return described
    names = ("end_of_word_suffix", "continuing_subword_prefix")
    return {
        **{name: getattr(model, name, None) for name in names},
        "unk_id": model.token_to_id(getattr(model, "unk_token", None) or ""),
    }


def _spelled(tokens: Sequence[str | None], spell: Spelling) -> _Spelled:
    """Return the bytes of entries in a row, their numbers, and which open and close a word.

    The unknown token is None.
    """
    texts = [_UNKNOWN.decode() if token is None else token for token in tokens]
    if spell is _of_bytes and (found := _all_of_bytes(texts)) is not None:
        return found
    each = [(_UNKNOWN, False, False) if token is None else spell(token) for token in tokens]
    return (
        np.frombuffer(b"".join(text for text, _, _ in each), np.uint8),
        np.array([len(text) for text, _, _ in each], np.int64),
        np.array([opens for _, opens, _ in each], np.bool_),
        np.array([closes for _, _, closes in each], np.bool_),
    )


def _with_suffix(suffix: str, *, of_bytes: bool) -> Spelling:
    def spell(token: str) -> tuple[bytes, bool, bool]:
        body = token.removesuffix(suffix)
        text = _of_bytes(body)[0] if of_bytes else body.encode()
        ends = body != token
        return text + b" " * ends, False, ends

    return spell


def _with_prefix(prefix: str) -> Spelling:
    def spell(token: str) -> tuple[bytes, bool, bool]:
        if token.startswith(prefix):
            return token[len(prefix) :].encode(), False, False
        if unicodedata.category(token[:1] or " ").startswith("M"):
            return token.encode(), True, False  # BERT parts an ideograph from its marks
        return b" " + token.encode(), True, False

    return spell


def _with_mark(mark: str) -> Spelling:
    def spell(token: str) -> tuple[bytes, bool, bool]:
        if byte := _BYTE.fullmatch(token):
            return bytes.fromhex(byte[1]), False, False
        return token.replace(mark, " ").encode(), token.startswith(mark), False

    return spell


def _of_bytes(token: str) -> tuple[bytes, bool, bool]:
    by_character = bytes_by_character()
    try:
        text = bytes([by_character[character] for character in token])
    except KeyError:  # its decoder keeps such an entry, too
        text = token.encode()
    return text, text.startswith(b" "), False


def _all_of_bytes(tokens: Sequence[str]) -> _Spelled | None:
    """Return what `_of_bytes` does of each entry; None where one has other characters."""
    by_character = bytes_by_character()
    table = np.full(max(map(ord, by_character)) + 2, -1, np.int16)  # the last for all others
    table[[ord(character) for character in by_character]] = list(by_character.values())
    joined = "".join(tokens).encode("utf-32-le", "surrogatepass")
    found = table[np.minimum(np.frombuffer(joined, np.uint32), len(table) - 1)]
    if (found < 0).any():
        return None
    lengths = np.fromiter(map(len, tokens), np.int64, len(tokens))
    first = np.append(found, -1)[np.cumsum(lengths) - lengths]
    opens = (lengths > 0) & (first == ord(" "))
    return found.astype(np.uint8), lengths, opens, np.zeros(len(tokens), np.bool_)


def _unmarked(token: str) -> tuple[bytes, bool, bool]:
    return token.encode(), True, False


@cache
def bytes_by_character() -> dict[str, int]:
    """Return the byte of each character in GPT-2's byte-level alphabet."""
    from tokenizers import pre_tokenizers

    alphabet = set(pre_tokenizers.ByteLevel.alphabet())
    printable = {chr(byte): byte for byte in range(256) if chr(byte) in alphabet}
    rest = (byte for byte in range(256) if chr(byte) not in alphabet)
    return printable | {chr(256 + number): byte for number, byte in enumerate(rest)}


def _flat(part: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    """List the steps of a decoder or a pre-tokenizer, with nested sequences unrolled."""
    if part is None:
        return []
    if part["type"] != "Sequence":
        return [part]
    inner = part.get("decoders") or part.get("pretokenizers") or []
    return [step for one in inner for step in _flat(one)]


def _setting(steps: list[Mapping[str, Any]], kind: str, name: str) -> str | None:
    return next((step[name] for step in steps if step["type"] == kind), None)


def _replaced(decoders: list[Mapping[str, Any]]) -> str | None:
    """Return the mark of a space, from a decoder that replaces it by one."""
    for step in decoders:
        if step["type"] == "Replace" and step["content"] == " ":
            mark = step["pattern"].get("String")
            return str(mark) if mark else None
    return None
