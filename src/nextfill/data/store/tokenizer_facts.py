"""What preparing needs to know of a tokenizer, kept so that nothing is loaded to find a store.

Loading a tokenizer takes transformers, and seconds; a store that is there already needs only the
tokenizer's fingerprint, and a plan of blocks the ids of its special tokens.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nextfill.core.shared_cache import recall, remember

FOLDER = "tokenizers"
SPECIAL_IDS = ("bos_token_id", "cls_token_id", "eos_token_id", "sep_token_id")
_LOADING = 2
"""Part of every digest: raise it when the same files are loaded in another way than before."""
_WEIGHTS = (".safetensors", ".bin", ".pt", ".gguf", ".onnx", ".h5", ".msgpack")


@dataclass(frozen=True)
class TokenizerFacts:
    """A tokenizer that is loaded only where something must be encoded.

    Args:
        fingerprint: As an `Encoder` of it has.
        bos_token_id: Of the token that begins a text, or None; the others likewise.
        cls_token_id: Of BERT's.
        eos_token_id: Of the token that ends a text.
        sep_token_id: Of BERT's.
        load: Returns the tokenizer itself.
    """

    fingerprint: str
    bos_token_id: int | None
    cls_token_id: int | None
    eos_token_id: int | None
    sep_token_id: int | None
    load: Callable[[], Any]

    def __call__(self, text: str, **options: Any) -> Any:
        """Do what a call of the tokenizer itself does."""
        return self.load()(text, **options)


def tokenizer_facts(cache: Path, folder: Path, load: Callable[[], Any]) -> Any:
    """Return what is known of a folder's tokenizer, else load it and take that down."""
    digest = _digest(folder)
    path = cache / FOLDER / f"{digest}.json"
    with suppress(TypeError):  # nothing, or facts of another version
        return TokenizerFacts(**recall(path, digest), load=lru_cache(maxsize=1)(load))
    from nextfill.data.store.encoder import fingerprint_of

    tokenizer = load()
    ids = {name: getattr(tokenizer, name, None) for name in SPECIAL_IDS}
    remember(path, digest, {"fingerprint": fingerprint_of(tokenizer), **ids})
    return tokenizer


def _digest(folder: Path) -> str:
    """Return a digest of the files that make a tokenizer, and of the libraries that read them."""
    libraries = f"{version('transformers')} {version('tokenizers')}"
    digest = hashlib.sha256(f"{_LOADING} {libraries}".encode())
    for path in sorted(folder.iterdir()):
        if path.is_file() and not path.name.endswith(_WEIGHTS):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"\n{path.name} {content}".encode())
    return digest.hexdigest()
