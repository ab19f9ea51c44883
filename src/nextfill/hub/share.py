"""What of a run is sent: its model whole, or its adapter alone."""

from __future__ import annotations

import logging
import shlex
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nextfill.config import ModelConfig, ShareConfig, TrainConfig
from nextfill.core.checksums import is_changed, record_files
from nextfill.core.errors import ConfigError, RunError
from nextfill.core.paths import user_path
from nextfill.hub.account import check_access, check_name
from nextfill.hub.card_metadata import check_license, hub_model
from nextfill.hub.upload import LocalFile, Shared, is_sent, local_file, push
from nextfill.models.adapter_files import ADAPTER_CONFIG, read_base
from nextfill.models.configuration import CONFIG
from nextfill.models.location import check_model
from nextfill.models.model_folder import read_json, regular_files
from nextfill.runs.directory import RunDirectory

logger = logging.getLogger("nextfill")


@dataclass(frozen=True)
class Content:
    """What is to be sent.

    Args:
        run: As the user named it.
        folder: The model's folder.
        of_run: The run directory that it came of; None for a folder on its own.
    """

    run: str
    folder: Path
    of_run: Path | None


def share_run(
    run: str | Path,
    repo: str,
    config: ShareConfig,
    *,
    show_progress: bool,
    on_note: Callable[[str], None] = lambda text: None,
) -> Shared:
    """Send a run's model to the Hub."""
    check_name(repo)
    check_license(config.license)
    content = find_content(run)
    if content.of_run is not None:
        check_model(content.of_run)
    with _prepared(content, config, on_note) as folder:
        files = _files(folder, content, repo, config)
        return push(
            files,
            repo,
            private=config.private,
            message=f"A model by Nextfill from {_one_line(content.folder)}",
            again=command(str(run), repo, config),
            show_progress=show_progress,
        )


def check_sharing(config: TrainConfig) -> None:
    """Refuse before the training what would be refused after it, asking the Hub."""
    share = config.share
    if share.repo is None:
        if share != ShareConfig():
            raise ConfigError(["--share-private, -adapter and -license need --share USER/NAME."])
        return
    check_license(share.license)
    check_access(share.repo, private=share.private)


def check_adapter(config: TrainConfig, *, has_adapter: bool) -> None:
    """Refuse ``--share-adapter`` for a run that will have no adapter."""
    if config.share.adapter and (config.lora.merge or not has_adapter):
        raise ConfigError(
            ["--share-adapter: this run makes no adapter: give --lora-rank, without --lora-merge."]
        )


def command(run: str, repo: str, config: ShareConfig) -> str:
    """Return what to type to share a run."""
    words = ["nextfill", "share", run, repo]
    words += ["--private"] if config.private else []
    words += ["--adapter"] if config.adapter else []
    words += ["--license", config.license] if config.license else []
    return shlex.join(words)


def find_content(run: str | Path) -> Content:
    """Find the model of a run, or of a folder, refusing what holds none."""
    path = user_path(str(run), "RUN")
    if (path / "config.toml").is_file():
        folder = RunDirectory(path).model
        if not folder.is_dir():
            again = f"nextfill train --out {shlex.quote(str(run))} --resume"
            raise RunError(f"The run {run} has no model/ yet. Finish it with: {again}")
        return Content(str(run), folder, path)
    if (path / "config.json").is_file() or (path / ADAPTER_CONFIG).is_file():
        above = path.absolute().parent
        of_run = above if (above / "config.toml").is_file() and path.name == "model" else None
        return Content(str(run), path, of_run)
    named = shlex.quote(str(run))
    raise RunError(f"{named} holds no run and no model (expected config.toml, or config.json).")


