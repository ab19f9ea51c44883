"""Letters and marks beyond ASCII of the languages that legacy encodings were made for."""

from __future__ import annotations

import re
import unicodedata

BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")
_LETTERS = {
    name: frozenset(letters + letters.upper())
    for name, letters in {
        "German": "äöüß",
        "French": "àâæçéèêëîïôœùûüÿ",
        "Spanish": "áéíóúüñ",
        "Portuguese": "áâãàçéêíóôõúü",
        "Italian": "àèéìíòóù",
        "Nordic": "åäöøæéðþáíóúý",
        "Dutch": "éëïóöüèáê",
        "Polish": "ąćęłńóśźż",
        "Czech and Slovak": "áčďéěíňóřšťúůýžäĺľŕô",
        "Hungarian": "áéíóöőúüű",
        "Romanian": "ăâîșțşţ",
        "Croatian and Slovene": "čćđšž",
        "Turkish": "çğıöşüâîûİ",
        "Baltic": "āčēģīķļņšūžąęėįųõäöü",
        "Russian": "абвгдеёжзийклмнопрстуфхцчшщъыьэюя",
        "Ukrainian": "абвгґдеєжзиіїйклмнопрстуфхцчшщьюя",
        "Serbian": "абвгдђежзијклљмнњопрстћуфхцчџш",
        "Greek": "αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώϊϋΐΰ",
        "Hebrew": "אבגדהוזחטיךכלםמןנסעףפץצקרשת",
        "Arabic": "ءآأؤإئابةتثجحخدذرزسشصضطظعغفقكلمنهوىيپچژگًٌٍَُِّْ،؟؛",
    }.items()
}
_MARKS_OF_TEXT = frozenset("“”„‘’–—…«»‹›·¿¡§°€£©®ºª½¼¾²³×•™№\u00a0")  # noqa: RUF001
_INSIDE_WORDS = frozenset("’·")  # noqa: RUF001


def plausibility(text: str) -> float:
    """Return the share of characters beyond ASCII that some language has where they stand.

    Example:
        >>> plausibility("ein M\u00e4dchen h\u00f6rt"), plausibility("ein M\u00cadchen h\u2206rt")
        (1.0, 0.5)
    """
    return _shares(text)[0]


def plausible_letters(text: str) -> float:
    """Return the share of letters beyond ASCII that some language has where they stand.

    Quotes and dashes are the same in many encodings, and tell nothing: a text without a letter
    beyond ASCII is plausible.

    Example:
        >>> plausible_letters("\u201ccaf\u00e9\u201d"), plausible_letters("\u201ccaf\u0439\u201d")
        (1.0, 0.0)
    """
    return _shares(text)[1]


def _shares(text: str) -> tuple[float, float]:
    """Return the plausible shares of all characters beyond ASCII, and of those but marks."""
    letters: list[str] = []
    marks = wrong = 0
    for found in BEYOND_ASCII.finditer(text):
        char, at = found[0], found.start()
        before, after = text[at - 1 : at], text[at + 1 : at + 2]
        if char in _MARKS_OF_TEXT:
            inside = before.isalpha() and after.isalpha() and char not in _INSIDE_WORDS
            marks, wrong = marks + (not inside), wrong + inside
        elif _is_no_letter(char) or _clashes(before, char) or _clashes(char, after):
            wrong += 1
        else:
            letters.append(char)
    total = marks + wrong + len(letters)
    most = max(sum(char in known for char in letters) for known in _LETTERS.values())
    others = total - marks
    return (most + marks) / total if total else 0.0, most / others if others else 1.0


def has_latin(text: str) -> bool:
    """Check for a Latin letter beyond ASCII."""
    return any(char.isalpha() and _is_latin(char) for char in BEYOND_ASCII.findall(text))


def _is_no_letter(char: str) -> bool:
    return not char.isalpha() and not unicodedata.combining(char)


def _clashes(first: str, second: str) -> bool:
    """Check for two letters that no word has side by side: of two scripts, or aB."""
    if not (first.isalpha() and second.isalpha()):
        return False
    if first.islower() and second.isupper():
        return True
    return _is_latin(first) != _is_latin(second)


def _is_latin(char: str) -> bool:
    return char < "\u0250" or "\u1e00" <= char < "\u1f00"
