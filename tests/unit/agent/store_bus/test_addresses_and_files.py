"""Where a till listens, who is in the roster, and a counter that never repeats itself."""

from itertools import pairwise
from pathlib import Path

import pytest

from agent.config import BusConfig, load_config
from agent.errors import ConfigurationError
from agent.store_bus.addresses import Address, parse_address, resolve_listen
from agent.store_bus.counter_file import reserve_counters
from agent.store_bus.port import BusRoster
from agent.store_bus.rosters import bus_roster
from sync.envelope import ReplayWindows, Sender, StoreKey
from sync.messages import BusKey, Roster, RosterTill

NOW_MS = 1_772_625_600_000
DAY_MS = 86_400_000


def test_gossip_and_requests_have_ports_side_by_side() -> None:
    address = parse_address("192.168.7.21:7720")
    assert address == Address("192.168.7.21", 7720)
    assert (address.gossip, address.requests) == ("192.168.7.21:7720", "192.168.7.21:7721")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "192.168.7.21",
        "192.168.7.21:",
        "192.168.7.21:0",
        "192.168.7.21:65535",
        "192.168.7.21:-1",
        "192.168.7.21:٧٧٢٠",
        "0.0.0.0:7720",
        "*:7720",
        "224.0.0.1:7720",
        "till-7.store.example:7720",
        "[::1]:7720",
        "192.168.7.256:7720",
        "192.168.7.21:7720;ipc:///tmp/x",
    ],
)
def test_what_is_no_address_of_one_machine_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"address|port|like"):
        parse_address(text)


def test_a_network_stands_for_the_own_address_in_it() -> None:
    assert resolve_listen("127.0.0.0/8:7720") == Address("127.0.0.1", 7720)
    assert resolve_listen("127.0.0.9:7720") == Address("127.0.0.9", 7720)
    with pytest.raises(ValueError, match="like"):
        resolve_listen("127.0.0.1/8:7720")


def test_a_network_this_machine_is_not_in_is_named() -> None:
    with pytest.raises(OSError, match=r"127\.9\.0\.0/24"):
        resolve_listen("127.9.0.0/24:7720")


def test_counters_never_repeat_over_restarts(tmp_path: Path) -> None:
    path = tmp_path / "bus-counter"
    firsts = [reserve_counters(path, now_ms) for now_ms in (1_000, 2_000, 0, -5)]
    assert firsts == sorted(set(firsts))
    assert all(later - earlier >= 10**9 for earlier, later in pairwise(firsts))


