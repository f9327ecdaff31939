"""Numbered points of the send path at which a drill lets a process die or freeze.

They are put on from outside, around statements, commits and writes: the product itself has none. A point is armed by a
file of its name in a folder; the first process that comes by takes the file away and does what it says.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phonebank.gateways import transport
from phonebank.whatsappapi.dispatch import reconcile
from phonebank.whatsappapi.dispatch.sql import between, deal, reports, tick
from phonebank.whatsappapi.services import intake, webhooks

FOLDER = "DRILL_POINTS"  # the environment variable that names the folder
ACTS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}

# Statements by name; each has a point before ("-") and after ("+") it.
TICK = ("settle", "grant", "candidates", "claim", "finish", "reap")
ORM = ("deal", "seal", "move", "resolve", "merge", "cancel", "store", "take", "mark")
# A transaction is named by the first of these that it ran.
COMMITS = ("claim", "settle", "reap", "deal", "resolve", "mark", "move", "cancel")
NAMES = [
    *(name + side for name in TICK for side in "-+"),
    *(name + side for name in ORM for side in "-+"),
    *(f"commit {name}{side}" for name in COMMITS for side in "-+"),
    "write-", "write+", "answer+", "log-", "log+",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Points:
    """The arming side: which points wait for somebody to come by."""

    folder: Path
    names: tuple[str, ...] = tuple(NAMES)

    def set(self, name: str, act: str = "kill") -> None:
        self.folder.mkdir(exist_ok=True)
        new = self.folder / f".{name}"
        new.write_text(act)
        new.rename(self.folder / name)

    def waiting(self) -> set[str]:
        return {one.name for one in self.folder.glob("[!.]*")} if self.folder.exists() else set()

    def unset(self, name: str) -> bool:
        """Takes a point back; False: somebody came by."""
        try:
            (self.folder / name).unlink()
        except FileNotFoundError:
            return False
        return True


class Reach:
    """The side of the process: what happens at a point."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, name: str) -> None:
        file = self.folder / name
        if not file.exists():
            return
        try:
            act = file.read_text()
            file.unlink()  # only one process gets it
        except FileNotFoundError:
            return
        os.kill(os.getpid(), ACTS[act])


def install(folder: Path) -> None:
    """Puts the points on, in a process of a drill before it begins."""
    reach = Reach(folder)
    _statements(reach)
    _cursors(reach)
    _writes(reach)


def _texts(names: tuple[str, ...]) -> dict[str, str]:
    """Statement -> name, as they stand now: a mutant may have changed one."""
    own = {"deal": deal.DEAL_LIST, "store": intake._STORE, "take": webhooks._CLAIM, "mark": webhooks._MARK}
    modules = (tick, between, deal, reports)
    found = {name: own.get(name) or next(vars(one)[name.upper()] for one in modules if name.upper() in vars(one))
             for name in names}  # fmt: skip
    return {text: name for name, text in found.items()}


def _statements(reach: Reach) -> None:
    """Around what the engine runs over its own connection."""
    import psycopg

    names = _texts(TICK)
    execute, leave = psycopg.AsyncConnection.execute, psycopg.AsyncTransaction.__aexit__

    async def spied(self: Any, query: Any, *args: Any, **options: Any) -> Any:
        name = names.get(query) if isinstance(query, str) else None
        if name is None:
            return await execute(self, query, *args, **options)
        self.__dict__.setdefault("_ran", set()).add(name)
        reach(name + "-")
        result = await execute(self, query, *args, **options)
        reach(name + "+")
        return result

    async def left(self: Any, kind: Any, *error: Any) -> Any:
        ran = self._conn.__dict__.pop("_ran", set())
        name = next((one for one in COMMITS if one in ran), None)
        if kind is None and name:
            reach(f"commit {name}-")
        result = await leave(self, kind, *error)
        if kind is None and name:
            reach(f"commit {name}+")
        return result

    psycopg.AsyncConnection.execute = spied  # type: ignore[method-assign]
    psycopg.AsyncTransaction.__aexit__ = left  # type: ignore[method-assign]


def _cursors(reach: Reach) -> None:
    """Around what services and chores run over Django's connections."""
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.backends.signals import connection_created

    names = _texts(ORM)

    def spied(execute: Callable[..., Any], text: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        name = names.get(text)
        if name is None:
            return execute(text, params, many, context)
        context["connection"].__dict__.setdefault("_ran", set()).add(name)
        reach(name + "-")
        result = execute(text, params, many, context)
        reach(name + "+")
        return result

    def watch(connection: Any, **_: Any) -> None:
        if spied not in connection.execute_wrappers:
            connection.execute_wrappers.append(spied)

    commit = BaseDatabaseWrapper._commit

    def committed(self: Any) -> Any:
        ran = self.__dict__.pop("_ran", set())
        name = next((one for one in COMMITS if one in ran), None)
        if name:
            reach(f"commit {name}-")
        result = commit(self)
        if name:
            reach(f"commit {name}+")
        return result

    connection_created.connect(watch, weak=False)
    BaseDatabaseWrapper._commit = committed  # type: ignore[method-assign]


def _writes(reach: Reach) -> None:
    """Around the request's first byte, its answer, and the reading of a log."""
    from phonebank.gateways import wasender

    write, exchange, read = transport.GuardedBody.write_with_length, wasender.exchange, reconcile._read_log

    async def written(self: Any, *args: Any) -> None:
        reach("write-")
        await write(self, *args)
        reach("write+")

    async def answered(*args: Any, **options: Any) -> Any:
        result = await exchange(*args, **options)
        reach("answer+")
        return result

    def looked(*args: Any) -> Any:
        reach("log-")
        result = read(*args)
        reach("log+")
        return result

    changed: dict[Any, tuple[str, Callable[..., Awaitable[Any] | Any]]] = {
        transport.GuardedBody: ("write_with_length", written),
        wasender: ("exchange", answered),
        reconcile: ("_read_log", looked),
    }
    for where, (name, new) in changed.items():
        setattr(where, name, new)
