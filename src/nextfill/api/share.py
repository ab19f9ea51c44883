"""The verbs that show a finished run to others: `share`, `bundle` and `login`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextfill.api.arguments import plain_arguments
from nextfill.api.verb import keyword_settings, request_at_level, request_of
from nextfill.config import BundleConfig, ShareConfig, SharingConfig
from nextfill.config.layers import build
from nextfill.core.errors import HubError
from nextfill.core.locks import check_one_process
from nextfill.models.libraries import transformers_as_found
from nextfill.terminal.log_level import shown_by_level
from nextfill.terminal.notebook import choose_observer, in_notebook

if TYPE_CHECKING:
    from nextfill.hub.account import Login
    from nextfill.hub.bundle import Bundle
    from nextfill.hub.upload import Shared


@keyword_settings(SharingConfig)
@transformers_as_found()
def share(run: str | Path, repo: str, *, quiet: bool = True, **keywords: Any) -> Shared:
    """Push a run's model, tokenizer and card to a repository of the Hugging Face Hub.

    It is one commit with all files, and can be repeated: files that are there are not sent again.

    Args:
        run: The run directory, or a model's folder.
        repo: ``USER/NAME``; made if it does not exist.
        quiet: Whether to show no bars while files are sent.
        **keywords: ``private``: make a new repository private. ``adapter``: push the adapter
            alone, not merged into its model. ``license``: the license that the card states.
            ``log_level``: what to tell on stderr, as in `train`.

    Returns:
        Its address, and the files that were sent.

    Raises:
        ConfigError: If the settings cannot be used.
        RunError: If the run has no model.
        NotSharedError: If the Hub refuses or cannot be reached; says how to repeat it.
    """
    shown = shown_by_level(keywords)
    request = request_of(SharingConfig, keywords, choose_observer(quiet=not shown))
    check_one_process("push the model")
    config = build(SharingConfig, [request.settings], request.problems)
    request = request_at_level(request, config.log_level)
    quiet = (quiet and not shown) or config.log_level in ("error", "warning")
    from nextfill.hub.share import share_run

    settings = ShareConfig(private=config.private, adapter=config.adapter, license=config.license)
    return share_run(run, repo, settings, show_progress=not quiet, on_note=request.observer.on_note)


@keyword_settings(BundleConfig)
@transformers_as_found()
def bundle(run: str | Path, **keywords: Any) -> Bundle:
    """Write a run's model, tokenizer and card into one file to send to another person.

    It is a zip archive of one folder, which transformers reads as it is, with three lines that say
    how. Nothing in it tells of this machine; the same model gives the same bytes.

    Args:
        run: The run directory, or a model's folder.
        **keywords: ``out``: a new .zip file; default: the run's name, in the current folder.
            ``adapter``: the adapter alone, not merged into its model. ``license``: the license
            that the card states. ``log_level``: what to tell on stderr, as in `train`.

    Returns:
        The file, its size, the files in it, and the lines to type for one who receives it.

    Raises:
        ConfigError: If the settings cannot be used.
        RunError: If the run has no model.
        ModelError: If a file of the model was damaged since the training.
        NextfillError: If the file is there already, or cannot be written.
    """
    observer = choose_observer(quiet=not shown_by_level(keywords))
    request = request_of(BundleConfig, keywords, observer)
    check_one_process("write the bundle")
    config = build(BundleConfig, [request.settings], request.problems)
    request = request_at_level(request, config.log_level)
    from nextfill.hub.bundle import bundle_run

    observer = request.observer
    try:
        return bundle_run(
            run,
            config.out,
            ShareConfig(adapter=config.adapter, license=config.license),
            on_note=observer.on_note,
            on_stage=observer.on_stage,
        )
    finally:
        observer.on_end()


def check_can_ask() -> None:
    """Refuse to ask for a token where nobody can answer."""
    if in_notebook() or (sys.stdin is not None and sys.stdin.isatty()):
        return
    raise HubError(
        "There is no terminal to ask for the token at: pass it, login(token=...), from a place "
        "that is no file of your project, or set HF_TOKEN in the environment, which every call "
        "that needs a token reads; no login is needed then."
    )


@plain_arguments
def login(token: str | None = None) -> Login:
    """Log in to the Hugging Face Hub, through huggingface_hub, which keeps the token.

    Args:
        token: From the Hub's settings page. None asks for it at a terminal or in a notebook,
            without showing it; an empty answer keeps the one at hand. A script without a terminal
            passes it, or sets HF_TOKEN in its environment, and needs no login then.

    Returns:
        The account, and the permissions of the token.

    Raises:
        HubError: If the Hub does not accept the token, and nothing is kept then; or if there is
            nobody to ask.
    """
    from nextfill.hub.account import SETTINGS_PAGE, check_token_kind, log_in, who_am_i

    check_token_kind(token)

    if token is None:
        from getpass import getpass

        check_can_ask()
        token = getpass(f"Token from {SETTINGS_PAGE} (not shown; empty keeps the one at hand): ")
    return log_in(token) if token.strip() else who_am_i()
