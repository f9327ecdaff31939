"""The judge of a soak: a leak is seen under noise, and noise is no leak."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from random import Random

import pytest

from phonebank.whatsappapi.management import gauges
from phonebank.whatsappapi.management.gauges import Reading
from phonebank.whatsappapi.management.soak import KEPT, Sample
from phonebank.whatsappapi.management.soak_report import draw
from phonebank.whatsappapi.management.trend import MOST, Trend, trend

HOUR = 3600.0
MIB = 2**20


def run(of_growth: float, *, noise: float = 0.0, peak: float = 0.0) -> Trend:
    """An hour of a process of 100 MiB, looked at every ten seconds; it starts at half and fills in five minutes.

    `of_growth`: MiB an hour. `peak`: MiB more in one look of thirty, at no other.
    """
    chance = Random(7)
    series = []
    for i in range(360):
        at = i * 10.0
        filled = min(1.0, 0.5 + at / 600)
        own = 100 * filled + of_growth * at / HOUR + chance.uniform(-noise, noise) + (peak if i % 30 == 29 else 0)
        series.append((at, own * MIB))
    return trend(series, HOUR)


@pytest.mark.parametrize("growth", [9, 30, 300])
def test_a_leak_is_seen_under_noise(growth: float) -> None:
    assert run(growth).leaks_memory
    assert run(growth, noise=1, peak=40).leaks_memory


@pytest.mark.parametrize("growth", [-20, 0, 4])
def test_noise_peaks_and_what_fills_at_the_beginning_are_no_leak(growth: float) -> None:
    assert not run(growth).leaks_memory
    assert not run(growth, noise=3, peak=40).leaks_memory


def test_the_border_is_the_target() -> None:
    assert MOST == 0.05
    assert not of(100, 105).leaks_memory and of(100, 105.1).leaks_memory
    assert not of(20, 22).leaks_handles and of(20, 23).leaks_handles
    assert of(0, 1).leaks_memory and not of(0, 0).leaks_memory


def test_connections_that_come_and_go_are_no_leak_and_one_kept_now_and_then_is() -> None:
    chance = Random(7)
    moving = [(i * 10.0, 40.0 + chance.randrange(-10, 11)) for i in range(180)]
    assert not trend(moving, HOUR / 2).leaks_handles
    assert trend([(at, n + at // 60) for at, n in moving], HOUR / 2).leaks_handles


def test_rows_that_come_and_go_are_none_that_gather() -> None:
    assert not of(30, 75).gathers_rows(50)
    assert of(30, 85).gathers_rows(50)
    assert not of(10_000, 10_900).gathers_rows(50) and of(10_000, 11_100).gathers_rows(50)


def of(first: float, last: float) -> Trend:
    return Trend(first, last, last)


def test_a_run_without_an_end_is_not_judged() -> None:
    with pytest.raises(ValueError, match="too short"):
        trend([(at, 1.0) for at in range(0, 2000, 10)], HOUR)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_what_a_process_takes_is_read() -> None:
    code = (
        "import sys, threading\n"
        "sys.stdout.write('ready\\n'); sys.stdout.flush(); sys.stdin.readline()\n"
        "kept = b'x' * (32 * 2**20); files = [open('/dev/null') for _ in range(7)]\n"
        "thread = threading.Thread(target=threading.Event().wait, daemon=True); thread.start()\n"
        "sys.stdout.write('taken\\n'); sys.stdout.flush(); sys.stdin.readline()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        before = gauges.read(child.pid)
        child.stdin.write(b"\n")
        child.stdin.flush()
        child.stdout.readline()
        after = gauges.read(child.pid)
        child.stdin.close()
    assert 32 * MIB <= after.private - before.private < 36 * MIB
    assert after.resident >= after.private
    assert (after.handles - before.handles, after.threads - before.threads) == (7, 1)
    assert gauges.read(child.pid) is None


@pytest.mark.django_db
def test_the_database_is_read() -> None:
    """A table that is kept by design and was renamed would fail a soak after half an hour."""
    assert gauges.tables().keys() >= {"procrastinate_jobs", *KEPT}
    assert isinstance(gauges.connections(), dict)


def test_the_plot_is_a_picture_of_every_process() -> None:
    reading = Reading(100 * MIB, 120 * MIB, 20, 4)
    samples = [Sample(at, {"web": reading, "worker-1 send": reading}, {}, {}) for at in (0.0, 10.0, 20.0)]
    root = ET.fromstring(draw(samples, ["web", "worker-1 send"], 4.0, 20.0))
    assert len(root.findall("{*}polyline")) == 4
    assert "worker-1 send" in root.get("aria-label")
    assert os.linesep not in root.get("aria-label")
