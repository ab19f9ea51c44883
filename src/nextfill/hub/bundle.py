"""A model in one file for another person: a zip archive of a folder, with its card and its use."""

from __future__ import annotations

import re
import shlex
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from nextfill.config import ShareConfig
from nextfill.core.amounts import amount
from nextfill.core.atomic_write import write_file
from nextfill.core.errors import ConfigError, NextfillError
from nextfill.core.output_file import check_new_file, free_path, write_error
from nextfill.core.progress import Progress
from nextfill.core.shell_command import shell_command
from nextfill.data.records.formats.file_formats import TAR
from nextfill.hub.card_metadata import check_license, objective_of
from nextfill.hub.share import ModelFolder, find_model, model_to_send
from nextfill.models.folder.configuration import read_json
from nextfill.models.folder.location import ADAPTER_CONFIG, is_for_ours_alone

SUFFIX = ".zip"
USAGE = "HOW-TO-USE.txt"
"""The file of a bundle that says how to use it, for one who has never heard of Nextfill."""

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of every file, so that a bundle is a function of its content; zip knows no earlier."""
_MODE = 0o100644 << 16
_CHUNK = 1 << 22

_PYTHON = {
    "causal": "generate = pipeline('text-generation', '{name}'); "
    "print(generate('Once upon a time', max_new_tokens=40)[0]['generated_text'])",
    "masked": "fill = pipeline('fill-mask', '{name}'); "
    "print(fill('Once upon a ' + fill.tokenizer.mask_token)[0]['sequence'])",
}

_OURS = {
    "causal": 'generate {name} "Once upon a time"',
    "masked": 'fill {name} "Once upon a ___"',
}

_TEXT = """\
A language model. In the folder that holds {name}, with Python 3.11 or later, type:

{install}
{use}

With Nextfill (pip install nextfill) it can be trained further, too. More: {name}/README.md
"""

_OF_MODEL = "nextfill-model"


@dataclass(frozen=True)
class Bundle:
    """A model in one file.

    Args:
        path: The file.
        folder: The folder that it unpacks to.
        files: Names of the files in it, in order.
        size: Bytes of the file.
        usage: The lines to type for one who has received it.
    """

    path: Path
    folder: str
    files: tuple[str, ...]
    size: int
    usage: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {**asdict(self), "path": str(self.path)}

    def __str__(self) -> str:
        lines = "\n".join(f"  {line}" for line in self.usage)
        size = f"{self.size / 1e6:,.1f} MB, {amount(len(self.files), 'file')}"
        return f"bundle: {self.path} ({size})\nuse it with:\n{lines}"


def bundle_run(
    run: str | Path,
    out: str | Path | None,
    config: ShareConfig,
    *,
    on_note: Callable[[str], None] = lambda text: None,
    on_stage: Progress = lambda label, done, total: None,
) -> Bundle:
    """Write a run's model, or that of a folder, with its card into one new file."""
    check_license(config.license)
    name = folder_name(find_model(run).name)
    own = Path(f"{name}{SUFFIX}")
    if out is None and own.exists():
        raise NextfillError(f"{own} is there already. {_with_another_name(run, own, config)}")
    path = check_new_file(str(own if out is None else out))
    if path.suffix.lower() != SUFFIX:
        again = shlex.quote(f"{TAR.sub('', str(out))}{SUFFIX}")
        raise ConfigError([f"--out {out}: a bundle is a {SUFFIX} file. Type: --out {again}"])
    folder = _inner_folder(name)
    with model_to_send(run, name, config, on_note) as (model, files):
        install, use = _usage(model, folder, is_adapter=ADAPTER_CONFIG in files)
        text = _TEXT.format(name=folder, install=install, use=use)
        members = {USAGE: text.encode("utf-8"), **files}
        try:
            with write_file(path) as beside:
                _write_zip(beside, folder, members, on_stage)
        except OSError as error:
            raise write_error(f"--out {path}", error) from error
    unpack = f"python -m zipfile -e {shlex.quote(path.name)} ."
    return Bundle(path, folder, tuple(members), path.stat().st_size, (unpack, install, use))


def _with_another_name(run: str | Path, own: Path, config: ShareConfig) -> str:
    """Return the words with the whole command that writes a file of another name."""
    words: list[object] = ["bundle", Path(run), "--out", free_path(own)]
    words += ["--adapter"] if config.adapter else []
    words += ["--license", config.license] if config.license else []
    return f"For a file of another name, type: {shell_command(*words)}"


def _inner_folder(name: str) -> str:
    """Return the folder in a bundle, which is unpacked over any of its name.

    Whoever wrote the text often has it in a folder that the run, and so the bundle, is named by.

    Example:
        >>> _inner_folder("stories"), _inner_folder("model")
        ('stories-nextfill-model', 'nextfill-model')
    """
    return _OF_MODEL if name == "model" else f"{name}-{_OF_MODEL}"


def folder_name(name: str) -> str:
    """Return the name of a folder that any system and any shell takes as it is.

    Example:
        >>> folder_name("Anna's diary, 2nd run"), folder_name("..."), folder_name("日記")
        ('Anna-s-diary-2nd-run', 'model', 'model')
    """
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")
    return plain[:80] if re.search(r"[A-Za-z0-9]", plain) else "model"


def _usage(model: ModelFolder, name: str, *, is_adapter: bool) -> tuple[str, str]:
    """Return the commands that install the libraries and make a first text, beside the folder."""
    if is_adapter and is_for_ours_alone(model.folder):  # which transformers cannot fetch
        return "pip install nextfill", f"nextfill {_OURS[_objective(model)].format(name=name)}"
    libraries = "torch transformers peft" if is_adapter else "torch transformers"
    use = _PYTHON[_objective(model)].format(name=name)
    return f"pip install {libraries}", f'python -c "from transformers import pipeline; {use}"'


def _objective(model: ModelFolder) -> str:
    """Return the objective of a model: of its run, or by its configuration."""
    from nextfill.models.folder.configuration import transformers_config
    from nextfill.models.objective import default_objective
    from nextfill.runs.reader import read_run

    if model.of_run is not None:
        return objective_of(read_run(model.of_run))
    if (model.folder / ADAPTER_CONFIG).is_file():
        task = read_json(model.folder / ADAPTER_CONFIG).get("task_type")
        return "causal" if task == "CAUSAL_LM" else "masked"
    config = transformers_config(model.folder, model.run, trust_remote_code=False)
    return default_objective(config) or "causal"


def _write_zip(
    path: Path,
    folder: str,
    members: Mapping[str, Path | bytes],
    on_stage: Progress,
) -> None:
    """Write an archive of one folder, its weights as they are, for they hardly get smaller."""
    sizes = {
        name: len(content) if isinstance(content, bytes) else content.stat().st_size
        for name, content in members.items()
    }
    done, total = 0, sum(sizes.values())
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(f"{folder}/{name}", _EPOCH)
            info.external_attr = _MODE
            is_dense = name.endswith(".safetensors")
            info.compress_type = zipfile.ZIP_STORED if is_dense else zipfile.ZIP_DEFLATED
            info.file_size = sizes[name]  # whence zipfile knows whether 32 bits are enough
            with archive.open(info, "w") as member, _opened(content) as source:
                while piece := source.read(_CHUNK):
                    member.write(piece)
                    done += len(piece)
                    on_stage("bundling", done, total)


def _opened(content: Path | bytes) -> BinaryIO:
    return BytesIO(content) if isinstance(content, bytes) else content.open("rb")
