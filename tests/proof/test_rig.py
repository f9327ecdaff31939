"""Points and mutants are put on from outside: they must still fit the code that they are about."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from phonebank.whatsappapi.management import hooks, mutants

PUT_ON = """
import sys, django
django.setup()
from pathlib import Path
from phonebank.whatsappapi.management import hooks, mutants
mutants.apply(sys.argv[1], "")
hooks.install(Path(sys.argv[2]))
"""


@pytest.mark.parametrize("mutant", ["", *mutants.MUTANTS])
def test_it_can_be_put_on(mutant: str, tmp_path: Path) -> None:
    """In a process of its own: nobody takes a mutant off again."""
    env = os.environ | {"DJANGO_SETTINGS_MODULE": "phonebank.config.settings"}
    done = subprocess.run(
        [sys.executable, "-c", PUT_ON, mutant, str(tmp_path)], env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_a_statement_that_has_changed_makes_a_mutant_fail_loudly() -> None:
    with pytest.raises(LookupError, match="brought up to date"):
        mutants._change(hooks, "FOLDER", ("no such text", ""))


def test_only_one_passer_by_meets_a_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    met: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: met.append(number))
    points, reach = hooks.Points(tmp_path / "points"), hooks.Reach(tmp_path / "points")
    reach("claim-")
    points.set("claim-", "stop")
    assert points.waiting() == {"claim-"}
    reach("claim+")
    assert met == []
    reach("claim-")
    reach("claim-")
    assert met == [hooks.ACTS["stop"]]
    assert not points.unset("claim-")


def test_there_are_enough_points() -> None:
    assert len(set(hooks.NAMES)) == len(hooks.NAMES) >= 25
