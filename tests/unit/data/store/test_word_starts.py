"""Where words begin: as the tokenizer has it, and by characters where a script has no spaces."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)

from nextfill.core.errors import DataError
from nextfill.data.document import Document, ReadCounts
from nextfill.data.store import character_classes
from nextfill.data.store import word_starts as boundaries
from nextfill.data.store import word_starts as words
from nextfill.data.store.cache_entries import entries
from nextfill.data.store.encoder import Encoder
from nextfill.data.store.store_cache import join_stores
from nextfill.data.store.token_store import TokenStore
from nextfill.data.store.tokenizer_backend import plain_backend
from nextfill.data.store.vocabulary import read_vocabulary
from nextfill.data.store.word_starts import FILE, WordStartFinder, open_word_starts
from nextfill.data.store.writer import write_store


def test_one_character_has_the_class_of_the_table() -> None:
    points = [*range(0x3500), *range(0xA000, 0x12000), *range(0x16F00, 0x20010), 0xE0100, 0x10FFFF]
    table = character_classes.classes(np.array(points, np.uint32))
    assert [character_classes.class_of(chr(point)) for point in points] == table.tolist()


KANA = "".join(map(chr, [*range(0x3041, 0x3097), *range(0x30A1, 0x30FB), 0x30FC, 0x3099, 0x309A]))
ENGLISH = [
    "The mill's wheel didn't turn; 1,234 geese (who'd argue) say: café, naïve, 3.14!",
    "They're sure it'll rain\n\nover the wet slate roofs\t- and the gates, too...",
]
JAPANESE = [
    "日本語のテキストです。カタカナのデータベースをコンピューターで作る。",
    "東京タワーへ行きました、ラーメンを食べた。サーバーを再起動する。",
]
THAI = ["ที่นี่มีแมว ไทยภาษา กำลัง", "ພາສາລາວ"]
LETTERS = sorted(set("".join([*ENGLISH, *JAPANESE, *THAI, KANA])))
UNKNOWN = ("[UNK]", "<unk>")
TEXTS = [*ENGLISH, *JAPANESE, *THAI] * 20


def word_starts(tokenizer: Any) -> Callable[[Any], np.ndarray]:
    """Return the word starts of one document's ids."""
    finder = WordStartFinder(read_vocabulary(plain_backend(tokenizer)))
    return lambda ids: finder.find(ids, np.array([len(ids)], np.int64))


def trained(core: Tokenizer, trainer: type[trainers.Trainer], **settings: Any) -> Tokenizer:
    core.train_from_iterator(TEXTS, trainer(vocab_size=600, show_progress=False, **settings))
    return core


def byte_level() -> Tokenizer:
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return trained(
        core, trainers.BpeTrainer, initial_alphabet=alphabet, special_tokens=["<e>", "<m>"]
    )


def prefix_space() -> Tokenizer:
    core = byte_level()
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    return core


LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def split_first() -> Tokenizer:
    """Return a tokenizer with the pre-tokenizer of Llama 3, and a normalizer."""
    core = byte_level()
    core.normalizer = normalizers.NFC()
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA_3), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return core


def wordpiece() -> Tokenizer:
    core = Tokenizer(models.WordPiece(unk_token=UNKNOWN[0]))
    core.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.decoder = decoders.WordPiece()
    return trained(
        core,
        trainers.WordPieceTrainer,
        initial_alphabet=LETTERS,
        special_tokens=["[UNK]", "[MASK]"],
    )


def unigram() -> Tokenizer:
    core = Tokenizer(models.Unigram())
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Metaspace()
    return trained(
        core,
        trainers.UnigramTrainer,
        initial_alphabet=LETTERS,
        special_tokens=["<unk>", "<mask>"],
        unk_token=UNKNOWN[1],
    )


def llama_2() -> Tokenizer:
    """Return a SentencePiece BPE without pre-tokenizer, with bytes for unknown characters."""
    byte_pieces = [f"<0x{byte:02X}>" for byte in range(256)]
    names = ["<unk>", *byte_pieces, "\u2581", *"millのテ", "\u2581m", "il", "\u2581mil"]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(names))}
    merges = [("\u2581", "m"), ("i", "l"), ("\u2581m", "il")]
    core = Tokenizer(models.BPE(vocabulary, merges, unk_token=UNKNOWN[1], byte_fallback=True))
    core.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    core.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return core


