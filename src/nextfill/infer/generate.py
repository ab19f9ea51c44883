"""Continue text with a causal model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from nextfill.config import GenerationConfig, Precision
from nextfill.data.frames import evaluation_frame, training_frame
from nextfill.errors import NextfillError
from nextfill.models.compute import autocast
from nextfill.models.loaded import LoadedModel

Generated = list[dict[str, str]]
"""The continuations of one prompt, in the shape of transformers' text-generation pipeline."""


@torch.no_grad()
def generate_text(
    loaded: LoadedModel,
    prompts: Sequence[str],
    generation: GenerationConfig,
    *,
    seed: int,
    precision: Precision,
    streamer: Any = None,
) -> list[Generated]:
    """Continue each prompt.

    Args:
        loaded: The model and its tokenizer.
        prompts: The texts; an empty one begins a document.
        generation: How to choose tokens and how many.
        seed: The same seed and settings give the same text, whatever was generated before.
        precision: ``fp32`` or ``bf16``.
        streamer: A transformers streamer that is handed tokens as they come, or None.

    Returns:
        For each prompt its continuations, each ``{"generated_text": prompt + continuation}``.

    Raises:
        NextfillError: If a prompt leaves no room within the model's positions.
    """
    from transformers import GenerationConfig as TransformersGenerationConfig

    model, tokenizer = loaded.model, loaded.tokenizer
    eos = tokenizer.eos_token_id
    settings: dict[str, Any] = {
        "max_new_tokens": generation.max_new_tokens,
        "do_sample": not generation.greedy,
        "num_return_sequences": generation.num_samples,
        "eos_token_id": eos,
        "pad_token_id": tokenizer.pad_token_id if tokenizer.pad_token_id is not None else eos,
    }
    if not generation.greedy:
        settings |= {
            "top_k": generation.top_k,
            "top_p": generation.top_p,
            "temperature": generation.temperature,
        }
    elif generation.num_samples > 1:
        raise NextfillError("--greedy gives one and the same text: leave out --num-samples.")
    was_training = model.training
    model.eval()
    results = []
    for prompt in prompts:
        ids = prompt_ids(loaded, prompt, generation.max_new_tokens)
        torch.manual_seed(seed)
        with autocast(loaded.device, precision):
            sequences = model.generate(  # type: ignore[operator]
                input_ids=ids.to(loaded.device),
                attention_mask=torch.ones_like(ids).to(loaded.device),
                generation_config=TransformersGenerationConfig(**settings),
                streamer=streamer,
            )
        # Decoded with its prompt, because some tokenizers drop a space at the very beginning.
        head = len(tokenizer.decode(ids[0], skip_special_tokens=True))
        texts = [tokenizer.decode(row, skip_special_tokens=True)[head:] for row in sequences]
        results.append([{"generated_text": prompt + text} for text in texts])
    model.train(was_training)
    return results


def prompt_ids(loaded: LoadedModel, prompt: str, max_new_tokens: int) -> torch.Tensor:
    """Return a prompt as the model's input, ``[1, T] int64``, refusing one that is too long."""
    tokenizer = loaded.tokenizer
    own_prefix = training_frame(tokenizer, end_of_document=False).prefix
    ids = [*own_prefix, *tokenizer(prompt, add_special_tokens=False)["input_ids"]]
    if not ids:
        ids = [*evaluation_frame(tokenizer).prefix]
    if not ids:
        raise NextfillError("The prompt is empty and the tokenizer has no start token.")
    limit = loaded.max_positions
    if limit is not None and len(ids) >= limit:
        raise NextfillError(
            f"The prompt has {len(ids)} tokens and the model {limit} positions: give a prompt of "
            f"at most {limit - 1} tokens."
        )
    if limit is not None and len(ids) + max_new_tokens > limit:
        raise NextfillError(
            f"The prompt has {len(ids)} tokens; with {max_new_tokens} new ones it exceeds the "
            f"model's {limit} positions. Give --max-new-tokens {limit - len(ids)} "
            "or a shorter prompt."
        )
    return torch.tensor([ids], dtype=torch.long)
