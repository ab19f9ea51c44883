"""A job whose data and model are loaded, checked against one another, and not yet begun.

Everything that can be wrong is found here, before a run directory is made.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy
import tokenizers
import torch
import transformers

from nextfill.config import DataConfig, LoraConfig, MaskingConfig, TrainConfig
from nextfill.data.frames import plan_training, training_frame
from nextfill.data.packing.plan import BlockPlan
from nextfill.data.parts import Part, Prepared, set_validation_apart
from nextfill.data.prepare import DEFAULT_VALIDATION_SIZE, add_sets, prepare_data
from nextfill.data.reading.sources import pinned
from nextfill.data.tokens.cache import cache_dir
from nextfill.data.tokens.words import open_word_starts
from nextfill.errors import ConfigError
from nextfill.infer.rows import check_stride
from nextfill.models.adapters import add_adapter, name_base
from nextfill.models.compute import pick_device, pick_precision, tune_allocator
from nextfill.models.hiding import masking_of
from nextfill.models.isolation import Isolation, padding_isolation, probe_isolation
from nextfill.models.live import NOTHING_LIVE, Live
from nextfill.models.load import fitting_block_size, load_model, origin
from nextfill.models.loaded import LoadedModel
from nextfill.models.shape import checkpoint_gradients
from nextfill.models.step import StepModule
from nextfill.models.tokenizer import SCRATCH
from nextfill.objectives.masked import Masking
from nextfill.objectives.training import TrainingBatches
from nextfill.training.progress import Observer
from nextfill.training.samples import check_sample
from nextfill.version import VERSION


@dataclass(frozen=True)
class Ready:
    """A job whose data and model are loaded and fit one another.

    Args:
        config: The settings, with what was found at load put in.
        loaded: Model and tokenizer, on the device.
        module: The step module around the model.
        prepared: The data.
        batches: Makes batches from the training blocks.
    """

    config: TrainConfig
    loaded: LoadedModel
    module: StepModule
    prepared: Prepared
    batches: TrainingBatches

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
    isolation = probe_isolation(loaded.model, loaded.objective)
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


def get_ready(config: TrainConfig, observer: Observer, live: Live = NOTHING_LIVE) -> Ready:
    """Load and check everything a run needs, without writing any of the run.

    Args:
        config: The settings.
        observer: Told of progress and findings.
        live: A model or tokenizer that the program holds already.

    Returns:
        The job, ready to be trained.

    Raises:
        NextfillError: If anything does not fit.
    """
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
    check_stride(config.evaluation.stride, block_size, loaded.objective)
    masking = None
    if loaded.objective == "masked":
        masking = masking_of(loaded.tokenizer, config.masking, loaded.name)
    check_sample(loaded, config.training.sample_prompt)
    if loaded.unexpected:
        observer.on_note(
            f"{len(loaded.unexpected)} weights of the checkpoint have no place in the model and "
            f"are left out: {', '.join(loaded.unexpected[:3])}"
        )
    loaded = set_up_training(config, loaded, observer)
    loaded.model.to(device)
    config, isolation = choose_isolation(config, loaded)
    observer.on_note(
        f"{loaded.name}: {loaded.num_parameters:,} parameters, {device.type}, {precision}; "
        f"packing {config.blocks.packing}, documents kept apart by {isolation.kind}"
        f"{_hiding(config.masking) if masking else ''}"
    )
    prepared = _prepare(config, loaded, observer)
    batches = _batches(config, loaded, masking, prepared.train, observer)
    module = StepModule(loaded.model, isolation)
    pinned = replace(config.model, revision=loaded.revision or config.model.revision)
    config = replace(config, precision=precision, model=pinned)
    return Ready(config, loaded, module, prepared, batches)


def _hiding(masking: MaskingConfig) -> str:
    """Say what a masked model has to fill in."""
    units = {"token": "of the tokens", "word": "of the words", "span": "of the text in spans"}
    start = "" if masking.rate_start is None else f"{masking.rate_start:.0%} falling to "
    return f"; {start}{masking.rate:.0%} {units[masking.unit]} masked"


def _batches(
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


def _prepare(config: TrainConfig, loaded: LoadedModel, observer: Observer) -> Prepared:
    """Bring all data that the run reads into stores, and divide them."""
    cache, training = cache_dir(config.cache_dir), config.training
    prepared = prepare_data(
        config.data,
        loaded.tokenizer,
        seed=config.seed,
        cache=cache,
        on_progress=observer.on_stage,
    )
    sets = config.evaluation.sets
    prepared = add_sets(
        prepared, sets, loaded.tokenizer, cache=cache, on_progress=observer.on_stage
    )
    chooses = training.keep == "best" or training.early_stopping is not None
    size = config.data.validation_size or (DEFAULT_VALIDATION_SIZE if chooses else None)
    return prepared if size is None else set_validation_apart(prepared, size, config.seed)


def measured(ready: Ready) -> dict[str, Any]:
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
        "tokenizer_engine": ready.prepared.train.store.meta["engine"],
        "versions": {
            "nextfill": VERSION,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "tokenizers": tokenizers.__version__,
            "numpy": numpy.__version__,
        },
    }
