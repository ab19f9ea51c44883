"""Names of repositories: what cannot be one is refused, with a hint where it is something else."""

from __future__ import annotations

import pytest

from nextfill.core.errors import ConfigError
from nextfill.hub.account import check_name


def test_only_a_folder_is_taken_for_a_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "notes.txt").write_text("Notes.")
    expected = {"run": True, "notes.txt": False, "absent": False, "word" * 1000: False}
    for name, is_run in expected.items():
        with pytest.raises(ConfigError, match="expected USER/NAME") as refused:
            check_name(name)
        assert ("The run comes first: nextfill share" in str(refused.value)) == is_run, name
