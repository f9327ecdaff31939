"""Is there a PostgreSQL that Phonebank can use? One clear sentence when not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

OLDEST = 15
CONNECT_TIMEOUT = 5  # seconds
DJANGO_NAMES = {"HOST": "host", "PORT": "port", "NAME": "dbname", "USER": "user", "PASSWORD": "password"}


class DatabaseUnavailable(RuntimeError):
    """There is no database to work with. The message is for a person: what is wrong and what to do; no password."""


def check_server(target: str | Mapping[str, Any]) -> None:
    """Connect once. `target` is a `postgres://` URL or an entry of Django's DATABASES.

    Raises DatabaseUnavailable when the server cannot be reached, refuses us, or is older than PostgreSQL 15.
    """
    import psycopg

    try:
        params = connection_parameters(target)
        where = f"PostgreSQL at {params.get('host') or 'the local socket'}"
        with psycopg.connect(**params) as connection:
            version = connection.info.server_version
    except psycopg.ProgrammingError:  # its text repeats the URL, and with it the password
        raise DatabaseUnavailable("DATABASE_URL is not a postgres:// URL that PostgreSQL understands.") from None
    except psycopg.Error as error:
        reason = " ".join(str(error).split()).rstrip("?.")
        raise DatabaseUnavailable(f"{where} cannot be used: {reason}. Check DATABASE_URL and the server.") from error
    if version < OLDEST * 10000:
        found = f"{version // 10000}.{version % 10000}"
        raise DatabaseUnavailable(f"{where} is version {found}; Phonebank needs PostgreSQL {OLDEST} or newer.")


def connection_parameters(target: str | Mapping[str, Any]) -> dict[str, Any]:
    """libpq's connection parameters; what Django alone understands (a pool, an isolation level) is left out."""
    from psycopg import conninfo, pq

    if isinstance(target, str):
        given: dict[str, Any] = conninfo.conninfo_to_dict(target)
    else:
        known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
        given = {name: value for name, value in target.get("OPTIONS", {}).items() if name in known}
        given |= {DJANGO_NAMES[name]: target[name] for name in DJANGO_NAMES if target.get(name)}
    return {"connect_timeout": CONNECT_TIMEOUT, **given}
