"""Continuations of texts by a causal model, in batches that change nothing but the time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from transformers import StoppingCriteriaList

from nextfill.config import GenerationConfig, Precision
from nextfill.data.infilling_tokens import InfillingTokens
from nextfill.data.packing.order import philox
from nextfill.generation.ctranslate2_engine import Ctranslate2Engine
from nextfill.generation.decoding import (
    Draw,
    UniformNumbers,
    end_ids,
    logits_processors,
    prompt_key,
    transformers_config,
)
from nextfill.generation.errors import explained_errors
from nextfill.generation.prompts import Prompt, PromptText, encode_prompts, name_prompts
from nextfill.generation.row_continuation import continue_rows
from nextfill.generation.text_stream import Decoder, StopAtStrings, Stream, guarded
from nextfill.models.architecture import configs_of
from nextfill.models.computation import (
    autocast,
)
from nextfill.models.inference.incremental_decoding import (
    Batching,
    Feed,
    pad_left,
    probe_batching,
    probe_feed,
)
from nextfill.models.inference.static_cache import Parts
from nextfill.models.loaded_model import LoadedModel
from nextfill.models.loss import router_off

Generated = list[dict[str, str]]
"""The continuations of one prompt, in the shape of transformers' text-generation pipeline."""

BATCHES_AT_ONCE = 8
"""Batches whose prompts are sorted by length together: more pad less, and keep results waiting."""


def generate_text(
    loaded: LoadedModel,
    prompts: Sequence[str],
    generation: GenerationConfig,
    *,
    seed: int,
    precision: Precision,
) -> list[Generated]:
    """Continue each prompt; an empty one begins a document."""
    encoded = encode_prompts(loaded, name_prompts(prompts), generation.max_new_tokens)
    return list(continue_prompts(Job(loaded, generation, seed, precision), encoded))


def text_lines(prompt: PromptText, texts: Generated) -> Iterator[dict[str, Any]]:
    """Yield each continuation of a prompt as a line of a file."""
    for sample, item in enumerate(texts):
        yield {"sample": sample, "prompt": prompt.text, **item}


@dataclass(frozen=True)
class Job:
    """A model and the settings by which it continues prompts.

    Every text has random numbers of its own, from the seed, its prompt, and its number among the
    texts of that prompt.

    Args:
        infills: The tokens around the parts of a text, where prompts come before a suffix.
        parts: The model in parts; None where another computes, and beams are searched.
        engine: The model converted for CTranslate2; None where PyTorch computes.
    """

    loaded: LoadedModel
    generation: GenerationConfig
    seed: int
    precision: Precision
    infills: InfillingTokens | None = None
    parts: Parts | None = None
    engine: Ctranslate2Engine | None = None

    @property
    def ends(self) -> frozenset[int]:
        """The tokens that end a text, and where it is a middle, those of infilling."""
        own = frozenset() if self.infills is None else self.infills.ids
        return end_ids(self.loaded) | own

    @property
    def decoder(self) -> Decoder:
        """The decoder of continuations, which knows where they end."""
        stops, least = tuple(self.generation.stop), self.generation.min_new_tokens
        return Decoder(self.loaded.tokenizer, self.ends, stops, least)


@dataclass(frozen=True)
class Row:
    """One row of a batch: a text to be made of a prompt.

    Args:
        number: The prompt's place among the prompts.
        sample: Number of the text among all of this prompt, from 0, for the random numbers.
    """

    number: int
    prompt: Prompt
    sample: int


