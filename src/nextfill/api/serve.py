"""The verb `serve`: models over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, Any

from nextfill.api.verb import Request, keyword_settings, request_at_level, request_of
from nextfill.config import ServeConfig
from nextfill.config.problems.serving_problems import serve_config
from nextfill.config.settings.model_settings import NOTHING_LIVE
from nextfill.core.errors import missing_library
from nextfill.core.progress import Observer
from nextfill.models.libraries import transformers_as_found
from nextfill.terminal.log_level import shown_by_level
from nextfill.terminal.notebook import choose_observer

if TYPE_CHECKING:
    from nextfill.serving.model_list import ListedModel
    from nextfill.serving.server import Server
    from nextfill.serving.service import Service


@keyword_settings(ServeConfig)
@transformers_as_found()
def serve(
    model: Any,
    *others: str | PathLike[str],
    wait: bool = True,
    observer: Observer | None = None,
    quiet: bool | None = None,
    **keywords: Any,
) -> Server | None:
    """Serve models over HTTP: OpenAI's API, Hugging Face's, and a page to try them on.

    Args:
        model: A run directory, folder, Hub id or ``builtin:NAME``, or a live transformers model
            (with ``tokenizer``).
        *others: Further models by name, served beside it.
        wait: Whether to wait until Ctrl-C or SIGTERM ends it; else the server is returned, which
            answers until it is closed: ``with nextfill.serve(model, wait=False) as server: ...``
        observer: Receives progress, in place of the observer that ``quiet`` chooses.
        quiet: Whether to show no progress. Unless given, a notebook shows it and a script does not.
        **keywords: Settings named like the flags: ``port``, ``api_key``, ``max_concurrent``, ...

    Returns:
        The server, with its ``url``; None where it was waited for.

    Raises:
        ConfigError: With every setting that cannot be used, or an address that is taken.
        NextfillError: If a model cannot be used.
    """
    observer = choose_observer(observer, quiet=quiet, shown=shown_by_level(keywords))
    request = request_of(ServeConfig, {**keywords, "model": model}, observer)
    names = [str(other) for other in others]
    config = serve_config(request.settings, request.problems, names)
    request = request_at_level(request, config.log_level)
    on_note: Callable[[str], None] = request.observer.on_note
    try:
        from nextfill.serving.model_list import listed_models
        from nextfill.serving.server import api_key, open_socket, start_server
        from nextfill.serving.service import Service
        from nextfill.serving.worker_process import has_own_process, keep_serving
    except ModuleNotFoundError as error:
        if error.name not in ("starlette", "uvicorn"):
            raise
        raise missing_library("serve", "serve") from error

    listed = listed_models(config.model, names, with_before=config.serving.before, on_note=on_note)
    limits = replace(config.serving, api_key=api_key(config.serving))
    listening = open_socket(limits, on_note)

    def start(restarts: int) -> Server:
        service = Service({one.name: one.aliases for one in listed}, limits, restarts)
        return start_server(service, listening, lambda: _load(service, config, listed, request))

    def serve_until_stopped(restarts: int, on_ready: Callable[[], None]) -> None:
        server = start(restarts)
        on_ready()
        on_note(f"serving {', '.join(one.name for one in listed)} at {server.url}; Ctrl-C ends it")
        try:
            server.wait()
        except KeyboardInterrupt:
            pass
        finally:
            server.close()

    if not wait:
        return start(0)
    with listening:
        if has_own_process():
            keep_serving(serve_until_stopped, on_note)
        else:
            serve_until_stopped(0, lambda: None)
    return None


def _load(
    service: Service, config: ServeConfig, listed: Sequence[ListedModel], request: Request
) -> None:
    """Load models into a service; the first may be a live one."""
    from nextfill.serving.served_model import open_model  # brings PyTorch

    for number, one in enumerate(listed):
        own = replace(config, model=one.config)
        opened = open_model(own, one.name, one.aliases, NOTHING_LIVE if number else request.live)
        for note in opened.notes:
            request.observer.on_note(note)
        service.add(replace(opened, before=one.before))
    request.observer.on_end()
