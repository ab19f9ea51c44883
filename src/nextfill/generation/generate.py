"""Continuations of texts by a causal model, in batches that change nothing but the time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from transformers import StoppingCriteriaList

from nextfill.config import GenerationConfig, Precision
from nextfill.core.errors import ModelError, NextfillError
from nextfill.data.packing.order import philox
from nextfill.generation.decoding import end_ids, logits_processors, transformers_config
from nextfill.generation.prompts import Prompt, encode_prompts, name_prompts
from nextfill.generation.sampling import Draw, Numbers, prompt_key
from nextfill.generation.text_stream import Decoder, StopAtStrings, Stream
from nextfill.models.architecture import configs_of
from nextfill.models.computation import autocast
from nextfill.models.incremental_decoding import (
    Batching,
    Feed,
    pad_left,
    probe_batching,
    probe_feed,
)
from nextfill.models.libraries import REFUSALS
from nextfill.models.loaded_model import LoadedModel
from nextfill.models.loss import router_off


@dataclass(frozen=True)
class Row:
    """One row of a batch: a prompt, and which of its texts is made.

    Args:
        number: The prompt's place among the prompts.
        prompt: The prompt.
        sample: Number of the text among all of this prompt, from 0, for the random numbers.
    """

    number: int
    prompt: Prompt
    sample: int


def make_rows(prompts: Sequence[Prompt], per_prompt: int, seen: Counter[int]) -> list[Row]:
    """Return the rows of some prompts, numbering the texts of a prompt that comes again on."""
    rows = []
    for number, prompt in enumerate(prompts):
        key = prompt_key(prompt.ids)
        rows += [Row(number, prompt, seen[key] + n) for n in range(per_prompt)]
        seen[key] += per_prompt
    return rows


def like_length(rows: Sequence[Row], size: int, way: Batching) -> Iterator[list[Row]]:
    """Yield batches of rows, longest first, so that little is padded."""
    size = 1 if way == "alone" else size
    batch: list[Row] = []
    for row in sorted(rows, key=lambda row: -len(row.prompt.ids)):
        other_length = batch and len(row.prompt.ids) != len(batch[0].prompt.ids)
        if len(batch) == size or (other_length and way == "equal"):
            yield batch
            batch = []
        batch.append(row)
    yield batch


Generated = list[dict[str, str]]
"""The continuations of one prompt, in the shape of transformers' text-generation pipeline."""

BATCHES_AT_ONCE = 8
"""Batches whose prompts are sorted by length together: more pad less, and keep results waiting."""


@dataclass(frozen=True)
class Job:
    """Everything but the prompts.

    Args:
        loaded: The model and its tokenizer.
        generation: How to choose tokens and how many.
        seed: Seeds the sampling. Every text has random numbers of its own, from the seed, its
            prompt, and its number among the texts of that prompt.
        precision: ``fp32`` or ``bf16``.
    """

    loaded: LoadedModel
    generation: GenerationConfig
    seed: int
    precision: Precision

    @property
    def decoder(self) -> Decoder:
        """What makes text of tokens."""
        stops, least = tuple(self.generation.stop), self.generation.min_new_tokens
        return Decoder(self.loaded.tokenizer, end_ids(self.loaded), stops, least)


def generate_text(
    loaded: LoadedModel,
    prompts: Sequence[str],
    generation: GenerationConfig,
    *,
    seed: int,
    precision: Precision,
) -> list[Generated]:
    """Continue each prompt."""
    encoded = encode_prompts(loaded, name_prompts(prompts), generation.max_new_tokens)
    return list(continue_prompts(Job(loaded, generation, seed, precision), encoded))