def continue_prompts(
    job: Job,
    prompts: Sequence[Prompt],
    *,
    seen: Counter[int] | None = None,
    on_text: Callable[[str], None] | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Generated]:
    """Yield the continuations of each prompt in order, those of a beam search best first.

    ``seen`` counts the texts made of each prompt before, by `prompt_key`, and is counted up;
    ``on_text`` receives the pieces of a single text as they come, or all of it after a beam search.
    """
    generation, model = job.generation, job.loaded.model
    beams, size = generation.num_beams, generation.generation_batch_size
    seen = Counter() if seen is None else seen
    per_prompt = 1 if beams > 1 else generation.num_samples
    at_once = max(1, BATCHES_AT_ONCE * size // per_prompt)
    total, done = len(prompts) * generation.num_samples, 0
    was_training = model.training
    model.eval()
    try:
        feed, way = Feed(), _batching_without_feed(job)
        if job.parts is None and job.engine is None:
            with router_off(configs_of(model)):
                feed = probe_feed(model, job.loaded.pad_id)
                way = _batching(job, feed, len(prompts) * per_prompt)
        for first in range(0, len(prompts), at_once):
            rows = make_rows(prompts[first : first + at_once], per_prompt, seen)
            texts: dict[Row, list[str]] = {}
            for batch in length_batches(rows, max(1, size // beams), way):
                made = _generate_batch(job, feed, batch, on_text)
                texts |= zip(batch, made, strict=True)
                done += sum(map(len, made))
                on_progress(done, total)
            yield from _by_prompt(rows, texts)
    finally:
        model.train(was_training)


def make_rows(prompts: Sequence[Prompt], per_prompt: int, seen: Counter[int]) -> list[Row]:
    """Return rows for each prompt, numbered on from ``seen``, which is counted up."""
    rows = []
    for number, prompt in enumerate(prompts):
        key = prompt_key(prompt.ids)
        rows += [Row(number, prompt, seen[key] + n) for n in range(per_prompt)]
        seen[key] += per_prompt
    return rows


def length_batches(rows: Sequence[Row], size: int, way: Batching) -> Iterator[list[Row]]:
    """Yield batches of at most ``size`` rows, longest first, so that little is padded."""
    size = 1 if way == "alone" else size
    batch: list[Row] = []
    for row in sorted(rows, key=lambda row: -len(row.prompt.ids)):
        other_length = batch and len(row.prompt.ids) != len(batch[0].prompt.ids)
        if len(batch) == size or (other_length and way == "equal"):
            yield batch
            batch = []
        batch.append(row)
    yield batch


def _batching(job: Job, feed: Feed, num_rows: int) -> Batching:
    generation = job.generation
    if num_rows < 2 or generation.generation_batch_size == 1:
        return "alone"
    if generation.num_beams > 1 and generation.samples:
        return "alone"  # transformers draws all beams of a batch from one generator
    return probe_batching(job.loaded.model, job.loaded.pad_id, feed)


def _batching_without_feed(job: Job) -> Batching:
    if job.generation.generation_batch_size == 1:
        return "alone"
    return "padded" if job.engine is None else "equal"


def _by_prompt(rows: Sequence[Row], texts: dict[Row, list[str]]) -> Iterator[Generated]:
    for _, group in groupby(rows, key=lambda row: row.number):
        yield [_result(row.prompt, text) for row in group for text in texts[row]]


def _result(prompt: Prompt, text: str) -> dict[str, str]:
    """Return a text with its prompt before it, and its suffix after it, and then also alone."""
    if prompt.suffix is None:
        return {"generated_text": prompt.text + text}
    return {"generated_text": prompt.text + text + prompt.suffix, "middle": text}


def _generate_batch(
    job: Job, feed: Feed, batch: Sequence[Row], on_text: Callable[[str], None] | None
) -> list[list[str]]:
    """Return the continuations of each row of a batch: one, or a beam search's best.

    The feed is for a job with neither the model in parts, nor converted.
    """
    decoder, beams = job.decoder, job.generation.num_beams > 1
    prompts = [row.prompt.ids for row in batch]
    stream = None
    if on_text is not None and not beams:
        stream = Stream(decoder, prompts[0], guarded(on_text))
    with explained_errors(job.loaded, len(batch), has_beams=beams):
        if job.engine is not None:
            new = job.engine.continue_rows(
                prompts, job.generation, ends=job.ends, decoder=decoder, stream=stream
            )
        else:
            new = _new_tokens(job, feed, batch, stream)
    each = len(new) // len(batch)
    texts = [decoder.text(prompts[n // each], tokens)[0] for n, tokens in enumerate(new)]
    if on_text is not None and beams:
        on_text(texts[0])
    return [texts[n * each : (n + 1) * each] for n in range(len(batch))]


def _new_tokens(
    job: Job, feed: Feed, batch: Sequence[Row], stream: Stream | None
) -> list[list[int]]:
    """Return the tokens that PyTorch adds to each row of a batch, or to each beam of one."""
    generation, decoder = job.generation, job.decoder
    prompts = [row.prompt.ids for row in batch]
    ids, mask = pad_left(prompts, job.loaded.pad_id)
    draw = None
    if generation.samples and generation.num_beams == 1:
        draw = Draw([UniformNumbers(job.seed, row.prompt.ids, row.sample) for row in batch])
    stops = StopAtStrings(decoder, prompts) if decoder.stops else None
    if job.parts is not None:
        sequences = continue_rows(
            job.parts,
            ids,
            mask,
            generation,
            ends=job.ends,
            pad_id=job.loaded.pad_id,
            draw=draw,
            stops=stops,
            stream=stream,
        )
        return _after(sequences, ids.shape[1])
    padding = [ids.shape[1] - len(prompt) for prompt in prompts]
    with (
        autocast(job.loaded.device, job.precision),
        _seeded_beams(job, batch[0]),
        router_off(configs_of(job.loaded.model)),
    ):
        sequences = feed.generate(
            job.loaded.model,
            ids,
            mask,
            generation_config=transformers_config(generation, job.loaded, job.ends),
            logits_processor=logits_processors(generation, padding, draw),
            stopping_criteria=StoppingCriteriaList([] if stops is None else [stops]),
            streamer=stream,
        )
    return _after(sequences, ids.shape[1])


def _after(sequences: torch.Tensor, width: int) -> list[list[int]]:
    rows: list[list[int]] = sequences[:, width:].tolist()
    return rows


@contextmanager
def _seeded_beams(job: Job, row: Row) -> Iterator[None]:
    """Seed PyTorch's generator for beams that are drawn from it, and restore its state."""
    device = job.loaded.device
    if not job.generation.samples or job.generation.num_beams == 1:
        yield
        return
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        bits = philox("beams", job.seed, prompt_key(row.prompt.ids), row.sample)
        torch.manual_seed(bits.random_raw())
        yield
