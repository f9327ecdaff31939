"""Jobs by name: once, in the caller's transaction."""

from __future__ import annotations

import pytest
from django.db import transaction

from phonebank import jobs
from phonebank.accounts.models import User
from tests.reference import restore


@pytest.mark.django_db(transaction=True)
def test_a_job_that_waits_already_does_not_end_the_callers_transaction() -> None:
    restore()
    assert jobs.defer("cancel_rows", lock="deal:1", once="deal:1", campaign=1)
    with transaction.atomic():
        User.objects.create_user("kept@example.com")
        assert not jobs.defer("cancel_rows", lock="deal:1", once="deal:1", campaign=1)
    assert User.objects.filter(email="kept@example.com").exists()
    assert jobs.is_there("deal:1")
