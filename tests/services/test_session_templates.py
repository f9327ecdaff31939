"""Session templates against the sandbox: many at once under every limit, and who follows a change."""

from __future__ import annotations

import pytest

from phonebank.accounts.models import User
from phonebank.audit.models import Event
from phonebank.whatsappapi.models import (
    GatewayAccount,
    SessionGroup,
    SessionTemplate,
    TemplatedSession,
    WaSenderSession,
)
from phonebank.whatsappapi.services import gateways, session_templates
from phonebank.whatsappapi.services.errors import ServiceError

from .conftest import Sandbox

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def account(user: User, sandbox: Sandbox) -> GatewayAccount:
    return gateways.ensure_sandbox_account(owner=user, url=sandbox.url, token=sandbox.token)


@pytest.fixture
def group(user: User) -> SessionGroup:
    return SessionGroup.objects.create(user=user, name="Shops")


@pytest.fixture
def template(user: User, group: SessionGroup) -> SessionTemplate:
    return session_templates.create(
        actor=user, name="Shop", naming="Shop {n}", daily_limit=200, account_protection=False, groups=[group]
    )


def numbers(n: int) -> list[str]:
    return [f"+1212555010{i}" for i in range(n)]


def test_one_for_each_number_until_the_plan_is_full(
    user: User, account: GatewayAccount, template: SessionTemplate, sandbox: Sandbox
) -> None:
    asked = ["+1 212 555 0100", "nonsense", "+12125550100", "", *numbers(6)[1:]]
    made = session_templates.create_sessions(actor=user, template=template, account=account, numbers=asked)
    assert [one.wa_session.session_name if one.wa_session else "" for one in made] == [
        "Shop 1", "", "", "Shop 2", "Shop 3", "Shop 4", "Shop 5", "",
    ]  # fmt: skip
    errors = [one.error for one in made]
    assert "already have a session with this number" in errors[2] and "Your plan allows 5" in errors[-1]
    rows = WaSenderSession.objects.filter(user=user)
    assert {(one.daily_limit, one.account_protection, one.log_messages) for one in rows} == {(200, False, True)}
    assert [one["account_protection"] for one in sandbox.sessions()] == [False] * 5
    assert template.groups.get().sessions.count() == template.uses.count() == 5
    assert session_templates.differences(template) == []


def test_the_hours_limit_holds(
    user: User, account: GatewayAccount, template: SessionTemplate, settings: pytest.FixtureRequest
) -> None:
    settings.SESSIONS_PER_HOUR = 2
    made = session_templates.create_sessions(actor=user, template=template, account=account, numbers=numbers(3))
    assert [bool(one.wa_session) for one in made] == [True, True, False]
    assert "within an hour" in made[2].error


def test_who_follows_a_change(
    user: User, account: GatewayAccount, template: SessionTemplate, group: SessionGroup, sandbox: Sandbox
) -> None:
    made = session_templates.create_sessions(actor=user, template=template, account=account, numbers=numbers(5))
    rows = [one.wa_session for one in made]
    second = SessionGroup.objects.create(user=user, name="North")
    template = session_templates.update(
        actor=user, template=template, daily_limit=300, account_protection=True, groups=[group, second]
    )
    assert set(WaSenderSession.objects.values_list("daily_limit", flat=True)) == {200}
    told = session_templates.differences(template)[0].changes
    assert told == {
        "daily_limit": (200, 300), "account_protection": (False, True), "groups": (["Shops"], ["North", "Shops"]),
    }  # fmt: skip
    assert session_templates.follow(actor=user, template=template, wa_sessions=rows[:1]) == 1
    left = {one.wa_session.pk for one in session_templates.differences(template)}
    assert left == {one.pk for one in rows[1:]}
    assert [one["account_protection"] for one in sandbox.sessions()].count(True) == 1
    session_templates.follow(actor=user, template=template, wa_sessions=rows[1:])  # many: by the job
    assert TemplatedSession.objects.exclude(wanted_at=None).count() == 4
    assert session_templates.follow_wanted() == 4 and session_templates.follow_wanted() == 0
    assert session_templates.differences(template) == []
    assert Event.objects.filter(verb="session.changed").count() == 5
    assert Event.objects.filter(verb="session_template.followed").count() == 2


def test_one_that_cannot_follow_says_why(
    user: User, account: GatewayAccount, template: SessionTemplate, sandbox: Sandbox
) -> None:
    [made] = session_templates.create_sessions(actor=user, template=template, account=account, numbers=numbers(1))
    template = session_templates.update(actor=user, template=template, log_messages=False)
    sandbox.fault("error", "*", status=500)
    session_templates.follow(actor=user, template=template, wa_sessions=[made.wa_session])
    sandbox.pull("DELETE", "/faults")
    [left] = session_templates.differences(template)
    assert left.note and not left.is_wanted and left.changes == {"log_messages": (True, False)}


@pytest.mark.parametrize(
    ("given", "code"),
    [({"name": " "}, "name"), ({"name": "SHOP"}, "name_taken"), ({"naming": "Shop"}, "naming"),
     ({"naming": "{n}{n}"}, "naming"), ({"daily_limit": 100_000}, "daily_limit")],
)  # fmt: skip
def test_what_is_refused(given: dict[str, object], code: str, user: User, template: SessionTemplate) -> None:
    with pytest.raises(ServiceError) as error:
        session_templates.create(actor=user, **({"name": "Other"} | given))
    assert error.value.code == code and SessionTemplate.objects.count() == 1


def test_other_peoples(user: User, stranger: User, account: GatewayAccount, template: SessionTemplate) -> None:
    [made] = session_templates.create_sessions(actor=user, template=template, account=account, numbers=numbers(1))
    own = session_templates.create(actor=stranger, name="Mine")
    group = template.groups.get()
    for act in (
        lambda: session_templates.update(actor=stranger, template=template, name="x"),
        lambda: session_templates.delete(actor=stranger, template=template),
        lambda: session_templates.follow(actor=stranger, template=own, wa_sessions=[made.wa_session]),
        lambda: session_templates.create(actor=stranger, name="x", groups=[group]),
        lambda: session_templates.create_sessions(actor=stranger, template=template, account=account, numbers=["+1"]),
    ):
        with pytest.raises(ServiceError) as error:
            act()
        assert error.value.code == "not_found"
