"""The analytics page as people see it: with a year of figures, of one session, with nothing. Session templates too."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import expect

from phonebank.whatsappapi.management.bench.analytics import fill
from phonebank.whatsappapi.models import SessionTemplate, TemplatedSession, WaSenderSession
from tests.scenes.conftest import Scene

from .conftest import CORNERS, JOURNEY, Visitor, look

pytestmark = JOURNEY


def test_a_year_of_figures_and_a_template_for_two_sessions(scene: Scene, visit: Callable[[], Visitor]) -> None:
    me = visit()
    me.log_in(scene)
    wrong = look(me, {"/whatsappapi/analytics/": "Nothing was sent yet"}, CORNERS)
    linked = scene.link(2)
    first = linked[0]
    scene.kill("send")  # or it would count anew what is made up here
    fill([one.pk for one in linked], 365)
    wrong += look(
        me,
        {
            "/whatsappapi/analytics/": "Sessions beside each other",
            "/whatsappapi/analytics/?range=365": "Why messages failed",
            f"/whatsappapi/analytics/?range=30&of=s:{first.public_id}": "Connection",
        },
        CORNERS,
    )
    page = me.goto("/whatsappapi/analytics/?range=30")
    for name in ("Messages by day", "Messages by hour of the day", "Deliveries by the time they took"):
        expect(page.get_by_role("img", name=name).locator("svg path").first).to_be_attached()
    page.locator("#of").select_option(label=first.session_name)
    page.get_by_label("Time", exact=True).select_option("90 days")
    me.press("Show")
    expect(page.locator("main")).to_contain_text(f"{first.session_name}, ")
    wrong += make_two_with_a_template(scene, me, first)
    assert wrong == [] and me.problems == []


def make_two_with_a_template(scene: Scene, me: Visitor, first: WaSenderSession) -> list[str]:
    """What is wrong with the pages on the way from a template to two codes."""
    template = SessionTemplate.objects.create(user=scene.user, name="Shop", naming="Shop {n}", daily_limit=200)
    TemplatedSession.objects.create(session=first, template=template)
    here = f"/whatsappapi/session-templates/{template.public_id}/"
    wrong = look(
        me,
        {
            "/whatsappapi/session-templates/": "named Shop {n}",
            here: "1 of 1 differs from it",
            f"{here}create/": "Up to 20 at a time",
            f"{here}link/": "1 of 1 linked",
        },
        CORNERS,
    )
    page = me.goto(f"{here}create/")
    page.get_by_label("Phone numbers").fill("+1 646 555 0107\nno number\n+1 646 555 0108")
    me.press("Create")
    expect(page.get_by_role("heading", name="2 of 3 created")).to_be_visible()
    page.get_by_role("link", name="Link them one after another").click()
    me.press("Show the code of Shop 1")
    expect(page.get_by_role("img", name="QR code")).to_be_visible()
    me.press("Go on with Shop 2")
    expect(page.get_by_role("heading", name="Shop 2")).to_be_visible()
    return wrong
