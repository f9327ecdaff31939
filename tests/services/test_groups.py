from __future__ import annotations

import pytest

from phonebank.accounts.models import User
from phonebank.audit.models import Event
from phonebank.whatsappapi.models import GatewayAccount, SessionGroup, WaSenderSession
from phonebank.whatsappapi.services import groups
from phonebank.whatsappapi.services.errors import ServiceError
from tests.services.conftest import make_session

pytestmark = pytest.mark.django_db


@pytest.fixture
def theirs(stranger: User) -> WaSenderSession:
    account = GatewayAccount.objects.create(user=stranger, name="Theirs", base_url="http://127.0.0.1:9/api")
    return make_session(account, "b2" * 32, "d00d" * 8)


def test_names_are_unique_whatever_their_case(user: User, stranger: User) -> None:
    group = groups.create_group(actor=user, name="  North   shops ", colour="pink")
    assert (group.name, group.colour) == ("North shops", "pink")
    with pytest.raises(ServiceError) as error:
        groups.create_group(actor=user, name="NORTH SHOPS")
    assert error.value.code == "name_taken"
    groups.create_group(actor=stranger, name="North shops")
    other = groups.create_group(actor=user, name="South")
    with pytest.raises(ServiceError):
        groups.update_group(actor=user, group=other, name="north shops")
    assert groups.update_group(actor=user, group=group, name="NORTH shops").name == "NORTH shops"
    for name in ("", "  ", "a\x00b", "x" * 61):
        with pytest.raises(ServiceError):
            groups.create_group(actor=user, name=name)
    with pytest.raises(ServiceError):
        groups.update_group(actor=user, group=group, colour="green")


def test_members_and_size(user: User, account: GatewayAccount, linked: WaSenderSession) -> None:
    second = make_session(account, "b2" * 32, "d00d" * 8)
    group = groups.create_group(actor=user, name="Shops", wa_sessions=[linked, second])
    assert groups.groups_of(user).get().size == 2
    WaSenderSession.objects.filter(pk=second.pk).update(deleted_at="2026-11-01T00:00Z")
    assert groups.groups_of(user).get().size == 1
    groups.update_group(actor=user, group=group, colour="cyan")
    assert set(group.sessions.all()) == {linked, second}  # who is in it was not touched
    groups.set_groups(actor=user, wa_session=linked, groups=[])
    assert groups.groups_of(user).get().size == 0
    assert list(Event.objects.order_by("id").values_list("verb", flat=True)) == [
        "group.created", "group.changed", "session.grouped",
    ]  # fmt: skip
    groups.delete_group(actor=user, group=group)
    assert WaSenderSession.objects.count() == 2 and not SessionGroup.objects.exists()


def test_foreign_sessions_and_groups_change_nothing(
    user: User, stranger: User, linked: WaSenderSession, theirs: WaSenderSession
) -> None:
    group = groups.create_group(actor=user, name="Shops", wa_sessions=[linked])
    foreign = groups.create_group(actor=stranger, name="Theirs", wa_sessions=[theirs])
    for verb in (
        lambda: groups.update_group(actor=user, group=group, wa_sessions=[linked, theirs]),
        lambda: groups.create_group(actor=user, name="New", wa_sessions=[theirs]),
        lambda: groups.update_group(actor=user, group=foreign, name="Mine"),
        lambda: groups.delete_group(actor=user, group=foreign),
        lambda: groups.set_groups(actor=user, wa_session=theirs, groups=[]),
        lambda: groups.set_groups(actor=user, wa_session=linked, groups=[foreign]),
    ):
        with pytest.raises(ServiceError) as error:
            verb()
        assert error.value.code == "not_found"
    assert list(group.sessions.all()) == [linked] and list(foreign.sessions.all()) == [theirs]
    assert SessionGroup.objects.count() == 2
