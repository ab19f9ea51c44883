"""The verb `fill`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from nextfill.config import FillConfig
from nextfill.config.layers import Assignment, keyword_assignments
from nextfill.config.live_objects import NOTHING_LIVE, Live, part_live
from nextfill.config.resolve_inference import fill_config, names_prompts
from nextfill.config.signatures import show_settings
from nextfill.models.libraries import transformers_as_found
from nextfill.terminal.notebook import choose_observer

if TYPE_CHECKING:
    from nextfill.core.progress import Observer
    from nextfill.filling.fill import Filled


@transformers_as_found()
def fill(
    model: Any,
    text: str | Sequence[str] | None = None,
    *,
    observer: Observer | None = None,
    quiet: bool | None = None,
    **keywords: Any,
) -> list[Any]:
    """Fill the blanks of a text with a masked model.

    Args:
        model: A run directory, folder or Hub id, or a live transformers model (with
            ``tokenizer``).
        text: A text, or several; or none, but a file of them as ``prompts``. A blank is the
            model's own mask token, ``<mask>``, ``[MASK]``, or three underscores or more.
        observer: Told of progress, in place of what ``quiet`` chooses.
        quiet: Whether to show no progress. Unless given, a notebook shows it and a script does not.
        **keywords: Settings named like the flags: ``top_k``, ``targets``, ``answer_tokens``, ...

    Returns:
        For one text with one blank a list of answers, likeliest first, each with its ``score``,
        ``token``, ``token_str`` and the ``sequence`` that it completes; with several blanks a list
        of such lists; for several texts a list of all that. This is the shape of transformers'
        fill-mask pipeline.

    Raises:
        ConfigError: With every setting that cannot be used.
        NextfillError: If the model or a text cannot be used.
    """
    keywords, live = part_live({**keywords, "model": model})
    given, problems = keyword_assignments(FillConfig, keywords)
    observer = observer or choose_observer(quiet=quiet)
    return fill_from(given, problems, text, observer=observer, live=live)


def fill_from(
    given: Sequence[Assignment],
    problems: Sequence[str] = (),
    text: str | Sequence[str] | None = None,
    *,
    on_filled: Callable[[Filled], None] = lambda filled: None,
    on_note: Callable[[str], None] | None = None,
    observer: Observer | None = None,
    live: Live = NOTHING_LIVE,
) -> list[Any]:
    """Do what `fill` does, from settings that are already taken apart."""
    from nextfill.core.progress import Silent

    from_file = names_prompts(FillConfig, given)
    odd = []
    if from_file and text:
        odd.append("Give texts, or --prompts and a file, not both.")
    what: object = text
    if not isinstance(what, Iterable | None):
        odd.append(f"text: found {text!r}; expected a text or several.")
    if not from_file and text is None:
        odd.append('Give a text with a blank, such as "The ___ is cold.", or --prompts and a file.')
    config = fill_config(given, [*problems, *odd])
    observer = observer or Silent()
    from nextfill.core.output_file import check_new_file, write_results
    from nextfill.filling.fill import (
        answer_lines,
        open_filler,  # brings PyTorch
    )
    from nextfill.generation.prompts import name_prompts, read_prompts

    out = None if config.out is None else check_new_file(config.out)
    given_texts = [text] if isinstance(text, str) else text or []
    texts = read_prompts(config.prompts) if from_file else name_prompts(given_texts, "text")

    def on_progress(done: int, total: int) -> None:
        if total > 1:
            observer.on_stage("filling", done, total)

    found = []
    try:
        filler = open_filler(config, live)
        for note in filler.loaded.notes:
            (on_note or observer.on_note)(note)
        results = filler.fill(texts, on_progress=on_progress)
        for filled in results if out is None else write_results(out, texts, results, answer_lines):
            found.append(filled.plain)
            on_filled(filled)
    finally:
        observer.on_end()
    return found[0] if isinstance(text, str) and not from_file else found


show_settings(fill, FillConfig)
