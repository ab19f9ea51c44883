"""A model that is loaded once and continues any number of texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from nextfill.config import GenerateConfig, Precision
from nextfill.config.model_settings import NOTHING_LIVE, Live
from nextfill.core.errors import ConfigError
from nextfill.generation.generate import Generated, Job, continue_prompts
from nextfill.generation.prompts import PromptText, encode_prompts
from nextfill.models.device import pick_device, pick_precision, tune_allocator
from nextfill.models.incremental import generates_in, probe_feed
from nextfill.models.load import load_model
from nextfill.models.loaded_model import LoadedModel


@dataclass
class Session:
    """A loaded model, and how often it was given each prompt.

    Args:
        loaded: The model and its tokenizer.
        precision: ``fp32`` or ``bf16``.
        seen: Texts made of each prompt so far, so that one that comes again is answered anew.
    """

    loaded: LoadedModel
    precision: Precision
    seen: Counter[int] = field(default_factory=Counter)

    def texts(
        self,
        prompts: Sequence[PromptText],
        config: GenerateConfig,
        *,
        on_text: Callable[[str], None] | None = None,
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> Iterator[Generated]:
        """Continue prompts, all of which are checked before the first is continued."""
        encoded = encode_prompts(self.loaded, prompts, config.generation.max_new_tokens)
        job = Job(self.loaded, config.generation, config.seed, self.precision)
        return continue_prompts(
            job, encoded, seen=self.seen, on_text=on_text, on_progress=on_progress
        )


def open_session(config: GenerateConfig, live: Live = NOTHING_LIVE) -> Session:
    """Load a model to continue texts with."""
    tune_allocator()
    device = pick_device(config.device, live.model)
    precision = pick_precision(config.precision, device)
    loaded = load_model(config.model, "causal", live=live)
    loaded.model.to(device)
    return Session(loaded, _settle_precision(config.precision, precision, loaded))


def _settle_precision(asked: Precision, precision: Precision, loaded: LoadedModel) -> Precision:
    """Go back to float32 where the model does not generate in what the hardware has."""
    if precision == "fp32":
        return precision
    model = loaded.model
    was_training = model.training
    model.eval()
    try:
        feed = probe_feed(model, loaded.pad_id)
        if generates_in(model, feed, loaded.pad_id, precision):
            return precision
    finally:
        model.train(was_training)
    if asked != "auto":
        raise ConfigError(
            [f"--precision {asked}: {loaded.name} does not compute in it: give fp32."]
        )
    return "fp32"
