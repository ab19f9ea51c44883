"""Files of a model as others get them, its card filled in; and their push to the Hub."""

from __future__ import annotations

import json
import logging
import shlex
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from nextfill.config import ModelConfig, ShareConfig, TrainConfig
from nextfill.config.prefixes import BUILTIN
from nextfill.core.checksums import is_changed, record_files
from nextfill.core.errors import ConfigError, RunError
from nextfill.core.model_folders import (
    folders_within,
    model_below,
    refuse_checkpoint,
    run_of_file,
    run_of_name,
)
from nextfill.core.paths import nearest_path, user_path
from nextfill.core.shell_command import shell_command, shell_word
from nextfill.hub.account import check_access, check_name
from nextfill.hub.card_metadata import check_license, hub_model
from nextfill.hub.upload import Shared, is_sent, local_file, push
from nextfill.models.folder.configuration import CONFIG, read_json
from nextfill.models.folder.location import ADAPTER_CONFIG, check_model, read_base
from nextfill.models.folder.model_files import regular_files
from nextfill.runs.directory import RunDirectory, write_text

logger = logging.getLogger("nextfill")


@dataclass(frozen=True)
class ModelFolder:
    """The model to share: its name in the command, its folder, and its run unless on its own."""

    run: str
    folder: Path
    of_run: Path | None

    @property
    def name(self) -> str:
        """The name of its run directory, or of its folder."""
        path = self.folder.absolute()
        return path.parent.name if path.name == "model" else path.name


def share_run(
    run: str | Path,
    repo: str,
    config: ShareConfig,
    *,
    show_progress: bool,
    on_note: Callable[[str], None] = lambda text: None,
) -> Shared:
    """Share a run's model, or that of a folder, on the Hub."""
    check_name(repo)
    check_license(config.license)
    with model_to_send(run, repo, config, on_note) as (model, files):
        return push(
            [local_file(name, content) for name, content in files.items()],
            repo,
            private=config.private,
            message=f"A model by Nextfill from {model.name}",
            again=share_command(str(run), repo, config),
            show_progress=show_progress,
        )


def check_sharing(config: TrainConfig) -> None:
    """Refuse settings of sharing before the training, after a question to the Hub."""
    share = config.share
    if share.repo is None:
        if share != ShareConfig():
            raise ConfigError(["--share-private, -adapter and -license need --share USER/NAME."])
        return
    check_license(share.license)
    check_access(share.repo, private=share.private)


def share_command(run: str, repo: str, config: ShareConfig) -> str:
    """Return the shell command that shares a run."""
    words: list[object] = ["share", Path(run), repo]
    words += ["--private"] if config.private else []
    words += ["--adapter"] if config.adapter else []
    words += ["--license", config.license] if config.license else []
    return shell_command(*words)


def find_model(run: str | Path) -> ModelFolder:
    """Find the model of a run, or of a folder, refusing one without a model."""
    path = user_path(str(run), "RUN")
    refuse_checkpoint(path)
    if (path / "config.toml").is_file():
        folder = RunDirectory(path).model
        if not folder.is_dir():
            again = shell_command("train", "--out", Path(run), "--resume")
            raise RunError(f"The run {run} has no model/ yet. Finish it with: {again}")
        return ModelFolder(str(run), folder, path)
    if (path / "config.json").is_file() or (path / ADAPTER_CONFIG).is_file():
        above = path.absolute().parent
        of_run = above if (above / "config.toml").is_file() and path.name == "model" else None
        return ModelFolder(str(run), path, of_run)
    if below := model_below(path):
        return ModelFolder(str(run), below, None)
    named = shlex.quote(str(run))
    within = folders_within(path)
    near = run_of_name(str(run)) or nearest_path(path)
    own = run_of_file(path)
    other = "" if path.exists() else near
    hint = f" Name its run: {shell_word(own)}" if own else f" {within}" if within else other
    raise RunError(
        f"{named} holds no run and no model (expected config.toml, or config.json).{hint}"
    )


@contextmanager
def model_to_send(
    run: str | Path, place: str, config: ShareConfig, on_note: Callable[[str], None]
) -> Iterator[tuple[ModelFolder, dict[str, Path | bytes]]]:
    """Yield a model and the files that others get, by name: paths, or bytes for the card.

    ``place`` stands for the model in the lines of the card that say how to use it.
    """
    model = find_model(run)
    if model.of_run is not None:
        check_model(model.of_run)
    with _folder_to_send(model, config, on_note) as folder:
        yield model, _files(folder, model, place, config)


