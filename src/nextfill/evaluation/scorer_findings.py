"""What scorers must have in common to have the same figures, as checksums by name."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from importlib.metadata import version

from nextfill.config.recipe_file import to_toml
from nextfill.data.store.tokenizer_backend import fingerprint_of
from nextfill.evaluation.scorer import Scorer
from nextfill.models.loaded_model import tensor_checksum

_LIBRARIES = ("nextfill", "torch", "transformers", "tokenizers", "numpy")


def findings_of(scorer: Scorer) -> dict[str, str]:
    """Return the checksums of a scorer's settings, model, documents and means, by name."""
    config = replace(scorer.config, out=None, page=None, nproc=None, log_level=None)
    config = replace(config, cache_dir=None, cache_limit=None, store=None)  # of a machine
    loaded, part = scorer.loaded, scorer.part
    return {
        "settings": _checksum(to_toml(config), str(scorer.block_size)),
        "model": _checksum(
            *(loaded.name, loaded.objective, str(scorer.pseudo_metric)),
            tensor_checksum(loaded.model.state_dict()),
        ),
        "data": _checksum(part.store.meta["content_sha256"], part.documents.tobytes().hex()),
        "tokens": _checksum(fingerprint_of(loaded.tokenizer), part.lengths.tobytes().hex()),
        "precision": f"{scorer.precision} {loaded.device.type}",
        "versions": json.dumps({name: version(name) for name in _LIBRARIES}),
    }


def _checksum(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()
