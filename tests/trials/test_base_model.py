"""The bundled base models against what they promise."""

import lzma
import re
from pathlib import Path

import pytest

import nextfill
from nextfill.data.corpora import builtin

pytestmark = pytest.mark.trial

BUNDLED = Path(nextfill.__file__).parent / "bundled"
NAMES = ("base-causal", "base-masked")
CORPUS = "builtin:stdlib-docs+package-docs"
MOST_BYTES = 8_000_000
MOST_OF_XZ = 0.7
OF_THE_CARD = 0.01
"""The weights of the card's figure were rounded to bfloat16 after it was taken."""


def card(name: str) -> str:
    return (BUNDLED / name / "README.md").read_text("utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_is_small(name):
    files = [file for file in (BUNDLED / name).rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= MOST_BYTES


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


@pytest.mark.parametrize("name", NAMES)
def test_its_card_names_the_corpus_it_was_trained_on(name):
    result = nextfill.prepare(model=f"builtin:{name}", data=CORPUS)
    for digest in result.ledger["content_sha256"]:
        assert digest in card(name)


@pytest.mark.parametrize(("name", "block_size"), [("base-causal", 512), ("base-masked", 256)])
def test_its_card_tells_its_perplexity(name, block_size):
    found = re.search(r"\| perplexity there \| ([\d.]+) per ", card(name))
    measured = nextfill.evaluate(
        f"builtin:{name}", data=CORPUS, split="test", block_size=block_size
    )
    print(f"{name}: {measured.perplexity:.2f} beside {found[1]} on its card")
    assert abs(measured.perplexity / float(found[1]) - 1) < OF_THE_CARD
