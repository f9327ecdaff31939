"""`python -m phonebank.whatsappapi.management.rig worker|web ...`: a process of a drill.

It is the product's own command, with the points of `hooks.py` and, when asked for, a mutant of `mutants.py` put on.
Only `phonebank drill` starts it; nothing of the product imports it or reads the variables named here.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import django


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "phonebank.config.settings")
    django.setup()
    from django.core.management import call_command

    from phonebank.whatsappapi.management import hooks, mutants

    # Mutants first: points find statements by their text.
    mutants.apply(os.environ.get(mutants.MUTANT, ""), os.environ.get(mutants.HOLD, ""))
    if folder := os.environ.get(hooks.FOLDER):
        hooks.install(Path(folder))
    call_command(*sys.argv[1:])


if __name__ == "__main__":
    main()
