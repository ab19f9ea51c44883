"""What prepares: this process, or Ray's workers; what is refused before any text is read."""

from __future__ import annotations

import importlib.util

import pytest

import nextfill
from nextfill.cli.main import main
from nextfill.core.errors import ConfigError

HAS_RAY = importlib.util.find_spec("ray") is not None


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--workers", "2"], "--workers is for Ray, and this process prepares by itself: add"),
        (["--ray-address", "auto"], "--ray-address is for Ray, and this process prepares by"),
        (["--engine", "ray", "--workers", "2", "--ray-address", "auto"], "has the workers that it"),
        (["--engine", "dask"], "--engine"),
        (["--engine", "ray", "--workers", "0"], "--workers"),
    ],
)
def test_what_nothing_would_heed_is_refused(words, told, capsys):
    assert main(["prepare", *words]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.skipif(HAS_RAY, reason="Ray is installed")
def test_without_ray_it_says_what_to_install(capsys):
    assert main(["prepare", "--engine", "ray"]) == 2
    assert "pip install 'nextfill[ray]'" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="needs a library that is not here"):
        nextfill.prepare(engine="ray")
