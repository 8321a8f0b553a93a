"""Which machines a test may reach: its own, and the database servers the run was given."""

import ipaddress
import socket
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import parse_qs, unquote

import pytest


def machines_of(dsn: str) -> frozenset[str]:
    """Return the hosts an address of PostgreSQL names, and what they are called as addresses."""
    address, _, options = dsn.partition("://")[2].rpartition("@")[2].partition("?")
    named = ",".join([address.partition("/")[0], *parse_qs(options).get("host", [])])
    hosts = {_host(unquote(each)) for each in named.split(",")}
    hosts = {each for each in hosts if each and not each.startswith("/")}  # that is a socket
    found = set(hosts)
    for host in hosts:
        with suppress(OSError):  # who asks the server says that nobody is there
            found |= {str(each[4][0]) for each in socket.getaddrinfo(host, None)}
    return frozenset(found)


def _host(place: str) -> str:
    """Return a host without its port."""
    return place[1:].partition("]")[0] if place[:1] == "[" else place.partition(":")[0]


def refuse_foreign_hosts(
    given: frozenset[str],
) -> Callable[[str, tuple[object, ...]], None]:
    """Return an audit hook that fails the test that looks up or connects to another machine.

    It sees every socket of this process, whichever library opened it. It fails the test instead of
    raising OSError, which the code under test would take for a line that is down.

    Args:
        given: names and addresses that may be reached nevertheless; sockets else are on loopback.
    """

    def look(event: str, arguments: tuple[object, ...]) -> None:
        if event in {"socket.connect", "socket.sendto"}:
            address = arguments[1]
            host = address[0] if isinstance(address, tuple) else None
        elif event == "socket.getaddrinfo":
            host = arguments[0]
            if host is not None and _address(host) is not None:
                return  # nothing is asked of anybody to read an address
        else:
            return
        if isinstance(host, str | bytes) and not (_is_loopback(host) or _text(host) in given):
            pytest.fail(f"{event}: a test reached for {host!r}, which is not on this machine")

    return look


def _is_loopback(host: str | bytes) -> bool:
    address = _address(host)
    return host in {"", "localhost", b"localhost"} if address is None else address.is_loopback


def _address(host: object) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(_text(host))
    except ValueError:
        return None


def _text(host: object) -> str:
    return host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
