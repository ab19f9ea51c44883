"""Kinds of files that are not read, by their first bytes and their suffixes, and what to do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from nextfill.core.amounts import noun_with_article
from nextfill.data.records.files import display_name

_BEGUN = 512
"""Bytes at the beginning of a file that tell whether it is text."""


@dataclass(frozen=True)
class ForeignKind:
    """A kind of files that is not read.

    Args:
        name: Its noun.
        advice: The remedy, as a sentence without its full stop.
        suffixes: Suffixes of such files.
        magic: Their first bytes, any of these; empty where they have none of their own.
        offset: Where these stand.
        has_words: Whether such files are mostly words, so that whoever names their folder may miss
            them.
    """

    name: str
    advice: str
    suffixes: tuple[str, ...]
    magic: tuple[bytes, ...] = ()
    offset: int = 0
    has_words: bool = False


_WORDS = "Nextfill reads text: write down the words in it, and name that file"
_PANDAS = "Read it with pandas and pass the frame with data=, from Python, or save it as"
KINDS = (
    ForeignKind(
        "HDF5 file",
        f"{_PANDAS} Parquet: pandas.read_hdf(FILE).to_parquet('data.parquet')",
        (".h5", ".hdf5", ".hdf", ".he5"),
        (b"\x89HDF\r\n\x1a\n",),
    ),
    ForeignKind(
        "NumPy array",
        "Load it with numpy.load and pass the texts in it with data=, from Python",
        (".npy", ".npz"),
        (b"\x93NUMPY",),
    ),
    ForeignKind(
        "pickle",
        "Load it where it comes from, for it can run code, and pass what is in it with data=, from "
        "Python",
        (".pkl", ".pickle", ".joblib"),
        tuple(b"\x80" + bytes([version, 0x95]) for version in (4, 5)),
    ),
    ForeignKind(
        "SQLite database",
        "Save the table with the text as CSV: sqlite3 -header -csv FILE 'select * from TABLE'",
        (".db", ".sqlite", ".sqlite3"),
        (b"SQLite format 3\0",),
    ),
    ForeignKind(
        "Excel workbook",
        "Save it as CSV (UTF-8), and name that file. From Python, a frame of pandas is data, too: "
        "data=pandas.read_excel(FILE)",
        (".xlsx", ".xls", ".xlsm", ".ods"),
        has_words=True,
    ),
    ForeignKind(
        "mailbox",
        "Write its messages as JSON lines, with Python's mailbox module, or read it as plain text "
        "with --format txt",
        (".mbox", ".eml"),
        has_words=True,
    ),
    ForeignKind(
        "document of an old Office",
        "Save it as .docx, or as plain text",
        (".doc", ".dot", ".ppt", ".msg"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",),
        has_words=True,
    ),
    ForeignKind(
        "document of Pages",
        "Export it to Word, and name the .docx",
        (".pages",),
        has_words=True,
    ),
    ForeignKind(
        "Word document with macros or a template",
        "Name it alone and type: --format docx, or save it as .docx",
        (".docm", ".dotx", ".dotm"),
        has_words=True,
    ),
    ForeignKind(
        "document of another word processor",
        "Save it as .docx or .odt, for example in LibreOffice",
        (".wpd", ".wp", ".wps", ".wri", ".lwp", ".sxw"),
        has_words=True,
    ),
    ForeignKind(
        "presentation",
        "Save it as PDF, or as plain text",
        (".pptx", ".odp", ".key"),
        has_words=True,
    ),
    ForeignKind("PNG image", _WORDS, (".png",), (b"\x89PNG\r\n\x1a\n",)),
    ForeignKind("JPEG image", _WORDS, (".jpg", ".jpeg"), (b"\xff\xd8\xff",)),
    ForeignKind("GIF image", _WORDS, (".gif",), (b"GIF87a", b"GIF89a")),
    ForeignKind("image", _WORDS, (".tif", ".tiff", ".bmp", ".webp", ".heic", ".svg", ".ico")),
    ForeignKind(
        "sound", _WORDS, (".mp3", ".wav", ".flac", ".ogg", ".m4a"), (b"ID3", b"fLaC", b"OggS")
    ),
    ForeignKind("video", _WORDS, (".mp4", ".mov", ".mkv", ".avi", ".webm"), (b"ftyp",), 4),
    ForeignKind("video", _WORDS, (), (b"\x1aE\xdf\xa3",)),
    ForeignKind("sound or video", _WORDS, (), (b"RIFF",)),
    ForeignKind(
        "file of a model's weights",
        "A model is the folder around it: give that where a model is asked for",
        (".safetensors", ".gguf", ".pt", ".pth", ".ckpt", ".onnx", ".bin"),
        (b"GGUF",),
    ),
    ForeignKind(
        "notebook",
        "Save it as a script or as Markdown: jupyter nbconvert --to markdown FILE",
        (".ipynb",),
        has_words=True,
    ),
    ForeignKind(
        "Kindle book",
        "Save it as .epub",
        (".mobi", ".azw", ".azw3"),
        (b"BOOKMOBI",),
        60,
        has_words=True,
    ),
    ForeignKind("program", "Name your text", (".exe", ".so", ".dll", ".pyc"), (b"\x7fELF",)),
)
"""The kinds, the likelier first."""

_UNDER_OLD_SUFFIXES = tuple(
    (
        magic,
        ForeignKind(
            f"{name} with the suffix of an old Office's",
            f"Name it alone with --format {suffix}, or rename it to end in .{suffix}",
            (),
            has_words=True,
        ),
    )
    for magic, name, suffix in (
        (b"{\\rtf", "RTF document", "rtf"),
        (b"PK\x03\x04", "newer Word document", "docx"),
        (b"<html", "web page", "html"),
    )
)
_OLD_SUFFIXES = (".doc", ".dot")

LOCK_OF_OFFICE = "~$"
"""Begins the name of the file that Office puts beside a document while it is open."""

_MOST_NAMED = 5
_MOST_LOOKED_AT = 50
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x19\x1b-\x1f\x7f]")
_MANY_THINGS = ".key"
"""A suffix that keys of programs have, too."""


def kind_by_name(name: str, head: bytes = b"") -> ForeignKind | None:
    r"""Return the kind of a file by its suffix; by its first bytes where .doc is said of others.

    Example:
        >>> kind_by_name("data/train.H5").name, kind_by_name("notes.txt")
        ('HDF5 file', None)
        >>> kind_by_name("novel.doc", b"PK\x03\x04").advice
        'Name it alone with --format docx, or rename it to end in .docx'
    """
    suffix = PurePosixPath(name.lower()).suffix
    if suffix in _OLD_SUFFIXES:
        for magic, found in _UNDER_OLD_SUFFIXES:
            if head.lower().startswith(magic.lower()):
                return found
    return next((kind for kind in KINDS if suffix and suffix in kind.suffixes), None)


def kind_by_content(head: bytes) -> ForeignKind | None:
    r"""Return the kind of a file by its first bytes.

    Example:
        >>> kind_by_content(b"\x89HDF\r\n\x1a\n\0\0").name, kind_by_content(b"Once upon a time")
        ('HDF5 file', None)
    """
    has_nul = b"\0" in head  # a text may begin with letters of ASCII
    for kind in KINDS:
        magics = (magic for magic in kind.magic if has_nul or not magic.isascii())
        if any(head[kind.offset :].startswith(magic) for magic in magics):
            return kind
    return None


def files_of_words(
    names: Iterable[str], head: Callable[[str], bytes] = lambda name: b""
) -> list[str]:
    """Return a sentence and the remedy for each kind of files that are words and are not read.

    Example:
        >>> files_of_words(["a.png", "talk.pptx"])
        ['talk.pptx is a presentation, which is not read. Save it as PDF, or as plain text.']
    """
    by_kind: dict[ForeignKind, list[str]] = {}
    for name in names:
        kind = kind_by_name(name, head(name))
        if kind and kind.has_words and not name.lower().endswith(_MANY_THINGS):
            by_kind.setdefault(kind, []).append(name)
    return [f"{_each_is(kind, found)}. {kind.advice}." for kind, found in by_kind.items()]


def texts_of_other_names(names: Iterable[str], head: Callable[[str], bytes]) -> list[str]:
    """Return a sentence with the remedy for files that are plain text by their first bytes.

    Example:
        >>> texts_of_other_names(["draft", "a.png"], lambda name: b"Once upon a time")
        ['draft looks like plain text. To have it read, give it a name that ends in .txt.']
    """
    unknown = [name for name in sorted(names) if kind_by_name(name) is None]
    found = [name for name in unknown[:_MOST_LOOKED_AT] if _is_text(head(name))]
    if not found:
        return []
    if len(found) == 1:
        them, names_ = "looks like plain text. To have it read, give it", "a name that ends"
    else:
        them, names_ = "look like plain text. To have them read, give them", "names that end"
    return [f"{some_of(found[:_MOST_NAMED], len(found))} {them} {names_} in .txt."]


def _is_text(head: bytes) -> bool:
    """Check for words: no character of control but those at the ends of lines and pages."""
    return bool(head.strip()) and not _CONTROL.search(head)


def _each_is(kind: ForeignKind, names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"{names[0]} is {noun_with_article(kind.name)}, which is not read"
    more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
    named = ", ".join(names[:_MOST_NAMED])
    return f"{named}{more} are not read, each {noun_with_article(kind.name)}"


def some_of(names: Sequence[str], number: int) -> str:
    """Return the first names of a number of files, and how many there are more.

    Example:
        >>> some_of(["a.png", "b.png", "c.png"], 5)
        'a.png, b.png, c.png and 2 more'
    """
    more = number - len(names)
    return f"{', '.join(names)}{f' and {more:,} more' if more else ''}"


def plain_text_advice(paths: Iterable[str], read: Callable[[str, int], bytes] | None) -> str:
    """Return what to type where files of unknown suffixes, such as programs, begin as text."""
    suffixes = {
        PurePosixPath(path).suffix
        for path in paths
        if read is not None and kind_by_name(path) is None and _is_text(read(path, _BEGUN))
    }
    if not suffixes:
        return ""
    kinds = ", ".join(sorted(display_name(one) or "no suffix" for one in suffixes))
    return f" Those that begin as plain text ({kinds}) are read as such with: --format txt"
