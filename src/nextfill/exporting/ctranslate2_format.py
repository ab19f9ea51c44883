"""CTranslate2's format, by its own converter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nextfill.config import ExportQuantization
from nextfill.core.amounts import with_article
from nextfill.core.errors import ConfigError
from nextfill.core.shell_command import shell_word
from nextfill.exporting.runtime import Rows
from nextfill.models.architecture import embedding_rows
from nextfill.models.inference.ctranslate2_conversion import (
    Purpose,
    converted_spec,
    ctranslate2,
    loader_of,
    open_converted,
)
from nextfill.models.loaded_model import LoadedModel

_PURPOSE = Purpose("--to ctranslate2", "give --to onnx")


def open_format() -> Ctranslate2Format:
    """Return the format, refusing where its library is not installed."""
    return Ctranslate2Format(ctranslate2(_PURPOSE))


@dataclass(frozen=True)
class Ctranslate2Format:
    """Folders of CTranslate2, with the tokenizer's files beside the model's.

    Args:
        library: The package.
    """

    library: Any

    def check(self, loaded: LoadedModel) -> str:
        """Refuse a model that the converter cannot read."""
        if loaded.objective == "masked":
            raise ConfigError(
                [
                    f"--to ctranslate2: {loaded.name} is {with_article(loaded.model)}, whose head "
                    "for hidden tokens CTranslate2 has no place for: give --to onnx."
                ]
            )
        loader_of(self.library, loaded, _PURPOSE)
        return ""

    def write(self, loaded: LoadedModel, folder: Path, quantization: ExportQuantization) -> None:
        """Convert a model, its tokens named as its tokenizer names them."""
        compute = "float32" if quantization == "none" else quantization
        loader = loader_of(self.library, loaded, _PURPOSE)
        tokens = token_names(loaded.tokenizer, embedding_rows(loaded.model))
        spec = converted_spec(
            loader, loaded.model, compute, loaded.name, purpose=_PURPOSE, tokens=tokens
        )
        for kind in ("bos", "eos", "unk"):
            token = getattr(loaded.tokenizer, f"{kind}_token_id")
            if token is not None:
                setattr(spec.config, f"{kind}_token", tokens[token])
        loaded.tokenizer.save_pretrained(folder)
        spec.save(str(folder))

    def read(self, loaded: LoadedModel, folder: Path) -> Ctranslate2Runtime:
        """Read a folder by CTranslate2."""
        tokens = token_names(loaded.tokenizer, embedding_rows(loaded.model))
        generator = open_converted(self.library, folder, "default")
        return Ctranslate2Runtime(generator, self.library.__version__, tokens)

    def libraries(self) -> dict[str, str]:
        """Return CTranslate2's version."""
        return {"ctranslate2": self.library.__version__}

    def usage(self, folder: Path) -> str:
        """Return a line that reads the folder."""
        line = f"import ctranslate2; print(ctranslate2.Generator({str(folder)!r}))"
        return f"python -c {shell_word(line)}"


class Ctranslate2Runtime:
    """A model that CTranslate2 has read.

    Args:
        generator: Its generator.
        version: Its version.
        tokens: The names of the tokens, by id.
    """

    def __init__(self, generator: Any, version: str, tokens: Sequence[str]) -> None:
        self.name = f"CTranslate2 {version}"
        self._generator, self._tokens = generator, tokens

    def log_probabilities(self, row: Sequence[int], targets: Sequence[int]) -> Tensor:
        """Return the log-probabilities in a text, ``[T, V] float32``; targets change nothing."""
        import numpy as np

        del targets

        found = self._generator.forward_batch([[self._tokens[one] for one in row]])
        return torch.from_numpy(np.array(found))[0].log_softmax(-1)

    def greedy(self, prompts: Sequence[Sequence[int]], new: int, ends: frozenset[int]) -> Rows:
        """Return the likeliest new tokens of each prompt, the end token not among them."""
        results = self._generator.generate_batch(
            [[self._tokens[one] for one in prompt] for prompt in prompts],
            beam_size=1,
            max_length=new,
            end_token=sorted(ends),
            include_prompt_in_result=False,
            sampling_topk=1,
        )
        return [list(result.sequences_ids[0]) for result in results]


def token_names(tokenizer: Any, rows: int) -> list[str]:
    """Return a name for each id that the embedding has a row for, no two the same.

    A row that the tokenizer has no token for gets a name that no tokenizer gives.
    """
    known = tokenizer.convert_ids_to_tokens(range(min(rows, len(tokenizer))))
    names: list[str] = []
    seen: set[str] = set()
    for at in range(rows):
        name = known[at] if at < len(known) else None
        if name is None or name in seen:
            name = f"<no token {at}>"
        seen.add(name)
        names.append(name)
    return names
