"""The set-up of a training run: model, precision, data and their checks, before the first step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy
import tokenizers
import torch
import transformers
from torch import nn

from nextfill.config import PlannedStage, Precision, TrainConfig
from nextfill.config.problems.training_problems import mask_problems, unusual_masks
from nextfill.config.resolve import refuse
from nextfill.config.settings.model_settings import NOTHING_LIVE, Live
from nextfill.core import VERSION
from nextfill.core.errors import ConfigError
from nextfill.core.progress import Observer
from nextfill.data.file_record import SourceFiles
from nextfill.data.ledger import make_ledger
from nextfill.data.packing.block_plan import BlockPlan
from nextfill.data.parts import PreparedData
from nextfill.data.special_tokens import evaluation_frame
from nextfill.evaluation.known_documents import Known, find_known_documents
from nextfill.evaluation.rows import check_windows
from nextfill.models.allocator import ask_for_large_pages, tune_allocator
from nextfill.models.architecture import configs_of
from nextfill.models.computation import pick_device, pick_precision
from nextfill.models.distillation import Teacher
from nextfill.models.libraries import attention_of
from nextfill.models.loaded_model import (
    FROZEN,
    LoadedModel,
    frozen_checksum,
    origin_checksums,
)
from nextfill.models.loss import router_off
from nextfill.models.step import StepModule
from nextfill.models.tokenizer import masking_of
from nextfill.objectives.training_batches import TrainingBatches
from nextfill.training.batch_size import settle_batch_size
from nextfill.training.block_feed import BlockFeed
from nextfill.training.distributed.ranks import ALONE, Ranks
from nextfill.training.infilling_record import set_up_infilling
from nextfill.training.model_note import note_model
from nextfill.training.model_trials import choose_isolation, choose_precision, compile_model
from nextfill.training.new_vocabulary import NEW_TOKENS, NewTokens, add_new_tokens
from nextfill.training.quantized_base import WholeModel, check_quantization
from nextfill.training.samples import check_sample
from nextfill.training.schedule import all_stages, rate_notes
from nextfill.training.stream_feed import PortionFeed
from nextfill.training.teacher import (
    common_block_size,
    load_teacher,
    load_trained,
    measured_teacher,
    pinned_settings,
    set_up_teacher,
    teacher_checksums,
)
from nextfill.training.trainable_model import make_trainable
from nextfill.training.training_data import (
    open_stream,
    open_whole,
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
        teacher: The model whose predictions are learned, too; None without one.
        new_tokens: The tokens that were added; None without any.
        whole: The figures of the model before its weights were held in 4 bits; None of others.
        known: The held-out documents that the runs behind the model were trained on.
        ranks: The processes that train together.
    """

    config: TrainConfig
    loaded: LoadedModel
    module: StepModule
    prepared: PreparedData
    batches: TrainingBatches
    origin: Mapping[str, Any]
    stream: PortionFeed | None = None
    teacher: Teacher | None = None
    new_tokens: NewTokens | None = None
    whole: Mapping[str, Any] | None = None
    known: Known = field(default_factory=dict)
    ranks: Ranks = ALONE

    @property
    def plan(self) -> BlockPlan:
        """The training blocks, of a stream those of its first portion."""
        return self.batches.plan

    @cached_property
    def feed(self) -> BlockFeed:
        """The blocks of each step."""
        return self.stream or open_whole(self.config, self.prepared, self.batches)

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
            **({} if self.teacher is None else {"teacher": measured_teacher(self.teacher)}),
            **({"known_documents": self.known} if self.known else {}),
            "tokenizer_engine": self.prepared.train.store.meta["engine"],
            "versions": {
                "nextfill": VERSION,
                "torch": torch.__version__,
                "transformers": transformers.__version__,
                "tokenizers": tokenizers.__version__,
                "numpy": numpy.__version__,
            },
        }


def _load_models(
    config: TrainConfig, live: Live, check: Callable[[nn.Module], None]
) -> tuple[TrainConfig, LoadedModel, LoadedModel | None]:
    """Load the model to train and its teacher, and settle what depends on them."""
    loaded = load_trained(config, live)
    check(loaded.model)
    taught_by = load_teacher(config, loaded)
    block_size = common_block_size(config.blocks.block_size, loaded, taught_by)
    blocks = replace(config.blocks, block_size=block_size)
    config = replace(config, objective=loaded.objective, blocks=blocks)
    check_windows(config.evaluation, block_size, loaded.objective)
    refuse(mask_problems(loaded.objective, unusual_masks(config), loaded.name))
    return config, loaded, taught_by


