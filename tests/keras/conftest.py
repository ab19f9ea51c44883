"""A tiny model of every family that Keras has.

The process that hands tests out to others reads this file, too: nothing heavy is imported here.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import shutil
import tempfile
from typing import Any

import pytest

from tests.representative import often

if importlib.util.find_spec("keras") is None:
    pytest.skip("pip install 'nextfill[keras]'", allow_module_level=True)

# JAX compiles a step of training for seconds, and the same one for each model of the same shape.
if os.environ.get("KERAS_BACKEND") == "jax" and "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _compiled = tempfile.mkdtemp(prefix="compiled-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _compiled  # which the processes of xdist inherit
    atexit.register(shutil.rmtree, _compiled, ignore_errors=True)

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
