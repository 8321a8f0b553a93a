"""Tests reach this machine alone, and the database servers a run was given."""

import pytest

from tests.support.reach import machines_of, refuse_foreign_hosts

GIVEN = "postgresql://us%40er:p,w@192.0.2.7:5432,[2001:db8::7]:5432/x?host=192.0.2.9"


@pytest.mark.parametrize(
    ("event", "arguments"),
    [
        ("socket.connect", (None, ("127.0.0.1", 5432))),
        ("socket.connect", (None, "/run/postgres")),
        ("socket.getaddrinfo", (b"localhost", 5432)),
        ("socket.connect", (None, ("192.0.2.7", 5432))),
        ("socket.connect", (None, ("2001:db8::7", 5432, 0, 0))),
        ("socket.connect", (None, ("192.0.2.9", 5432))),
        ("socket.getaddrinfo", ("coordinator.invalid", 5432)),
        ("socket.getaddrinfo", (b"coordinator.invalid", 5432)),
    ],
)
def test_a_run_reaches_this_machine_and_the_servers_it_was_given(
    event: str, arguments: tuple[object, ...]
) -> None:
    refuse_foreign_hosts(frozenset({*machines_of(GIVEN), "coordinator.invalid"}))(event, arguments)


@pytest.mark.parametrize(
    ("event", "arguments"),
    [
        ("socket.connect", (None, ("192.0.2.8", 5432))),
        ("socket.sendto", (None, ("192.0.2.8", 53))),
        ("socket.getaddrinfo", ("example.invalid", 443)),
    ],
)
def test_no_other_machine_is_reached(event: str, arguments: tuple[object, ...]) -> None:
    for given in (frozenset[str](), frozenset({"192.0.2.7", "coordinator.invalid"})):
        with pytest.raises(pytest.fail.Exception, match="not on this machine"):
            refuse_foreign_hosts(given)(event, arguments)


def test_a_servers_name_is_looked_up_once() -> None:
    assert machines_of("postgresql://tillside@localhost:5432/x") >= {"localhost", "127.0.0.1"}
    for none in ("", "postgresql://tillside@/x?host=/run/postgres&port=5432"):
        assert machines_of(none) == frozenset()
