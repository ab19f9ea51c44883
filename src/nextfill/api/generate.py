"""The verb `generate`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from nextfill.config import GenerateConfig
from nextfill.config.layers import Assignment, keyword_assignments
from nextfill.config.live_objects import NOTHING_LIVE, Live, part_live
from nextfill.config.resolve_inference import generate_config, names_prompts
from nextfill.config.signatures import show_settings
from nextfill.core.errors import ConfigError
from nextfill.models.libraries import transformers_as_found
from nextfill.terminal.notebook import choose_observer

if TYPE_CHECKING:
    from nextfill.core.progress import Observer


@transformers_as_found()
def generate(
    model: Any,
    prompt: str | Sequence[str] | None = None,
    *,
    streamer: Callable[[str], None] | None = None,
    observer: Observer | None = None,
    quiet: bool | None = None,
    **keywords: Any,
) -> list[Any]:
    """Continue text.

    Args:
        model: A run directory, folder, Hub id or ``builtin:NAME``, or a live transformers model
            (with ``tokenizer``).
        prompt: A text, or several; without one, and without a file of ``prompts``, a document
            begins.
        streamer: Called with pieces of the continuation as they come, for a single text.
        observer: Told of progress, in place of what ``quiet`` chooses.
        quiet: Whether to show no progress. Unless given, a notebook shows it and a script does not.
        **keywords: Settings named like the flags: ``max_new_tokens``, ``top_k``, ``seed``, ...

    Returns:
        For one text ``[{"generated_text": ...}, ...]``, for several a list of such lists: the
        shape of transformers' text-generation pipeline.

    Raises:
        ConfigError: With every setting that cannot be used.
        NextfillError: If the model or a prompt cannot be used.

    Example:
        >>> import nextfill
        >>> model = "builtin:base-causal"
        >>> texts = nextfill.generate(model, "Return the", num_beams=3, num_samples=2,
        ...                           max_new_tokens=5, precision="fp32")
        >>> len(texts), texts[0]["generated_text"][:10]
        (2, 'Return the')
    """
    keywords, live = part_live({**keywords, "model": model})
    given, problems = keyword_assignments(GenerateConfig, keywords)
    observer = observer or choose_observer(quiet=quiet)
    return generate_from(given, problems, prompt, streamer=streamer, observer=observer, live=live)


def generate_from(
    given: Sequence[Assignment],
    problems: Sequence[str] = (),
    prompt: str | Sequence[str] | None = None,
    *,
    streamer: Callable[[str], None] | None = None,
    on_texts: Callable[[list[dict[str, str]]], None] = lambda texts: None,
    observer: Observer | None = None,
    on_note: Callable[[str], None] | None = None,
    live: Live = NOTHING_LIVE,
) -> list[Any]:
    """Do what `generate` does, from settings that are already taken apart."""
    from nextfill.core.progress import Silent

    file = names_prompts(GenerateConfig, given)
    both = ["Give prompts, or --prompts and a file, not both."] if file and prompt else []
    config = generate_config(given, [*problems, *both])
    texts = [prompt or ""] if isinstance(prompt, str | None) else prompt
    one = config.prompts.source is None and texts is not prompt
    if streamer is not None and not (one and config.generation.num_samples == 1):
        raise ConfigError(["streamer is told of one text: give one prompt and no num_samples."])
    observer = observer or Silent()
    from nextfill.core.output_file import check_new_file, write_results
    from nextfill.generation.generate import open_session, text_lines
    from nextfill.generation.prompts import name_prompts, read_prompts

    out = None if config.out is None else check_new_file(config.out)
    from_file = config.prompts.source is not None
    prompts = read_prompts(config.prompts) if from_file else name_prompts(texts)

    def on_progress(done: int, total: int) -> None:
        if total > 1:  # of a single text there is nothing to tell before its end
            observer.on_stage("generating", done, total)

    found = []
    try:
        session = open_session(config, live)
        for note in session.loaded.notes:
            (on_note or observer.on_note)(note)
        results = session.texts(prompts, config, on_text=streamer, on_progress=on_progress)
        for made in results if out is None else write_results(out, prompts, results, text_lines):
            found.append(made)
            on_texts(made)
    finally:
        observer.on_end()
    return found[0] if one else found


show_settings(generate, GenerateConfig)
