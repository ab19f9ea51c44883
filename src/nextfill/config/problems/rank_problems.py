"""Settings that several ranks cannot have, and what ranks make of the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from nextfill.config import EvaluateConfig, NewTokensConfig, TrainConfig
from nextfill.config.prefixes import LIVE
from nextfill.config.resolve import refuse
from nextfill.core.paths import STANDARD_INPUT, is_pipe


def processes_problems(nproc: int | str | None) -> Iterator[str]:
    """Yield why ``nproc`` starts no processes here, where no launcher has started any.

    Example:
        >>> [*processes_problems(1)]
        []
    """
    if nproc not in (None, 1):
        yield (
            "--nproc starts processes from the command line alone: give it there, and start a "
            f"script of your own with: torchrun --standalone --nproc-per-node {nproc} SCRIPT"
        )


def launch_problems(config: TrainConfig) -> Iterator[str]:
    """Yield settings of several ranks where no launcher has started any.

    Example:
        >>> [*launch_problems(TrainConfig(nproc=1))]
        []
    """
    problems = [*processes_problems(config.nproc)]
    yield from problems
    if not problems and config.parallel in ("ddp", "fsdp"):
        yield (
            f"--parallel {config.parallel} is for several processes, and here is one: leave it "
            "out, or give --nproc 2."
        )


def rank_problems(config: TrainConfig, world: int) -> Iterator[str]:
    """Yield the settings of a training that several ranks cannot have.

    Example:
        >>> from nextfill.config import TrainingConfig
        >>> [problem] = rank_problems(TrainConfig(training=TrainingConfig(batch_size=9)), 2)
        >>> problem
        '--batch-size 9 does not divide over 2 ranks: give a multiple of 2, such as 10.'
    """
    training = config.training
    size, micro = training.batch_size, training.micro_batch_size
    yield from started_problems(config, world)
    if training.backend == "keras":
        yield f"--backend keras trains in one process, and here are {world}: leave it out."
    if any(one.streaming and one.source.startswith(LIVE) for one in config.data.each):
        yield (
            f"streaming=True: data of a Python program are other ones to each of {world} ranks, "
            "which cannot tell them to be the same: leave it out, or write them into files, and "
            "name those."
        )
    if config.parallel == "fsdp":
        yield from share_problems(config)
    if micro is None and size % world:
        more = size + world - size % world
        yield (
            f"--batch-size {size} does not divide over {world} ranks: give a multiple of {world}, "
            f"such as {more}."
        )
    if micro is not None and (count := -(-size // micro)) % world:
        yield (
            f"--batch-size {size} in micro-batches of {micro} makes {count}, which do not divide "
            f"over {world} ranks, each of which takes whole ones: {_advice(size, world)}"
        )


def evaluation_problems(config: EvaluateConfig, world: int) -> Iterator[str]:
    """Yield the settings of an evaluation that several ranks cannot have.

    Example:
        >>> from nextfill.config import DataConfig
        >>> [problem] = evaluation_problems(EvaluateConfig(data=DataConfig(source="-")), 2)
        >>> problem[:63]
        '--data -: standard input is read once, and here are 2 ranks: wr'
    """
    yield from started_problems(config, world)
    yield from pipe_problems(config, world)


def started_problems(config: TrainConfig | EvaluateConfig, world: int) -> Iterator[str]:
    """Yield why a command that runs as one of several processes does not start others."""
    if config.nproc not in (None, "auto", world):
        yield f"--nproc {config.nproc}: {world} processes are started already: leave it out."


def pipe_problems(config: TrainConfig | EvaluateConfig, world: int) -> Iterator[str]:
    """Yield why several ranks cannot read standard input or a pipe, before one of them does."""
    for one in config.data.each if world > 1 else ():
        for flag, source in (("--data", one.source), ("--eval-data", one.eval_source)):
            if source == STANDARD_INPUT or (source is not None and is_pipe(source)):
                name = "standard input" if source == STANDARD_INPUT else "a pipe"
                yield (
                    f"{flag} {source}: {name} is read once, and here are {world} ranks: write "
                    "the text into a file, and name that."
                )


def share_problems(config: TrainConfig) -> Iterator[str]:
    """Yield what a model in shares cannot have."""
    training = config.training
    for flag, is_given, why in (
        ("--ema-decay", training.ema_decay is not None, "an average is kept of a whole model"),
        ("--compile", training.compile, "layers are divided as they are written"),
        ("--optimizer adafactor", training.optimizer == "adafactor", "its moments are not divided"),
        (
            "--lora-quantization",
            config.lora.quantization != "none",
            "weights of 4 bits are not divided",
        ),
        (
            "--add-tokens",
            config.new_tokens != NewTokensConfig(),
            "new rows of an embedding are not divided",
        ),
    ):
        if is_given:
            yield f"--parallel fsdp: {why}: leave {flag} out, or give --parallel ddp."


def resumed_problems(config: TrainConfig, world: int) -> Iterator[str]:
    """Yield what keeps a run from going on with so many ranks: its micro-batches stay as they are.

    Example:
        >>> from nextfill.config import TrainingConfig
        >>> [problem] = resumed_problems(TrainConfig(training=TrainingConfig(batch_size=8)), 2)
        >>> problem[:63]
        'The run has 1 micro-batch of 8 blocks in a step, whose dropout '
    """
    training = config.training
    micro = training.micro_batch_size or training.batch_size
    count = -(-training.batch_size // micro)
    if count % world:
        fitting = [number for number in range(1, count + 1) if count % number == 0]
        noun = "micro-batch" if count == 1 else "micro-batches"
        yield (
            f"The run has {count} {noun} of {micro} blocks in a step, whose dropout is drawn for "
            f"each as a whole, and here are {world} ranks: it goes on with "
            f"{', '.join(map(str, fitting))}. A run that is to move between more ranks begins "
            "with a smaller --micro-batch-size"
        )


def _advice(size: int, world: int) -> str:
    if size % world:
        return f"give a --batch-size that is a multiple of {world}."
    return f"give --micro-batch-size {size // world}"


def for_ranks(config: TrainConfig, world: int, *, is_resumed: bool) -> TrainConfig:
    """Return the settings of a training by several ranks; refuse those that cannot be.

    Unless a micro-batch is given, it is a rank's part of the batch, which the run records.
    """
    problems = [*rank_problems(config, world)]
    if is_resumed and not config.training.micro_batch_size:
        problems = [one for one in problems if not one.startswith("--batch-size")]
    if is_resumed:
        problems = [one for one in problems if "micro-batches of" not in one]
        problems += resumed_problems(config, world)
    refuse(problems)
    training = config.training
    if is_resumed or training.micro_batch_size is not None:
        return config
    micro = training.batch_size // world
    return replace(config, training=replace(training, micro_batch_size=micro))
