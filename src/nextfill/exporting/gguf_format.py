"""GGUF, by llama.cpp's own library for the format, read back by llama.cpp or by that library."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nextfill.config import ExportQuantization
from nextfill.core import VERSION
from nextfill.core.amounts import with_article
from nextfill.core.errors import ConfigError, missing_library
from nextfill.core.shell_command import shell_word
from nextfill.exporting.gguf_reader import check_ids, tables_tokenizer, tensors_runtime
from nextfill.exporting.gguf_tensors import LAYOUTS, Layout
from nextfill.exporting.gguf_vocabulary import GgufVocabulary, read_vocabulary
from nextfill.exporting.llama_cpp import LlamaCppRuntime
from nextfill.exporting.runtime import Runtime
from nextfill.models.architecture import embedding_rows
from nextfill.models.loaded_model import LoadedModel

FILE = "model.gguf"
_FLAG = "--to gguf"
_TYPES: dict[ExportQuantization, str] = {
    "none": "F32",
    "f16": "F16",
    "bf16": "BF16",
    "int8": "Q8_0",
    "q8_0": "Q8_0",
    "q5_1": "Q5_1",
    "q5_0": "Q5_0",
    "q4_1": "Q4_1",
    "q4_0": "Q4_0",
}
_IN_FULL = "position_embd.weight"
"""The matrix that llama.cpp adds to others, and so holds in full."""


def open_format() -> GgufFormat:
    """Return the format, refusing where its library is not installed."""
    try:
        import gguf
    except ImportError as error:
        raise missing_library(_FLAG, "gguf") from error
    return GgufFormat(gguf)


class GgufFormat:
    """Folders of one GGUF file, which holds the tokenizer, too.

    Args:
        library: The package ``gguf``.
    """

    def __init__(self, library: Any) -> None:
        self._gguf = library

    def check(self, loaded: LoadedModel) -> str:
        """Refuse a model or a tokenizer that llama.cpp would compute or read otherwise."""
        layout = LAYOUTS.get(type(loaded.model).__name__)
        if layout is None:
            masked = loaded.objective == "masked"
            parts = "the head for hidden tokens of" if masked else "the layers of"
            raise ConfigError(
                [
                    f"{_FLAG}: {loaded.name} is {with_article(loaded.model)}, and {parts} such a "
                    f"model have no place there. Expected {', '.join(LAYOUTS)}: give --to onnx."
                ]
            )
        if found := layout.problems(loaded.model.config):
            raise ConfigError(
                [
                    f"{_FLAG}: {loaded.name} is made with {' and '.join(found)}, which llama.cpp "
                    f"computes otherwise in its {layout.architecture} models: give --to onnx."
                ]
            )
        return read_vocabulary(loaded, _FLAG).note

    def write(self, loaded: LoadedModel, folder: Path, quantization: ExportQuantization) -> None:
        """Write a model as one file."""
        layout = LAYOUTS[type(loaded.model).__name__]
        config: Any = loaded.model.config
        kind = self._gguf.GGMLQuantizationType[_TYPES[quantization]]
        writer = self._gguf.GGUFWriter(folder / FILE, layout.architecture)
        try:
            writer.add_name(Path(loaded.name).name or layout.architecture)
            writer.add_description(f"Exported by Nextfill {VERSION}")
            writer.add_file_type(self._file_type(quantization))
            writer.add_vocab_size(embedding_rows(loaded.model))
            for key, value in layout.sizes(config).items():
                add = {int: writer.add_uint32, float: writer.add_float32, str: writer.add_string}
                add[type(value)](f"{layout.architecture}.{key}", value)
            _add_vocabulary(writer, read_vocabulary(loaded, _FLAG))
            if isinstance(template := getattr(loaded.tokenizer, "chat_template", None), str):
                writer.add_chat_template(template)
            for name, tensor in self._tensors(layout, loaded):
                self._add(writer, name, tensor, kind)
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
        finally:
            writer.close()

    def _file_type(self, quantization: ExportQuantization) -> int:
        kind = _TYPES[quantization]
        name = "ALL_F32" if kind == "F32" else f"MOSTLY_{kind}"
        return int(self._gguf.LlamaFileType[name])

    @staticmethod
    def _tensors(layout: Layout, loaded: LoadedModel) -> Iterator[tuple[str, Tensor]]:
        with torch.no_grad():
            state = {name: one.detach().float() for name, one in loaded.model.state_dict().items()}
            yield from layout.tensors(loaded.model.config, state)

    def _add(self, writer: Any, name: str, tensor: Tensor, kind: Any) -> None:
        """Add a tensor; vectors, and rows that no block divides, are held in full."""
        values = np.ascontiguousarray(tensor.numpy(), dtype=np.float32)
        block, _ = self._gguf.GGML_QUANT_SIZES[kind]
        full = self._gguf.GGMLQuantizationType.F32
        if values.ndim < 2 or name == _IN_FULL or values.shape[-1] % block:
            kind = full
        stored = values if kind == full else self._gguf.quants.quantize(values, kind)
        writer.add_tensor(name, stored, raw_dtype=kind)

    def read(self, loaded: LoadedModel, folder: Path) -> Runtime:
        """Read a file by llama.cpp where it is installed, else by the library alone.

        Raises:
            ModelError: If the tokenizer in it makes other ids of a text.
        """
        path = folder / FILE
        spaces = not read_vocabulary(loaded, _FLAG).note
        check_ids(path, loaded, tables_tokenizer(self._gguf, path, loaded))
        llama_cpp = _llama_cpp()
        if llama_cpp is None:
            layout = LAYOUTS[type(loaded.model).__name__]
            return tensors_runtime(self._gguf, _release("gguf"), path, loaded, layout)
        runtime = LlamaCppRuntime(llama_cpp, _release("xllamacpp"), path, loaded)
        check_ids(path, loaded, runtime.ids_of, spaces=spaces)
        return runtime

    def libraries(self) -> dict[str, str]:
        """Return the versions of gguf, and of llama.cpp's package where it is installed."""
        found = {name: _release(name) for name in ("gguf", "xllamacpp")}
        return {name: one for name, one in found.items() if one}

    def usage(self, folder: Path) -> str:
        """Return a line that reads the file."""
        return f"llama-cli -m {shell_word(folder / FILE)} -p 'Once upon a time' -n 40 -no-cnv"


def _llama_cpp() -> Any:
    try:
        import xllamacpp
    except ImportError:
        return None
    return xllamacpp


def _release(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _add_vocabulary(writer: Any, vocabulary: GgufVocabulary) -> None:
    has_scores = bool(vocabulary.scores)
    writer.add_tokenizer_model("llama" if has_scores else "gpt2")
    writer.add_tokenizer_pre(vocabulary.split)
    writer.add_token_list(list(vocabulary.pieces))
    writer.add_token_types(list(vocabulary.kinds))
    if has_scores:
        writer.add_token_scores(list(vocabulary.scores))
        writer.add_add_space_prefix(vocabulary.space_prefix)
    else:
        writer.add_token_merges(list(vocabulary.merges))
    for key, value in vocabulary.special.items():
        writer.add_uint32(f"tokenizer.ggml.{key}", value)
    writer.add_add_bos_token(vocabulary.begins)
