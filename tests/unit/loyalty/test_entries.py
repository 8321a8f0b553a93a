"""Every entry of the ledger adds up to zero."""

import pytest

from loyalty.entries import (
    Entry,
    Posting,
    earned,
    given_back,
    redeemed,
    repaid,
    taken_back,
)


def legs(entry: Entry) -> list[tuple[str, int, int]]:
    """Return ledger account, points and lot of each posting."""
    return [(one.ledger_account, one.points, one.lot_id) for one in entry.postings]


def test_earned_points_go_to_their_lots() -> None:
    entry = earned([(1, 30), (2, 5)])
    assert entry.kind == "earn"
    assert legs(entry) == [("member", 30, 1), ("member", 5, 2), ("issued", -35, 0)]


def test_redeemed_points_leave_their_lots() -> None:
    assert legs(redeemed([(1, 30)])) == [("member", -30, 1), ("redeemed", 30, 0)]


def test_what_no_lot_covered_is_a_loss_of_the_pool() -> None:
    assert legs(redeemed([(1, 30)], lost=4)) == [
        ("member", -30, 1),
        ("losses", -4, 0),
        ("redeemed", 34, 0),
    ]


def test_giving_back_is_redeeming_reversed() -> None:
    forth, back = redeemed([(1, 30), (2, 1)], lost=4), given_back([(1, 30), (2, 1)], recovered=4)
    assert legs(back) == [(account, -points, lot) for account, points, lot in legs(forth)]


def test_points_taken_back_and_already_spent_are_owed() -> None:
    assert legs(taken_back([(1, 10)], debt=7)) == [
        ("member", -10, 1),
        ("debt", -7, 0),
        ("taken_back", 17, 0),
    ]


def test_a_debt_is_repaid_out_of_lots() -> None:
    assert legs(repaid([(3, 7)])) == [("member", -7, 3), ("debt", 7, 0)]


@pytest.mark.parametrize(
    "postings",
    [
        (Posting("member", 1),),
        (Posting("member", 1), Posting("issued", -2)),
        (Posting("member", 0), Posting("issued", 0)),
    ],
)
def test_an_entry_that_does_not_balance_cannot_be_made(postings: tuple[Posting, ...]) -> None:
    with pytest.raises(AssertionError):
        Entry("earn", postings)
