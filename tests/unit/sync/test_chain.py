"""The hash chain shows whatever is changed, moved, left out or put under another name."""

import hashlib

import pytest

from sync.chain import HASH_BYTES, first_link, links, next_link

TILL_ID, INCARNATION = 17, b"12345678"
RECORDS = [b"one", b"two", b"three", b"four"]
CHANGED = {
    "a byte": [b"one", b"twO", b"three", b"four"],
    "the order": [b"one", b"three", b"two", b"four"],
    "one left out": [b"one", b"three", b"four"],
    "the first left out": [b"two", b"three", b"four"],
    "the last left out": [b"one", b"two", b"three"],
    "one twice": [b"one", b"two", b"two", b"three", b"four"],
    "one put in": [b"one", b"", b"two", b"three", b"four"],
    "two joined": [b"one", b"twothree", b"four"],
    "the border moved": [b"one", b"twot", b"hree", b"four"],
}


def head(records: list[bytes]) -> bytes:
    """Return the last link over these records."""
    return links(first_link(TILL_ID, INCARNATION), records)[-1]


@pytest.mark.parametrize("records", CHANGED.values(), ids=CHANGED)
def test_head_shows_a_change(records: list[bytes]) -> None:
    assert head(records) != head(RECORDS)


def test_links_before_a_changed_record_stay_and_all_after_it_change() -> None:
    start = first_link(TILL_ID, INCARNATION)
    before = links(start, RECORDS)
    after = links(start, [b"one", b"TWO", b"three", b"four"])
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, False, False]


def test_chain_can_be_continued_from_any_link() -> None:
    whole = links(first_link(TILL_ID, INCARNATION), RECORDS)
    assert links(whole[1], RECORDS[2:]) == whole[2:]
    assert links(whole[1], []) == []


def test_link_is_sha_256_of_the_link_before_and_the_bytes() -> None:
    link = next_link(b"p" * HASH_BYTES, b"record")
    assert link == hashlib.sha256(b"p" * HASH_BYTES + b"record").digest()
    assert len(link) == HASH_BYTES


def test_first_link_binds_the_chain_to_till_and_incarnation() -> None:
    starts = {
        first_link(till_id, incarnation)
        for till_id in (1, 2, 256, 2**63 - 1)
        for incarnation in (b"12345678", b"12345679")
    }
    assert len(starts) == 8
