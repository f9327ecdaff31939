"""Pages of session templates, from saving one to the codes of its sessions."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from phonebank.whatsappapi.models import SessionGroup, SessionTemplate, TemplatedSession, WaSenderSession
from phonebank.whatsappapi.services import gateways
from tests.services.conftest import Sandbox
from tests.views.conftest import Desk

pytestmark = pytest.mark.django_db(transaction=True)
URL = "/whatsappapi/session-templates/"


def test_from_a_template_to_linked_sessions(desk: Desk, sandbox: Sandbox) -> None:
    desk.account.delete()
    account = gateways.ensure_sandbox_account(owner=desk.user, url=sandbox.url, token=sandbox.token)
    group = SessionGroup.objects.create(user=desk.user, name="Shops")
    assert "No session templates yet" in desk.client.get(URL).text
    given = {
        "name": "Shop",
        "naming": "Shop {n}",
        "daily_limit": "200",
        "log_messages": "on",
        "groups": group.public_id,
    }
    saved = desk.client.post(f"{URL}add/", given)
    template = SessionTemplate.objects.get()
    here = f"{URL}{template.public_id}/"
    assert saved.url == here and not template.account_protection
    assert "With <bdi" in desk.client.get("/whatsappapi/create-session/").text
    made = desk.client.post(
        f"{here}create/", {"account": account.public_id, "numbers": "+1 212 555 0100\r\n\r\nno\r\n+1 212 555 0101\r\n"}
    )
    assert "2 of 3 created" in made.text and "Shop 2" in made.text
    first, second = WaSenderSession.objects.order_by("pk")
    page = desk.client.get(f"{here}link/")
    assert "0 of 2 linked" in page.text and "Show the code of" in page.text
    asked = desk.client.post(f"{here}link/", {"s": first.public_id})
    assert asked.url.endswith(f"?s={first.public_id}")
    page = desk.client.get(asked.url)
    assert "Scan this code with the phone" in page.text and page.context["next"] == second
    sandbox.link(first.wasender_id, lambda: "1 of 2 linked" in desk.client.get(asked.url).text)
    changed = given | {"daily_limit": "100"}
    assert desk.client.post(here, changed).status_code == 302
    page = desk.client.get(here)
    assert "2 of 2 differ" in page.text and "200" in page.text
    followed = desk.client.post(f"{here}follow/", {"pick": [first.public_id, "nonsense"]}, follow=True)
    assert "1 of 2 differs" in followed.text
    assert desk.client.post(f"{here}delete/").url == URL
    assert WaSenderSession.objects.filter(deleted_at=None).count() == 2


def test_what_is_wrong_is_told_beside_it(desk: Desk) -> None:
    page = desk.client.post(f"{URL}add/", {"name": "Shop", "naming": "Shop"})
    assert page.status_code == 422 and "Write {n} once" in page.text
    template = SessionTemplate.objects.create(user=desk.user, name="Shop")
    many = "\n".join(f"+1212555{i:04d}" for i in range(21))
    page = desk.client.post(f"{URL}{template.public_id}/create/", {"account": desk.account.public_id, "numbers": many})
    assert page.status_code == 422 and "At most 20 numbers" in page.text


def test_somebody_elses_template_is_not_there(desk: Desk, other: Desk) -> None:
    theirs = SessionTemplate.objects.create(user=other.user, name="Secret")
    row = other.session()
    TemplatedSession.objects.create(session=row, template=theirs)
    here = f"{URL}{theirs.public_id}/"
    for page in ("", "create/", "link/"):
        assert desk.client.get(here + page).status_code == 404
        assert other.client.get(here + page).status_code == 200
    for verb in ("", "create/", "link/", "follow/", "delete/"):
        assert desk.client.post(here + verb, {"name": "Mine", "s": row.public_id}).status_code == 404
    mine = SessionTemplate.objects.create(user=desk.user, name="Mine")
    assert desk.client.post(f"{URL}{mine.public_id}/link/", {"s": row.public_id}).status_code == 404
    desk.client.post(f"{URL}{mine.public_id}/follow/", {"pick": row.public_id})
    assert TemplatedSession.objects.get().wanted_at is None
    assert "Secret" not in desk.client.get(URL).text
    assert SessionTemplate.objects.get(pk=theirs.pk).name == "Secret"


def test_more_sessions_ask_no_more_questions(desk: Desk, make_desk: Callable[[str], Desk]) -> None:
    counted = []
    for one, many in ((desk, 2), (make_desk("big@example.org"), 20)):
        template = SessionTemplate.objects.create(user=one.user, name="Shop", daily_limit=5)
        template.groups.set([SessionGroup.objects.create(user=one.user, name="Shops")])
        for _ in range(many):
            TemplatedSession.objects.create(session=one.session(), template=template)
        asked = []
        for page in ("", f"{template.public_id}/", f"{template.public_id}/link/", f"{template.public_id}/create/"):
            with CaptureQueriesContext(connection) as found:
                assert one.client.get(URL + page).status_code == 200
            asked.append(len(found))
        counted.append(asked)
    assert counted[0] == counted[1]
