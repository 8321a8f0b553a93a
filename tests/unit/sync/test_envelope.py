"""An envelope proves its sender, its receiver and its bytes; a packet is good for once."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.envelope import (
    BODY_BYTES_MAX,
    ENVELOPE_BYTES_MAX,
    INCARNATIONS_MAX,
    MAC_BYTES,
    REPLAY_WINDOW,
    Envelope,
    Keyring,
    Kind,
    ReplayWindows,
    Sender,
    StoreKey,
    request_tag,
)
from sync.errors import MalformedMessageError, SignatureError, SyncError

OLD, NEW = StoreKey(1, b"o" * 32), StoreKey(2, b"n" * 32)
RING = Keyring("s1", [NEW, OLD])
SENDER = Sender(17, b"incarnat", 3)
SAID = Envelope(Kind.GOSSIP, SENDER, 0, 5, b"body")


@given(
    kind=st.sampled_from(Kind),
    till_id=st.integers(0, 2**64 - 1),
    to=st.integers(0, 2**64 - 1),
    counter=st.integers(0, 2**64 - 1),
    body=st.binary(min_size=1, max_size=200),
    reply_to=st.binary(min_size=24, max_size=24),
)
def test_what_is_sealed_is_opened(
    kind: Kind, till_id: int, to: int, counter: int, body: bytes, reply_to: bytes
) -> None:
    sealed = Envelope(kind, Sender(till_id, b"incarnat", 1), to, counter, body, reply_to)
    assert RING.open(RING.seal(sealed)) == sealed


def test_the_longest_body_fits_exactly() -> None:
    longest = Envelope(Kind.REQUEST, SENDER, 18, 1, b"x" * BODY_BYTES_MAX)
    packet = RING.seal(longest)
    assert len(packet) == ENVELOPE_BYTES_MAX
    assert RING.open(packet) == longest


@pytest.mark.parametrize("length", [0, BODY_BYTES_MAX + 1])
def test_no_other_body_is_sealed(length: int) -> None:
    with pytest.raises(ValueError, match="bytes"):
        RING.seal(Envelope(Kind.GOSSIP, SENDER, 0, 1, bytes(length)))


@given(at=st.integers(0, len(RING.seal(SAID)) * 8 - 1))
def test_no_changed_bit_is_believed(at: int) -> None:
    packet = bytearray(RING.seal(SAID))
    packet[at // 8] ^= 1 << at % 8
    with pytest.raises(SyncError):
        RING.open(bytes(packet))


@given(piece=st.binary(max_size=300))
def test_garbage_is_refused_by_name(piece: bytes) -> None:
    with pytest.raises(SyncError):
        RING.open(piece)


def test_no_cut_or_longer_packet_is_believed() -> None:
    packet = RING.seal(SAID)
    for length in range(len(packet)):
        with pytest.raises(SyncError):
            RING.open(packet[:length])
    with pytest.raises(SyncError):
        RING.open(packet + b"\0")


def test_a_packet_too_long_is_refused_before_it_is_read() -> None:
    with pytest.raises(MalformedMessageError, match=str(ENVELOPE_BYTES_MAX + 1)):
        RING.open(b"\1" * (ENVELOPE_BYTES_MAX + 1))


def test_another_version_is_named() -> None:
    with pytest.raises(MalformedMessageError, match="version 2"):
        RING.open(b"\2" + RING.seal(SAID)[1:])


def test_another_stores_packet_is_refused_even_under_the_same_key() -> None:
    with pytest.raises(SignatureError):
        Keyring("s2", [NEW]).open(RING.seal(SAID))


def test_while_keys_change_both_are_opened_and_the_first_seals() -> None:
    before, meanwhile, after = Keyring("s1", [OLD]), Keyring("s1", [OLD, NEW]), RING
    for sealing in (before, meanwhile, after):
        for opening in (meanwhile, after):
            assert opening.open(sealing.seal(SAID)) == SAID
    assert before.open(meanwhile.seal(SAID)) == SAID
    with pytest.raises(SignatureError):
        before.open(after.seal(SAID))
    with pytest.raises(SignatureError):
        Keyring("s1", [NEW]).open(before.seal(SAID))


@pytest.mark.parametrize(
    "keys",
    [
        [],
        [OLD, StoreKey(1, b"x" * 32)],
        [StoreKey(1, b"short")],
        [StoreKey(0, b"x" * 32)],
        [StoreKey(65_536, b"x" * 32)],
        [StoreKey(number, b"x" * 32) for number in range(1, 6)],
    ],
)
def test_keys_that_cannot_be_are_named(keys: list[StoreKey]) -> None:
    with pytest.raises(ValueError, match="key"):
        Keyring("s1", keys)


def test_the_tag_of_a_request_is_its_counter_and_mac() -> None:
    packet = RING.seal(SAID)
    assert request_tag(packet) == (5).to_bytes(8, "big") + packet[-MAC_BYTES:]


def test_a_packet_is_accepted_once_in_any_order(seed: int) -> None:
    chance = random.Random(seed)
    windows, seen, newest = ReplayWindows(), set[int](), 10_000
    assert windows.accept(SENDER, newest)
    first = newest
    for _ in range(5_000):
        counter = newest + chance.randrange(-REPLAY_WINDOW - 200, 200)
        newest_before, newest = newest, max(newest, counter)
        in_window = counter > newest_before - REPLAY_WINDOW
        fresh = counter not in seen and counter > first and in_window
        assert windows.accept(SENDER, counter) == fresh
        if fresh:
            seen.add(counter)


@pytest.mark.parametrize("ahead", [1, REPLAY_WINDOW - 1, REPLAY_WINDOW, REPLAY_WINDOW + 1, 2**60])
def test_a_leap_forgets_nothing_that_could_come_again(ahead: int) -> None:
    windows = ReplayWindows()
    for counter in (100, 101, 103, 103 + ahead):
        assert windows.accept(SENDER, counter)
    for counter in (100, 101, 103, 103 + ahead):
        assert not windows.accept(SENDER, counter)
    assert windows.accept(SENDER, 102) == (103 + ahead - 102 < REPLAY_WINDOW)


def test_what_was_sent_before_the_first_that_came_counts_as_seen() -> None:
    windows = ReplayWindows()
    assert windows.accept(SENDER, 100)
    assert not windows.accept(SENDER, 99)


def test_tills_and_incarnations_are_counted_apart() -> None:
    windows = ReplayWindows()
    for sender in (SENDER, SENDER._replace(till_id=18), SENDER._replace(incarnation=b"anotherI")):
        assert windows.accept(sender, 7)
        assert not windows.accept(sender, 7)


def test_old_incarnations_of_a_till_are_shut_out_for_good() -> None:
    windows = ReplayWindows()
    many = [SENDER._replace(incarnation_number=number) for number in range(INCARNATIONS_MAX + 3)]
    for sender in many:
        assert windows.accept(sender, 7)
    # The three oldest are forgotten: their packets must not open a window again.
    assert [windows.accept(sender, 8) for sender in many] == [False] * 3 + [True] * INCARNATIONS_MAX
    assert not any(windows.accept(sender, 8) for sender in many)


def test_a_till_that_left_the_roster_is_forgotten() -> None:
    windows = ReplayWindows()
    assert windows.accept(SENDER, 7)
    windows.keep_only({17: ""})
    assert not windows.accept(SENDER, 7)
    windows.keep_only({})
    assert windows.accept(SENDER, 7)
