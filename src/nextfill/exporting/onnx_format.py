"""ONNX, by PyTorch's own exporter, read back by ONNX Runtime."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from nextfill.config import ExportQuantization
from nextfill.core.amounts import with_article
from nextfill.core.errors import ConfigError, missing_library
from nextfill.core.shell_command import shell_word
from nextfill.exporting.runtime import ByLogits
from nextfill.exporting.text_logits import TextLogits
from nextfill.models.computation import probe_ids
from nextfill.models.libraries import first_error_line, library_errors
from nextfill.models.loaded_model import LoadedModel

FILE = "model.onnx"
INPUTS = ("input_ids", "attention_mask")
_ROWS, _LENGTH = 2, 9
"""The shape of the example that is traced; both are free in what is exported."""
_LOGGERS = ("torch.onnx", "onnxscript", "onnx_ir")


def open_format() -> OnnxFormat:
    """Return the format, refusing where its libraries are not installed."""
    try:
        import onnx
        import onnxruntime
        import onnxscript
    except ImportError as error:
        raise missing_library("--to onnx", "onnx") from error
    return OnnxFormat(
        {one.__name__: str(one.__version__) for one in (onnx, onnxruntime, onnxscript)}
    )


class OnnxFormat:
    """Folders of one ONNX file with the model's configuration and tokenizer beside it.

    Args:
        versions: Of the libraries.
    """

    def __init__(self, versions: dict[str, str]) -> None:
        self._versions = versions

    def check(self, loaded: LoadedModel) -> str:
        """Refuse no model: only its export can tell."""
        return ""

    def write(self, loaded: LoadedModel, folder: Path, quantization: ExportQuantization) -> None:
        """Export a model, and hold its weights in 8 bits where that is asked for."""
        if quantization == "none":
            write_onnx(loaded, folder / FILE, "--to onnx")
        else:
            with tempfile.TemporaryDirectory() as beside:
                write_onnx(loaded, Path(beside) / FILE, "--to onnx")
                with library_errors(
                    f"--to onnx --quantization int8: ONNX Runtime cannot round {loaded.name}",
                    "Leave --quantization out.",
                ):
                    _quantize(Path(beside) / FILE, folder / FILE)
        loaded.model.config.save_pretrained(folder)  # type: ignore[union-attr, operator]
        loaded.tokenizer.save_pretrained(folder)

    def read(self, loaded: LoadedModel, folder: Path) -> ByLogits:
        """Read a folder by ONNX Runtime."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(
            str(folder / FILE), options, providers=["CPUExecutionProvider"]
        )

        def logits_of(ids: Tensor, mask: Tensor) -> Tensor:
            given = dict(zip(INPUTS, (ids.numpy(), mask.numpy()), strict=True))
            taken = {one.name: given[one.name] for one in session.get_inputs()}
            return torch.from_numpy(session.run(None, taken)[0])

        name = f"ONNX Runtime {self._versions['onnxruntime']}"
        return ByLogits(name, logits_of, loaded.pad_id)

    def libraries(self) -> dict[str, str]:
        """Return the versions of onnx, onnxruntime and onnxscript."""
        return self._versions

    def usage(self, folder: Path) -> str:
        """Return a line that reads the folder."""
        line = (
            f"import onnxruntime; print(onnxruntime.InferenceSession({str(folder / FILE)!r})"
            ".get_inputs())"
        )
        return f"python -c {shell_word(line)}"


def write_onnx(loaded: LoadedModel, path: Path, flag: str) -> None:
    """Write a model as one ONNX file, of texts of any number and length.

    Args:
        loaded: A model without an adapter, on the CPU.
        path: The file; weights of over 2 GB lie beside it, in FILE.data.
        flag: The setting that asks for it, which a message begins with.

    Raises:
        ConfigError: If PyTorch's exporter cannot follow the model.
    """
    function = TextLogits(loaded).eval()
    ids = probe_ids(loaded.model, _ROWS, _LENGTH)
    sizes = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    try:
        with _quiet(), torch.inference_mode(mode=False), torch.no_grad():
            program = torch.onnx.export(
                function,
                (ids, torch.ones_like(ids)),
                dynamo=True,
                input_names=list(INPUTS),
                output_names=["logits"],
                dynamic_shapes=dict.fromkeys(INPUTS, sizes),
                verbose=False,
            )
            # Its type is that of the older exporter, too, which returns nothing.
            cast(torch.onnx.ONNXProgram, program).save(str(path), external_data=_is_large(loaded))
    except (torch.onnx.errors.OnnxExporterError, NotImplementedError, RuntimeError) as error:
        raise ConfigError(
            [
                f"{flag}: PyTorch's exporter fails at {loaded.name}, "
                f"{with_article(loaded.model)}: {first_error_line(error)}. Take the model as it "
                "is, in transformers' format: its folder is one already."
            ]
        ) from error


def _is_large(loaded: LoadedModel) -> bool:
    """Return whether a model needs a second file: protobuf holds up to 2 GB."""
    return loaded.num_parameters * 4 > 1_900_000_000


def _quantize(path: Path, quantized: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quiet():
        quantize_dynamic(str(path), str(quantized), weight_type=QuantType.QInt8, per_channel=True)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the exporters tell of themselves, for this block."""
    levels = {name: logging.getLogger(name).level for name in (*_LOGGERS, "root")}
    try:
        for name in levels:
            logging.getLogger(name if name != "root" else None).setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name if name != "root" else None).setLevel(level)
