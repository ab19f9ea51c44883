"""The same documents, in whatever form they lie, are read as the same texts and tokens."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import random
import re
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import ipc

from nextfill.config import ModelConfig
from nextfill.data.document import ReadCounts
from nextfill.data.records.fields.record_text import documents
from nextfill.data.records.python_data.input_files import copy_to_cache
from nextfill.data.records.sources import open_source
from nextfill.data.store.store_cache import open_or_write
from nextfill.models.tokenizer import load_tokenizer
from tests.properties import examples
from tests.unit.data.records.readings import PACK, PACKED

BOM = "\ufeff"


def rows(texts: list[str]) -> list[dict[str, Any]]:
    return [{"id": str(n), "text": text} for n, text in enumerate(texts)]


def jsonl(texts: list[str]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows(texts)).encode()


def delimited(texts: list[str], mark: str) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, ["id", "text"], delimiter=mark)
    writer.writeheader()
    writer.writerows(rows(texts))
    return out.getvalue().encode()


def table(texts: list[str], write: Callable[[pa.Table, io.BytesIO], None]) -> bytes:
    schema = pa.schema({"id": pa.string(), "text": pa.string()})
    sink = io.BytesIO()
    write(pa.Table.from_pylist(rows(texts), schema), sink)
    return sink.getvalue()


def arrow(texts: list[str], make: Callable[..., Any]) -> bytes:
    def write(made: pa.Table, sink: io.BytesIO) -> None:
        with make(sink, made.schema) as writer:
            writer.write_table(made, max_chunksize=300)

    return table(texts, write)


def is_paragraph(text: str) -> bool:
    lines = text.split("\n")
    # A Ctrl-Z alone on the last line is the end of the file.
    return all(map(str.strip, lines)) and not set("\r\0") & set(text) and lines[-1] != "\x1a"


def is_line(text: str) -> bool:
    return not set("\n\r\0") & set(text)


def any_text(text: str) -> bool:
    return "\0" not in text


WHOLE: dict[str, tuple[Callable[[list[str]], bytes], str, Callable[[str], bool]]] = {
    ".jsonl": (jsonl, "", lambda text: True),
    ".ndjson": (jsonl, "", lambda text: True),
    ".json": (lambda texts: json.dumps(rows(texts), indent=1).encode(), "", lambda text: True),
    ".csv": (lambda texts: delimited(texts, ","), "", any_text),
    ".tsv": (lambda texts: delimited(texts, "\t"), "", any_text),
    ".parquet": (lambda texts: table(texts, pq.write_table), "", lambda text: True),
    ".arrow": (lambda texts: arrow(texts, ipc.new_file), "", lambda text: True),
    ".stream.arrow": (lambda texts: arrow(texts, ipc.new_stream), "", lambda text: True),
    ".txt": (lambda texts: "\n\n".join(texts).encode(), "paragraph", is_paragraph),
    ".line.txt": (lambda texts: "".join(f"{t}\n" for t in texts).encode(), "line", is_line),
    ".md": (lambda texts: "\n\n\n".join(texts).encode(), "paragraph", is_paragraph),
}
"""Forms of one file: what writes it, what ``--txt`` has to be, and which texts it can hold."""


def read(spec: object, txt: str = "", **options: Any) -> Iterator[Any]:
    source = open_source(str(spec), txt=txt or None, text_field=None, **options)
    records = list(source.read())
    plain = records and isinstance(records[0].value, str)
    return documents(
        source,
        text_field=None if plain else "text",
        join=" ",
        explode=False,
        keep=(),
        counts=ReadCounts(),
    )


def texts_of(spec: object, txt: str = "", **options: Any) -> list[str]:
    return [document.text for document in read(spec, txt, **options)]


SCRIPTS = [
    "The river carries old stones past seven mills",
    "Der Fluß trägt alte Steine",
    "Река несёт старые камни",
    "川は古い石を運ぶ",
    "النهر يحمل الحجارة القديمة",
    "नदी पुराने पत्थर बहाती है",
    "הנהר נושא אבנים",
    "แม่น้ำพัดพาหิน",
    "강은 오래된 돌을 나른다",
    "🦊👩‍👩‍👧‍👦🇸🇨 emoji",
    "e\u0301 combining, \u2028 and \x85",
    '"quoted", with; every|mark\tthere is',
]


def thousand(*, lines: bool) -> list[str]:
    """Return 1,000 texts, and where lines may end within a text one huge and one empty."""
    rng = random.Random(0)
    made = [
        f"{number} " + " ".join(rng.choice(SCRIPTS) for _ in range(rng.randint(1, 6)))
        for number in range(1000)
    ]
    if lines:
        for number in range(0, 1000, 3):
            made[number] = made[number].replace(" ", rng.choice(["\n", "\r\n", "\n\n"]), 3)
        made[7], made[8] = "long line " * 4_000, ""
    return made


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return load_tokenizer(ModelConfig())


@pytest.fixture
def ids_of(tokenizer: Any, tmp_path: Path) -> Callable[..., str]:
    """Return the hash of the token ids that the store of a source holds."""

    def ids(spec: object, txt: str = "", **options: Any) -> str:
        folder = tmp_path / "stores" / str(len(list(tmp_path.glob("stores/*"))))
        counts = ReadCounts()
        store, _ = open_or_write(
            folder, {"it": 0}, lambda: (read(spec, txt, **options), counts), tokenizer
        )
        lengths = store.documents["tokens"].tobytes()
        tokens = b"".join(shard.tobytes() for shard in store.shard_tokens)
        return hashlib.sha256(lengths + tokens).hexdigest()

    return ids


def expected(texts: list[str], folder: Path, ids_of: Callable[..., str]) -> str:
    plain = folder / "expected.jsonl"
    plain.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return ids_of(plain)


@pytest.mark.parametrize("lines", [pytest.param(True, marks=pytest.mark.trial), False])
def test_a_thousand_documents_give_one_store(
    lines: bool, tmp_path: Path, ids_of: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = thousand(lines=lines)
    want = expected(texts, tmp_path, ids_of)
    got = {}
    for suffix, (write, txt, holds) in WHOLE.items():
        # What holds line ends is tried with them, and the others without.
        if all(map(holds, texts)) and (lines or not holds("\r\n\r\n")):
            content = write(texts)
            # Every packing of one form, and every form with a packing.
            packs = [*PACK] if suffix == ".jsonl" else ["", PACKED[len(got) % len(PACKED)]]
            for packed in packs:
                pack = PACK[packed]
                path = tmp_path / f"x{suffix}{packed}"
                path.write_bytes(pack(content))
                got[path.name] = ids_of(path, txt)
    assert {name for name, ids in got.items() if ids != want} == set()
    assert len(got) == (7 * 2 + len(PACK) if lines else 3 * 2)
    if not lines:
        return
    with (tmp_path / "x.jsonl.zst").open("rb") as stream:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=stream))
        assert ids_of(copy_to_cache("-", tmp_path, None)) == want
    with fsspec.open("memory://forms/x.csv.gz", "wb") as file:
        file.write(gzip.compress((tmp_path / "x.csv").read_bytes()))
    assert ids_of("memory://forms/x.csv.gz") == want
    assert ids_of(f"file://{tmp_path}/x.csv") == want
    shutil.copy(tmp_path / "x.tsv", tmp_path / "x.log")
    assert ids_of(tmp_path / "x.log", format="tsv") == want


def test_a_thousand_files_give_one_store(tmp_path: Path, ids_of: Callable[..., str]) -> None:
    texts = [text or "x" for text in thousand(lines=True)]  # an empty file is left out
    # Of a whole file each line ends with \n.
    want = expected([re.sub(r"\r?\r?\n|\r", "\n", text) for text in texts], tmp_path, ids_of)
    folder = tmp_path / "folder"
    packs = list(PACK.items())
    memory = fsspec.filesystem("memory")
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number, text in enumerate(texts):
            packed, pack = packs[number % len(packs)] if number < 50 else packs[0]
            name = f"{number // 100}/{number:04}.{'md' if number % 2 else 'txt'}{packed}"
            content = pack((BOM * (number % 5 == 0) + text).encode())
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
            archive.writestr(name, content)
            memory.pipe(f"/{tmp_path.name}/{name}", content)
    assert ids_of(folder) == want
    assert ids_of(f"{folder}/**/*") == want
    assert ids_of(f"{folder}/*/*.[mt]*") == want
    assert ids_of(tmp_path / "x.zip") == want
    assert ids_of(f"memory://{tmp_path.name}") == want
    assert ids_of(f"memory://{tmp_path.name}/**/*") == want
    memory.pipe(f"/{tmp_path.name}.zip", (tmp_path / "x.zip").read_bytes())
    assert ids_of(f"memory://{tmp_path.name}.zip") == want


TRICKY = ["", "a\r\nb", "a\nb\rc", "x\u2028y\x85", "🦊é", ' "q", ', f"{BOM}bom", "\\", "\x1c", "\t"]
TEXTS = st.lists(st.text() | st.sampled_from(TRICKY) | st.just("huge " * 9000), max_size=5)


@pytest.mark.parametrize("suffix", list(WHOLE))
def test_any_text_comes_back_as_it_was(suffix: str, tmp_path_factory: Any) -> None:
    folder = tmp_path_factory.mktemp("texts")
    write, txt, holds = WHOLE[suffix]
    packs = list(PACK.items())

    @examples(25)
    @given(TEXTS, st.integers(0, len(packs) - 1))
    def check(texts: list[str], at: int) -> None:
        kept = ["first", *filter(holds, texts)]
        packed, pack = packs[at]
        path = folder / f"x{suffix}{packed}"
        path.write_bytes(pack(write(kept)))
        assert texts_of(path, txt) == kept

    check()


@examples(25)
@given(st.text(min_size=1).filter(any_text))
def test_a_whole_file_comes_back_with_its_line_ends_as_newlines(
    tmp_path_factory: Any, text: str
) -> None:
    path = tmp_path_factory.mktemp("whole") / "x.md"
    path.write_bytes((BOM + text).encode())
    plain = re.sub(r"\r?\r?\n|\r", "\n", text)
    assert texts_of(path) == [plain[:-1] if plain.endswith("\n\x1a") else plain]