def suffixed() -> Tokenizer:
    core = Tokenizer(models.BPE(unk_token=UNKNOWN[1], end_of_word_suffix="</w>"))
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.decoder = decoders.BPEDecoder(suffix="</w>")
    return trained(
        core,
        trainers.BpeTrainer,
        initial_alphabet=LETTERS,
        end_of_word_suffix="</w>",
        special_tokens=["<unk>", "<mask>"],
    )


MAKERS = {
    make.__name__: make
    for make in (byte_level, prefix_space, split_first, wordpiece, unigram, llama_2, suffixed)
}
AS_THE_LIBRARY = ("byte_level", "prefix_space", "split_first", "wordpiece", "unigram", "suffixed")


@cache
def made(kind: str) -> Tokenizer:
    return MAKERS[kind]()


@cache
def finder(kind: str) -> Callable[..., Any]:
    return word_starts(made(kind))


def units(kind: str, text: str) -> list[list[str]]:
    """Return the tokens of each word."""
    encoding = made(kind).encode(text, add_special_tokens=False)
    found: list[list[str]] = []
    begins = finder(kind)(np.array(encoding.ids))
    for token, start in zip(encoding.tokens, begins.tolist(), strict=True):
        found += [[token]] if start else []
        found[-1] += [] if start else [token]
    return found


@pytest.mark.parametrize(
    ("kind", "text", "found"),
    [
        ("byte_level", "The mill's, 12", "The|Ġmill|'s|,|Ġ12"),
        ("byte_level", "a  b <m> c", "a|Ġ|Ġb|Ġ|<m>|Ġc"),
        ("prefix_space", "The mill", "ĠThe|Ġmill"),
        ("split_first", "(The 1234 mill's", "(The|Ġ|123|4|Ġmill|'s"),
        ("wordpiece", "The mills [MASK]s", "The|mill##s|[MASK]|s"),
        ("unigram", "The mill's, 12", "_The|_mill's,|_12"),
        ("unigram", "a<mask>b", "_a|<mask>|_b"),
        ("suffixed", "The mill's", "The</w>|mill</w>|'</w>|s</w>"),
        ("llama_2", "mill é mテの", "_mill|_<0xC3><0xA9>|_m|テ|の"),
        ("llama_2", "日カ", "_<0xE6><0x97><0xA5>|<0xE3><0x82><0xAB>"),
    ],
)
def test_words_by_hand(kind: str, text: str, found: str) -> None:
    written = "|".join("".join(unit) for unit in units(kind, text))
    assert written.replace("\u2581", "_") == found


@pytest.mark.parametrize(
    "found",
    [
        *("らー|め|ん|屋", "ラーメン|屋", "ー|あ", "ｶﾞﾗｽ|の", "か\u3099|カ\u3099ータ"),
        *("葛\U000e0100|城", "時々|日々".replace("々", "|々"), "。「|日|」", "日|a|本| 日|。」"),
        *("ที่| ฬ|ฎ|๒๕| a", "中|文|abc|中", "한국어| 말", "e| カタ| カ", "ཀི|ཁ|་"),
    ],
)
def test_scripts_without_spaces(found: str) -> None:
    text = found.replace("|", "")
    encoding = made("byte_level").encode(text)
    starts = np.flatnonzero(finder("byte_level")(np.array(encoding.ids))).tolist()
    edges = [*(encoding.offsets[number][0] for number in starts), len(text)]
    assert "|".join(map(text.__getitem__, map(slice, edges, edges[1:]))) == found


