"""A model as a server has it: loaded once, with its loop, and the encoding of what is asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import torch

from nextfill.config import FillingConfig, GenerateConfig, GenerationConfig, ServeConfig
from nextfill.config.command_line.python_messages import in_keywords
from nextfill.config.settings.model_settings import NOTHING_LIVE, Live
from nextfill.core.amounts import amount
from nextfill.core.errors import NextfillError
from nextfill.data.special_tokens import evaluation_frame
from nextfill.filling.candidates import Candidates, Masked
from nextfill.filling.fill import Filler, filler_of
from nextfill.generation.decoding import end_ids
from nextfill.generation.eight_bits import cost_of_parts, eight_bit_parts
from nextfill.generation.prompts import PromptText, encode_prompts
from nextfill.generation.suffix import encode_infills, infilling_tokens_of
from nextfill.models.allocator import tune_allocator
from nextfill.models.computation import in_mode, pick_device, pick_precision
from nextfill.models.inference.decoder_layouts import read_decoder
from nextfill.models.inference.row_pool import RowPool, Rows, SeparateRows
from nextfill.models.load import load_model
from nextfill.models.loaded_model import LoadedModel
from nextfill.models.objective import objective_of_verb
from nextfill.models.tokenizer import mask_id_of
from nextfill.serving.completion import ChosenToken
from nextfill.serving.decoding_loop import DecodingLoop
from nextfill.serving.http_errors import RequestError
from nextfill.serving.next_tokens import chosen_tokens

_SCORED_AT_ONCE = 32
"""Rows of a masked model that are scored together."""


@dataclass(frozen=True)
class ScoredTokens:
    """A text that is to be scored.

    Args:
        pieces: The part of the text that each of its tokens spells.
        whole: Its tokens, and those that stand around it.
        first: Place of its first token among them.
    """

    pieces: tuple[str, ...]
    whole: tuple[int, ...]
    first: int


Scores = list[tuple[str, ChosenToken]]
"""The part of a text that each of its tokens spells, and the token with its log-probability."""


@dataclass(frozen=True)
class ServedModel:
    """A model, causal or masked, with the loop that alone computes with it.

    Args:
        name: By which it is asked for.
        aliases: Other names for it.
        most_tokens: Of a prompt.
        filler: Of a masked model; None of a causal one.
        notes: Sentences on how it computes, for the command to show.
        before: Name of the served model that it began from, if there is one.
    """

    name: str
    aliases: tuple[str, ...]
    loaded: LoadedModel
    loop: DecodingLoop
    most_tokens: int | None
    filler: Filler | None
    notes: tuple[str, ...]
    lock: threading.Lock
    before: str | None = None

    @property
    def kind(self) -> str:
        """Causal or masked."""
        return self.loaded.objective

    @property
    def tokenizer(self) -> Any:
        """Its tokenizer."""
        return self.loaded.tokenizer

    @property
    def room(self) -> int | None:
        """Tokens of a text at most, its prompt included; None where nothing bounds it."""
        return self.loaded.max_positions

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the tokens of a prompt.

        Raises:
            RequestError: Where it is too long, or empty for a tokenizer without a start token.
        """
        with self.lock, _refused():
            (prompt,) = encode_prompts(self.loaded, [PromptText(text)], 0)
        return self.checked(prompt.ids)

    def encode_plain(self, text: str) -> tuple[int, ...]:
        """Return the tokens of a text that has its special tokens already, as of a template."""
        with self.lock:
            ids = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return self.checked(ids)

    def chat_text(self, messages: Sequence[Mapping[str, str]]) -> str:
        """Return a chat as the tokenizer's template writes it, up to the answer."""
        with self.lock:
            text = self.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True
            )
        return str(text)

    def encode_infill(self, text: str, suffix: str) -> tuple[tuple[int, ...], frozenset[int]]:
        """Return the tokens of a prompt and a suffix, and those that end what is between them."""
        generation = GenerationConfig(suffix=suffix, max_new_tokens=1)
        with self.lock, _refused():
            infills = infilling_tokens_of(self.loaded)
            (prompt,) = encode_infills(self.loaded, [PromptText(text)], infills, generation)
        return self.checked(prompt.ids), infills.ids

    def checked(self, ids: Sequence[int]) -> tuple[int, ...]:
        """Return the tokens of a prompt, refusing too many, and those that there are not."""
        if not ids:
            raise RequestError("prompt: found no token. Expected one at least.", param="prompt")
        size = self.loaded.model.get_input_embeddings().num_embeddings  # type: ignore[operator]
        if min(ids) < 0 or max(ids) >= size:
            raise RequestError(
                f"prompt: found a token outside 0 to {size - 1}, the vocabulary of {self.name}.",
                param="prompt",
            )
        if self.most_tokens is not None and len(ids) > self.most_tokens:
            raise RequestError(
                f"The prompt has {amount(len(ids), 'token')}, and this server takes "
                f"{self.most_tokens}: send a shorter one.",
                param="prompt",
                code="context_length_exceeded",
            )
        return tuple(ids)

    @cached_property
    def special_ids(self) -> frozenset[int]:
        """The tokens that a text is shown without."""
        return frozenset(self.tokenizer.all_special_ids)

    @property
    def ends(self) -> frozenset[int]:
        """The tokens that end a text."""
        return end_ids(self.loaded)

    def encode_scored(self, text: str) -> ScoredTokens:
        """Return the tokens of a text that is to be scored.

        Raises:
            RequestError: Where it is too long.
        """
        with self.lock:
            call = self.tokenizer(
                text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
            )
        ids, spans = list(call["input_ids"]), call["offset_mapping"]
        frame = evaluation_frame(self.tokenizer, self.loaded.objective)
        whole = [*frame.prefix, *ids, *frame.suffix]
        limit = min(one for one in (self.room, self.most_tokens, len(whole)) if one is not None)
        if len(whole) > limit:
            raise RequestError(
                f"The text has {amount(len(whole), 'token')}, and {limit} can be scored: send a "
                "shorter one.",
                code="context_length_exceeded",
            )
        starts = [start for start, _ in spans]
        stops = [*starts[1:], len(text)][: len(starts)]
        pieces = [text[a:b] for a, b in zip(starts, stops, strict=True)]
        if pieces:
            pieces[0] = text[: starts[0]] + pieces[0]
        return ScoredTokens(tuple(pieces), tuple(whole), len(frame.prefix))

    def score_parts(self, text: ScoredTokens, num_likeliest: int) -> list[Callable[[], Scores]]:
        """Return what the loop's thread has to do, piece by piece, for the scores of a text.

        Each piece returns tokens, each with its log-probability. A causal model's are given those
        before them, its start token too where it has one; a masked model's are each hidden alone,
        some of them in each piece, so that others have their turn and a client may go.
        """
        if not text.pieces:
            return []
        if self.filler is None:
            return [partial(self._given_those_before, text, num_likeliest)]
        numbers = range(len(text.pieces))
        return [
            partial(self._hidden, text, numbers[at : at + _SCORED_AT_ONCE], num_likeliest)
            for at in numbers[::_SCORED_AT_ONCE]
        ]

    def _given_those_before(self, text: ScoredTokens, num_likeliest: int) -> Scores:
        first, whole = text.first, list(text.whole)
        logits = self.loop.logits(whole)
        found = list(chosen_tokens(logits[:-1], whole[1:], num_likeliest))
        found = found[first - 1 :] if first else [ChosenToken(whole[0]), *found]
        return list(zip(text.pieces, found[: len(text.pieces)], strict=True))

    def _hidden(self, text: ScoredTokens, numbers: range, num_likeliest: int) -> Scores:
        places = range(text.first + numbers.start, text.first + numbers.stop)
        found = self._hidden_one_by_one(list(text.whole), places, num_likeliest)
        return list(zip((text.pieces[at] for at in numbers), found, strict=True))

    def _hidden_one_by_one(
        self, whole: list[int], places: range, num_likeliest: int
    ) -> list[ChosenToken]:
        mask = mask_id_of(self.tokenizer, self.name)
        assert self.filler is not None  # noqa: S101 - asked of masked models alone
        precision, encoder = self.filler.precision, self.filler.encoder
        candidates = Candidates(self.loaded, precision, _SCORED_AT_ONCE, encoder)

        def asked(allowed: bool) -> list[Masked]:
            return [
                Masked(
                    (*whole[:place], mask, *whole[place + 1 :]),
                    (place,),
                    ((whole[place],) if allowed else None,),
                )
                for place in places
            ]

        own = [found[0][0][0] for found in candidates(asked(True), 1)]
        likeliest: list[tuple[tuple[int, float], ...]] = [()] * len(places)
        if num_likeliest:
            each = candidates(asked(False), num_likeliest)
            likeliest = [tuple((token, nats) for nats, token in found[0]) for found in each]
        return [
            ChosenToken(whole[place], nats, some)
            for place, nats, some in zip(places, own, likeliest, strict=True)
        ]

    def fill(self, texts: Sequence[str], top_k: int, targets: Sequence[str]) -> list[list[Any]]:
        """Return the answers for each blank of texts: of the loop's thread."""
        assert self.filler is not None  # noqa: S101 - asked of masked models alone
        filling = FillingConfig(top_k=top_k, targets=list(targets))
        filler = replace(self.filler, filling=filling)
        with self.lock, _refused():
            return [f.plain for f in filler.fill([PromptText(text) for text in texts])]


