"""Keys that nobody set."""

from __future__ import annotations

from pathlib import Path

from phonebank.config import keys


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    made = keys.secret_key(tmp_path / "new")
    assert len(made) > 60 and made == keys.secret_key(tmp_path / "new") != keys.secret_key(tmp_path / "other")
    [path] = (tmp_path / "new").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600


def test_two_first_starts_agree_on_one_key(tmp_path: Path) -> None:
    path = tmp_path / "key"

    def make() -> str:
        path.write_text("of the other one\n")
        return "mine"

    assert keys._keep(path, make) == "of the other one"
    assert list(tmp_path.iterdir()) == [path]
