"""OpenVINO's format, by its own reader of ONNX files."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nextfill.config import ExportQuantization
from nextfill.core.amounts import with_article
from nextfill.core.errors import missing_library
from nextfill.core.shell_command import shell_word
from nextfill.exporting.onnx_format import INPUTS, write_onnx
from nextfill.exporting.runtime import ByLogits
from nextfill.models.libraries import library_errors
from nextfill.models.loaded_model import LoadedModel

FILE = "openvino_model.xml"


def open_format() -> OpenvinoFormat:
    """Return the format, refusing where its libraries are not installed."""
    try:
        import onnx  # noqa: F401 - which PyTorch's exporter needs
        import onnxscript  # noqa: F401
        import openvino
    except ImportError as error:
        raise missing_library("--to openvino", "openvino") from error
    return OpenvinoFormat(openvino)


class OpenvinoFormat:
    """Folders of OpenVINO, with the model's configuration and tokenizer beside it.

    Args:
        library: The package.
    """

    def __init__(self, library: Any) -> None:
        self._openvino = library

    def check(self, loaded: LoadedModel) -> str:
        """Refuse no model: only its export can tell."""
        return ""

    def write(self, loaded: LoadedModel, folder: Path, quantization: ExportQuantization) -> None:
        """Export a model to ONNX, and convert that."""
        del quantization  # of which there is none
        with tempfile.TemporaryDirectory() as beside:
            path = Path(beside) / "model.onnx"
            write_onnx(loaded, path, "--to openvino")
            with library_errors(
                f"--to openvino: its reader of ONNX files fails at {loaded.name}, "
                f"{with_article(loaded.model)}",
                "Give --to onnx.",
            ):
                model = self._openvino.convert_model(str(path))
            self._openvino.save_model(model, str(folder / FILE), compress_to_fp16=False)
        loaded.model.config.save_pretrained(folder)  # type: ignore[union-attr, operator]
        loaded.tokenizer.save_pretrained(folder)

    def read(self, loaded: LoadedModel, folder: Path) -> ByLogits:
        """Read a folder by OpenVINO, which is not to round to fewer bits."""
        compiled = self._openvino.Core().compile_model(
            str(folder / FILE), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
        )
        names = {one for port in compiled.inputs for one in port.get_names()}

        def logits_of(ids: Tensor, mask: Tensor) -> Tensor:
            given = dict(zip(INPUTS, (ids.numpy(), mask.numpy()), strict=True))
            taken = {name: one for name, one in given.items() if name in names}
            return torch.from_numpy(compiled(taken)[0].copy())

        return ByLogits(f"OpenVINO {self._release}", logits_of, loaded.pad_id)

    @property
    def _release(self) -> str:
        return str(self._openvino.__version__).partition("-")[0]

    def libraries(self) -> dict[str, str]:
        """Return OpenVINO's version."""
        return {"openvino": self._release}

    def usage(self, folder: Path) -> str:
        """Return a line that reads the folder."""
        line = f"import openvino; print(openvino.Core().compile_model({str(folder / FILE)!r}))"
        return f"python -c {shell_word(line)}"