class _refused:  # noqa: N801 - a context
    """Turns the words on what cannot be used into a refusal of the request."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, NextfillError):
            told = in_keywords(str(error), GenerateConfig)
            code = "context_length_exceeded" if " positions" in told else None
            raise RequestError(told, code=code) from error


def open_model(
    config: ServeConfig, name: str, aliases: tuple[str, ...], live: Live = NOTHING_LIVE
) -> ServedModel:
    """Load a model for a server."""
    tune_allocator()
    device = pick_device(config.device, live.model)
    precision = pick_precision(config.precision, device)
    with objective_of_verb():
        loaded = load_model(config.model, live=live)
    loaded.model.to(device)
    loaded.model.eval()
    serving = config.serving
    rows: Rows | None = None
    filler = None
    notes = list(loaded.notes)
    if loaded.objective == "masked":
        filler = filler_of(loaded, FillingConfig(), precision)
    elif config.weights == "int8":
        parts = eight_bit_parts(loaded, searches=False)
        notes.append(cost_of_parts(loaded, parts))
        rows = RowPool(parts)
    else:
        with in_mode(loaded.model, training=False), torch.inference_mode(False):
            found = read_decoder(loaded.model, "half" if precision == "bf16" else "fp32")
            if found is not None:
                rows = RowPool(found, is_exact=precision == "fp32")
            else:
                rows = SeparateRows.of(loaded.model, loaded.pad_id, precision)
                notes.append(
                    f"{name} is of no layout that is computed for many texts at once: its texts "
                    "take turns, token by token"
                )
    limits = [n for n in (serving.max_prompt_tokens, loaded.max_positions) if n is not None]
    loop = DecodingLoop(rows, serving.max_concurrent, serving.max_queued)
    return ServedModel(
        name,
        aliases,
        loaded,
        loop,
        min(limits, default=None),
        filler,
        tuple(notes),
        threading.Lock(),
    )
