"""The set-up of a training run: data, model and their checks, before the first step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy
import tokenizers
import torch
import transformers

from nextfill.config import (
    DEFAULT_BLOCK_SIZE,
    DataConfig,
    LoraConfig,
    MaskingConfig,
    Precision,
    TrainConfig,
)
from nextfill.config.model_settings import NOTHING_LIVE, Live
from nextfill.core.errors import ConfigError
from nextfill.core.progress import Observer
from nextfill.core.version import VERSION
from nextfill.data.contamination.leak_cache import cached_leaks
from nextfill.data.contamination.leaks import LEAKED, without
from nextfill.data.packing.block_plan import BlockPlan
from nextfill.data.parts import Part, Prepared, set_validation_apart
from nextfill.data.preparation import DEFAULT_VALIDATION_SIZE, add_sets, prepare_data
from nextfill.data.records.sources import pinned
from nextfill.data.special_tokens import plan_training, training_frame
from nextfill.data.store.store_cache import cache_dir
from nextfill.data.store.word_starts import open_word_starts
from nextfill.evaluation.rows import check_targets, check_windows, scored_rows
from nextfill.models.architecture import checkpoint_gradients, configs_of
from nextfill.models.base_checksums import FROZEN, frozen_checksum, origin_checksums
from nextfill.models.device import pick_device, pick_precision, tune_allocator
from nextfill.models.isolation import Isolation, padding_isolation, probe_isolation
from nextfill.models.load import fitting_block_size, load_model, origin
from nextfill.models.loaded_model import LoadedModel
from nextfill.models.lora import add_adapter, name_base
from nextfill.models.mask_token import masking_of
from nextfill.models.router_loss import SWITCH, coefficient, router_off
from nextfill.models.step import StepModule, has_router_loss, row_problem
from nextfill.models.tokenizer import SCRATCH
from nextfill.objectives.masked import Masking
from nextfill.objectives.training_batches import TrainingBatches
from nextfill.training.samples import check_sample


def pin_data(config: TrainConfig) -> TrainConfig:
    """Return the settings with every data set of the Hub at the commit that is read now."""

    def of_data(one: DataConfig) -> DataConfig:
        eval_source = None if one.eval_source is None else pinned(one.eval_source)
        return replace(one, source=pinned(one.source), eval_source=eval_source)

    data, evaluation = config.data, config.evaluation
    sets = {name: replace(one, source=pinned(one.source)) for name, one in evaluation.sets.items()}
    return replace(
        config,
        data=replace(of_data(data), sources=[of_data(one) for one in data.sources]),
        evaluation=replace(evaluation, sets=sets),
    )


def prepare_inputs(config: TrainConfig, loaded: LoadedModel, observer: Observer) -> Prepared:
    """Bring all data that the run reads into stores, and divide them."""
    cache, training = cache_dir(config.cache_dir), config.training
    prepared = prepare_data(
        config.data.keeping(config.evaluation.by),
        loaded.tokenizer,
        seed=config.seed,
        cache=cache,
        on_progress=observer.on_stage,
    )
    prepared = _without_leaks(prepared, loaded, observer, drop=config.evaluation.drop_leaks)
    sets = config.evaluation.sets
    prepared = add_sets(
        prepared, sets, loaded.tokenizer, cache=cache, on_progress=observer.on_stage
    )
    chooses = training.keep == "best" or training.early_stopping is not None
    size = config.data.validation_size or (DEFAULT_VALIDATION_SIZE if chooses else None)
    if size is not None:
        prepared = set_validation_apart(prepared, size, config.seed)
    _check_scored(config, loaded, prepared)
    return prepared


def _without_leaks(
    prepared: Prepared, loaded: LoadedModel, observer: Observer, *, drop: bool
) -> Prepared:
    """Count the held-out documents that nearly stand in the training part; drop them if asked."""
    found = cached_leaks(
        prepared.train,
        prepared.held_out,
        loaded.tokenizer,
        lambda done, total: observer.on_stage("looking for leaks", done, total),
    )
    if found.exact or found.near:
        observer.on_note(found.told(dropped=drop))
    prepared = replace(prepared, leaks=found.to_json())
    if not drop:
        return prepared
    dropped = {**prepared.dropped, LEAKED: found.tokens} if found.tokens else prepared.dropped
    return replace(prepared, held_out=without(prepared.held_out, found.documents), dropped=dropped)


def _check_scored(config: TrainConfig, loaded: LoadedModel, prepared: Prepared) -> None:
    """Refuse parts of which nothing would be scored, before a run is begun."""
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
) -> TrainingBatches:
    """Plan the training blocks, and what is made of them."""
    blocks, starts = config.blocks, None
    frame = training_frame(
        loaded.tokenizer,
        end_of_document=blocks.end_of_document,
        objective=loaded.objective,
        packing=blocks.packing,
    )
    if masking is not None and masking.unit != "token":
        starts = open_word_starts(part.store, loaded.tokenizer, on_progress=observer.on_stage)
    return TrainingBatches(
        store=part.store,
        plan=plan_training(part, blocks, frame),
        pad_id=loaded.pad_id,
        isolate=blocks.isolate,
        seed=config.seed,
        masking=masking,
        rate_start=config.masking.rate_start,
        word_starts=starts,
    )


@dataclass(frozen=True)
class Setup:
    """A job whose data and model are loaded and fit one another.

    Args:
        config: The settings, with what was found at load put in.
        loaded: Model and tokenizer, on the device.
        module: The step module around the model.
        prepared: The data.
        batches: Makes batches from the training blocks.
        origin: Checksums of the model that training begins with, as `origin_checksums` has them.
    """

    config: TrainConfig
    loaded: LoadedModel
    module: StepModule
    prepared: Prepared
    batches: TrainingBatches
    origin: Mapping[str, Any]

    @property
    def plan(self) -> BlockPlan:
        """The training blocks."""
        return self.batches.plan


def choose_isolation(config: TrainConfig, loaded: LoadedModel) -> tuple[TrainConfig, Isolation]:
    """Find what keeps packed documents apart, and pad where nothing does."""
    if not config.blocks.isolate:
        return config, padding_isolation(loaded.model, loaded.objective, "none")
    if config.blocks.packing == "pad":
        return config, padding_isolation(loaded.model, loaded.objective)
    isolation = probe_isolation(loaded.model, loaded.objective, longest=config.blocks.block_size)
    if isolation.kind == "pad":
        config = replace(config, blocks=replace(config.blocks, packing="pad"))
    return config, isolation


def set_up_training(config: TrainConfig, loaded: LoadedModel, observer: Observer) -> LoadedModel:
    """Put on an adapter and switch on gradient checkpointing, where the settings ask for them."""
    lora = config.lora
    if lora.rank is None and loaded.adapter is None and lora != LoraConfig():
        raise ConfigError(["--lora-alpha, -dropout, -targets and -merge need --lora-rank."])
    if lora.rank is not None:
        if config.model.name.startswith(SCRATCH):
            raise ConfigError(
                ["--lora-rank adapts a trained model: scratch weights are random, train them all."]
            )
        loaded = add_adapter(loaded, lora, seed=config.seed)
        base = origin(config.model, loaded)
        if base is None and not lora.merge:
            raise ConfigError(
                [
                    "The live model was not loaded from anywhere, so that its adapter could not be "
                    "used without it: give lora_merge=True to save the model with the adapter."
                ]
            )
        name_base(loaded, base or "", loaded.revision)
    if loaded.adapter is not None:
        share = loaded.num_trained / loaded.num_parameters
        layers = sorted(loaded.adapter.peft_config["default"].target_modules)
        observer.on_note(
            f"training an adapter of {loaded.num_trained:,} parameters ({share:.1%} of all) on "
            f"{', '.join(layers)}"
        )
    if config.training.gradient_checkpointing:
        checkpoint_gradients(loaded.model)
    return loaded


def make_setup(config: TrainConfig, observer: Observer, live: Live = NOTHING_LIVE) -> Setup:
    """Load and check everything a run needs, without writing any of the run."""
    config = pin_data(config)
    tune_allocator()
    device = pick_device(config.device, live.model)
    precision = pick_precision(config.precision, device)
    dropout = config.training.dropout
    loaded = load_model(
        config.model, config.objective, seed=config.seed, dropout=dropout, live=live
    )
    block_size = fitting_block_size(config.blocks.block_size, loaded)
    blocks = replace(config.blocks, block_size=block_size)
    config = replace(config, objective=loaded.objective, blocks=blocks)
    origin_found = origin_checksums(loaded)
    check_windows(config.evaluation, block_size, loaded.objective)
    masking = None
    if loaded.objective == "masked":
        masking = masking_of(loaded.tokenizer, config.masking, loaded.name)
    elif config.masking != MaskingConfig():
        raise ConfigError(
            [f"Masks are for masked models, and {loaded.name} is a causal one: leave them out."]
        )
    check_sample(loaded, config.training.sample_prompt)
    for note in loaded.notes:
        observer.on_note(note)
    loaded = set_up_training(config, loaded, observer)
    if not loaded.folders:
        origin_found[FROZEN] = frozen_checksum(loaded.model)
    loaded.model.to(device)
    with router_off(configs_of(loaded.model)):
        config, isolation = choose_isolation(config, loaded)
    module = StepModule(loaded.model, isolation)
    precision = _settle_precision(config, precision, module, loaded)
    observer.on_note(
        f"{loaded.name}: {loaded.num_parameters:,} parameters, {device.type}, {precision}; "
        f"packing {config.blocks.packing}, documents kept apart by {isolation.kind}"
        f"{_hiding(config.masking) if masking else ''}"
    )
    _tell_of_router(module, loaded, observer)
    prepared = prepare_inputs(config, loaded, observer)
    batches = plan_batches(config, loaded, masking, prepared.train, observer)
    pinned = replace(config.model, revision=loaded.revision or config.model.revision)
    config = replace(config, precision=precision, model=pinned)
    return Setup(config, loaded, module, prepared, batches, origin_found)


def _settle_precision(
    config: TrainConfig, precision: Precision, module: StepModule, loaded: LoadedModel
) -> Precision:
    """Go back to float32 where the model does not compute in what the hardware has."""
    longest = config.blocks.block_size or 2
    # Rows of single documents are of any length.
    shorter = [longest // 2 + 1] if module.isolation.kind == "pad" else []
    tried: tuple[Precision, ...] = (precision,)
    if config.precision == "auto" and precision != "fp32":
        tried = (precision, "fp32")
    problem, length = None, longest
    for one in tried:
        for length in (longest, *shorter):
            problem = row_problem(module, one, length, training=True)
            problem = problem or row_problem(module, one, length)
            if problem is not None:
                break
        else:
            return one
    other = ", or --precision fp32" if tried[-1] == "bf16" else ""
    raise ConfigError(
        [
            f"{loaded.name} cannot be trained on a row of {length} tokens in {tried[-1]}: "
            f"{problem}. Give another --block-size{other}, or another model."
        ]
    )


def _tell_of_router(module: StepModule, loaded: LoadedModel, observer: Observer) -> None:
    """Say what becomes of the loss of a mixture's router where its config asks for one."""
    if not module.asks_for_router:
        return
    if has_router_loss(module, loaded.name):
        observer.on_note(
            f"the loss of its router, times {coefficient(loaded.model):g}, is added to the "
            "training loss, and to no perplexity"
        )
    else:
        kind = type(loaded.model).__name__
        observer.on_note(f"{SWITCH} is set, but a {kind} of transformers has no loss of its router")


def _hiding(masking: MaskingConfig) -> str:
    """Say what a masked model has to fill in."""
    units = {"token": "of the tokens", "word": "of the words", "span": "of the text in spans"}
    first, last = masking.rate_start, masking.rate
    start = ""
    if first not in (None, last):
        start = f"{first:.0%} {'falling' if first > last else 'rising'} to "
    return f"; {start}{masking.rate:.0%} {units[masking.unit]} masked"


def measured(ready: Setup) -> dict[str, Any]:
    """Return what was found at load: what a repeat on another machine may do differently."""
    return {
        "isolation": ready.module.isolation.kind,
        "gathers_targets": ready.module.gathers,
        "precision": ready.config.precision,
        "device": str(ready.loaded.device),
        "threads": torch.get_num_threads(),
        "parameters": ready.loaded.num_parameters,
        "trained_parameters": ready.loaded.num_trained,
        "revision": ready.loaded.revision,
        "unexpected": list(ready.loaded.unexpected),
        "changed_settings": list(ready.loaded.changes),
        "tokenizer_engine": ready.prepared.train.store.meta["engine"],
        "versions": {
            "nextfill": VERSION,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "tokenizers": tokenizers.__version__,
            "numpy": numpy.__version__,
        },
    }
