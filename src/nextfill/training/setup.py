"""The set-up of a training run: model, precision, data and their checks, before the first step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy
import tokenizers
import torch
import transformers
from torch import nn

from nextfill.config import MaskingConfig, PlannedStage, Precision, TrainConfig
from nextfill.config.model_settings import NOTHING_LIVE, Live
from nextfill.core import VERSION
from nextfill.core.errors import ConfigError, UnreachableModelError
from nextfill.core.progress import Observer
from nextfill.data.ledger import make_ledger
from nextfill.data.packing.block_plan import BlockPlan
from nextfill.data.parts import PreparedData
from nextfill.data.source_parts import hub_data_hint
from nextfill.data.special_tokens import evaluation_frame
from nextfill.evaluation.rows import check_masks, check_windows
from nextfill.models.architecture import checkpoint_gradients, configs_of
from nextfill.models.compilation import check_compiler, compile_problem
from nextfill.models.computation import pick_device, pick_precision, tune_allocator
from nextfill.models.isolation import Isolation, padding_isolation, probe_isolation
from nextfill.models.libraries import attention_of
from nextfill.models.load import load_model
from nextfill.models.loaded_model import (
    FROZEN,
    LoadedModel,
    fitting_block_size,
    frozen_checksum,
    origin_checksums,
)
from nextfill.models.loss import SWITCH, coefficient, router_off
from nextfill.models.step import StepModule, has_router_loss, row_problem
from nextfill.models.tokenizer import masking_of
from nextfill.models.trained_parameters import choose_trained
from nextfill.objectives.training_batches import TrainingBatches
from nextfill.training.adapter import set_up_adapter
from nextfill.training.block_feed import BlockFeed, PortionFeed, WholeFeed
from nextfill.training.samples import check_sample
from nextfill.training.schedule import all_stages, warmup_notes
from nextfill.training.training_data import (
    open_stream,
    pin_data,
    plan_batches,
    prepare_parts,
    record_encoding,
)


@dataclass(frozen=True)
class Setup:
    """The settings, model and data of a run, loaded and checked against one another.

    Args:
        config: The settings, with block size, precision and revision as they were found at load.
        loaded: Model and tokenizer, on the device.
        module: The step module around the model.
        prepared: The parts of the data.
        batches: Makes batches from the training blocks.
        origin: Checksums of the model before training, by part (`origin_checksums`).
        stream: The blocks of a source that is read while they are trained on; None where all data
            are read already.
    """

    config: TrainConfig
    loaded: LoadedModel
    module: StepModule
    prepared: PreparedData
    batches: TrainingBatches
    origin: Mapping[str, Any]
    stream: PortionFeed | None = None

    @property
    def plan(self) -> BlockPlan:
        """The training blocks, of a stream those of its first portion."""
        return self.batches.plan

    @cached_property
    def feed(self) -> BlockFeed:
        """The blocks of each step."""
        return self.stream or WholeFeed(self.batches, self.config.training)

    @property
    def num_steps(self) -> int:
        """Optimizer steps of the whole run."""
        training = self.config.training
        steps = math.ceil(training.epochs * self.feed.interval)
        return steps if training.max_steps is None else training.max_steps

    @cached_property
    def stages(self) -> Sequence[PlannedStage]:
        """The stages of the run: one, unless it was given other steps later."""
        return all_stages(self.config.training, self.num_steps)

    def ledger(self, step: int | None = None) -> dict[str, Any]:
        """Return the count of every record and token, by where it goes up to a step of a stream."""
        scored = evaluation_frame(
            self.loaded.tokenizer,
            self.loaded.objective,
            start_token=self.config.evaluation.start_token,
        )
        return self.feed.ledger(make_ledger(self.prepared, self.plan, scored), step)

    def measured(self) -> dict[str, Any]:
        """Return the findings at load, which may differ when the run is repeated elsewhere."""
        return {
            "isolation": self.module.isolation.kind,
            "attention": attention_of(self.loaded.model),
            "gathers_targets": self.module.gathers,
            "precision": self.config.precision,
            "device": str(self.loaded.device),
            "threads": torch.get_num_threads(),
            "parameters": self.loaded.num_parameters,
            "trained_parameters": self.loaded.num_trained,
            "revision": self.loaded.revision,
            "unexpected": list(self.loaded.unexpected),
            "changed_settings": list(self.loaded.changes),
            "tokenizer_engine": self.prepared.train.store.meta["engine"],
            "versions": {
                "nextfill": VERSION,
                "torch": torch.__version__,
                "transformers": transformers.__version__,
                "tokenizers": tokenizers.__version__,
                "numpy": numpy.__version__,
            },
        }


def make_setup(
    config: TrainConfig,
    observer: Observer,
    live: Live = NOTHING_LIVE,
    *,
    check: Callable[[nn.Module], None] = lambda model: None,
) -> Setup:
    """Load and check the model and the data of a run, without writing any of it."""
    config = pin_data(config)
    tune_allocator()
    device = pick_device(config.device, live.model)
    precision = pick_precision(config.precision, device)
    dropout = config.training.dropout
    try:
        loaded = load_model(
            config.model, config.objective, seed=config.seed, dropout=dropout, live=live
        )
    except UnreachableModelError as error:
        raise UnreachableModelError(f"{error}{hub_data_hint(config.data)}") from error
    check(loaded.model)
    block_size = fitting_block_size(config.blocks.block_size, loaded)
    blocks = replace(config.blocks, block_size=block_size)
    config = replace(config, objective=loaded.objective, blocks=blocks)
    origins = origin_checksums(loaded)
    check_windows(config.evaluation, block_size, loaded.objective)
    check_masks(config.masking, config.evaluation, loaded.objective, loaded.name)
    masking = None
    if loaded.objective == "masked":
        masking = masking_of(loaded.tokenizer, config.masking, loaded.name)
    check_sample(loaded, config.training.sample_prompt)
    for note in loaded.notes:
        observer.on_note(note)
    loaded = set_up_adapter(config, loaded, observer)
    _choose_trained(config, loaded, observer)
    if config.training.gradient_checkpointing:
        checkpoint_gradients(loaded.model)
    if not loaded.folders:
        origins[FROZEN] = frozen_checksum(loaded.model)
    loaded.model.to(device)
    with router_off(configs_of(loaded.model)):
        config, isolation = _choose_isolation(config, loaded)
    module = StepModule(loaded.model, isolation)
    precision = _choose_precision(config, precision, module, loaded)
    if config.training.compile:
        _compile(config, module, loaded)
    observer.on_note(
        f"{loaded.name}: {loaded.num_parameters:,} parameters, {device.type}, {precision}; "
        f"packing {config.blocks.packing}, documents kept apart by {isolation.kind}"
        f"{_masking_note(config.masking) if masking else ''}"
    )
    _note_router(module, loaded, observer)
    prepared = prepare_parts(config, loaded, observer)
    batches = plan_batches(config, loaded, masking, prepared.train, observer)
    stream = open_stream(config, loaded, prepared, batches, observer)
    pinned = replace(config.model, revision=loaded.revision or config.model.revision)
    data = record_encoding(config.data, prepared.encodings)
    config = replace(config, precision=precision, model=pinned, data=data)
    if config.share.adapter and (config.lora.merge or loaded.adapter is None):
        raise ConfigError(
            ["--share-adapter: this run makes no adapter: give --lora-rank, without --lora-merge."]
        )
    setup = Setup(config, loaded, module, prepared, batches, origins, stream)
    for note in warmup_notes(setup.stages[-1:]):
        observer.on_note(note)
    _check_ends(setup)
    return setup


def _check_ends(setup: Setup) -> None:
    """Refuse stages of which one does not end after the one before."""
    ends = [stage.end for stage in setup.stages]
    if ends != sorted(set(ends)):
        raise ConfigError(
            [
                f"training.stages end at {', '.join(map(str, ends[:-1]))} and the run at "
                f"{ends[-1]}: each stage has to end after the one before."
            ]
        )


def _choose_isolation(config: TrainConfig, loaded: LoadedModel) -> tuple[TrainConfig, Isolation]:
    """Return the isolation that keeps packed documents apart, and pad where none does."""
    if not config.blocks.isolate:
        return config, padding_isolation(loaded.model, loaded.objective, "none")
    if config.blocks.packing == "pad":
        return config, padding_isolation(loaded.model, loaded.objective)
    isolation = probe_isolation(loaded.model, loaded.objective, longest=config.blocks.block_size)
    if isolation.kind == "pad":
        config = replace(config, blocks=replace(config.blocks, packing="pad"))
    return config, isolation


def _compile(config: TrainConfig, module: StepModule, loaded: LoadedModel) -> None:
    """Compile the layers, and refuse where that is not possible here or for this model."""
    check_compiler(loaded.device)
    training = config.training
    rows = training.micro_batch_size or training.batch_size
    layers = module.compile_layers()
    if problem := compile_problem(
        module, loaded.model, layers, rows, config.blocks.block_size or 2
    ):
        raise ConfigError(
            [f"--compile: {loaded.name} cannot be compiled here ({problem}). Leave it out."]
        )


def _choose_trained(config: TrainConfig, loaded: LoadedModel, observer: Observer) -> None:
    """Freeze what the settings leave out of the training, and report what is trained."""
    train_only, freeze = config.training.train_only, config.training.freeze
    if not (train_only or freeze):
        return
    if loaded.adapter is not None:
        raise ConfigError(
            [
                "--train-only and --freeze choose among a model's own weights, none of which an "
                "adapter trains: leave them out, or --lora-rank."
            ]
        )
    choose_trained(loaded.model, train_only, freeze)
    share = loaded.num_trained / loaded.num_parameters
    observer.on_note(f"training {loaded.num_trained:,} parameters ({share:.1%} of all)")


def _choose_precision(
    config: TrainConfig, precision: Precision, module: StepModule, loaded: LoadedModel
) -> Precision:
    """Return the precision in which the model computes rows, float32 where it must be."""
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
    attention = ", or no --attn-implementation" if config.model.attn_implementation else ""
    raise ConfigError(
        [
            f"{loaded.name} cannot be trained on a row of {length} tokens in {tried[-1]}: "
            f"{problem}. Give another --block-size{other}{attention}, or another model."
        ]
    )


def _note_router(module: StepModule, loaded: LoadedModel, observer: Observer) -> None:
    """Report the use of a mixture's router loss, where its config asks for one."""
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


def _masking_note(masking: MaskingConfig) -> str:
    """Describe the text that a masked model has to fill in."""
    units = {"token": "of the tokens", "word": "of the words", "span": "of the text in spans"}
    first, last = masking.rate_start, masking.rate
    start = ""
    if first not in (None, last):
        start = f"{first:.0%} {'falling' if first > last else 'rising'} to "
    return f"; {start}{masking.rate:.0%} {units[masking.unit]} masked"