def continue_prompts(
    job: Job,
    prompts: Sequence[Prompt],
    *,
    seen: Counter[int] | None = None,
    on_text: Callable[[str], None] | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Generated]:
    """Continue prompts in batches."""
    generation, model = job.generation, job.loaded.model
    beams, size = generation.num_beams, generation.generation_batch_size
    seen = Counter() if seen is None else seen
    per_prompt = 1 if beams > 1 else generation.num_samples
    at_once = max(1, BATCHES_AT_ONCE * size // per_prompt)
    total, done = len(prompts) * generation.num_samples, 0
    was_training = model.training
    model.eval()
    try:
        with router_off(configs_of(model)):
            feed = probe_feed(model, job.loaded.pad_id)
        way = _batching(job, feed, len(prompts) * per_prompt)
        for first in range(0, len(prompts), at_once):
            rows = make_rows(prompts[first : first + at_once], per_prompt, seen)
            texts: dict[Row, list[str]] = {}
            for batch in like_length(rows, max(1, size // beams), way):
                made = _generate_batch(job, feed, batch, on_text)
                texts |= zip(batch, made, strict=True)
                done += sum(map(len, made))
                on_progress(done, total)
            yield from _by_prompt(rows, texts)
    finally:
        model.train(was_training)


def _batching(job: Job, feed: Feed, num_rows: int) -> Batching:
    generation = job.generation
    if num_rows < 2 or generation.generation_batch_size == 1:
        return "alone"
    if generation.num_beams > 1 and generation.samples:
        return "alone"  # transformers draws all beams of a batch from one generator
    with router_off(configs_of(job.loaded.model)):
        return probe_batching(job.loaded.model, job.loaded.pad_id, feed)


def _by_prompt(rows: Sequence[Row], texts: dict[Row, list[str]]) -> Iterator[Generated]:
    found: dict[int, Generated] = {}
    for row in rows:
        full = [{"generated_text": row.prompt.text + text} for text in texts[row]]
        found.setdefault(row.number, []).extend(full)
    yield from found.values()


def _generate_batch(
    job: Job, feed: Feed, batch: Sequence[Row], on_text: Callable[[str], None] | None
) -> list[list[str]]:
    """Return the continuations of each row of a batch: one, or a beam search's best."""
    generation, decoder, beams = job.generation, job.decoder, job.generation.num_beams > 1
    prompts = [row.prompt.ids for row in batch]
    ids, mask = pad_left(prompts, job.loaded.pad_id)
    width = ids.shape[1]
    draw = stream = None
    if generation.samples and not beams:
        draw = Draw([Numbers(job.seed, row.prompt.ids, row.sample) for row in batch])
    if on_text is not None and not beams:
        stream = Stream(decoder, prompts[0], _apart(on_text))
    padding = [width - len(prompt) for prompt in prompts]
    criteria = [StopAtStrings(decoder, prompts)] if decoder.stops else []
    device = job.loaded.device
    with (
        autocast(device, job.precision),
        _told(job, len(batch)),
        _own_generator(job, batch[0]),
        router_off(configs_of(job.loaded.model)),
    ):
        sequences = feed.generate(
            job.loaded.model,
            ids,
            mask,
            generation_config=transformers_config(generation, job.loaded),
            logits_processor=logits_processors(generation, padding, draw),
            stopping_criteria=StoppingCriteriaList(criteria),
            streamer=stream,
        )
    new = sequences[:, width:].tolist()
    each = len(new) // len(batch)
    texts = [decoder.text(prompts[n // each], tokens)[0] for n, tokens in enumerate(new)]
    if on_text is not None and beams:
        on_text(texts[0])
    return [texts[n * each : (n + 1) * each] for n in range(len(batch))]


@contextmanager
def _told(job: Job, num_rows: int) -> Iterator[None]:
    """Say what to do about what a model cannot do, or not so much of at once."""
    try:
        yield
    except _OfTheCaller as error:
        raise error.error from None
    except torch.OutOfMemoryError as error:
        raise NextfillError(
            f"{num_rows} texts at once do not fit into the memory of {job.loaded.device}: give a "
            "smaller --generation-batch-size, --num-beams or --max-new-tokens."
        ) from error
    except REFUSALS as error:
        beams = job.generation.num_beams > 1
        raise ModelError(
            f"{job.loaded.name}, a {type(job.loaded.model).__name__}, cannot "
            f"{'search with beams' if beams else 'continue this text'}: "
            f"{type(error).__name__}: {error}"
        ) from error


class _OfTheCaller(Exception):  # noqa: N818 - carries an error past those of the model
    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def _apart(on_text: Callable[[str], None]) -> Callable[[str], None]:
    """Return a function of the caller whose errors are not taken for the model's."""

    def call(text: str) -> None:
        try:
            on_text(text)
        except REFUSALS as error:
            raise _OfTheCaller(error) from error

    return call


@contextmanager
def _own_generator(job: Job, row: Row) -> Iterator[None]:
    """Seed PyTorch's generator where beams are drawn from it, and leave it as it was found."""
    device = job.loaded.device
    if not job.generation.samples or job.generation.num_beams == 1:
        yield
        return
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        bits = philox("beams", job.seed, prompt_key(row.prompt.ids), row.sample)
        torch.manual_seed(bits.random_raw())
        yield
