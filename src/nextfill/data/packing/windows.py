"""Plans of the evaluation windows: arithmetic over document lengths, as for blocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nextfill.core.errors import ConfigError
from nextfill.data.packing.block_plan import Frame, Ints, count_up
from nextfill.data.packing.targets import first_learnt
from nextfill.data.store.token_store import TokenStore


@dataclass(frozen=True)
class WindowPlan:
    """Evaluation windows: every framed token of a document but its first is a target once.

    Those of a context are none, and a window of context alone is left out.

    Args:
        block_size: Most input positions of a window.
        stride: New targets of each window after a document's first; None for windows without
            common targets, the last of which reaches back.
        frame: Special tokens around each document.
        document: Document of each window, ``[windows] int64``.
        start: First framed position of each window, ``[windows] int64``.
        length: Input positions, ``[windows] int64``; the last input has its target beyond them.
        scored_from: First scored position, those before it are context, ``[windows] int64``.
    """

    block_size: int
    stride: int | None
    frame: Frame
    document: Ints
    start: Ints
    length: Ints
    scored_from: Ints

    @property
    def num_windows(self) -> int:
        """Windows in the plan."""
        return len(self.document)

    @property
    def num_targets(self) -> int:
        """Framed tokens that are scored, each once."""
        return int((self.length - self.scored_from).sum())


def plan_windows(
    store: TokenStore, selected: Ints, *, block_size: int, stride: int | None, frame: Frame
) -> WindowPlan:
    """Slide a window over each document, so that a token is scored with the context before it.

    With a stride, windows begin every ``stride`` positions: after a document's first window, each
    scores its last ``stride`` targets, so a target has at least ``block_size - stride`` tokens of
    context; the last window is as short as what is left. Without one, windows follow one another,
    and the last begins so much earlier that it is full, which costs nothing and gives its targets
    more context.

    Args:
        store: The documents.
        selected: Document numbers, ascending, ``[n] int64``.
        block_size: Most input positions of a window.
        stride: From 1 (most context, slowest) to ``block_size``; or None.
        frame: Special tokens around each document.

    Returns:
        The plan; a document of fewer than two framed tokens has no window.

    Raises:
        ConfigError: ``block_size`` or ``stride`` cannot be used.

    Source:
        With a stride, Hugging Face's guide "Perplexity of fixed-length models"; without, the
        rolling log-likelihood of EleutherAI's lm-evaluation-harness with a context of one token.
    """
    step = block_size if stride is None else stride
    if not 1 <= step <= block_size:
        raise ConfigError(
            [
                f"stride is {stride} with block size {block_size}; expected 1 to the block size: "
                f"type --stride {max(1, block_size // 2)}"
            ]
        )
    selected = np.asarray(selected, np.int64)
    # The last framed token predicts nothing, so it is no input.
    inputs = np.maximum(frame.lengths(store.documents["tokens"][selected]) - 1, 0)
    windows = np.where(inputs > 0, 1 + -(-np.maximum(inputs - block_size, 0) // step), 0)
    row = np.repeat(np.arange(len(selected)), windows)
    nth = count_up(windows)
    start = nth * step
    scored_from = np.where(nth > 0, block_size - step, 0)
    if stride is None:
        back = np.where(nth > 0, np.maximum(start + block_size - inputs[row], 0), 0)
        start, scored_from = start - back, scored_from + back
    document, length = selected[row], np.minimum(inputs[row] - start, block_size)
    scored_from = np.maximum(scored_from, first_learnt(store, document, frame) - 1 - start)
    some = scored_from < length
    return WindowPlan(
        block_size=block_size,
        stride=stride,
        frame=frame,
        document=document[some],
        start=start[some],
        length=length[some],
        scored_from=scored_from[some],
    )