PARTS = [
    *("the", "The", "mill", "Millstone", "zq", "don't", "it's", "we'll", "I'M", "x'", "O'Re"),
    *(" ", "  ", "   ", "\t", "\n", "\r\n", "\n\n", "\u00a0", "\u2003", "\u3000"),
    *("1", "12", "1234", "12345.6", "½", "²", "٣"),
    *(".", ",", "...", "-", "--", "(", ")", "_", "'", '"', "\u2019", "$", "€", "«", "~"),
    *(
        "😀",
        "👩\u200d👩",
        "👍🏽",
        "1\ufe0f\u20e3",
        "🇫🇷",
        "é",
        "e\u0301",
        "ß",
        "Я",
        "αβ",
        "한국",
    ),
    *("\u2581", "##", "</w>", "Ġ", "<m>", "<mask>", "<unk", "\x00", "\x7f", "\u200b", "\ufffd"),
]
texts = st.lists(st.sampled_from(PARTS), max_size=12).map("".join)


def by_library(tokenizer: Any, text: str) -> tuple[list[int], list[bool]]:
    encoding = tokenizer.encode(text, add_special_tokens=False)
    words = encoding.word_ids
    starts = [number == 0 or word != words[number - 1] for number, word in enumerate(words)]
    return encoding.ids, starts


@pytest.mark.parametrize("kind", AS_THE_LIBRARY)
@given(text=texts)
def test_words_are_those_of_the_library(kind: str, text: str) -> None:
    ids, expected = by_library(made(kind), text)
    found = finder(kind)(np.array(ids, np.int64)).tolist()
    if kind == "suffixed":  # an unknown character may be a word's last, or not
        unknown = made(kind).token_to_id("<unk>")
        for number in range(1, len(ids)):
            expected[number] |= ids[number - 1] == unknown
    assert found == expected


def test_words_of_real_text_are_those_of_the_library(test_data: Path) -> None:
    tokenizer = Tokenizer.from_file(str(test_data / "tokenizers" / "roberta" / "tokenizer.json"))
    find = word_starts(tokenizer)
    text = (test_data / "wikitext2" / "valid.txt").read_text(encoding="utf-8")[:300_000]
    documents = [
        document for document in text.split("\n \n") if all(ord(c) < 0x0E00 for c in document)
    ]
    assert len(documents) > 100
    for document in documents:
        ids, expected = by_library(tokenizer, document)
        assert find(np.array(ids)).tolist() == expected

    @given(text=texts)
    def odd(text: str) -> None:
        ids, expected = by_library(tokenizer, text)
        assert find(np.array(ids, np.int64)).tolist() == expected

    odd()


# A run of katakana, or a character, each with its marks; "ー" goes with hiragana, too.
ATOM = re.compile(
    "(?:[ぁ-ゖ][\u3099\u309a]*(?=ー))?(?:[ァ-ヺー][\u3099\u309a]*)+|[^ \u3099\u309a][\u3099\u309a]*"
)
japanese = st.text(st.sampled_from(sorted(set("".join(JAPANESE)) | {*"ガギーあ \u3099か"})))


@pytest.mark.parametrize("kind", ["byte_level", "split_first", "wordpiece", "unigram"])
@given(text=japanese)
def test_no_character_and_no_katakana_is_split(kind: str, text: str) -> None:
    text = re.sub("(^|[ 。、])\u3099+", r"\1", text)
    if kind == "split_first":
        text = unicodedata.normalize("NFC", text)
    encoding = made(kind).encode(text, add_special_tokens=False)
    assume(made(kind).token_to_id("[UNK]") not in encoding.ids)
    starts = finder(kind)(np.array(encoding.ids, np.int64)).tolist()
    edges = {match.start() for match in ATOM.finditer(text)}
    last = 0
    for (first, end), start in zip(encoding.offsets, starts, strict=True):
        place = first + (len(text[first:end]) - len(text[first:end].lstrip(" ")))
        if start and text[first:end].strip():
            assert place in edges  # nothing is split
        if first >= last and place in edges and text[first:end].strip() and text[:first].strip():
            # and no two are put together that are written by tokens of their own
            assert (
                start
                or text[first - 1] == " "
                or text[place] in "。、"
                or text[place - 1] in "。、"
            )
        last = end


