"""Sessions of generating: a model loaded once, in the form that its settings ask for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from nextfill.config import GenerateConfig, Precision
from nextfill.config.settings.model_settings import NOTHING_LIVE, Live
from nextfill.core.errors import ConfigError
from nextfill.data.store.store_cache import cache_dir
from nextfill.generation.ctranslate2_engine import (
    DRAWS_NOTE,
    MOST_SEED,
    Ctranslate2Engine,
    check_ctranslate2_settings,
)
from nextfill.generation.eight_bits import cost_of_converted, cost_of_parts, eight_bit_parts
from nextfill.generation.generate import Generated, Job, continue_prompts
from nextfill.generation.prompts import PromptText, encode_prompts
from nextfill.generation.suffix import encode_infills, infilling_tokens_of
from nextfill.models.allocator import tune_allocator
from nextfill.models.computation import in_mode, pick_device, pick_precision
from nextfill.models.inference.ctranslate2_conversion import Compute, converted_model, ctranslate2
from nextfill.models.inference.decoder_layouts import read_decoder
from nextfill.models.inference.incremental_decoding import generates_in, probe_feed
from nextfill.models.inference.matrix_products import Weights
from nextfill.models.inference.static_cache import Parts
from nextfill.models.load import load_model
from nextfill.models.loaded_model import LoadedModel
from nextfill.models.objective import objective_of_verb


@dataclass
class Session:
    """A causal model, loaded once, that continues any number of texts.

    Args:
        parts: The model in parts, for `CachedDecoder`; None where another computes.
        engine: The model converted for CTranslate2; None where PyTorch computes.
        own_notes: Sentences on how it computes, for the command to show.
        seen: Texts made of each prompt so far, by `prompt_key`, so that a repeated prompt is
            answered anew.
    """

    loaded: LoadedModel
    precision: Precision
    parts: Parts | None = None
    engine: Ctranslate2Engine | None = None
    own_notes: tuple[str, ...] = ()
    seen: Counter[int] = field(default_factory=Counter)

    @property
    def notes(self) -> list[str]:
        """Sentences on the model and on how it computes, for the command to show."""
        return [*self.loaded.notes, *self.own_notes]

    def texts(
        self,
        prompts: Sequence[PromptText],
        config: GenerateConfig,
        *,
        on_text: Callable[[str], None] | None = None,
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> Iterator[Generated]:
        """Check all prompts at once, then return an iterator that continues them."""
        generation, infills = config.generation, None
        if generation.suffix is None:
            encoded = encode_prompts(self.loaded, prompts, generation.max_new_tokens)
        else:
            infills = infilling_tokens_of(self.loaded)
            encoded = encode_infills(self.loaded, prompts, infills, generation)
        job = Job(
            self.loaded, generation, config.seed, self.precision, infills, self.parts, self.engine
        )
        return continue_prompts(
            job, encoded, seen=self.seen, on_text=on_text, on_progress=on_progress
        )


def open_session(
    config: GenerateConfig,
    live: Live = NOTHING_LIVE,
    *,
    on_wait: Callable[[], None] = lambda: None,
) -> Session:
    """Load a model onto its device, in a form and a precision that it generates in.

    ``on_wait`` is called where another process converts the same model for CTranslate2.
    """
    tune_allocator()
    if config.engine == "ctranslate2":
        check_ctranslate2_settings(config)
        ctranslate2()  # refused before a model is read
        return _converted_session(config, live, on_wait)
    device = pick_device(config.device, live.model)
    precision = pick_precision(config.precision, device)
    with objective_of_verb():
        loaded = load_model(config.model, "causal", live=live)
    loaded.model.to(device)
    searches = config.generation.num_beams > 1
    if config.weights == "int8":
        rounded = eight_bit_parts(loaded, searches=searches)
        return Session(loaded, "fp32", rounded, own_notes=(cost_of_parts(loaded, rounded),))
    parts = None
    if not searches:
        with in_mode(loaded.model, training=False):
            weights: Weights = "half" if precision == "bf16" else "fp32"
            parts = read_decoder(loaded.model, weights, for_one=True)
    if parts is None:
        precision = _usable_precision(config.precision, precision, loaded)
    return Session(loaded, precision, parts)


def _converted_session(config: GenerateConfig, live: Live, on_wait: Callable[[], None]) -> Session:
    with objective_of_verb():
        loaded = load_model(config.model, "causal", live=live)
    loaded.model.to("cpu")
    ctranslate2().set_random_seed(config.seed % MOST_SEED)  # before the generator is made
    compute: Compute = "int8" if config.weights == "int8" else "float32"
    generator = converted_model(loaded, cache_dir(config.cache_dir), compute, on_wait=on_wait)
    notes = [DRAWS_NOTE] if config.generation.samples else []
    if compute == "int8":
        notes.append(cost_of_converted(loaded, generator))
    engine = Ctranslate2Engine(generator)
    return Session(loaded, "fp32", engine=engine, own_notes=tuple(notes))


def _usable_precision(setting: Precision, precision: Precision, loaded: LoadedModel) -> Precision:
    """Return the hardware's precision if the model generates in it, or else float32."""
    if precision == "fp32":
        return precision
    with in_mode(loaded.model, training=False):
        feed = probe_feed(loaded.model, loaded.pad_id)
        if generates_in(loaded.model, feed, loaded.pad_id, precision):
            return precision
    if setting != "auto":
        raise ConfigError(
            [f"--precision {setting}: {loaded.name} does not compute in it: give fp32."]
        )
    return "fp32"
