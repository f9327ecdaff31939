"""Requests to addresses that a person typed in: public ones only, checked at the very moment of connecting.

A name is resolved once and what it resolves to is what is connected to, so that a name that changes its mind between
look and use (rebinding) gains nothing. No redirects, no proxies, one total deadline, a capped answer.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import AddrInfoType
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from phonebank import __version__

DEADLINE = 10.0  # seconds for all of it
ANSWER_LIMIT = 4096  # bytes; nothing is done with an answer but to count it as one
PORTS = {"https": 443, "http": 80}

# A name as the internet has them: labels with dots, the last one not a number in any notation.
_NAME = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+(?!0x)[a-z](?:[a-z0-9-]{0,61}[a-z0-9])\Z")
_PRIVATE_ENDINGS = (
    ".local",
    ".localdomain",
    ".localhost",
    ".internal",
    ".lan",
    ".home",
    ".test",
    ".invalid",
    ".home.arpa",
    ".onion",
)
# Ranges that lead to an IPv4 address inside an IPv6 one, and where in it (bits from the right).
_CARRIERS = [
    (ipaddress.IPv6Network("::/96"), 0),
    (ipaddress.IPv6Network("64:ff9b::/96"), 0),
    (ipaddress.IPv6Network("2002::/16"), 80),
]
_RELAY = ipaddress.IPv4Network("192.88.99.0/24")
_CLOSED = [ipaddress.IPv6Network(one) for one in ("64:ff9b:1::/48", "2001::/32", "fec0::/10", "100::/64")]


class Forbidden(OSError):
    """An address that we do not connect to. The text is for people."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request: the HTTP status, or (None) why there is none, in words."""

    status: int | None
    why: str = ""


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet, whatever it is wrapped in."""
    try:
        ip = ipaddress.ip_address(address.split("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        for network, shift in _CARRIERS:
            if ip in network:
                inner = ipaddress.IPv4Address(int(ip) >> shift & 0xFFFFFFFF)
                return is_public(str(inner))
        if any(ip in network for network in _CLOSED):
            return False
        return ip.is_global and not ip.is_multicast and not ip.is_reserved
    return ip.is_global and not ip.is_multicast and not ip.is_reserved and ip not in _RELAY


def check_url(text: str, *, allow_private: bool = False) -> URL:
    """The address, if it may be asked at all. Raises Forbidden with a sentence. What its name leads to: `post`."""
    if not text.isascii() or not text.isprintable() or any(char in text for char in ' \\"<>^`{|}'):
        raise Forbidden("This is not an address. Copy it whole, as https://example.org/path.")
    try:
        url = URL(text)
        host, port = url.host or "", url.port
    except ValueError:
        raise Forbidden("This is not an address. Copy it whole, as https://example.org/path.") from None
    if url.scheme != "https" and not (allow_private and url.scheme == "http"):
        raise Forbidden("The address has to begin with https://.")
    if url.user is not None or url.password is not None:
        raise Forbidden("The address must not hold a user name or password.")
    if allow_private:
        return url
    if port != PORTS[url.scheme]:
        raise Forbidden("The address may not name a port of its own.")
    check_host(host)
    return url


def check_host(host: str) -> None:
    """Raises Forbidden for a name or address that can only be inside a network."""
    host = host.lower().rstrip(".")
    try:
        ipaddress.ip_address(host.strip("[]").split("%")[0])
    except ValueError:
        if not _NAME.match(host) or host.endswith(_PRIVATE_ENDINGS):
            raise Forbidden("The address leads into a private network. Only public ones are asked.") from None
        return
    if not is_public(host.strip("[]")):
        raise Forbidden("The address leads into a private network. Only public ones are asked.")


def check_resolved(host: str, port: int = 443) -> None:
    """Resolves a name and raises Forbidden unless all of its addresses are public. Blocks; for libraries that connect
    by themselves."""
    check_host(host)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        raise Forbidden(f"Nobody is known by the name {host}.") from None
    if not all(is_public(str(one[4][0])) for one in found):
        raise Forbidden("The address leads into a private network. Only public ones are asked.")


class PublicResolver(AbstractResolver):
    """Resolves names; one that leads to a private address among others leads nowhere."""

    def __init__(self, inner: AbstractResolver) -> None:
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        if not all(is_public(one["host"]) for one in found):
            raise Forbidden("The address leads into a private network. Only public ones are asked.")
        return found

    async def close(self) -> None:
        await self._inner.close()


def _guarded_socket(address: AddrInfoType) -> socket.socket:
    """The last look, at the address that is about to be connected to (literal addresses see no resolver)."""
    family, kind, protocol, _, where = address
    if not is_public(str(where[0])):
        raise Forbidden("The address leads into a private network. Only public ones are asked.")
    return socket.socket(family, kind, protocol)


def post(url: str, body: bytes, headers: Mapping[str, str], *, allow_private: bool = False,
         resolver: AbstractResolver | None = None, deadline: float = DEADLINE) -> Answer:  # fmt: skip
    """One POST from code without an event loop. Raises nothing: an address that is refused is an answer too.

    `resolver`: another way to look names up (its findings are checked all the same).
    """
    try:
        checked = check_url(url, allow_private=allow_private)
    except Forbidden as error:
        return Answer(None, str(error))
    return asyncio.run(_post(checked, body, headers, allow_private, resolver, deadline))


async def _post(
    url: URL, body: bytes, headers: Mapping[str, str], allow_private: bool, resolver: AbstractResolver | None,
    deadline: float,
) -> Answer:  # fmt: skip
    inner = resolver or ThreadedResolver()
    guard: dict[str, Any] = {} if allow_private else {"socket_factory": _guarded_socket}
    connector = aiohttp.TCPConnector(
        resolver=inner if allow_private else PublicResolver(inner), use_dns_cache=False, force_close=True, **guard
    )
    http = aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        headers={"User-Agent": f"Phonebank/{__version__}", "Accept-Encoding": "identity"},
    )
    try:
        async with (
            asyncio.timeout(deadline),
            http,
            http.post(url, data=body, headers=headers, allow_redirects=False) as response,
        ):
            await response.content.read(ANSWER_LIMIT)
            return Answer(response.status)
    except TimeoutError:
        return Answer(None, f"It did not answer within {deadline:g} seconds.")
    except Forbidden as error:
        return Answer(None, str(error))
    except aiohttp.ClientConnectorCertificateError:
        return Answer(None, "Its certificate is not valid.")
    except (aiohttp.ClientConnectorError, aiohttp.ClientConnectorDNSError) as error:
        refused = error.os_error if isinstance(error.os_error, Forbidden) else None
        return Answer(None, str(refused) if refused else "It cannot be reached.")
    except (aiohttp.ClientError, OSError, ValueError):
        return Answer(None, "It broke the connection off, or did not answer as a web server does.")
