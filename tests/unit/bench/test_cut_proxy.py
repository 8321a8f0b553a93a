"""Each way to cut the network, against a real proxy process, a real upstream and real sockets."""

import json
import random
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from bench.demo.cut_proxy import CutProxy, CutProxyError

ROOT = Path(__file__).parents[3]
WAIT_S = 20
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 s
TURNS = 30  # more turns of the proxy's event loop than a byte takes from one side to the other


class Upstream:
    """Accepts by hand: each test decides when the centre reads and what it answers."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(WAIT_S)
        self.port: int = self._listening.getsockname()[1]
        self._opened = ExitStack()
        self._opened.enter_context(self._listening)

    def accept(self) -> socket.socket:
        connection, _ = self._listening.accept()
        connection.settimeout(WAIT_S)
        return self._opened.enter_context(connection)

    def was_reached(self, through: CutProxy) -> bool:
        settle(through)
        return bool(select.select([self._listening], [], [], 0)[0])

    def close(self) -> None:
        self._opened.close()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    made = Upstream()
    yield made
    made.close()


@pytest.fixture
def proxy(upstream: Upstream) -> Iterator[CutProxy]:
    with CutProxy(upstream.port) as started:
        yield started


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def connect(proxy: CutProxy, opened: ExitStack) -> socket.socket:
    return opened.enter_context(socket.create_connection(("127.0.0.1", proxy.port), WAIT_S))


def exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (piece := connection.recv(size - len(data))):
        data += piece
    return data


def settle(proxy: CutProxy) -> None:
    """Wait until the proxy has done all it is going to do by itself; loopback delivers at once."""
    for _ in range(TURNS):
        proxy.status()


def is_quiet(proxy: CutProxy, *connections: socket.socket) -> bool:
    settle(proxy)
    return select.select(connections, [], [], 0)[0] == []


def was_reset(connection: socket.socket) -> bool:
    try:
        data = connection.recv(1)
    except ConnectionResetError:
        return True
    assert data == b""
    return False


def was_reset_at_once(proxy: CutProxy, opened: ExitStack) -> bool:
    """Whether a new connection is reset; that may come before `connect` has returned."""
    try:
        client = connect(proxy, opened)
    except ConnectionResetError:
        return True
    return was_reset(client)


def until_connections(proxy: CutProxy, count: int) -> None:
    deadline = time.monotonic() + WAIT_S
    while proxy.status().connections != count:
        assert time.monotonic() < deadline, proxy.status()


# -- pass ----------------------------------------------------------------------------------------


def test_bytes_pass_both_ways_and_are_counted(
    proxy: CutProxy, upstream: Upstream, opened: ExitStack
) -> None:
    client = connect(proxy, opened)
    centre = upstream.accept()
    client.sendall(b"request")
    assert exactly(centre, 7) == b"request"
    centre.sendall(b"answer 1")
    assert exactly(client, 8) == b"answer 1"
    status = proxy.status()
    assert (status.mode, status.connections, status.cut_connections) == ("pass", 1, 0)
    assert (status.bytes_up, status.bytes_down, status.bytes_lost) == (7, 8, 0)


def test_many_megabytes_arrive_unchanged(
    proxy: CutProxy, upstream: Upstream, opened: ExitStack
) -> None:
    data = random.Random(1).randbytes(20_000_000)
    client = connect(proxy, opened)
    centre = upstream.accept()
    sending = threading.Thread(target=client.sendall, args=(data,))
    sending.start()
    assert exactly(centre, len(data)) == data
    sending.join()


def test_end_of_one_direction_leaves_the_other_open(
    proxy: CutProxy, upstream: Upstream, opened: ExitStack
) -> None:
    client = connect(proxy, opened)
    centre = upstream.accept()
    client.sendall(b"last request")
    client.shutdown(socket.SHUT_WR)
    assert exactly(centre, 100) == b"last request"
    centre.sendall(b"last answer")
    centre.close()
    assert exactly(client, 100) == b"last answer"
    until_connections(proxy, 0)


def test_reset_of_one_side_reaches_the_other(
    proxy: CutProxy, upstream: Upstream, opened: ExitStack
) -> None:
    client = connect(proxy, opened)
    centre = upstream.accept()
    centre.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    centre.close()
    assert was_reset(client)
    until_connections(proxy, 0)


def test_client_is_reset_while_the_centre_is_down(
    proxy: CutProxy, upstream: Upstream, opened: ExitStack
) -> None:
    upstream.close()
    assert was_reset_at_once(proxy, opened)
    assert proxy.status().connections == 0


# -- drop ----------------------------------------------------------------------------------------


def test_drop_lets_no_byte_through_and_closes_nothing(
    proxy: CutProxy, upstream: Upstream, opened: ExitStack
) -> None:
    client = connect(proxy, opened)
    centre = upstream.accept()
    client.sendall(b"x")
    assert exactly(centre, 1) == b"x"
    before = proxy.set("drop")
    client.sendall(b"lost request")
    centre.sendall(b"lost answer")
    assert is_quiet(proxy, client, centre)
    after = proxy.status()
    assert (after.mode, after.connections, after.cut_connections) == ("drop", 1, 1)
    assert (after.bytes_up, after.bytes_down) == (before.bytes_up, before.bytes_down) == (1, 0)


def test_drop_stops_in_the_middle_of_a_transfer(
    proxy: CutProxy, upstream: Upstream, opened: ExitStack
) -> None:
    data = bytes(30_000_000)
    client = connect(proxy, opened)
    centre = upstream.accept()
    sending = threading.Thread(target=client.sendall, args=(data,))
    sending.start()
    taken = len(exactly(centre, 1_000_000))
    passed = proxy.set("drop").bytes_up
    taken += len(exactly(centre, passed - taken))
    assert is_quiet(proxy, centre)
    assert proxy.status().bytes_up == passed < len(data)
    proxy.set("pass")
    assert taken + len(exactly(centre, len(data) - taken)) == len(data)
    sending.join()


def test_new_peer_under_drop_is_accepted_and_hangs_without_reaching_the_centre(
    proxy: CutProxy, upstream: Upstream, opened: ExitStack
) -> None:
    proxy.set("drop")
    client = connect(proxy, opened)
    client.sendall(b"hello?")
    assert is_quiet(proxy, client)
    assert not upstream.was_reached(proxy)
    until_connections(proxy, 1)
    assert proxy.status().cut_connections == 1


def test_what_drop_held_back_arrives_late_even_when_its_sender_is_gone(
    proxy: CutProxy, upstream: Upstream, opened: ExitStack
) -> None:
    old = connect(proxy, opened)
    centre = upstream.accept()
    proxy.set("drop")
    old.sendall(b"old")
    old.close()
    new = connect(proxy, opened)
    new.sendall(b"new")
    assert is_quiet(proxy, centre)
    proxy.set("pass")
    assert exactly(centre, 100) == b"old"
    assert exactly(upstream.accept(), 3) == b"new"


def test_end_and_reset_are_held_back_too(
    proxy: CutProxy, upstream: Upstream, opened: ExitStack
) -> None:
    clients = [connect(proxy, opened) for _ in range(2)]
    centres = [upstream.accept() for _ in range(2)]
    proxy.set("drop")
    clients[0].close()
    clients[1].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    clients[1].close()
    assert is_quiet(proxy, *centres)
    proxy.set("pass")
    ends = sorted(was_reset(centre) for centre in centres)
    assert ends == [False, True]


# -- delay ---------------------------------------------------------------------------------------


def test_delay_applies_to_each_direction_and_keeps_the_order(
    proxy: CutProxy, upstream: Upstream, opened: ExitStack
) -> None:
    client = connect(proxy, opened)
    centre = upstream.accept()
    proxy.set("delay", delay_ms=150, jitter_ms=50)
    began = time.monotonic()
    for number in range(10):
        client.sendall(b"%d" % number)
    assert exactly(centre, 10) == b"0123456789"
    assert time.monotonic() - began >= 0.15
    centre.sendall(b"answer")
    assert exactly(client, 6) == b"answer"
    assert time.monotonic() - began >= 0.3
    assert proxy.status().cut_connections == 0


def test_delay_is_a_latency_and_not_a_limit_of_throughput(
    proxy: CutProxy, upstream: Upstream, opened: ExitStack
) -> None:
    size = 3_000_000  # 46 pieces: one after the other they would take 23 s
    client = connect(proxy, opened)
    centre = upstream.accept()
    proxy.set("delay", delay_ms=500)
    began = time.monotonic()
    sending = threading.Thread(target=client.sendall, args=(bytes(size),))
    sending.start()
    assert len(exactly(centre, size)) == size
    sending.join()
    assert 0.5 <= time.monotonic() - began < 20


# -- half_close ----------------------------------------------------------------------------------


def test_half_close_delivers_the_request_in_flight_and_loses_its_answer(
    proxy: CutProxy, upstream: Upstream, opened: ExitStack
) -> None:
    client = connect(proxy, opened)
    centre = upstream.accept()
    client.sendall(b"complete receipt 7")
    assert exactly(centre, 18) == b"complete receipt 7"
    proxy.set("half_close")
    centre.sendall(b"recorded")
    assert client.recv(100) == b""
    client.sendall(b" and one more")
    assert exactly(centre, 13) == b" and one more"
    client.close()
    assert centre.recv(1) == b""
    until_connections(proxy, 1)
    centre.close()
    until_connections(proxy, 0)
    status = proxy.status()
    assert (status.bytes_up, status.bytes_down, status.bytes_lost) == (31, 0, 8)
    assert status.cut_connections == 1


def test_new_peer_under_half_close_loses_its_answer_only_once_the_centre_has_given_it(
    proxy: CutProxy, upstream: Upstream, opened: ExitStack
) -> None:
    proxy.set("half_close")
    client = connect(proxy, opened)
    client.sendall(b"request")
    centre = upstream.accept()
    assert exactly(centre, 7) == b"request"
    assert is_quiet(proxy, client)
    centre.sendall(b"recorded")
    assert client.recv(100) == b""
    proxy.set("pass")
    centre.sendall(b"and more")
    centre.close()
    assert client.recv(100) == b""
    client.close()
    until_connections(proxy, 0)
    assert proxy.status().bytes_lost == 16


# -- reset ---------------------------------------------------------------------------------------


def test_reset_cuts_both_sides_of_open_and_of_new_connections(
    proxy: CutProxy, upstream: Upstream, opened: ExitStack
) -> None:
    client = connect(proxy, opened)
    centre = upstream.accept()
    # The kernel accepts before the proxy knows: a byte through it says that both sides are joined.
    client.sendall(b"x")
    assert centre.recv(1) == b"x"
    status = proxy.set("reset")
    assert (status.connections, status.cut_connections) == (0, 1)
    assert was_reset(client)
    assert was_reset(centre)
    assert was_reset_at_once(proxy, opened)
    assert not upstream.was_reached(proxy)
    proxy.set("pass")
    connect(proxy, opened).sendall(b"again")
    assert exactly(upstream.accept(), 5) == b"again"


def test_reset_frees_connections_that_drop_holds(
    proxy: CutProxy, upstream: Upstream, opened: ExitStack
) -> None:
    proxy.set("drop")
    client = connect(proxy, opened)
    until_connections(proxy, 1)
    status = proxy.set("reset")
    assert (status.connections, status.cut_connections) == (0, 1)
    assert was_reset(client)
    assert not upstream.was_reached(proxy)


# -- mixed ---------------------------------------------------------------------------------------


def fates(proxy: CutProxy, upstream: Upstream, seed: int) -> str:
    """Open twelve connections under `mixed` and name what happened to each by a letter."""
    seen = ""
    proxy.set("mixed", seed=seed, delay_ms=0)
    with ExitStack() as opened:
        for _ in range(12):
            client = connect(proxy, opened)
            client.sendall(b"request")
            if not upstream.was_reached(proxy):
                seen += "d"
                continue
            centre = upstream.accept()
            assert exactly(centre, 7) == b"request"
            centre.sendall(b"answer")
            seen += {b"answer": "w", b"": "h"}[exactly(client, 6)]
    proxy.set("reset")
    return seen


def test_mixed_draws_a_fate_for_each_connection_and_repeats_it_with_the_seed(
    proxy: CutProxy, upstream: Upstream
) -> None:
    first = fates(proxy, upstream, 7)
    assert set(first) == {"d", "w", "h"}
    assert fates(proxy, upstream, 7) == first
    assert fates(proxy, upstream, 8) != first


def test_mixed_applies_to_connections_already_open(
    proxy: CutProxy, upstream: Upstream, opened: ExitStack
) -> None:
    clients = [connect(proxy, opened) for _ in range(12)]
    for client in clients:
        client.sendall(b"x")
        exactly(upstream.accept(), 1)
    status = proxy.set("mixed", seed=7)
    ended = select.select(clients, [], [], WAIT_S)[0]
    assert 0 < len(ended) < status.cut_connections < status.connections == 12


# -- the process ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"drop",
        b"[]",
        b'{"mode": "slow"}',
        b'{"mode": "delay", "delay_ms": -1}',
        b'{"mode": "delay", "delay_ms": 0.5}',
        b'{"mode": "delay", "delay": 5}',
        b"\xff\x00",
    ],
)
def test_wrong_command_is_answered_and_changes_nothing(line: bytes, opened: ExitStack) -> None:
    process, ports = started(opened)
    with socket.create_connection(("127.0.0.1", ports["control_port"]), WAIT_S) as control:
        answers = opened.enter_context(control.makefile("rb"))
        control.sendall(line + b"\n")
        refusal = json.loads(answers.readline())
        assert (refusal["ok"], refusal["error"]) == (False, "command_invalid")
        assert refusal["message"]
        control.sendall(b'{"mode": "status"}\n')
        assert json.loads(answers.readline()) == {
            "ok": True,
            "mode": "pass",
            "connections": 0,
            "bytes_up": 0,
            "bytes_down": 0,
            "bytes_lost": 0,
            "cut_connections": 0,
        }
    assert process.poll() is None


def test_endless_command_ends_its_own_connection_only(opened: ExitStack) -> None:
    _, ports = started(opened)
    controls = [
        opened.enter_context(socket.create_connection(("127.0.0.1", ports["control_port"]), WAIT_S))
        for _ in range(2)
    ]
    with pytest.raises(ConnectionError):
        send_for_ever(controls[0])
    controls[1].sendall(b'{"mode": "status"}\n')
    assert json.loads(controls[1].recv(1000))["ok"]


def send_for_ever(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"x" * 65536)


def started(opened: ExitStack) -> tuple[subprocess.Popen[bytes], dict[str, int]]:
    process = opened.enter_context(
        subprocess.Popen(
            [sys.executable, "-m", "bench.demo.cut_proxy", "--upstream", "127.0.0.1:9"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
        )
    )
    assert process.stdout is not None
    ports = json.loads(process.stdout.readline())
    assert set(ports) == {"listen_port", "control_port"}
    return process, ports


def test_process_ends_quietly_when_its_standard_input_closes(opened: ExitStack) -> None:
    process, ports = started(opened)
    for port in ports.values():
        opened.enter_context(socket.create_connection(("127.0.0.1", port), WAIT_S))
    assert process.communicate(timeout=WAIT_S) == (b"", b"")
    assert process.returncode == 0


def test_client_says_when_a_command_is_refused_or_the_process_is_gone(upstream: Upstream) -> None:
    proxy = CutProxy(upstream.port)
    with pytest.raises(CutProxyError, match="command_invalid"):
        proxy.set("delay", delay_ms=-1)
    assert proxy.status().mode == "pass"
    proxy.stop()
    proxy.stop()
    with pytest.raises(CutProxyError, match="gone"):
        proxy.status()


def test_port_already_taken_is_an_error(upstream: Upstream) -> None:
    with pytest.raises(CutProxyError, match="did not start"):
        CutProxy(upstream.port, port=upstream.port)


@pytest.mark.parametrize(
    "arguments",
    [["--listen", "0.0.0.0:0"], ["--control", "192.168.1.1:0"], ["--upstream", "centre:80"], []],
)
def test_wrong_addresses_are_refused(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "bench.demo.cut_proxy", *arguments]
    if arguments and "--upstream" not in arguments:
        command += ["--upstream", "127.0.0.1:9"]
    ended = subprocess.run(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    assert ended.returncode == 2
    assert b"error: " in ended.stderr
