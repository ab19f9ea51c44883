"""From a model's name to its folder, bundled, local or fetched, and to that of its base."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from zipfile import is_zipfile

from nextfill.config.prefixes import BUILTIN
from nextfill.core.atomic_write import recover_folder
from nextfill.core.checksums import RECORD, read_record, record_problems
from nextfill.core.errors import (
    ModelError,
    NextfillError,
    nearest,
)
from nextfill.core.model_folders import (
    model_below,
    refuse_checkpoint,
    run_of_file,
)
from nextfill.core.paths import check_utf8_name, nearest_path, user_path
from nextfill.core.shell_command import shell_command, shell_word
from nextfill.data.records.formats.file_formats import HEAD_BYTES, placeholder
from nextfill.models.folder.configuration import read_json
from nextfill.models.folder.hub_folder import hub_folder, name_nearby
from nextfill.models.folder.model_files import regular_files

ADAPTER_CONFIG = "adapter_config.json"
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


@dataclass(frozen=True)
class Place:
    """A model or an adapter by its name, its local folder and its commit on the Hub, if any."""

    name: str
    folder: Path
    revision: str | None


def lineage(name: str, revision: str | None) -> list[Place]:
    """Return the place of a model, of its base if it is an adapter, and so on to a whole model."""
    folder, commit = model_folder(name, revision, kind="model")
    places = [Place(name, folder, commit)]
    while (base := read_base(places[-1].folder)) is not None:
        base_name, base_revision = base
        try:
            folder, commit = model_folder(base_name, base_revision, kind="model")
        except NextfillError as error:
            raise ModelError(f"{places[-1].name} is an adapter for {base_name}: {error}") from error
        if any(folder.resolve() == place.folder.resolve() for place in places):
            circle = ", which is one for ".join([*(place.name for place in places), base_name])
            raise ModelError(
                f"{circle}: adapters in a circle, with no model in it. Name the model in "
                f"base_model_name_or_path of {places[-1].folder / ADAPTER_CONFIG}."
            )
        places.append(Place(base_name, folder, commit))
    return places


def read_base(folder: Path) -> tuple[str, str | None] | None:
    """Return name and revision of the model that a folder's adapter is for, None if it has none."""
    path = folder / ADAPTER_CONFIG
    if not path.is_file():
        return None
    settings = read_json(path)
    base, revision = settings.get("base_model_name_or_path"), settings.get("revision")
    if not isinstance(base, str) or not base or not isinstance(revision, str | None):
        raise ModelError(
            f"{path} is damaged, or names no base model: found base_model_name_or_path {base!r}, "
            f"revision {revision!r}; expected the name of a model, and a revision or null."
        )
    return base, revision


def is_for_ours_alone(folder: Path) -> bool:
    """Tell an adapter whose model transformers cannot find: a bundled one, or that of a run."""
    base = read_base(folder)
    return base is not None and (base[0].startswith(BUILTIN) or _is_run(Path(base[0])))


def model_folder(
    name: str, revision: str | None, *, kind: str, called: str | None = None
) -> tuple[Path, str | None]:
    """Return the local folder of a model or tokenizer, and its commit if it is of the Hub.

    The kind is ``"model"`` or ``"tokenizer"``, whose weights are not fetched; ``called`` is the
    word for it in messages.
    """
    folder, commit = _find(name, revision, kind, called or kind)
    _check_files(folder, kind)
    if (run := run_above(folder.absolute())) is not None:
        check_model(run, weights=kind != "tokenizer")
    return folder, commit


def folder_with(
    files: Sequence[str], name: str, revision: str | None, called: str
) -> tuple[str, Path]:
    """Return the name and folder of a tokenizer's files, for an adapter without any its base's.

    PEFT saves none with an adapter, which reads its base's tokens. Where there are none at all the
    last folder comes back.
    """
    folder, _ = model_folder(name, revision, kind="tokenizer", called=called)
    first, seen = name, {folder}
    while not holds_any(folder, files) and (base := read_base(folder)) is not None:
        try:
            folder, _ = model_folder(*base, kind="tokenizer", called="model")
        except NextfillError as error:
            raise ModelError(f"{first} is an adapter for {base[0]}: {error}") from error
        if folder in seen:
            break
        seen.add(folder)
        name = base[0]
    return name, folder


def holds_any(folder: Path, patterns: Sequence[str]) -> bool:
    """Tell whether a folder holds a file of one of some patterns."""
    return any(file.is_file() for pattern in patterns for file in folder.glob(pattern))


def run_of(name: str) -> Path | None:
    """Return the run directory that a model names, itself or by its ``model/``; None for others."""
    path = user_path(name, "MODEL")
    return path if _is_run(path) else run_above(path)


