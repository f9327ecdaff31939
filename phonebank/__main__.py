"""The console script `phonebank` (and manage.py): Django's commands and ours, with the database they need."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """`phonebank login-link` and `login_link` are one command; `phonebank` alone lists them."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "phonebank.config.settings")
    if len(sys.argv) > 1:
        sys.argv[1] = sys.argv[1].replace("-", "_") if not sys.argv[1].startswith("-") else sys.argv[1]
    from phonebank.config.launch import with_database

    sys.exit(with_database(sys.argv))


if __name__ == "__main__":
    main()