@pytest.mark.parametrize("kind", MAKERS)
def test_documents_are_seen_alone(kind: str) -> None:
    documents = ["カ", "\u3099タ 日", "", "ーの", "The mill", "s", "。」", "か"] * 3
    ids = [made(kind).encode(text, add_special_tokens=False).ids for text in documents]
    lengths = np.array([len(row) for row in ids])
    found = WordStartFinder(read_vocabulary(made(kind))).find(
        np.concatenate(ids).astype(int), lengths
    )
    alone = [finder(kind)(np.array(row, np.int64)).tolist() for row in ids]
    assert found.tolist() == [start for starts in alone for start in starts]


def test_parts_of_characters_are_no_fault() -> None:
    """No whole document has any, but what is cut from one may."""
    core = made("byte_level")
    ids = core.encode("日本 mill").ids
    for start in range(len(ids)):
        starts = finder("byte_level")(np.array(ids[start:]))
        assert starts[0]
        assert starts[-1] == (core.id_to_token(ids[-1]) == "Ġmill")
    pieces = WordStartFinder(read_vocabulary(core))
    two = np.array([*ids[:2], *ids[1:3]])  # no character of two documents
    assert pieces.find(two, np.array([2, 2])).tolist()[2]
    assert pieces.find(two[:0], np.array([0, 0])).tolist() == []