def run_above(folder: Path) -> Path | None:
    """Return the run directory whose ``model/`` a folder is, None for any other folder."""
    return folder.parent if folder.name == "model" and _is_run(folder.parent) else None


def _is_run(folder: Path) -> bool:
    began = any((folder / name).is_file() for name in ("ledger.json", RECORD))
    return began and (folder / "config.toml").is_file()


def check_model(run: Path, *, weights: bool = True) -> None:
    """Refuse a run's model whose files changed since training; one without a record passes."""
    record = read_record(run)
    if record is None:
        return

    def is_checked(name: str) -> bool:
        is_of_use = name.startswith("model/") and name != "model/README.md"  # which has an owner
        return is_of_use and (weights or not name.endswith(".safetensors"))

    problems = record_problems(run, record, is_checked)
    if problems:
        raise ModelError(
            f"The model of {run} is damaged: {'; '.join(problems)}. Make it again, from its newest "
            f"checkpoint, with: {shell_command('train', '--out', run, '--resume')}"
        )


def _check_files(folder: Path, kind: str) -> None:
    """Refuse pointers of Git LFS, web pages and empty files in the place of a model's files."""
    for file in regular_files(folder, with_weights=kind != "tokenizer"):
        try:
            with file.open("rb") as opened:
                head = opened.read(HEAD_BYTES)
        except OSError:
            continue  # whatever reads it next says so
        if found := placeholder(head):
            raise ModelError(f"{file}: {found.message}")
        if not head and file.suffix in (".json", ".safetensors", ".model"):
            raise ModelError(f"{file} is empty (0 bytes). Fetch it again.")


def _find(name: str, revision: str | None, kind: str, called: str) -> tuple[Path, str | None]:
    if name.startswith(BUILTIN):
        return _bundled_folder(name.removeprefix(BUILTIN)), None
    path = user_path(name, f"--{called}")
    refuse_checkpoint(path)
    if path.name == "model":
        recover_folder(path)
    if (path / "config.toml").is_file():  # a run directory serves wherever a model does
        recover_folder(path / "model")
        if not (path / "model").is_dir():  # which comes whole, at the end
            raise ModelError(
                f"The run {name} has no model/ yet. Finish it with: "
                f"{shell_command('train', '--out', Path(name), '--resume')}"
            )
        return check_utf8_name(path / "model", f"--{called}"), None
    if path.is_dir():
        return check_utf8_name(model_below(path) or path, f"--{called}"), None
    if is_zipfile(path):
        raise ModelError(
            f"{name} is an archive. Unpack it, and give the folder in it: "
            f"python -m zipfile -e {shell_word(name)} ."
        )
    if path.is_file():
        inside = path.suffix in (".safetensors", ".bin", ".json", ".pt", ".pth")
        run = run_of_file(path)
        hint = (
            f"Name its run: {shell_word(run)}"
            if run is not None
            else f"Name the folder that it lies in: {shell_word(path.parent)}"
            if inside
            else f"If it is your text, type: {shell_command('train', '--data', Path(name))}"
        )
        raise ModelError(
            f"{name} is a file, and no {called}, which is a folder with config.json, a run "
            f"directory, or a Hub id. {hint}"
        )
    looks_local = name.startswith(("/", ".", "~")) or name.count("/") > 1 or path.suffix != ""
    if looks_local and path.suffix in ("", ".toml", ".json", ".safetensors"):
        raise ModelError(
            f"There is no {called} folder {name}.{nearest_path(path)} "
            "Give a folder with config.json, a run directory, or a Hub id."
        )
    if not _HUB_ID.fullmatch(name):
        hint = name_nearby(name) or (_text_last() if " " in name else "")
        raise ModelError(
            f"'{name}' is neither a folder nor a Hub id: expected owner/name, a path, "
            f"builtin:NAME or scratch:TYPE.{hint}"
        )
    return hub_folder(name, revision, kind, called)


def _bundled_folder(name: str) -> Path:
    root = Path(str(resources.files("nextfill"))) / "bundled"
    known = sorted(path.parent.name for path in root.glob("*/config.json"))
    if name not in known:
        raise ModelError(
            f"There is no bundled model '{name}'.{nearest(name, known)} "
            f"There are: {', '.join(BUILTIN + k for k in known)}."
        )
    return root / name


def _text_last() -> str:
    """Return the hint at a text in the place of the model."""
    ways = " or ".join(shell_command(verb, "MODEL", "TEXT") for verb in ("generate", "fill"))
    return f" If it is a text, it stands after the model: {ways}"
