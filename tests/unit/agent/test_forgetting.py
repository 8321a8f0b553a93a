"""A till forgets erased customers in their order, and says how far only when it has forgotten."""

from collections.abc import Callable
from pathlib import Path

import pytest

from agent.link.forgetting import Forgetting, Through
from sync.forgetting import Forgotten, ForgottenAnswer
from tests.support.till import JoinedTill, customer
from tests.unit.agent.test_own_counts import calculation, sell

SEVEN, EIGHT = customer("seven", 7), customer("eight", 8)


@pytest.fixture
def till(tmp_path: Path) -> JoinedTill:
    """Give a till that has been told two customers."""
    joined = JoinedTill(tmp_path)
    joined.till.cache.put_accounts((SEVEN, EIGHT))
    return joined


def greeted(till: JoinedTill, newest: int) -> Forgetting:
    """Return it after a HELLO whose answer told a number."""
    forgetting = Forgetting(till.till)
    forgetting.begin()
    forgetting.hear_hello(newest)
    return forgetting


def cards(till: JoinedTill) -> tuple[int, int]:
    cache = till.till.cache
    return len(cache.cards_of(7)), len(cache.cards_of(8))


def test_without_a_number_there_is_nothing_to_say(till: JoinedTill) -> None:
    forgetting = greeted(till, 0)
    forgetting.hear(0)
    assert forgetting.to_say() is None


def test_one_after_the_other_and_then_it_is_confirmed(till: JoinedTill) -> None:
    forgetting = greeted(till, 20)
    assert forgetting.to_say() == Forgotten(through=0)
    forgetting.take(ForgottenAnswer(through=10, accounts=(7,)))
    assert cards(till) == (0, 1)
    assert forgetting.to_say() == Forgotten(through=10)
    forgetting.take(ForgottenAnswer(through=20, accounts=(8,)))
    assert cards(till) == (0, 0)
    assert forgetting.to_say() == Forgotten(through=20)
    forgetting.take(ForgottenAnswer(through=20))
    assert forgetting.to_say() is None


def test_a_pull_tells_of_newer_ones(till: JoinedTill) -> None:
    forgetting = greeted(till, 0)
    forgetting.hear(30)
    assert forgetting.to_say() == Forgotten(through=0)


def test_a_till_that_was_never_told_anybody_has_nobody_to_forget(tmp_path: Path) -> None:
    till = JoinedTill(tmp_path)
    forgetting = greeted(till, 20)
    assert forgetting.to_say() == Forgotten(through=20)
    assert Forgetting(till.till).begin() == 20


def sold(till: JoinedTill) -> None:
    sell(till, "sale-1", calculation(("stamps", 2)), card=SEVEN.card)


def showed_a_code(till: JoinedTill) -> None:
    with till.till.journal.transaction():
        till.till.journal.shown_codes.use(7, 5, "receipt-1")


@pytest.mark.parametrize("was_here", [sold, showed_a_code])
def test_a_till_whose_cache_is_gone_forgets_what_its_journal_knows(
    tmp_path: Path, was_here: Callable[[JoinedTill], None]
) -> None:
    till = JoinedTill(tmp_path)
    was_here(till)
    forgetting = greeted(till, 20)
    assert forgetting.to_say() == Forgotten(through=0)
    forgetting.take(ForgottenAnswer(through=20, accounts=(7,)))
    journal = till.till.journal
    assert not journal.own_counts.know_anybody()
    assert not journal.shown_codes.know_anybody()
    assert forgetting.to_say() == Forgotten(through=20)


def test_counts_of_cards_nobody_knows_name_nobody_to_forget(tmp_path: Path) -> None:
    till = JoinedTill(tmp_path)
    sell(till, "sale-1", calculation(("stamps", 2), account_id=0), card=SEVEN.card)
    assert greeted(till, 20).to_say() == Forgotten(through=20)


def test_a_file_of_an_earlier_release_has_everybody_to_forget(till: JoinedTill) -> None:
    assert greeted(till, 20).begin() == 0


def test_what_was_not_kept_is_done_again(till: JoinedTill) -> None:
    greeted(till, 10).take(ForgottenAnswer(through=10, accounts=(7,)))
    till.till.cache.put_value("forgotten", Through(0))  # the power went before this was written
    again = greeted(till, 10)
    assert again.to_say() == Forgotten(through=0)
    again.take(ForgottenAnswer(through=10, accounts=(7,)))
    assert again.begin() == 10


def test_it_is_remembered_over_a_restart(till: JoinedTill) -> None:
    greeted(till, 10).take(ForgottenAnswer(through=10, accounts=(7,)))
    later = till.reopened()
    assert Forgetting(later.till).begin() == 10
    assert cards(later) == (0, 1)


def test_numbers_that_do_not_rise_end_the_asking(till: JoinedTill) -> None:
    forgetting = greeted(till, 20)
    forgetting.take(ForgottenAnswer(through=0, accounts=(7,)))
    assert forgetting.to_say() is None


def test_what_the_file_said_of_a_customer_is_overwritten(till: JoinedTill, tmp_path: Path) -> None:
    def said() -> bytes:
        return b"".join(path.read_bytes() for path in tmp_path.glob("cache*"))

    assert SEVEN.card in said()
    greeted(till, 10).take(ForgottenAnswer(through=10, accounts=(7,)))
    assert SEVEN.card not in said()
    assert EIGHT.card in said()


def test_what_a_card_counted_while_nobody_knew_it_and_codes_shown_go_too(till: JoinedTill) -> None:
    journal = till.till.journal
    sell(till, "sale-1", calculation(("stamps", 2), account_id=0), card=SEVEN.card)
    sell(till, "sale-2", calculation(("stamps", 2), account_id=0), card=EIGHT.card)
    with journal.transaction():
        journal.shown_codes.use(7, 5, "receipt-1")
        journal.shown_codes.use(8, 5, "receipt-2")
    greeted(till, 10).take(ForgottenAnswer(through=10, accounts=(7,)))
    assert journal.own_counts.of_card(SEVEN.card).purchases == 0
    assert journal.own_counts.of_card(EIGHT.card).purchases == 1
    assert journal.shown_codes.receipt_of(7, 5) == ""
    assert journal.shown_codes.receipt_of(8, 5) == "receipt-2"


def test_asks_of_a_forgotten_customers_card_are_over(till: JoinedTill) -> None:
    courier = till.till.journal.courier
    with till.till.journal.transaction():
        asks = [
            courier.add(
                nonce=row.card[:8], incarnation=b"i", receipt_id="r", card=row.card, points=5
            )
            for row in (SEVEN, EIGHT)
        ]
    greeted(till, 10).take(ForgottenAnswer(through=10, accounts=(7,)))
    assert courier.open_nonces() == (asks[1].nonce,)
    assert courier.made() == 2
