"""Sums of what is known: equal for equal rows in any order, else different in the bucket."""

from hypothesis import given
from hypothesis import strategies as st

from sync.fingerprints import BUCKETS, FINGERPRINT_BYTES, bucket_of, differing, fingerprint

ROWS = st.lists(
    st.tuples(st.binary(min_size=8, max_size=8), st.integers(1, 9), st.integers(1, 9)),
    unique_by=lambda row: row[0],
    max_size=30,
)


@given(rows=ROWS)
def test_the_order_of_rows_is_no_matter(rows: list[tuple[bytes, int, int]]) -> None:
    shuffled = sorted(rows, key=lambda row: (row[2], row[1], row[0][::-1]))
    assert fingerprint(rows) == fingerprint(shuffled)
    assert len(fingerprint(rows)) == FINGERPRINT_BYTES


@given(rows=ROWS.filter(bool), data=st.data())
def test_a_row_that_is_missing_or_older_shows_in_its_bucket_alone(
    rows: list[tuple[bytes, int, int]], data: st.DataObject
) -> None:
    changed = data.draw(st.sampled_from(rows))
    card, account_id, version = changed
    others = [row for row in rows if row != changed]
    whole = fingerprint(rows)
    for worse in (others, [*others, (card, account_id, version + 1)], [*others, (card, 99, 1)]):
        assert differing(whole, fingerprint(worse)) == [bucket_of(card)]
    assert differing(whole, whole) == []


def test_nothing_known_has_a_sum_of_nothing() -> None:
    assert fingerprint([]) == bytes(FINGERPRINT_BYTES)
    assert {bucket_of(bytes([number, 7])) for number in range(BUCKETS)} == set(range(BUCKETS))
    assert bucket_of(b"") == 0
