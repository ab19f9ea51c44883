"""What is tried before a run: the means that keeps documents apart, the precision, compilation."""

from __future__ import annotations

from dataclasses import replace

from nextfill.config import Precision, TrainConfig
from nextfill.core.errors import ConfigError
from nextfill.models.compilation import check_compiler, compile_problem
from nextfill.models.computation import pick_precision, reads_late
from nextfill.models.distillation import Teacher
from nextfill.models.documents.isolation import Isolation, padding_isolation, probe_isolation
from nextfill.models.loaded_model import LoadedModel
from nextfill.models.step import StepModule, row_problem


def choose_isolation(config: TrainConfig, loaded: LoadedModel) -> tuple[TrainConfig, Isolation]:
    """Return the isolation that keeps packed documents apart, and pad where none does."""
    if not config.blocks.isolate:
        return config, padding_isolation(loaded.model, loaded.objective, "none")
    if config.blocks.packing == "pad":
        return config, padding_isolation(loaded.model, loaded.objective)
    # The kernel is one of 16 bits, and not of an implementation that was asked for.
    by_documents = (
        reads_late(loaded.device)
        and pick_precision(config.precision, loaded.device) == "bf16"
        and config.model.attn_implementation is None
    )
    isolation = probe_isolation(
        loaded.model,
        loaded.objective,
        longest=config.blocks.block_size,
        by_documents=by_documents,
    )
    if isolation.kind == "pad":
        config = replace(config, blocks=replace(config.blocks, packing="pad"))
    return config, isolation


def compile_model(config: TrainConfig, module: StepModule, loaded: LoadedModel) -> None:
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


def choose_precision(
    config: TrainConfig,
    precision: Precision,
    module: StepModule,
    loaded: LoadedModel,
    teacher: Teacher | None = None,
) -> Precision:
    """Return the precision in which model and teacher compute rows, float32 where it must be."""
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
            if teacher is not None and problem is None:
                problem = row_problem(teacher.module, one, length)
                problem = problem and f"its teacher {teacher.loaded.name} refuses it, {problem}"
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
