from __future__ import annotations

from typing import Any

import pytest

from phonebank.accounts.models import User
from phonebank.whatsappapi.models import GatewayAccount, WaSenderSession
from tests.services.conftest import plans

__all__ = ["plans"]


@pytest.fixture
def user(plans: None) -> User:
    return User.objects.create_user("alice@example.org", plan="pro")


@pytest.fixture
def stranger(plans: None) -> User:
    return User.objects.create_user("charlie@example.org", plan="pro")


def make(user: User, name: str, **fields: Any) -> WaSenderSession:
    """A connected session of an account of its own."""
    account = GatewayAccount.objects.create(user=user, name=name, base_url="http://127.0.0.1:9/api", token="t")
    values = {"phone_number": "+12125550100", "status": "connected", "api_key": "a key"}
    return WaSenderSession.objects.create(user=user, account=account, session_name=name, **values | fields)
