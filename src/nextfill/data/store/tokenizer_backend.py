"""The backend of a tokenizer, which encodes; its fingerprint; and the cached facts about both.

Loading a tokenizer by transformers takes seconds, most of them imports of PyTorch. Its backend
alone encodes as well, so the cache keeps it: data of a tokenizer that was seen before are prepared
without transformers.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextfill.core.errors import DataError
from nextfill.core.library_versions import library_version
from nextfill.core.shared_cache import UNREADABLE, keep_text, recall, remember

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FOLDER = "tokenizers"
BACKEND = ".backend"
"""The suffix of a backend's file, which is JSON, but none of the user's."""
SPECIAL_IDS = ("bos_token_id", "cls_token_id", "eos_token_id", "sep_token_id")
_LOADING = 3  # part of every digest: raise it when the same files are loaded in another way
_WEIGHTS = (".safetensors", ".bin", ".pt", ".gguf", ".onnx", ".h5", ".msgpack")


def fingerprint_of(tokenizer: Any) -> str:
    """Return the fingerprint of a tokenizer's `Encoder`, or of its facts."""
    if isinstance(tokenizer, TokenizerFacts):
        return tokenizer.fingerprint
    backend = plain_backend(tokenizer)
    return backend_fingerprint(backend, backend.to_str())


def backend_fingerprint(backend: Tokenizer, text: str) -> str:
    """Return the sha256 of a backend by its JSON text, and by the setting that the JSON lacks."""
    return _fingerprint(text, splits_special=backend.encode_special_tokens)


def _fingerprint(text: str, *, splits_special: bool) -> str:
    split = "\nencode_special_tokens" if splits_special else ""
    return hashlib.sha256((text + split).encode()).hexdigest()


def plain_backend(tokenizer: Any) -> Tokenizer:
    """Copy the backend of a tokenizer, without the truncation and padding of its last call."""
    from tokenizers import Tokenizer

    if isinstance(tokenizer, TokenizerFacts):
        known = tokenizer.backend()
        if known is not None:
            return known[0]
        tokenizer = tokenizer.load()
    backend = tokenizer if isinstance(tokenizer, Tokenizer) else None
    backend = backend or getattr(tokenizer, "backend_tokenizer", None)
    if not isinstance(backend, Tokenizer):
        raise DataError(
            f"the tokenizer is a {type(tokenizer).__name__}, which has no tokenizers backend; "
            "expected a fast tokenizer (a tokenizer.json), as transformers.AutoTokenizer gives"
        )
    plain = Tokenizer.from_str(backend.to_str())
    plain.no_truncation()
    plain.no_padding()
    # Each call of a transformers tokenizer sets the backend's to its own.
    split = getattr(tokenizer, "split_special_tokens", backend.encode_special_tokens)
    plain.encode_special_tokens = bool(split)
    return plain


def backend_and_text(tokenizer: Any) -> tuple[Tokenizer, str]:
    """Return the backend as `plain_backend` does, and its JSON text, which takes long to write."""
    known = tokenizer.backend() if isinstance(tokenizer, TokenizerFacts) else None
    if known is not None:
        return known
    backend = plain_backend(tokenizer)
    return backend, backend.to_str()


@dataclass(frozen=True)
class TokenizerFacts:
    """The fingerprint, special ids and backend of a tokenizer that was loaded before.

    Finding a store takes the fingerprint alone, planning blocks the special ids, and encoding the
    backend.

    Args:
        fingerprint: That of `fingerprint_of`.
        load: Loads the tokenizer itself.
        backend: Reads its plain backend, and that as JSON; None where the cache has it no more, or
            damaged.
    """

    fingerprint: str
    bos_token_id: int | None
    cls_token_id: int | None
    eos_token_id: int | None
    sep_token_id: int | None
    load: Callable[[], Any]
    backend: Callable[[], tuple[Tokenizer, str] | None] = lambda: None

    def __call__(self, text: str, **options: Any) -> Any:
        """Load the tokenizer and call it."""
        return self.load()(text, **options)


def tokenizer_facts(
    cache: Path,
    folder: Path,
    load: Callable[[], Any],
    load_plain: Callable[[], Any] = lambda: None,
) -> Any:
    """Return the cached facts of a folder's tokenizer, else load it and cache them.

    ``load_plain`` gives its backend and special ids alone, or None where that would not be exact.
    """
    digest = _tokenizer_digest(folder)
    path = cache / FOLDER / f"{digest}.json"
    backend_path = path.with_suffix(BACKEND)
    with suppress(TypeError):  # nothing, or facts of another version
        facts = TokenizerFacts(**recall(path, digest), load=lru_cache(maxsize=1)(load))
        read = partial(_read_backend, backend_path, facts.fingerprint)
        return replace(facts, backend=lru_cache(maxsize=1)(read))
    plain = load_plain()
    tokenizer = load() if plain is None else plain
    ids = {name: getattr(tokenizer, name, None) for name in SPECIAL_IDS}
    backend = plain_backend(tokenizer) if plain is None else plain.backend_tokenizer
    text = backend.to_str()
    keep_text(backend_path, text)
    fingerprint = backend_fingerprint(backend, text)
    remember(path, digest, {"fingerprint": fingerprint, **ids})
    if plain is None:
        return tokenizer
    once = lru_cache(maxsize=1)(load)
    return TokenizerFacts(fingerprint, **ids, load=once, backend=lambda: (backend, text))


def _read_backend(path: Path, fingerprint: str) -> tuple[Tokenizer, str] | None:
    """Return the backend of a fingerprint and its text, None where the file has it not."""
    from tokenizers import Tokenizer

    try:
        text = path.read_text("utf-8")
    except UNREADABLE:
        return None
    for splits_special in (False, True):
        if _fingerprint(text, splits_special=splits_special) == fingerprint:
            backend = Tokenizer.from_str(text)
            backend.encode_special_tokens = splits_special
            with suppress(OSError):  # the time of its last use
                os.utime(path)
            return backend, text
    return None


def _tokenizer_digest(folder: Path) -> str:
    """Hash the files of a tokenizer, and the versions of the libraries that read them."""
    libraries = f"{library_version('transformers')} {library_version('tokenizers')}"
    digest = hashlib.sha256(f"{_LOADING} {libraries}".encode())
    for path in sorted(folder.iterdir()):
        if path.is_file() and not path.name.endswith(_WEIGHTS):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"\n{path.name} {content}".encode())
    return digest.hexdigest()
