"""A tiny model of every family that Keras has.

The process that hands tests out to others reads this file, too: nothing heavy is imported here.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from tests.representative import often

if importlib.util.find_spec("keras") is None:
    pytest.skip("pip install 'nextfill[keras]'", allow_module_level=True)

NAMES = (
    "gpt2",
    "gpt2 scaled by layer, untied",
    "bert",
    "roberta",
    "distilbert",
    "modernbert",
    "modernbert, biased",
    "llama",
    "llama 3, tied",
    "llama, yarn",
    "qwen2",
    "qwen3",
)

OFTEN = (
    *("gpt2 scaled by layer, untied", "bert", "modernbert", "modernbert, biased"),
    *("llama 3, tied", "llama, yarn", "qwen3"),
)


@pytest.fixture(params=often(NAMES, OFTEN))
def model(request: pytest.FixtureRequest) -> Any:
    from tests.keras.tiny_models import CONFIGS, torch_model

    return torch_model(CONFIGS[request.param])
