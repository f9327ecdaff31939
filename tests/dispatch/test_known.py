"""A sending process lives for a year: what it keeps of campaigns and files does not gather."""

from __future__ import annotations

import time

import pytest

from phonebank.whatsappapi.dispatch import claim
from phonebank.whatsappapi.dispatch.claim import Bodies
from phonebank.whatsappapi.dispatch.media import Files, Media
from phonebank.whatsappapi.models import Campaign
from tests.dispatch.bench import Bench


def test_texts_of_campaigns_long_over_are_forgotten(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "KNOWN", 3)
    made = [
        Campaign.objects.create(
            user=bench.user, name=f"Week {i}", body=f"Text {i}", state="completed", media_kind="image",
            media_url="https://files.example/a.jpg",
        )
        for i in range(8)
    ]  # fmt: skip
    bodies = Bodies()
    for one in made:
        bench.run(bodies.load(bench.conn, {one.pk, made[0].pk}))
        assert bodies[one.pk] == one.body and bodies[made[0].pk] == "Text 0"
        assert len(bodies) == len(bodies.media) <= 3
    ids = {one.pk for one in made}
    bench.run(bodies.load(bench.conn, ids))
    assert bodies.keys() == ids


def test_links_of_files_that_are_over_are_forgotten(bench: Bench) -> None:
    files, now = Files(), time.monotonic()
    files._links = {("file:old", "g"): ("https://g/old", now - 1), ("file:new", "g"): ("https://g/new", now + 1000)}
    wanted = Media("image", "file:00000000-0000-4000-8000-000000000000")
    bench.run(files.load(bench.conn, [(wanted, 1)]))
    assert list(files._links) == [("file:new", "g")]
