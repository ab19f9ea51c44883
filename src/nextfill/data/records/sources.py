"""Sources of records: built-in corpora, files of this machine or elsewhere, data sets on the Hub.

A `Source` can be read any number of times, and its fingerprint identifies its records, so that work
done on them can be found again. Nothing is read into memory whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from nextfill.config import Format, TxtMode
from nextfill.config.command_line.several_names import joined_names
from nextfill.config.prefixes import BUILTIN, LIVE
from nextfill.core.errors import DataError
from nextfill.core.hub_client import parse_dataset
from nextfill.core.paths import STANDARD_INPUT, is_address, nearest_path, user_path
from nextfill.core.url_redaction import redacted
from nextfill.data.document import Source
from nextfill.data.records.builtin_corpora import open_builtin
from nextfill.data.records.file_source import FileRequest, open_files
from nextfill.data.records.files import display_name, input_digest, live_name
from nextfill.data.records.formats.file_formats import readable_formats
from nextfill.data.records.formats.text_encodings import UTF8, checked_encoding
from nextfill.data.records.local_files import files_by_split, find_files, is_path
from nextfill.data.records.python_data.dataset_splits import TRAIN
from nextfill.data.records.python_data.live_records import open_held
from nextfill.data.records.remote_files import files_at

_FILE_SCHEME = "file://"


def open_source(
    spec: str,
    *,
    split: str | None = None,
    txt: TxtMode | None = None,
    text_field: str | None = None,
    keep: Sequence[str] = (),
    format: Format | None = None,  # noqa: A002 - its name everywhere else
    encoding: str | None = None,
    streaming: bool = False,
    peek: bool = False,
    unread: bool = False,
    strings_only: bool = False,
) -> Source:
    """Find the source that a ``--data`` argument names, and check that it can be read.

    Files are read once for the fingerprint, but not to ``peek``, where it stands for nothing, and
    records have all of their fields; nor ``unread``, where they are told from others by their
    places, sizes and times. With ``strings_only`` numbers beyond 64 bits may be rounded.
    """
    if encoding is not None:
        checked_encoding(encoding)
    if spec.startswith(BUILTIN):
        return open_builtin(spec, split)
    if spec.startswith(LIVE):
        return open_held(spec, split)
    fields = (text_field, *keep) if text_field else ()
    wanted = split, txt, fields, tuple(keep), peek, unread, strings_only
    opened = partial(open_files, FileRequest(*wanted))
    if is_address(spec) and not spec.lower().startswith(_FILE_SCHEME):
        name = display_name(redacted(spec))
        return opened(name, {TRAIN: files_at(spec, format)}, encoding=encoding)
    if spec == STANDARD_INPUT:
        from nextfill.data.records.python_data.input_files import copy_to_cache
        from nextfill.data.store.store_cache import cache_dir

        spec = str(copy_to_cache(spec, cache_dir(), format))
    at = len(_FILE_SCHEME) if spec.lower().startswith(_FILE_SCHEME) else 0
    path = user_path(spec[at:], "--data")
    if is_path(spec, path):
        if splits := files_by_split(spec, path, format):
            return opened(display_name(spec), splits, encoding=encoding)
        name, files = find_files(spec, path, format)
        live, content = live_name(path) is not None, input_digest(path)
        encoding = UTF8 if live else encoding
        return opened(name, {TRAIN: files}, encoding=encoding, live=live, content=content)
    if several := joined_names("--data", spec):
        raise DataError(several)
    if (dataset := parse_dataset(spec)) is None:
        hint = f"{nearest_path(path)} {readable_formats()}"
        raise DataError(f"--data {display_name(spec)!r} is neither a file nor a Hub id.{hint}")
    from nextfill.data.records.hub_datasets import open_hub

    return open_hub(dataset, split, () if peek else fields, streaming=streaming)


def pinned(spec: str) -> str:
    """Return a ``--data`` argument, a data set of the Hub with its present commit.

    Anything else comes back as it is, and so does a data set while the Hub is out of reach.
    """
    elsewhere = spec.startswith((BUILTIN, LIVE)) or spec == STANDARD_INPUT or is_address(spec)
    if elsewhere or is_path(spec, user_path(spec, "--data")):
        return spec
    name = parse_dataset(spec)
    if name is None or name.is_pinned:
        return spec
    from nextfill.data.records.hub_datasets import pin

    return str(pin(name))
