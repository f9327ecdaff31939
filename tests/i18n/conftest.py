from __future__ import annotations

from tests.accounts.conftest import plans
from tests.services.conftest import _sandbox, sandbox
from tests.views.conftest import make_desk

__all__ = ["_sandbox", "make_desk", "plans", "sandbox"]