@contextmanager
def _prepared(
    content: Content, config: ShareConfig, on_note: Callable[[str], None]
) -> Iterator[Path]:
    """Give the folder to send; an adapter is merged into its base for it, unless sent alone."""
    regular_files(content.folder, with_weights=True)
    base = read_base(content.folder)
    if config.adapter:
        if base is None:
            raise ConfigError(
                [
                    f"--adapter: the model of {content.run} is whole. Leave --adapter out, or "
                    "train with --lora-rank and without --lora-merge."
                ]
            )
        _check_base(base[0], content.run)
        yield content.folder
    elif base is None:
        _check_model(content, on_note)
        yield content.folder
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield _merged(content, Path(folder) / "model", on_note)


def _check_base(base: str, run: str) -> None:
    """Refuse an adapter whose model nobody else could find, and whose path would be told."""
    if hub_model(base) is None and not base.startswith("builtin:"):
        raise ConfigError(
            [
                f"--adapter: the adapter of {run} is for a model on this machine, which others do "
                "not have: leave --adapter out, and the model is sent whole."
            ]
        )


def _check_model(content: Content, on_note: Callable[[str], None]) -> None:
    """Refuse a model that does not hold together, and tell what of it is left over."""
    config = read_json(content.folder / CONFIG)
    if "model_type" not in config or "auto_map" in config:
        return  # which only its own code can read
    from nextfill.models.loaded_model import left_over
    from nextfill.models.tokenizer import transformers_as_found
    from nextfill.models.weights import read_outline

    with transformers_as_found():
        outline = read_outline(content.folder, content.run, objective=None, trust_remote_code=False)
    for note in left_over(outline.unexpected):
        on_note(note)


def _merged(content: Content, folder: Path, on_note: Callable[[str], None]) -> Path:
    """Save the model with its adapter merged in, and its card."""
    from nextfill.hub.model_card import CARD, make_card
    from nextfill.models.load import load_model
    from nextfill.runs.reader import gather
    from nextfill.training.job import save_model

    loaded = load_model(ModelConfig(name=str(content.folder)))
    for note in loaded.notes:
        on_note(note)
    save_model(loaded, folder, merge=True)
    if content.of_run is not None:
        (folder / CARD).write_text(make_card(gather(content.of_run), is_adapter=False), "utf-8")
    return folder


def _files(folder: Path, content: Content, repo: str, config: ShareConfig) -> list[LocalFile]:
    """Return the files of a model, the card with the repository's name filled in."""
    from nextfill.hub.model_card import CARD, CARD_OF_RUN, plain_card, write_card

    card = folder / CARD
    of_run = content.of_run if folder == content.folder else None
    if of_run is not None and not card.is_file():
        card = write_card(of_run)
    changed = of_run is not None and is_changed(of_run, CARD_OF_RUN)
    if changed:
        logger.warning("%s is not as Nextfill wrote it, and is sent as it stands", card)
    try:
        if config.license:
            _keep_license(content.folder / CARD, config.license)
            if of_run is not None and not changed:
                record_files(of_run, [CARD_OF_RUN])
        text = card.read_text("utf-8") if card.is_file() else plain_card()
        names = sorted(path.name for path in folder.iterdir() if path.is_file())
        filled = filled_in(text, repo, config.license).encode("utf-8")
        files = [
            local_file(name, folder / name) for name in names if is_sent(name) and name != CARD
        ]
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{folder} cannot be read: {error}") from error
    return [local_file(CARD, filled), *files]


def filled_in(card: str, repo: str, license_id: str | None) -> str:
    """Return a card with the repository's name in place of `PLACE`, and perhaps a licence."""
    from huggingface_hub import ModelCard
    from yaml import YAMLError  # type: ignore[import-untyped]

    from nextfill.hub.model_card import with_repository

    card = with_repository(card, repo)
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


def _keep_license(card: Path, license_id: str) -> None:
    """Write a license into the card beside the weights, so that the next push states it, too."""
    from nextfill.hub.model_card import PLACE

    if card.is_file():
        card.write_text(filled_in(card.read_text("utf-8"), PLACE, license_id), "utf-8")


def _one_line(folder: Path) -> str:
    path = folder.absolute()
    return path.parent.name if path.name == "model" else path.name
