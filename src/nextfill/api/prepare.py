"""The verbs `prepare` and `read_records`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextfill.api.arguments import plain_arguments
from nextfill.api.verb import Request, keyword_settings, request_at_level, request_of, resolve
from nextfill.config import Format, Objective, PrepareConfig, TxtMode
from nextfill.config.command_line.python_messages import keyword_errors
from nextfill.config.prefixes import BUILTIN
from nextfill.config.resolve import refuse, refuse_attention, refuse_infilling
from nextfill.core.amounts import with_article
from nextfill.core.errors import ConfigError
from nextfill.core.progress import Observer
from nextfill.models.libraries import transformers_as_found
from nextfill.terminal.log_level import shown_by_level
from nextfill.terminal.notebook import choose_observer, import_tqdm, in_notebook

if TYPE_CHECKING:
    from nextfill.data.cluster.encoded_source import Workers
    from nextfill.data.document import Source
    from nextfill.data.parts import PreparedData
    from nextfill.runs.preparation_result import PrepareResult


@plain_arguments
def read_records(
    data: str | Path,
    *,
    split: str | None = None,
    txt: TxtMode | None = None,
    format: Format | None = None,  # noqa: A002 - named like its flag
) -> Iterator[Mapping[str, Any] | str]:
    r"""Read the records of data as the other verbs do, to look at or to change.

    Args:
        data: A file, folder, glob, zip archive, address, Hub id or ``builtin:NAME``, or ``-``.
        split: A slice, such as ``train[:100]``.
        txt: The unit of a document in plain text: ``paragraph``, ``line`` or ``file``; None for
            paragraphs in a single .txt file, and whole files elsewhere.
        format: The format of all files, such as ``jsonl``; None goes by their names.

    Returns:
        An iterator of records: dicts, or texts where the data are plain text.

    Raises:
        NextfillError: If the data cannot be used.

    Example:
        >>> _ = Path("notes.txt").write_text("One note.\n\nAnother.")
        >>> list(read_records("notes.txt"))
        ['One note.', 'Another.']
    """
    from nextfill.data.records.sources import open_source

    if in_notebook():
        import_tqdm()
    if not isinstance(data, str | PathLike):
        raise ConfigError(
            [
                f"read_records takes the name of data, and found {with_article(data)}. Iterate "
                "over yours as they are; nextfill.look(data=records) shows what is made of them."
            ]
        )
    with keyword_errors(PrepareConfig):
        source = open_source(str(data), split=split, txt=txt, format=format)
    return _values(source)


def _values(source: Source) -> Iterator[Mapping[str, Any] | str]:
    records = source.read()
    while True:
        with keyword_errors(PrepareConfig):  # and not around the caller's own code
            record = next(records, None)
        if record is None:
            return
        yield record.value


@keyword_settings(PrepareConfig)
@transformers_as_found()
def prepare(
    *, observer: Observer | None = None, quiet: bool | None = None, **keywords: Any
) -> PrepareResult:
    """Read, tokenize and divide data without training.

    Args:
        observer: Receives progress, in place of the observer that ``quiet`` chooses.
        quiet: Whether to show no progress. Unless given, a notebook shows it and a script does not.
        **keywords: Settings named like the flags: ``data``, ``tokenizer`` or ``model``, ...
            ``data`` and ``eval_data`` also take live data.

    Returns:
        The folders of the tokens, and the ledger.

    Raises:
        NextfillError: If the data or the tokenizer cannot be used.
    """
    observer = choose_observer(observer, quiet=quiet, shown=shown_by_level(keywords))
    request = request_of(PrepareConfig, keywords, observer)
    try:
        config = resolve(
            PrepareConfig,
            request,
            refuse_attention,
            _refuse_streaming,
            _refuse_workers,
            refuse_infilling(PrepareConfig, request.settings),
        )
        request = request_at_level(request, config.log_level)
        prepared, tokenizer, objective = _prepared_data(config, request)
    finally:
        request.observer.on_end()
    return _result(config, prepared, tokenizer, objective)


def _prepared_data(config: PrepareConfig, request: Request) -> tuple[PreparedData, Any, Objective]:
    """Read, tokenize and divide the data, with the tokenizer and the objective they are for."""
    from nextfill.api.infilling import command_infilling
    from nextfill.data.parts import refuse_contexts
    from nextfill.data.preparation import prepare_data
    from nextfill.data.store.store_cache import cache_place
    from nextfill.models.objective import objective_of
    from nextfill.models.tokenizer import load_tokenizer_facts

    cache = cache_place(config.cache_dir, config.cache_limit, config.store)
    tokenizer = load_tokenizer_facts(config.model, cache.folder, request.live)
    objective = objective_of(config.model, config.objective, request.live)
    infilling = command_infilling(config, tokenizer, objective)
    with _workers(config) as workers:
        prepared = prepare_data(
            config.data,
            tokenizer,
            seed=config.seed,
            cache=cache,
            on_progress=request.observer.on_stage,
            whole=True,
            infilling=infilling,
            objective=objective,
            workers=workers,
        )
    refuse_contexts(objective, prepared.train, prepared.held_out)
    if cache.store is not None:
        request.observer.on_note(f"the tokens are kept at {cache.store.name}, for other machines")
    return _with_leaks(prepared, tokenizer, request.observer).joined(), tokenizer, objective


@contextmanager
def _workers(config: PrepareConfig) -> Iterator[Workers | None]:
    """Enter the processes that read and encode; None where this process does."""
    if config.engine == "local":
        yield None
        return
    from nextfill.data.cluster.ray_workers import ray_workers

    with ray_workers(config.ray_address, config.workers) as workers:
        yield workers


def _result(
    config: PrepareConfig, prepared: PreparedData, tokenizer: Any, objective: Objective
) -> PrepareResult:
    """Plan the blocks of prepared data, and return what became of the data."""
    from nextfill.data.ledger import make_ledger
    from nextfill.data.special_tokens import block_frame, count_blocks, evaluation_frame
    from nextfill.data.store.store_cache import store_paths
    from nextfill.runs.preparation_result import PrepareResult

    frame = block_frame(tokenizer, config.blocks, objective)
    plan = count_blocks(prepared.trained, config.blocks, frame)
    stores = [*prepared.stores, *([prepared.infilled.store] if prepared.infilled else [])]
    return PrepareResult(
        store=str(prepared.trained.store.path),
        stores=[str(path) for store in stores for path in store_paths(store)],
        held_out_store=str(prepared.held_out.store.path),
        blocks=plan.num_blocks,
        block_size=plan.block_size,
        ledger=make_ledger(prepared, plan, evaluation_frame(tokenizer, objective)),
        reused=prepared.reused,
    )


def _refuse_streaming(config: PrepareConfig) -> None:
    """Refuse to stream what is read whole, but for the Hub, whose files need not be downloaded."""
    from nextfill.core.hub_client import parse_dataset
    from nextfill.core.paths import is_address, user_path
    from nextfill.data.records.local_files import is_path

    for name in (one.source for one in config.data.each if one.streaming):
        is_whole = name.startswith(BUILTIN) or is_address(name)
        is_whole = is_whole or is_path(name, user_path(name, "--data"))
        if is_whole or parse_dataset(name) is None:
            refuse(
                [
                    "--streaming is for training: preparing reads all of the text before it is "
                    "done, so leave it out, but for data sets of the Hub."
                ]
            )


def _refuse_workers(config: PrepareConfig) -> None:
    """Refuse an address or a number of workers that nothing would heed."""
    address, workers = config.ray_address, config.workers
    if config.engine == "local" and (address is not None or workers is not None):
        flag = "--workers" if address is None else "--ray-address"
        refuse([f"{flag} is for Ray, and this process prepares by itself: add --engine ray."])
    if address is not None and workers is not None:
        refuse(["--workers is for Ray on this machine; a cluster has the workers that it has."])


def _with_leaks(prepared: PreparedData, tokenizer: Any, observer: Observer) -> PreparedData:
    """Add the figures of held-out text that is also in the training data."""
    from nextfill.data.contamination.leaks import cached_leaks

    leaks = cached_leaks(
        prepared.train,
        prepared.held_out,
        tokenizer,
        lambda done, total: observer.on_stage("looking for leaks", done, total),
    )
    if leaks.exact or leaks.near:
        observer.on_note(leaks.in_words(prepared.held_out, prepared.train))
    return replace(prepared, leaks=leaks.to_json())