def make_setup(
    config: TrainConfig,
    observer: Observer,
    live: Live = NOTHING_LIVE,
    *,
    check: Callable[[nn.Module], None] = lambda model: None,
    compare: bool = True,
    files: SourceFiles | None = None,
) -> Setup:
    """Load and check the model and the data of a run, without writing any of it.

    With ``compare``, a model that gets new tokens is scored without them first, one that is held in
    4 bits as it was, and the held-out documents are compared with what a run that is the model was
    trained on. ``files`` receives the files of the data.
    """
    check_quantization(config)
    config = pin_data(config)
    tune_allocator()
    device = pick_device(config.device, live.model)
    precision = pick_precision(config.precision, device)
    config, loaded, taught_by = _load_models(config, live, check)
    origins = origin_checksums(loaded) | teacher_checksums(taught_by)
    config, loaded, new_tokens = add_new_tokens(
        config, loaded, observer, live=live, device=device, compare=compare
    )
    if new_tokens is not None:
        origins[NEW_TOKENS] = new_tokens.fingerprint
    loaded, infilling = set_up_infilling(config, loaded)
    masking = None
    if loaded.objective == "masked":
        masking = masking_of(loaded.tokenizer, config.masking, loaded.name)
    check_sample(loaded, config.training.sample_prompt)
    for note in loaded.notes:
        observer.on_note(note)
    whole = WholeModel(
        *(config, loaded, observer), device=device, infilling=infilling, compare=compare
    )
    loaded = make_trainable(config, loaded, new_tokens, observer, whole.score)
    if not loaded.folders:
        origins[FROZEN] = frozen_checksum(loaded.model)
    loaded.model.to(device)
    config, teacher = set_up_teacher(config, taught_by, device, observer)
    config, module = _make_module(config, loaded, teacher, precision)
    note_model(config, module, loaded, observer)
    prepared = prepare_parts(config, loaded, observer, files, infilling)
    known: Known = {}
    if compare:
        known = find_known_documents(
            *(config, loaded.tokenizer, prepared.held_out),
            on_note=observer.on_note,
            on_progress=observer.on_stage,
        )
    batches = plan_batches(config, loaded, masking, prepared.trained, observer)
    stream = open_stream(config, loaded, prepared, batches, observer)
    if stream is None:
        config = settle_batch_size(config, prepared, batches.plan, observer)
        # For the steps, as preparing has given the heap back; each portion of a stream does so.
        ask_for_large_pages()
    setup = Setup(
        *(_pinned(config, loaded, prepared, teacher), loaded, module, prepared, batches, origins),
        stream=stream,
        teacher=teacher,
        new_tokens=new_tokens,
        whole=whole.figures,
        known=known,
    )
    for note in rate_notes(setup.stages[-1:]):
        observer.on_note(note)
    _check_ends(setup)
    return setup


def _make_module(
    config: TrainConfig, loaded: LoadedModel, teacher: Teacher | None, precision: Precision
) -> tuple[TrainConfig, StepModule]:
    """Make the step module, trying out how documents are kept apart and the precision."""
    with router_off(configs_of(loaded.model)):
        config, isolation = choose_isolation(config, loaded)
    module = StepModule(loaded.model, isolation)
    precision = choose_precision(config, precision, module, loaded, teacher)
    if config.training.compile:
        compile_model(config, module, loaded)
    return replace(config, precision=precision), module


def _pinned(
    config: TrainConfig, loaded: LoadedModel, prepared: PreparedData, teacher: Teacher | None
) -> TrainConfig:
    """Return the settings with the revisions and the encoding that were found."""
    model = replace(config.model, revision=loaded.revision or config.model.revision)
    data = record_encoding(config.data, prepared.encodings)
    config = replace(config, model=model, data=data)
    if teacher is None:
        return config
    return replace(config, distillation=pinned_settings(config.distillation, teacher.loaded))


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
