"""Models of several families in every format that has a place for them, on all 50 texts."""

from __future__ import annotations

from pathlib import Path

import pytest

import nextfill
from tests.tiny_exports import CAUSAL, MASKED, make_tiny

pytestmark = pytest.mark.trial

FAMILIES = {
    "ctranslate2": ["llama", "gpt2", "mistral", "qwen2", "opt", "gpt_neox", "falcon"],
    "gguf": ["llama", "llama3", "mistral", "qwen2", "qwen3", "gpt2"],
    "onnx": [*(one for one in CAUSAL), *MASKED],
    "openvino": ["gpt2", "roberta"],
}
BUNDLED = ("builtin:base-causal", "builtin:base-masked")
KINDS = [
    ("ctranslate2", "int8"),
    ("onnx", "int8"),
    *(("gguf", kind) for kind in ("int8", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0")),
]


@pytest.mark.parametrize(("to", "name"), [(to, name) for to in FAMILIES for name in FAMILIES[to]])
def test_a_family_is_the_same_in_its_program(to: str, name: str, tmp_path: Path):
    pytest.importorskip(to, reason=f"pip install 'nextfill[{to}]'")
    make_tiny(name, tmp_path / name)
    found = nextfill.export(tmp_path / name, to=to, out=tmp_path / "out").comparison
    assert abs(found.relative_difference) < 1e-4
    assert found.largest_difference < 1e-2
    assert found.equal_texts + found.tied_texts == found.texts == 50


@pytest.mark.parametrize("to", [*FAMILIES])
@pytest.mark.parametrize("model", BUNDLED)
def test_a_bundled_model_is_the_same_in_its_program(to: str, model: str, tmp_path: Path):
    pytest.importorskip(to, reason=f"pip install 'nextfill[{to}]'")
    if model == BUNDLED[1] and to in ("ctranslate2", "gguf"):
        pytest.skip(f"{to} has no head for hidden tokens; the refusal has a test")
    found = nextfill.export(model, to=to, out=tmp_path / "out").comparison
    assert abs(found.relative_difference) < 1e-3
    assert found.largest_difference < 1e-3
    assert found.equal_texts == found.texts == 50


@pytest.mark.parametrize(("to", "kind"), KINDS)
def test_fewer_bits_cost_little(to: str, kind: str, tmp_path: Path):
    pytest.importorskip(to, reason=f"pip install 'nextfill[{to}]'")
    made = nextfill.export(BUNDLED[0], to=to, out=tmp_path / "out", quantization=kind)
    bar = 0.01 if kind in ("int8", "f16", "bf16", "q8_0") else 0.1
    assert abs(made.comparison.relative_difference) < bar
    assert abs(made.comparison_in_full.relative_difference) < 1e-3
