from __future__ import annotations

import pytest

from nextfill.data.corpora.docstrings import entries


def read(source: str, path: str = "pack/mod.py") -> dict[str, tuple[str, ...]]:
    return {entry.title: entry.texts for entry in entries(source.encode(), path)}


def test_nested_and_conditional_definitions_are_found_in_source_order() -> None:
    source = '''
"""What this module is good for."""
try:
    import x
except ImportError:
    def fallback():
        """Used when x is not there."""
if True:
    class Outer:
        """The outer class of the two."""
        class Inner:
            """The inner class of the two."""
            async def work(self):
                """Work on the inner thing."""
        def first(self):
            """The first method there is."""
        def short(self):
            """Too short."""
'''
    assert read(source) == {
        "pack.mod": ("What this module is good for.",),
        "pack.mod.fallback": ("Used when x is not there.",),
        "pack.mod.Outer": ("The outer class of the two.", "The first method there is."),
        "pack.mod.Outer.Inner": ("The inner class of the two.", "Work on the inner thing."),
    }


def test_put_together_docstrings_are_filled_in_and_unknown_lines_dropped() -> None:
    source = '''
common = parse_kwargs("""
    input (Tensor): the input tensor.
    dim (int): the dimension
        to reduce.
""")
both = merge_dicts(common, {"note": "A note at the end."})
add_docstr(torch.abs, r"""
abs(input) -> Tensor {{literal}}

Args:
    {input}
    {dim}
    {nobody_knows}

{note}
""".format(**both))
fft = _add_docstr(_fft.fft_fft, "Computes the one dimensional transform.")
add_newdoc("numpy", "flatiter", ("base", "A reference to the array iterated over."))
Adam.__doc__ = "Implements the algorithm.\\n" + f"It has {flags} switches.\\n" + "And an end."
'''
    assert read(source) == {
        "torch.abs": (
            "abs(input) -> Tensor {literal}\n\nArgs:\n    input (Tensor): the input tensor.\n"
            "    dim (int): the dimension\n        to reduce.\n\nA note at the end.",
        ),
        "pack.mod.fft": ("Computes the one dimensional transform.",),
        "numpy.flatiter.base": ("A reference to the array iterated over.",),
        "pack.mod.Adam": ("Implements the algorithm.\nAnd an end.",),
    }


def test_topics_are_units_of_their_own() -> None:
    source = 'topics = {"assert": "The assert statement is this.", "bad": "Too short."}\n'
    title = "pydoc_data.topics.assert"
    found = entries(source.encode(), "pydoc_data/topics.py")
    assert [(entry.unit, entry.title, entry.line) for entry in found] == [(title, title, 1)]
    assert read(source, "other/topics.py") == {}


@pytest.mark.parametrize("source", [b"def (:", b"\0"])
def test_what_is_not_python_is_refused(source: bytes) -> None:
    with pytest.raises((SyntaxError, ValueError)):
        entries(source, "pack/mod.py")


def test_other_peoples_warnings_are_not_shown() -> None:
    assert read(r'"A docstring with an invalid escape: \d."')