@contextmanager
def _folder_to_send(
    model: ModelFolder, config: ShareConfig, on_note: Callable[[str], None]
) -> Iterator[Path]:
    """Yield the folder to send, with an adapter merged into its base unless it is sent alone."""
    regular_files(model.folder, with_weights=True)
    base = read_base(model.folder)
    if config.adapter:
        if base is None:
            raise ConfigError(
                [
                    f"--adapter: the model of {model.run} is whole. Leave --adapter out, or "
                    "train with --lora-rank and without --lora-merge."
                ]
            )
        _check_base(base[0], model.run)
        yield model.folder
    elif base is None:
        _check_weights(model, on_note)
        yield model.folder
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield _merge_adapter(model, Path(folder) / "model", on_note)


def _check_base(base: str, run: str) -> None:
    """Refuse an adapter of a model on this machine alone, whose path would be published."""
    if hub_model(base) is None and not base.startswith(BUILTIN):
        raise ConfigError(
            [
                f"--adapter: the adapter of {run} is for a model on this machine, which others do "
                "not have: leave --adapter out, and the model is sent whole."
            ]
        )


def _check_weights(model: ModelFolder, on_note: Callable[[str], None]) -> None:
    """Refuse a model whose weights do not fit its configuration, and note unused weights."""
    config = read_json(model.folder / CONFIG)
    if "model_type" not in config or "auto_map" in config:
        return  # readable by its own code only
    from nextfill.models.folder.weights import read_outline
    from nextfill.models.libraries import transformers_as_found
    from nextfill.models.loaded_model import left_over

    with transformers_as_found():
        outline = read_outline(model.folder, model.run, objective=None, trust_remote_code=False)
    for note in left_over(outline.unexpected):
        on_note(note)


def _merge_adapter(model: ModelFolder, folder: Path, on_note: Callable[[str], None]) -> Path:
    """Save the model with its adapter merged in, and its card."""
    from nextfill.hub.model_card import CARD, make_card
    from nextfill.models.load import load_model
    from nextfill.runs.reader import read_run
    from nextfill.training.job import save_model

    loaded = load_model(ModelConfig(name=str(model.folder)))
    for note in loaded.notes:
        on_note(note)
    save_model(loaded, folder, merge=True)
    if model.of_run is not None:
        (folder / CARD).write_text(make_card(read_run(model.of_run), is_adapter=False), "utf-8")
    return folder


def _files(
    folder: Path, model: ModelFolder, place: str, config: ShareConfig
) -> dict[str, Path | bytes]:
    """Return the files of a model by name, the card with its place filled in."""
    from nextfill.hub.model_card import CARD, CARD_OF_RUN, plain_card, write_card

    card = folder / CARD
    of_run = model.of_run if folder == model.folder else None
    if of_run is not None and not card.is_file():
        card = write_card(of_run)
    changed = of_run is not None and is_changed(of_run, CARD_OF_RUN)
    if changed:
        logger.warning("%s is not as Nextfill wrote it, and is sent as it stands", card)
    try:
        if config.license:
            _add_license(model.folder / CARD, config.license)
            if of_run is not None and not changed:
                record_files(of_run, [CARD_OF_RUN])
        text = card.read_text("utf-8") if card.is_file() else plain_card()
        names = sorted(path.name for path in folder.iterdir() if path.is_file())
        filled = fill_in_card(text, place, config.license).encode("utf-8")
        files = {
            name: public_file(folder / name) for name in names if is_sent(name) and name != CARD
        }
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{folder} cannot be read: {error}") from error
    return {CARD: filled, **files}


def public_file(path: Path) -> Path | bytes:
    """Return a file of a model, or its content without the paths of this machine that it names."""
    if not path.name.endswith("config.json"):
        return path
    settings = read_json(path)
    local = [key for key, value in settings.items() if _is_local_path(key, value)]
    if not local:
        return path
    public = {key: value for key, value in settings.items() if key not in local}
    return (json.dumps(public, indent=2, ensure_ascii=False) + "\n").encode("utf-8")


def _is_local_path(key: str, value: object) -> bool:
    """Return whether a setting is a path that older versions of transformers wrote down."""
    if not isinstance(value, str) or not key.endswith(("name_or_path", "_file")):
        return False
    return PurePosixPath(value).is_absolute() or PureWindowsPath(value).is_absolute()


def fill_in_card(card: str, place: str, license_id: str | None) -> str:
    """Return a card with a name in place of `PLACE`, and a licence unless None."""
    from huggingface_hub import ModelCard
    from yaml import YAMLError  # type: ignore[import-untyped]

    from nextfill.hub.model_card import with_place

    card = with_place(card, place)
    try:
        parsed = ModelCard(card, ignore_metadata_errors=False)
    except (YAMLError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise RunError(
            f"The card's metadata, the top of README.md, are no YAML: {reason}"
        ) from error
    if license_id is None:
        return card
    parsed.data.license = license_id  # type: ignore[attr-defined]
    return str(parsed)


def _add_license(card: Path, license_id: str) -> None:
    """Add a licence to the card beside the weights, for the next push, too."""
    from nextfill.hub.model_card import PLACE

    if card.is_file():
        write_text(card, fill_in_card(card.read_text("utf-8"), PLACE, license_id))