@pytest.mark.parametrize("kind", ["byte_level", "prefix_space", "split_first"])
def test_long_texts_are_taken_in_windows(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(0)
    some = [*PARTS, *"日カタ ab", *[" "] * 20]
    for _ in range(60):
        text = "".join(rng.choices(some, k=200))
        ids = np.array(made(kind).encode(text, add_special_tokens=False).ids)
        monkeypatch.setattr(boundaries, "WINDOW", 1 << 20)
        whole = finder(kind)(ids)
        monkeypatch.setattr(boundaries, "WINDOW", 64)
        monkeypatch.setattr(boundaries, "LAST_WORDS", 4)
        assert np.array_equal(finder(kind)(ids), whole)
    endless = np.array(made(kind).encode("zq" * 500).ids)
    assert finder(kind)(endless).sum() == 1


def test_a_vocabulary_that_tells_nothing_has_words_of_one_token() -> None:
    core = Tokenizer(models.WordLevel({"?": 0, "日": 1, "カ": 2}, "?"))
    assert word_starts(core)(np.array([1, 2, 2, 0])).tolist() == [True] * 4
    core = made("byte_level")
    bare = Tokenizer.from_str(core.to_str())
    bare.pre_tokenizer = None  # type: ignore[assignment]
    spaced = core.encode("The mill's").ids
    assert word_starts(bare)(np.array(spaced)).sum() == 2  # by the space alone
    with pytest.raises(DataError, match="no tokenizers backend"):
        word_starts(object())


STORED = ["The mill's wheel", "", "日本カタカナ", "geese", "didn't turn; 1,234"] * 2


def store_at(path: Path, *, shard_tokens: int = 20, texts: Sequence[str] = STORED) -> TokenStore:
    documents = [Document(text, number) for number, text in enumerate(texts)]
    encoder = Encoder(made("byte_level"), "tokenizers")
    return write_store(
        path, documents, encoder, key={}, counts=ReadCounts(), shard_tokens=shard_tokens
    )


def expected_of(store: TokenStore) -> list[bool]:
    rows = (store.tokens(number) for number in range(store.num_documents))
    return [start for row in rows for start in finder("byte_level")(row).tolist()]


@pytest.mark.parametrize("batch", [1, 30, 1 << 18])
def test_word_starts_are_kept_with_the_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(words, "BATCH_TOKENS", batch)
    store = store_at(tmp_path / "stores" / "s", shard_tokens=80, texts=STORED * 3)
    assert store.num_shards > 1
    told: list[tuple[str, int, int]] = []
    found = open_word_starts(store, made("byte_level"), lambda *some: told.append(some))
    assert [len(starts) for starts in found] == [len(ids) for ids in store.shard_tokens]
    assert np.concatenate(found).tolist() == expected_of(store)
    assert told[-1] == ("finding words", store.num_tokens, store.num_tokens)

    (entry,) = entries(tmp_path)
    kept = [store.folder(shard) / FILE for shard in range(store.num_shards)]
    sizes = [-(-len(ids) // 8) + 16 for ids in store.shard_tokens]  # with a checksum
    assert [file.stat().st_size for file in kept] == sizes
    assert entry.size_bytes == sum(f.stat().st_size for f in store.path.rglob("*") if f.is_file())
    again = open_word_starts(TokenStore.open(store.path), None)  # no tokenizer is asked
    assert all(map(np.array_equal, found, again))
    assert not list(store.path.rglob("*.tmp"))


def test_a_damaged_file_is_made_anew_and_that_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = store_at(tmp_path / "s")
    found = open_word_starts(store, made("byte_level"))
    file = store.folder(1) / FILE
    whole = file.read_bytes()
    flipped = [bytes([*whole[:at], whole[at] ^ 1, *whole[at + 1 :]]) for at in range(len(whole))]
    for wrong in (b"", whole[:-1], whole + b"\0", bytes(len(whole)), *flipped):
        caplog.clear()
        file.write_bytes(wrong)
        assert all(map(np.array_equal, found, open_word_starts(store, made("byte_level"))))
        assert file.read_bytes() == whole
        assert "word-starts.bin is damaged" in caplog.text


def test_word_starts_of_another_store_are_not_believed(tmp_path: Path) -> None:
    one = store_at(tmp_path / "one", texts=["mill mills"])
    two = store_at(tmp_path / "two", texts=["mills mill"])
    assert len(one.shard_tokens[0]) == len(two.shard_tokens[0])
    found = open_word_starts(one, made("byte_level"))
    open_word_starts(two, made("byte_level"))
    (one.folder(0) / FILE).write_bytes((two.folder(0) / FILE).read_bytes())
    assert all(map(np.array_equal, found, open_word_starts(one, made("byte_level"))))


def test_where_nothing_can_be_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = store_at(tmp_path / "s")
    (store.folder(0) / FILE).mkdir()
    for _ in range(2):
        caplog.clear()
        found = open_word_starts(store, made("byte_level"))
        assert np.concatenate(found).tolist() == expected_of(store)
        (message,) = caplog.messages
        assert "cannot be kept" in message
        assert "directory" in message
    assert not list(store.path.rglob("*.tmp"))


def test_joined_and_empty_stores(tmp_path: Path) -> None:
    one = store_at(tmp_path / "one")
    two = store_at(tmp_path / "two", texts=["mill mills", "日本"], shard_tokens=1)
    both = join_stores([one, two])
    found = open_word_starts(both, made("byte_level"))
    assert np.concatenate(found).tolist() == expected_of(both)
    assert all(map(np.array_equal, found[one.num_shards :], open_word_starts(two, None)))
    assert open_word_starts(store_at(tmp_path / "none", texts=[]), None) == ()
    (blank,) = open_word_starts(store_at(tmp_path / "blank", texts=["", ""]), None)
    assert blank.tolist() == []


FIND = """
import sys, time
from pathlib import Path
from tokenizers import Tokenizer
from nextfill.data.store.vocabulary import read_vocabulary
from nextfill.data.store.token_store import TokenStore
from nextfill.data.store.word_starts import open_word_starts

store, tokenizer = TokenStore.open(Path(sys.argv[1])), Tokenizer.from_file(sys.argv[2])
Path(sys.argv[3] + sys.argv[4]).touch()
while not all(Path(sys.argv[3] + number).exists() for number in "12"):
    time.sleep(0.001)
print(sum(int(starts.sum()) for starts in open_word_starts(store, tokenizer)))
"""


def test_two_processes_at_once(tmp_path: Path) -> None:
    store = store_at(tmp_path / "s", texts=STORED * 200, shard_tokens=1000)
    made("byte_level").save(str(tmp_path / "t.json"))
    command = [sys.executable, "-c", FIND, str(store.path), str(tmp_path / "t.json")]
    pair = [
        subprocess.Popen([*command, str(tmp_path / "go"), number], stdout=subprocess.PIPE)
        for number in "12"
    ]
    printed = {process.communicate(timeout=60)[0] for process in pair}
    assert [process.returncode for process in pair] == [0, 0]
    assert printed == {b"%d\n" % sum(expected_of(store))}
    assert all(map(np.any, open_word_starts(store, None)))
    assert not list(store.path.rglob("*.tmp"))
