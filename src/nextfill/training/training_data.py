"""The data of a training run: prepared parts, and the plan of its training blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from nextfill.config import DEFAULT_BLOCK_SIZE, DataConfig, TrainConfig
from nextfill.core.amounts import amount
from nextfill.core.progress import Observer, Silent
from nextfill.data.contamination.leaks import LEAKED, cached_leaks, drop_documents
from nextfill.data.copies import mostly_copies
from nextfill.data.file_record import SourceFiles
from nextfill.data.infilling import Infilling
from nextfill.data.ledger import make_ledger
from nextfill.data.packing.block_plan import BlockPlan
from nextfill.data.packing.mixture import Mixture, by_repeats, by_weight, on_top
from nextfill.data.packing.order import WINDOW_SHARDS
from nextfill.data.parts import ALSO_HELD_OUT, Part, PreparedData, refuse_contexts, shared_texts
from nextfill.data.preparation import add_sets, prepare_data
from nextfill.data.records.sources import pinned
from nextfill.data.special_tokens import block_frame, evaluation_frame, plan_training
from nextfill.data.store.cache_place import LIMIT_FLAG
from nextfill.data.store.store_cache import cache_place, shard_sources
from nextfill.data.train_test_split import split_validation
from nextfill.evaluation.rows import check_targets, scored_rows
from nextfill.models.loaded_model import LoadedModel
from nextfill.objectives.masked import Masking, word_starts_for
from nextfill.objectives.training_batches import TrainingBatches
from nextfill.training.block_feed import WholeFeed
from nextfill.training.stream_feed import Portion, PortionFeed


def pin_data(config: TrainConfig) -> TrainConfig:
    """Return the settings with every data set of the Hub pinned to its present commit."""

    def of_data(one: DataConfig) -> DataConfig:
        eval_source = None if one.eval_source is None else pinned(one.eval_source)
        return replace(one, source=pinned(one.source), eval_source=eval_source)

    data, evaluation, general = config.data, config.evaluation, config.replay.source
    sets = {name: replace(one, source=pinned(one.source)) for name, one in evaluation.sets.items()}
    return replace(
        config,
        data=replace(of_data(data), sources=[of_data(one) for one in data.sources]),
        replay=replace(config.replay, source=general and pinned(general)),
        evaluation=replace(evaluation, sets=sets),
    )


def record_encoding(data: DataConfig, found: Mapping[str, int]) -> DataConfig:
    """Return the settings with the encoding that was detected, so that a run reads it again so.

    Files of several encodings are weighed again, and the digests of the data tell a difference.

    Example:
        >>> record_encoding(DataConfig(source="a.txt"), {"cp1252": 3, "utf-8": 1}).encoding
        'cp1252'
    """
    detected = [name for name in found if not name.startswith(("utf-", "iso2022"))]
    if len(detected) != 1 or data.encoding is not None or data.sources:
        return data
    return replace(data, encoding=detected[0])


def prepare_parts(
    config: TrainConfig,
    loaded: LoadedModel,
    observer: Observer,
    files: SourceFiles | None = None,
    infilling: Infilling | None = None,
) -> PreparedData:
    """Prepare all data of a run: its training, held-out and validation parts and further sets."""
    files = files or SourceFiles()
    cache = cache_place(config.cache_dir, config.cache_limit, config.store)
    training = config.training
    prepared = prepare_data(
        config.data.keeping(config.evaluation.by),
        loaded.tokenizer,
        seed=config.seed,
        cache=cache,
        on_progress=observer.on_stage,
        on_source=files,
        infilling=infilling,
        objective=loaded.objective,
        replay=config.replay,
    )
    refuse_contexts(loaded.objective, prepared.train, prepared.held_out)
    prepared = _mark_leaks(prepared, loaded, observer, drop=config.evaluation.drop_leaks)
    sets = config.evaluation.sets
    prepared = add_sets(
        *(prepared, sets, loaded.tokenizer),
        cache=cache,
        on_progress=observer.on_stage,
        on_source=files,
        objective=loaded.objective,
    )
    needs_validation = training.keep == "best" or training.early_stopping is not None
    size = config.data.validation_size
    if size is not None or needs_validation:
        prepared = split_validation(prepared, size, config.seed)
    refuse_contexts(loaded.objective, *prepared.sets.values())
    prepared = prepared.joined()
    _note_copies(loaded, prepared, observer)
    _check_scored(config, loaded, prepared)
    return replace(prepared, files=files.found)


def _mark_leaks(
    prepared: PreparedData, loaded: LoadedModel, observer: Observer, *, drop: bool
) -> PreparedData:
    """Count the held-out documents that the training part repeats, and drop them on request."""
    leaks = cached_leaks(
        prepared.train,
        prepared.held_out,
        loaded.tokenizer,
        lambda done, total: observer.on_stage("looking for leaks", done, total),
    )
    if leaks.exact or leaks.near:
        observer.on_note(leaks.in_words(prepared.held_out, prepared.train, dropped=drop))
    prepared = replace(prepared, leaks=leaks.to_json())
    if not drop:
        return prepared
    dropped = {**prepared.dropped, LEAKED: leaks.tokens} if leaks.tokens else prepared.dropped
    return replace(
        prepared, held_out=drop_documents(prepared.held_out, leaks.documents), dropped=dropped
    )


def _note_copies(loaded: LoadedModel, prepared: PreparedData, observer: Observer) -> None:
    """Note the further parts to score that are mostly copies, as the held-out one is told."""
    for name, part in {"validation": prepared.validation, **prepared.sets}.items():
        if part is not None and (words := mostly_copies(part, loaded.tokenizer)):
            observer.on_note(f"{name}: the {amount(part.num_texts, 'document')} are {words}")


def _check_scored(config: TrainConfig, loaded: LoadedModel, prepared: PreparedData) -> None:
    """Refuse parts without a single scored token, before a run is begun."""
    for part in (prepared.held_out, prepared.validation, *prepared.sets.values()):
        if part is not None:
            rows = scored_rows(
                loaded,
                part,
                block_size=config.blocks.block_size or DEFAULT_BLOCK_SIZE,
                evaluation=config.evaluation,
                masking=config.masking,
            )
            check_targets(rows)


def plan_batches(
    config: TrainConfig,
    loaded: LoadedModel,
    masking: Masking | None,
    part: Part,
    observer: Observer,
    *,
    may_be_empty: bool = False,
) -> TrainingBatches:
    """Plan the training blocks and their batches."""
    blocks, word_starts = config.blocks, None
    frame = block_frame(loaded.tokenizer, blocks, loaded.objective)
    if masking is not None:
        of_text = part.store, loaded.tokenizer
        word_starts = word_starts_for(masking, *of_text, on_progress=observer.on_stage)
    return TrainingBatches(
        store=part.store,
        plan=plan_training(part, blocks, frame, may_be_empty=may_be_empty),
        pad_id=loaded.pad_id,
        isolate=blocks.isolate,
        seed=config.seed,
        masking=masking,
        training_rates=config.masking.training_rates,
        word_starts=word_starts,
    )


def plan_mixture(config: TrainConfig, prepared: PreparedData, plan: BlockPlan) -> Mixture | None:
    """Plan the blocks that an epoch takes of each source; None where it takes each block once."""
    each, share = config.data.each, config.replay.share_of_blocks
    weights, repeats = [one.weight for one in each], [one.repeat for one in each]
    if share is None and all(one is None for one in [*weights, *repeats]):
        return None
    source = shard_sources(prepared.trained.store)[plan.shard]
    own, names = source[source < len(each)], [one.source for one in each]
    is_weighted = any(one is not None for one in weights)
    mixture = by_weight(own, weights, names) if is_weighted else by_repeats(own, repeats, names)
    if share is None:
        return mixture
    return on_top(mixture, source, share, [*names, str(config.replay.source)])


def open_whole(config: TrainConfig, prepared: PreparedData, batches: TrainingBatches) -> WholeFeed:
    """Return the blocks of data that are read already, of several sources by their shares."""
    mixture = plan_mixture(config, prepared, batches.plan)
    orders = 1 if mixture is None else len(mixture.per_epoch)  # each source has its own
    batches.store.shard_tokens.check_room(orders * WINDOW_SHARDS, LIMIT_FLAG)
    return WholeFeed(
        batches, config.training, mixture, [] if mixture is None else [*prepared.sources]
    )


def open_stream(
    config: TrainConfig,
    loaded: LoadedModel,
    prepared: PreparedData,
    first: TrainingBatches,
    observer: Observer,
) -> PortionFeed | None:
    """Return the blocks of a source that is read as it comes, None if all of it is read already."""
    portions = prepared.portions
    if portions is None:
        return None
    scored = [prepared.held_out, prepared.validation, *prepared.sets.values()]
    others = np.concatenate([part.rows for part in scored if part is not None])
    frame = evaluation_frame(
        loaded.tokenizer, loaded.objective, start_token=config.evaluation.start_token
    )

    def open_portion(number: int) -> Portion | None:
        if number == 0:
            return Portion(first, {})
        opened = portions.open(number)
        if opened is None:
            return None
        whole = Part.whole(opened[0])
        part, dropped = whole.divide(shared_texts(whole.rows, others))
        batches = plan_batches(config, loaded, first.masking, part, Silent(), may_be_empty=True)
        counted = PreparedData(
            part,
            Part(part.store, np.empty(0, np.int64)),
            reused=opened[1],
            dropped={ALSO_HELD_OUT: dropped.num_tokens} if dropped.num_tokens else {},
        )
        return Portion(batches, make_ledger(counted, batches.plan, frame))

    def tell_removals() -> None:
        if words := portions.removals.in_words():
            observer.on_note(words)

    return PortionFeed(
        open_portion,
        portions.stop,
        config.training,
        config.seed,
        lambda: observer.on_stage(f"waiting for more of {portions.source.name}", 0, 0),
        first_records=portions.first_records,
        on_close=tell_removals,
    )
