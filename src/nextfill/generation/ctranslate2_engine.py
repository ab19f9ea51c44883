"""Continuations by CTranslate2: the settings that it takes, and texts from its tokens.

It draws with a generator of its own for the whole process, so that a seed gives other texts than
PyTorch does, and the text of a prompt depends on its batch and on what was drawn before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from nextfill.config import GenerateConfig, GenerationConfig
from nextfill.core.errors import ConfigError
from nextfill.generation.decoding import SAMPLING_DEFAULTS
from nextfill.generation.text_stream import Decoder, Stream

MOST_SEED = 2**32

DRAWS_NOTE = (
    "ctranslate2 draws its own random numbers: a seed gives other texts than --engine torch, and "
    "a text depends on the others of its batch"
)


def check_ctranslate2_settings(config: GenerateConfig) -> None:
    """Refuse, all at once and by name, the settings that CTranslate2 does otherwise or not."""
    generation = config.generation
    found = {
        "--device": config.device in ("cuda", "mps") and config.device,
        "--precision": config.precision == "bf16" and "bf16",
        "--num-beams": generation.num_beams > 1 and generation.num_beams,
        "--length-penalty": generation.length_penalty is not None and generation.length_penalty,
        "--min-p": bool(generation.min_p) and generation.min_p,
        "--typical-p": generation.typical_p not in (None, 1.0) and generation.typical_p,
        "--repetition-penalty": generation.repetition_penalty != 1.0
        and generation.repetition_penalty,
        "--no-repeat-ngram-size": generation.no_repeat_ngram_size > 0
        and generation.no_repeat_ngram_size,
    }
    refused = [f"{flag} {value}" for flag, value in found.items() if value is not False]
    if refused:
        raise ConfigError(
            [
                f"--engine ctranslate2 takes no {', '.join(refused)} as they are meant here. Leave "
                "that out, or give --engine torch."
            ]
        )


@dataclass(frozen=True)
class Ctranslate2Engine:
    """A converted model that continues rows of token ids.

    Args:
        generator: CTranslate2's own.
    """

    generator: Any

    def continue_rows(
        self,
        prompts: Sequence[Sequence[int]],
        generation: GenerationConfig,
        *,
        ends: frozenset[int],
        decoder: Decoder,
        stream: Stream | None,
    ) -> list[list[int]]:
        """Return the new tokens of each prompt, all of one length, without an end token."""
        values = {**SAMPLING_DEFAULTS, **generation.sampling}
        new: list[list[int]] = [[] for _ in prompts]
        if stream is not None:
            stream.put(torch.tensor([prompts[0]]))

        def on_token(step: Any) -> bool:
            row = new[step.batch_id]
            row.append(step.token_id)
            if stream is not None:
                stream.put(torch.tensor([step.token_id]))
            if not decoder.stops or not decoder.may_have_stopped(prompts[step.batch_id], row):
                return False
            return decoder.text(prompts[step.batch_id], row)[1]

        results = self.generator.generate_batch(
            [[str(token) for token in prompt] for prompt in prompts],
            beam_size=1,
            max_length=generation.max_new_tokens,
            min_length=generation.min_new_tokens,
            end_token=sorted(ends),
            include_prompt_in_result=False,
            sampling_topk=int(values["top_k"]) if generation.samples else 1,
            sampling_topp=values["top_p"] if generation.samples else 1.0,
            sampling_temperature=values["temperature"] if generation.samples else 1.0,
            callback=self._callback(on_token, needed=bool(decoder.stops) or stream is not None),
        )
        if stream is not None:
            stream.end()
        return [list(result.sequences_ids[0]) for result in results]

    @staticmethod
    def _callback(on_token: Callable[[Any], bool], *, needed: bool) -> Any:
        return on_token if needed else None
