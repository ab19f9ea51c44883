"""An export from top to bottom: load, write, read back, compare, record."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import torch

from nextfill.config import ExportConfig, ExportFormat
from nextfill.config.prefixes import LIVE
from nextfill.config.settings.model_settings import NOTHING_LIVE, Live
from nextfill.core import VERSION
from nextfill.core.amounts import with_article
from nextfill.core.atomic_write import write_folder
from nextfill.core.checksums import folder_checksums
from nextfill.core.errors import ConfigError, RunError
from nextfill.core.json_text import to_json
from nextfill.core.progress import Progress
from nextfill.exporting.comparison import Agreement, Comparison
from nextfill.exporting.comparison_text import comparison_text
from nextfill.exporting.export_result import RECORD, Export
from nextfill.exporting.runtime import Format, own_runtime
from nextfill.generation.decoding import end_ids
from nextfill.models.adapters.lora import merge_adapter, merged_copy
from nextfill.models.libraries import library_errors
from nextfill.models.load import load_model
from nextfill.models.loaded_model import LoadedModel, origin_checksums, tensor_checksum
from nextfill.tokenizers.train import new_folder

_MODULES: dict[ExportFormat, str] = {
    "ctranslate2": "nextfill.exporting.ctranslate2_format",
    "gguf": "nextfill.exporting.gguf_format",
    "onnx": "nextfill.exporting.onnx_format",
    "openvino": "nextfill.exporting.openvino_format",
}
COSTLY = 0.01
"""Weights of fewer bits that cost more of the loss than this are told in a note."""


def format_of(name: ExportFormat) -> Format:
    """Return a format by its name, refusing one whose library is not installed."""
    made: Format = import_module(_MODULES[name]).open_format()
    return made


def export_model(
    config: ExportConfig,
    live: Live = NOTHING_LIVE,
    *,
    on_note: Callable[[str], None] = lambda text: None,
    on_stage: Progress = lambda label, done, total: None,
) -> Export:
    """Export a model, whole or not at all.

    Raises:
        ConfigError: For a model that the format has no place for, or a missing library.
        ModelError: If what was written computes something else when it is read back.
    """
    name = config.to
    if name is None:
        raise ConfigError(["--to says for which program: give --to onnx, say."])
    form, out = format_of(name), new_folder(config.out)
    loaded = load_model(config.model, live=live)
    checksums = origin_checksums(loaded)
    for note in loaded.notes:
        on_note(note)
    loaded = _whole(loaded)
    if note := form.check(loaded):
        on_note(note)
    causal = loaded.objective == "causal"
    ends = end_ids(loaded) if causal else frozenset[int]()
    comparison = Comparison(own_runtime(loaded), comparison_text(loaded), ends, causal=causal)
    full = None
    if config.quantization != "none":  # else fewer bits would hide an error of the conversion
        on_stage("exporting in full", 0, 1)
        with tempfile.TemporaryDirectory() as folder:
            form.write(loaded, Path(folder), "none")
            full = _compared(config, form, loaded, Path(folder), comparison, exact=True)
    with _writing(out), write_folder(out, owned=False) as beside:
        on_stage("exporting", 0, 1)
        form.write(loaded, beside, config.quantization)
        exact = config.quantization == "none"
        found = _compared(config, form, loaded, beside, comparison, exact=exact)
        result = Export(
            path=out,
            model=config.model.name,
            to=name,
            quantization=config.quantization,
            files={p.name: p.stat().st_size for p in sorted(beside.iterdir()) if p.is_file()},
            comparison=found,
            comparison_in_full=full,
            checksums={**checksums, "exported": tensor_checksum(loaded.model.state_dict())},
            written=folder_checksums(beside),
            versions=_versions(form),
            usage=form.usage(out),
        )
        (beside / RECORD).write_text(to_json(result.record()) + "\n", "utf-8")
    on_stage("exporting", 1, 1)
    if not found.relative_difference <= COSTLY:
        on_note(
            f"weights in {config.quantization} cost {found.relative_difference:.1%} of the loss: "
            "leave --quantization out, or choose more bits, if that is too much"
        )
    return result


def _compared(
    config: ExportConfig,
    form: Format,
    loaded: LoadedModel,
    folder: Path,
    comparison: Comparison,
    *,
    exact: bool,
) -> Agreement:
    """Return what an export computes beside the model, as its own program reads it back.

    Raises:
        ModelError: If that program cannot read or compute it, or computes something else.
    """
    instead = "take the model as it is" if config.to == "onnx" else "give --to onnx"
    with library_errors(
        f"--to {config.to}: what was made of {loaded.name}, {with_article(loaded.model)}, cannot "
        "be read back",
        f"Nothing was written: {instead}.",
    ):
        return comparison.compare(form.read(loaded, folder), exact=exact)


def _whole(loaded: LoadedModel) -> LoadedModel:
    """Return a model on the CPU without an adapter; one that a program holds stays as it is."""
    if loaded.name.startswith(LIVE):
        loaded = merged_copy(loaded)
        if loaded.device.type != "cpu":
            loaded = replace(loaded, model=copy.deepcopy(loaded.model).cpu())
    elif loaded.adapter is not None:
        loaded = merge_adapter(loaded)
    loaded.model.eval()
    return loaded


def _versions(form: Format) -> dict[str, str]:
    own = {"nextfill": VERSION, "torch": torch.__version__, "transformers": version("transformers")}
    return {**own, **form.libraries()}


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunError(f"--out {out} cannot be written: {error.strerror or error}.") from error
