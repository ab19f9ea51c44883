"""The bundled base model against what it promises."""

import lzma
from pathlib import Path

import pytest

import nextfill
from nextfill.data.corpora import builtin

pytestmark = pytest.mark.trial

BUNDLE = Path(nextfill.__file__).parent / "bundled" / "base-causal"
MOST_BYTES = 8_000_000
MOST_OF_XZ = 0.7


def test_is_small():
    assert sum(file.stat().st_size for file in BUNDLE.rglob("*") if file.is_file()) <= MOST_BYTES


def test_beats_xz_on_held_out_modules_of_the_standard_library():
    texts = [
        "\n\n".join(record.value["answers"]["text"])
        for record in builtin.records(("stdlib-docs",), "test")
    ]
    data = "".join(texts).encode()
    xz = 8 * len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)) / len(data)
    ours = nextfill.evaluate(
        "builtin:base-causal", data="builtin:stdlib-docs", split="test", block_size=512, stride=256
    )
    print(f"bits per byte: xz -9e {xz:.3f}, base-causal {ours.bits_per_byte:.3f}")
    assert ours.bytes == len(data)
    assert ours.bits_per_byte <= MOST_OF_XZ * xz


def test_its_card_names_the_corpus_it_was_trained_on():
    card = (BUNDLE / "README.md").read_text("utf-8")
    result = nextfill.prepare(model="builtin:base-causal", data="builtin:stdlib-docs+package-docs")
    for digest in result.ledger["content_sha256"]:
        assert digest in card
