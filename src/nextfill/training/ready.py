"""A job whose data and model are loaded, checked against one another, and not yet begun.

Everything that can be wrong is found here, before a run directory is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy
import tokenizers
import torch
import transformers

from nextfill.config import LoraConfig, MaskingConfig, Precision, TrainConfig
from nextfill.data.packing.plan import BlockPlan
from nextfill.data.parts import Prepared
from nextfill.errors import ConfigError
from nextfill.infer.evaluation.rows import check_windows
from nextfill.models.adapters import add_adapter, name_base
from nextfill.models.compute import pick_device, pick_precision, tune_allocator
from nextfill.models.hiding import masking_of
from nextfill.models.isolation import Isolation, padding_isolation, probe_isolation
from nextfill.models.live import NOTHING_LIVE, Live
from nextfill.models.load import fitting_block_size, load_model, origin
from nextfill.models.loaded import LoadedModel
from nextfill.models.origin import FROZEN, frozen_checksum, origin_checksums
from nextfill.models.router_loss import SWITCH, coefficient, router_off
from nextfill.models.shape import checkpoint_gradients, configs_of
from nextfill.models.step import StepModule, has_router_loss, row_problem
from nextfill.models.tokenizer import SCRATCH
from nextfill.objectives.training import TrainingBatches
from nextfill.progress import Observer
from nextfill.training.inputs import pin_data, plan_batches, prepare_inputs
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
    return Ready(config, loaded, module, prepared, batches, origin_found)


def _settle_precision(
    config: TrainConfig, precision: Precision, module: StepModule, loaded: LoadedModel
) -> Precision:
    """Go back to float32 where the model does not compute in what the hardware has.

    Raises:
        ConfigError: If the user asked for it, or the model computes no such rows at all.
    """
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
