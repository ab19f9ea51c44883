"""The verbs `train_tokenizer` and `inspect_tokenizer`."""

from __future__ import annotations

from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, Any

from nextfill.api.verb import check_live, keyword_settings, request_at_level, request_of, resolve
from nextfill.config import InspectTokenizerConfig, ModelConfig, TrainTokenizerConfig
from nextfill.config.layers import build
from nextfill.config.prefixes import LIVE
from nextfill.config.settings.model_settings import NOTHING_LIVE, Live
from nextfill.core.errors import ConfigError
from nextfill.core.locks import check_one_process
from nextfill.core.progress import Observer
from nextfill.models.libraries import transformers_as_found
from nextfill.models.tokenizer import load_tokenizer
from nextfill.terminal.log_level import shown_by_level
from nextfill.terminal.notebook import choose_observer

if TYPE_CHECKING:
    from nextfill.tokenizers.inspection_result import TokenizerInspection
    from nextfill.tokenizers.train import TokenizerResult


@keyword_settings(TrainTokenizerConfig)
@transformers_as_found()
def train_tokenizer(
    *, observer: Observer | None = None, quiet: bool | None = None, **keywords: Any
) -> TokenizerResult:
    """Train a tokenizer on the text that `train` with the same settings would train on.

    Args:
        observer: Receives progress, in place of the observer that ``quiet`` chooses.
        quiet: Whether to show no progress. Unless given, a notebook shows it and a script does not.
        **keywords: Settings named like the flags: ``data``, ``out``, ``vocab_size``, ``kind``, ...
            ``data`` and ``eval_data`` also take live data.

    Returns:
        The tokenizer's folder, and the text that it was trained on.

    Raises:
        ConfigError: With every setting that cannot be used.
        NextfillError: If the data cannot be used or the folder is in use.
        KeyboardInterrupt: On Ctrl-C; nothing has been written then.

    Example:
        >>> from transformers import AutoTokenizer
        >>> import nextfill
        >>> notes = [f"On day {day} the river rose again." for day in range(40)]
        >>> made = nextfill.train_tokenizer(data=notes, vocab_size=300, out="river-words")
        >>> made.vocab_size, made.documents, made.left_out
        (283, 36, 4)
        >>> AutoTokenizer.from_pretrained(made.tokenizer).tokenize("the river")
        ['the', 'Ġriver']
    """
    from nextfill.tokenizers.train import check_vocabulary, new_folder, train_tokenizer_of

    def check(config: TrainTokenizerConfig) -> None:
        check_vocabulary(config.vocabulary)
        new_folder(config.out)

    observer = choose_observer(observer, quiet=quiet, shown=shown_by_level(keywords))
    request = request_of(TrainTokenizerConfig, keywords, observer)
    check_one_process("train a tokenizer")
    try:
        config = resolve(TrainTokenizerConfig, request, check)
        request = request_at_level(request, config.log_level)
        return train_tokenizer_of(config, request.observer.on_stage)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped; nothing was written.") from None
    finally:
        request.observer.on_end()


@keyword_settings(InspectTokenizerConfig)
@transformers_as_found()
def inspect_tokenizer(
    *tokenizers: Any,
    observer: Observer | None = None,
    quiet: bool | None = None,
    **keywords: Any,
) -> TokenizerInspection:
    """Measure tokenizers on text: tokens per word, the words they split most, the text they lose.

    Args:
        *tokenizers: Each a folder, run directory, Hub id or ``builtin:NAME``, or a live tokenizer
            of transformers; several are compared on the same text.
        observer: Receives progress, in place of the observer that ``quiet`` chooses.
        quiet: Whether to show no progress. Unless given, a notebook shows it and a script does not.
        **keywords: Settings named like the flags: ``data``, ``split``, ``examples``, ...
            ``data`` and ``eval_data`` also take live data. With ``test_size``, ``eval_data`` or
            ``eval_split`` the text is what `train` would hold out, else all of it.

    Returns:
        The figures of each tokenizer.

    Raises:
        NextfillError: If a tokenizer or the data cannot be used.

    Example:
        >>> import nextfill
        >>> text = ["The mill wheel turned.", "Tokenization is cheap at the mill."]
        >>> found = nextfill.inspect_tokenizer("builtin:base-causal", data=text)
        >>> found.words, found.tokenizers[0].changed
        (10, 0)
        >>> found.tokenizers[0].split_words[0].pieces
        (' m', 'ill')
    """
    from nextfill.tokenizers.inspect import inspect_texts
    from nextfill.tokenizers.texts import texts_to_inspect

    observer = choose_observer(observer, quiet=quiet, shown=shown_by_level(keywords))
    request = request_of(InspectTokenizerConfig, keywords, observer)
    if not tokenizers:
        missing = "Name a tokenizer: a folder, run directory, Hub id, or a live one."
        request = replace(request, problems=[*request.problems, missing])
    plain = [one for one in request.settings if isinstance(one.value, str | int | bool | None)]
    try:
        # The tokenizers come first, so that no data are read in vain.
        config = build(InspectTokenizerConfig, [plain], request.problems)
        loaded = [_load(one, config) for one in tokenizers]
        config = resolve(InspectTokenizerConfig, request)
        request = request_at_level(request, config.log_level)
        on_stage = request.observer.on_stage
        texts = texts_to_inspect(config.data, config.seed, on_stage)
        return inspect_texts(loaded, texts, examples=config.examples, on_progress=on_stage)
    finally:
        request.observer.on_end()


def _load(tokenizer: Any, config: InspectTokenizerConfig) -> tuple[str, Any]:
    """Return a tokenizer with its name."""
    is_name = isinstance(tokenizer, str | PathLike)
    name = str(tokenizer) if is_name else f"{LIVE}{type(tokenizer).__name__}"
    if not name:
        raise ConfigError(["TOKENIZER is empty: name a folder, run directory or Hub id."])
    model = ModelConfig(
        name=name,
        revision=config.model.revision,
        trust_remote_code=config.model.trust_remote_code,
    )
    if not is_name:
        check_live("tokenizer", tokenizer)
    live = NOTHING_LIVE if is_name else Live(tokenizer=tokenizer)
    return name, load_tokenizer(model, live, alone=True)
