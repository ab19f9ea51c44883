"""The folder of a model of the Hub: fetched, or found in the local cache."""

from __future__ import annotations

import os
from pathlib import Path

from nextfill.core.errors import HubError, ModelError, UnreachableModelError
from nextfill.core.hub_client import patient_hub
from nextfill.core.model_folders import run_of_name
from nextfill.core.paths import nearest_path

_FETCHED_SUFFIXES = (".json", ".safetensors", ".txt", ".model", ".jinja")
_HUB_TIMEOUT_S = 10.0

WELL_KNOWN = (
    "openai-community/gpt2",
    "openai-community/gpt2-medium",
    "openai-community/gpt2-large",
    "openai-community/gpt2-xl",
    "distilbert/distilgpt2",
    "distilbert/distilroberta-base",
    "distilbert/distilbert-base-uncased",
    "google-bert/bert-base-uncased",
    "google-bert/bert-base-cased",
    "google-bert/bert-base-multilingual-cased",
    "FacebookAI/roberta-base",
    "FacebookAI/roberta-large",
    "FacebookAI/xlm-roberta-base",
    "albert/albert-base-v2",
    "answerdotai/ModernBERT-base",
)
"""Models of the guides and of many examples, for hints at their names."""


def hub_folder(name: str, revision: str | None, kind: str, called: str) -> tuple[Path, str | None]:
    """Return the folder of a model or tokenizer of the Hub, and its revision.

    Args:
        name: The Hub id.
        revision: A branch, tag or commit; None for the newest.
        kind: ``tokenizer`` leaves the weights out.
        called: The noun for it in messages.
    """
    import httpx2
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        with patient_hub():
            info = HfApi().model_info(name, revision=revision, timeout=_HUB_TIMEOUT_S)
            files = [s.rfilename for s in info.siblings or [] if "/" not in s.rfilename]
            files = [f for f in files if f.endswith(_FETCHED_SUFFIXES)]
            if kind == "tokenizer":
                files = [f for f in files if not f.endswith(".safetensors")]
            folder = snapshot_download(name, revision=info.sha, allow_patterns=files)
            return Path(folder), info.sha
    except HFValidationError as error:
        raise ModelError(f"'{name}' is not a Hub id: {error}") from error
    except GatedRepoError as error:
        raise ModelError(
            f"{name} is gated: accept its terms on the Hub in a browser, then set HF_TOKEN."
        ) from error
    except RevisionNotFoundError as error:
        raise ModelError(f"{name} has no revision '{revision}' on the Hub.") from error
    except RepositoryNotFoundError as error:
        raise ModelError(
            f"There is no {called} {name} on the Hub, or it is private: check the spelling, or set "
            f"HF_TOKEN to a token that may read it.{name_nearby(name)}"
        ) from error
    except (httpx2.TransportError, OfflineModeIsEnabled, HfHubHTTPError, HubError) as error:
        cause = "HF_HUB_OFFLINE is set" if os.environ.get("HF_HUB_OFFLINE") else f"{error}"
        try:
            folder = snapshot_download(name, revision=revision, local_files_only=True)
        except LocalEntryNotFoundError:
            raise UnreachableModelError(
                f"There is no folder {name} here.{name_nearby(name)} Nor is there a {called} of "
                f"that name in the local cache, and the Hub cannot be reached ({cause}). Connect, "
                "or give a folder, or builtin:base-causal or builtin:base-masked, which need no "
                "network."
            ) from error
        return Path(folder), Path(folder).name


def name_nearby(name: str) -> str:
    """Return a hint at a local folder, or at a well-known model, for a mistyped name."""
    owner, _, last = name.rpartition("/")
    known = [one for one in WELL_KNOWN if owner in ("", one.partition("/")[0])]
    meant = [one for one in known if _letters(one.partition("/")[2]) == _letters(last)]
    hint = f" Did you mean '{meant[0]}'?" if meant and name != meant[0] else ""
    return run_of_name(name) or nearest_path(Path(name), folders_only=True) or hint


def _letters(name: str) -> str:
    """Return a name's letters and digits, in which gpt-2 and GPT2 are the same."""
    return "".join(filter(str.isalnum, name.lower()))
