"""Where tills of a store listen: IPv4 and a port for gossip; requests at the port after it."""

import ipaddress
import socket
from typing import NamedTuple

_PORT_MAX = 65_534
_DISCARD_PORT = 9


class Address(NamedTuple):
    """A till's place on the LAN."""

    host: str
    port: int

    @property
    def gossip(self) -> str:
        """`host:port` of the gossip."""
        return f"{self.host}:{self.port}"

    @property
    def requests(self) -> str:
        """`host:port` of the requests."""
        return f"{self.host}:{self.port + 1}"


def parse_address(text: str) -> Address:
    """Read `192.168.7.21:7720`.

    Raises:
        ValueError: it is not an IPv4 address of one machine with a port.
    """
    host, _, port = text.rpartition(":")
    try:
        address = ipaddress.IPv4Address(host)
    except ValueError as error:
        raise ValueError(f"{text!r} is not like 192.168.7.21:7720") from error
    if address.is_unspecified or address.is_multicast:
        raise ValueError(f"{text!r} is no address of one machine; the bus listens in one LAN only")
    return Address(str(address), _port(port, text))


def resolve_listen(text: str) -> Address:
    """Return the address to listen at; `192.168.7.0/24:7720` is this machine's own in that network.

    Asks the system which address it would talk from; sends nothing.

    Raises:
        ValueError: not an address or network with a port.
        OSError: this machine has no address in that network now.
    """
    host, _, port = text.rpartition(":")
    if "/" not in host:
        return parse_address(text)
    try:
        network = ipaddress.IPv4Network(host)
    except ValueError as error:
        raise ValueError(f"{text!r} is not like 192.168.7.0/24:7720") from error
    found = Address("", _port(port, text))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((str(network.network_address + 1), _DISCARD_PORT))
        own = probe.getsockname()[0]
    if ipaddress.IPv4Address(own) not in network:
        raise OSError(f"this machine has no address in {network}")
    return found._replace(host=own)


def check_listen(text: str) -> None:
    """Check the form of what `resolve_listen` takes.

    Raises:
        ValueError: it has another form.
    """
    host, _, port = text.rpartition(":")
    if "/" in host:
        ipaddress.IPv4Network(host)
        _port(port, text)
    else:
        parse_address(text)


def _port(text: str, whole: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= _PORT_MAX:
        raise ValueError(f"{whole!r} has no port from 1 to {_PORT_MAX}")
    return int(text)
