"""The verb `export`: a model in the form of another program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nextfill.api.verb import keyword_settings, request_at_level, request_of
from nextfill.config import ExportConfig
from nextfill.config.problems.export_problems import export_config
from nextfill.core.locks import check_one_process
from nextfill.core.progress import Observer
from nextfill.models.libraries import transformers_as_found
from nextfill.terminal.log_level import shown_by_level
from nextfill.terminal.notebook import choose_observer

if TYPE_CHECKING:
    from nextfill.exporting.export_result import Export


@keyword_settings(ExportConfig)
@transformers_as_found()
def export(
    model: Any, *, observer: Observer | None = None, quiet: bool | None = None, **keywords: Any
) -> Export:
    """Write a model in the form of another program, and compare the two on real text.

    It is read back by that program, which has to give the same nats and the same likeliest texts
    as the model here, or nothing is written. What fewer bits cost is measured in the same way.

    Args:
        model: A run directory, folder, Hub id or ``builtin:NAME``, or a live transformers model
            (with ``tokenizer``). An adapter is merged in.
        observer: Receives progress, in place of the observer that ``quiet`` chooses.
        quiet: Whether to show no progress. Unless given, a notebook shows it and a script does not.
        **keywords: Settings named like the flags: ``to``, ``out``, ``quantization``, ...

    Returns:
        The folder, the files in it, and how the model in it compares with the one it was made from.

    Raises:
        ConfigError: If the settings cannot be used, a library is missing, or the format has no
            place for the model.
        ModelError: If the model cannot be read, or computes otherwise when it is exported.
        KeyboardInterrupt: On Ctrl-C; nothing has been written then.
    """
    observer = choose_observer(observer, quiet=quiet, shown=shown_by_level(keywords))
    request = request_of(ExportConfig, {**keywords, "model": model}, observer)
    check_one_process("export a model")
    try:
        config = export_config(request.settings, request.problems)
        request = request_at_level(request, config.log_level)
        from nextfill.exporting.job import export_model  # brings PyTorch

        return export_model(
            config,
            request.live,
            on_note=request.observer.on_note,
            on_stage=request.observer.on_stage,
        )
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped; nothing was written.") from None
    finally:
        request.observer.on_end()
