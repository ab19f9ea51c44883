"""Replay: general text that is mixed back into a training, and a part of it that is scored.

What a model forgets as it is adapted shows in the scores of that part, before and after.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nextfill.config import DataConfig, ReplayConfig
from nextfill.config.settings.data_settings import REPLAY
from nextfill.data.parts import Part, PreparedData, drop_shared_texts, join_prepared

SCORED_APART = "scored as the set replay"
"""Reason for dropping general text that is neither trained on nor among the held-out documents."""


def with_replay(data: DataConfig, replay: ReplayConfig | None) -> DataConfig:
    """Return the settings of all text that is trained on, the general text last.

    Example:
        >>> general = ReplayConfig(source="builtin:stdlib-docs")
        >>> [one.source for one in with_replay(DataConfig(source="a.txt"), general).each]
        ['a.txt', 'builtin:stdlib-docs']
    """
    if replay is None or replay.source is None:
        return data
    general = DataConfig(
        source=replay.source,
        split=replay.split,
        text_field=replay.text_field,
        test_size=replay.test_size,
    )
    return DataConfig(sources=[*data.each, general])


def join_replay(each: Sequence[PreparedData], names: Sequence[str]) -> PreparedData:
    """Join the parts of several sources, of which the last is general text.

    Its held-out part is a set of its own, and no text of it is trained on.
    """
    *own, general = each
    apart = general.held_out
    emptied = replace(general, held_out=Part(general.train.store, np.empty(0, np.int64)))
    if apart.store.path == general.train.store.path and apart.num_tokens:
        emptied = replace(emptied, dropped={**general.dropped, SCORED_APART: apart.num_tokens})
    joined = drop_shared_texts(join_prepared([*own, emptied], names), apart)
    return replace(joined, sets={REPLAY: apart}, last_is_general=True)
