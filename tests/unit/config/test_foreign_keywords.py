"""Keywords of transformers' collator are answered with where ours says the same."""

from __future__ import annotations

import inspect

import pytest

import nextfill
from nextfill.core.errors import ConfigError


@pytest.mark.parametrize(
    ("keywords", "told"),
    [
        ({"mlm": False}, "has no mlm. The objective is the model's, causal or masked"),
        ({"mlm_probability": 0.2}, "Masks are drawn by nextfill.packed_dataset(mask_rate=...)"),
        ({"tokenizer": object()}, "has no tokenizer. Rows are tokens already: leave it out."),
        ({"return_tensors": "tf"}, "for Keras there is nextfill.keras.dataset(blocks)."),
        ({"isolatoin": "mask"}, "Did you mean 'isolation'?"),
        ({}, "nextfill.Collator wants model: the model that is trained."),
    ],
)
def test_a_keyword_of_their_collator(keywords, told):
    with pytest.raises(ConfigError) as refused:
        nextfill.Collator(**keywords)
    assert told in str(refused.value)


def test_the_signature_is_shown():
    assert next(iter(inspect.signature(nextfill.Collator).parameters)) == "model"
