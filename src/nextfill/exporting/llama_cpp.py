"""A GGUF file read by llama.cpp, through the package ``xllamacpp``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

import torch
from torch import Tensor

from nextfill.core.errors import ModelError
from nextfill.exporting.comparison_text import NOT_SCORED
from nextfill.exporting.runtime import Rows
from nextfill.models.architecture import embedding_rows
from nextfill.models.loaded_model import LoadedModel

_POSITIONS = 1024
"""As many as it is given memory for."""
_CERTAIN = 1e6
"""Added to the logit of a token that is to be chosen."""
_LIKELIEST = 20


class LlamaCppRuntime:
    """A model that llama.cpp has read.

    Args:
        library: The package.
        version: Its version.
        path: The file.
        loaded: The model that it was made from.
    """

    def __init__(self, library: Any, version: str, path: Path, loaded: LoadedModel) -> None:
        self.name = f"llama.cpp (xllamacpp {version})"
        self._rows = embedding_rows(loaded.model)
        params = library.CommonParams()
        params.model.path = str(path)
        params.verbosity = -1
        params.cache_type_k = params.cache_type_v = library.ggml_type.GGML_TYPE_F32
        params.flash_attn_type = library.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.n_ctx = min(loaded.max_positions or _POSITIONS, _POSITIONS)
        params.n_parallel, params.n_gpu_layers, params.warmup = 1, 0, False
        params.cpuparams.n_threads = torch.get_num_threads()
        params.port = 0
        try:
            self._server = library.Server(params)
        except (RuntimeError, ValueError) as error:
            raise ModelError(
                f"{self.name} cannot read the file that was written for {loaded.name}: {error}. "
                "Nothing was written: report this, with the model's config.json."
            ) from error

    def log_probabilities(self, row: Sequence[int], targets: Sequence[int]) -> Tensor:
        """Return the targets' log-probabilities and those of the likeliest tokens, ``[T, V]``.

        llama.cpp tells the odds of the token that is chosen as they were before it was, so that a
        target is made to be chosen. What is not told is NaN.
        """
        found = torch.full((len(row), self._rows), torch.nan)
        for at, target in enumerate(targets):
            if target == NOT_SCORED:
                continue
            forced = {"logit_bias": [[target, _CERTAIN]], "logprobs": _LIKELIEST}
            [told] = self._complete(row[: at + 1], 1, **forced)["logprobs"]["content"]
            for one in (*told["top_logprobs"], told):
                found[at, one["id"]] = one["logprob"]
        return found

    def greedy(self, prompts: Sequence[Sequence[int]], new: int, ends: frozenset[int]) -> Rows:
        """Return the likeliest new tokens of each prompt, the end token not among them."""
        rows = []
        for prompt in prompts:
            asked = {"prompt": list(prompt), "n_predict": new, "temperature": 0}
            ids = self._ask("completion", {**asked, "return_tokens": True})["tokens"]
            end = next((at for at, token in enumerate(ids) if token in ends), len(ids))
            rows.append(ids[:end])
        return rows

    def _complete(self, prompt: Sequence[int], new: int, **asked: Any) -> Any:
        common = {
            "prompt": list(prompt),
            "max_tokens": new,
            "temperature": 0,
            "cache_prompt": True,
        }
        return self._server.handle_completions({**common, **asked})["choices"][0]

    def ids_of(self, text: str) -> list[int]:
        """Return the ids of a text by the tokenizer in the file."""
        asked = {"content": text, "add_special": False, "parse_special": True}
        return [int(one) for one in self._ask("tokenize", asked)["tokens"]]

    def _ask(self, path: str, body: Mapping[str, Any]) -> Any:
        """Return an answer of the server, some of whose questions its package has no function for.

        Its function for completions leaves out tokens that are no whole characters.
        """
        request = Request(  # noqa: S310 - to the server that this object has begun
            f"{self._server.listening_address}/{path}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with build_opener(ProxyHandler({})).open(request) as answer:
            return json.load(answer)
