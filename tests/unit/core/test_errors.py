"""No message carries a secret, whoever shows it."""

from __future__ import annotations

import copy

import pytest

from nextfill.core import errors
from nextfill.core.errors import ConfigError, NextfillError, NotSharedError

ADDRESS = "https://me:PLANTED@x.org/a.txt"
KINDS = [one for one in vars(errors).values() if isinstance(one, type)]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if issubclass(kind, NextfillError)])
def test_every_error_hides_the_secrets_of_addresses(kind):
    message = f"{ADDRESS} is not there."
    error = kind([message, message] if kind is ConfigError else message)
    for one in (error, copy.copy(error)):
        assert type(one) is kind
        assert "PLANTED" not in str(one) + repr(one) + repr(one.args)
        assert "https://***@x.org/a.txt is not there." in str(one)


def test_the_problems_of_settings_and_results_stay():
    assert ConfigError([f"a {ADDRESS}"]).problems == ("a https://***@x.org/a.txt",)
    assert NotSharedError("gone", result=3).result == 3