@pytest.mark.parametrize("content", [None, "", "rubbish", "1e9"])
def test_a_lost_counter_goes_on_from_the_clock(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "bus-counter"
    week_ms = 7 * 24 * 3_600_000
    before = max(reserve_counters(path, 1_741_176_000_000) for _ in range(3))
    path.unlink()
    if content is not None:
        path.write_text(content, encoding="ascii")
    assert reserve_counters(path, 1_741_176_000_000 + week_ms) > before


def test_a_file_of_an_image_does_not_make_the_others_deaf(tmp_path: Path) -> None:
    path, windows, till = tmp_path / "bus-counter", ReplayWindows(), Sender(1, b"the till", 1)

    def life(began_ms: int, says: int) -> list[bool]:
        first = reserve_counters(path, began_ms)
        return [windows.accept(till, first + 1 + number) for number in range(says)]

    assert all(life(NOW_MS, says=3))
    image = path.read_bytes()
    assert all(life(NOW_MS + 10_000, says=43_200))  # a day of heartbeats
    path.write_bytes(image)
    assert all(life(NOW_MS + DAY_MS, says=3))


def test_a_till_that_starts_again_and_again_does_not_run_ahead_of_the_clock(
    tmp_path: Path,
) -> None:
    path = tmp_path / "bus-counter"
    last = reserve_counters(path, NOW_MS)
    image = path.read_bytes()
    for number in range(1, 1_000):  # as fast as systemd has it
        last = reserve_counters(path, NOW_MS + number * 2_000)
    path.write_bytes(image)
    assert reserve_counters(path, NOW_MS + 1_000 * 2_000) > last + 43_200


def test_counters_of_earlier_releases_are_gone_past_at_once(tmp_path: Path) -> None:
    path = tmp_path / "bus-counter"
    before = NOW_MS * 2**16 + 10_000 * 2**40  # it had been started so often
    path.write_text(str(before), encoding="ascii")
    image_of_now = reserve_counters(path, NOW_MS)
    assert image_of_now > before
    assert reserve_counters(path, NOW_MS + 5_000) > image_of_now + 43_200


@pytest.mark.parametrize("wrong_ms", [-(2**70), 0, NOW_MS + 50 * 365 * DAY_MS, 2**70])
def test_a_wrong_clock_repeats_no_counter_and_none_outgrows_its_8_bytes(
    tmp_path: Path, wrong_ms: int
) -> None:
    path = tmp_path / "bus-counter"
    clock = [NOW_MS, wrong_ms, *range(NOW_MS, NOW_MS + 1_000)]
    firsts = [reserve_counters(path, now_ms) for now_ms in clock]
    assert all(later - earlier >= 10**9 for earlier, later in pairwise(firsts))
    assert 0 <= firsts[0] < firsts[-1] < 2**64 - 2**62


@pytest.mark.parametrize("content", ["-1", str(2**64), "9" * 40])
def test_a_counter_that_cannot_be_is_taken_from_the_clock(tmp_path: Path, content: str) -> None:
    path = tmp_path / "bus-counter"
    whole = reserve_counters(path, NOW_MS)
    path.write_text(content, encoding="ascii")
    assert reserve_counters(path, NOW_MS) == whole


def test_the_roster_gives_keys_and_members_and_the_settings_their_addresses() -> None:
    roster = Roster(
        version="3",
        store="s1",
        bus_keys=(BusKey(number=2, secret=b"n" * 32), BusKey(number=1, secret=b"o" * 32)),
        tills=(
            RosterTill(till_id=1, public_key=bytes(32), bus_address="192.168.7.1:7720"),
            RosterTill(till_id=2, public_key=bytes(32), bus_address="192.168.7.2:7720"),
            RosterTill(till_id=3, public_key=bytes(32)),
        ),
    )
    configured = {2: "10.0.0.2:7720", 9: "10.0.0.9:7720"}
    assert bus_roster(None, configured) is None
    assert bus_roster(roster, configured) == BusRoster(
        (StoreKey(2, b"n" * 32), StoreKey(1, b"o" * 32)),
        {1: "192.168.7.1:7720", 2: "10.0.0.2:7720", 3: ""},
    )


def test_the_section_bus_is_read_from_the_file_and_the_environment(tmp_path: Path) -> None:
    text = '[bus]\nlisten = "192.168.7.0/24:7720"\n[bus.peers]\n18 = "192.168.7.18:7720"\n'
    (tmp_path / "agent.toml").write_text(text, encoding="utf-8")
    found = load_config(tmp_path, {}).bus
    assert found == BusConfig(listen="192.168.7.0/24:7720", peers={"18": "192.168.7.18:7720"})
    assert found.others() == {18: "192.168.7.18:7720"}
    environment = {
        "TILLSIDE_BUS_LISTEN": "127.0.0.1:7720",
        "TILLSIDE_BUS_IMPLEMENTATION": "pynng",
        "TILLSIDE_BUS_PEERS": "2=127.0.0.1:7730 3=127.0.0.1:7740",
    }
    assert load_config(tmp_path, environment).bus == BusConfig(
        listen="127.0.0.1:7720",
        implementation="pynng",
        peers={"2": "127.0.0.1:7730", "3": "127.0.0.1:7740"},
    )


def test_without_an_address_or_switched_off_there_is_no_bus(tmp_path: Path) -> None:
    assert load_config(tmp_path, {}).bus.wish() == ""
    off = {"TILLSIDE_BUS_LISTEN": "127.0.0.1:7720", "TILLSIDE_BUS_IMPLEMENTATION": "off"}
    assert load_config(tmp_path, off).bus.wish() == ""


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("bus = 1", "bus"),
        ("[bus]\nport = 1", "port"),
        ("[bus]\nlisten = '0.0.0.0:7720'", "one machine"),
        ("[bus]\nlisten = '192.168.7.1/24:7720'", "host bits"),
        ("[bus]\nlisten = '192.168.7.0/24'", "port|192"),
        ("[bus]\nimplementation = 'zeromq'", "implementation"),
        ("[bus.peers]\nseven = '192.168.7.1:7720'", "seven"),
        ("[bus.peers]\n7 = 'seven'", "seven"),
    ],
)
def test_a_wrong_bus_setting_is_named(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "agent.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=named):
        load_config(tmp_path, {})
