"""What is limited over all customers: a till gives what was set aside for it, each use once."""

import msgspec
import pytest

from agent.bootstrap import ANCHOR_FILE
from agent.till_service.allowance_memory import ASK_AGAIN_MS, STOCK_AGAIN_MS
from agent.till_service.allowances import stock
from agent.till_service.cancelling import ABANDONED_MS
from agent.till_service.messages import ReceiptRequest
from loyalty.offers import AmountOff, Limits, NeedsCode, Offer, SharedLimit
from loyalty.outcomes import Outcome
from sync.cycle import PATH_COUNTERS
from sync.messages import CounterAnswer, CounterRequest, CounterWish, UsedCode
from sync.records import CounterDrawn, CounterInRecord, CounterReturnRecord, SaleRecord
from sync.signing import sign_message
from tests.support import builders
from tests.support.builders import line, offer
from tests.support.till import (
    CENTRE_KEY,
    DAY_MS,
    OTHER_RECEIPT,
    RECEIPT,
    STRANGER_KEY,
    FakeCentre,
    JoinedTill,
    SetSystem,
    calculation_of,
    driven,
    receipt,
    returning,
)

USES = "campaign.uses:hundred"
TODAY = "store.uses.store-1:daily@2025-03-05"
MINOR = "campaign.minor:budget"
ONCE = "code.uses:ONCE-1"

HUNDRED = offer("hundred", limits=Limits(campaign=SharedLimit(uses_max=100)))
DAILY = offer("daily", limits=Limits(store=SharedLimit(uses_max=9, period="day")))
BUDGET = offer("budget", limits=Limits(campaign=SharedLimit(discount_minor_max=10_000)))
COUPON = offer("coupon", AmountOff(amount_minor=50), needs=NeedsCode(prefix="ONCE-", uses_max=1))
TEN = receipt()
WITH_CODE = receipt(codes=["ONCE-1"])


def ready(joined: JoinedTill, *offers: Offer, **left: int) -> JoinedTill:
    """Return the till after a conversation: rules, and a share of what is left of counters."""
    assert joined.centre is not None
    joined.centre.counters_left = left
    joined.centre.publishes(builders.bundle(*offers))
    joined.talk()
    joined.talk()
    return joined


def counting(name: str, left: int) -> dict[str, int]:
    return {name: left}


def discount(till: JoinedTill, request: ReceiptRequest = TEN, receipt_id: str = RECEIPT) -> int:
    """Return what the till takes off a receipt now."""
    answer = till.update(request, receipt_id)
    return calculation_of(answer).totals.discount_minor


def sell(till: JoinedTill, receipt_id: str = RECEIPT, request: ReceiptRequest = TEN) -> SaleRecord:
    """Total and complete a receipt; returns its record."""
    shown = calculation_of(till.update(request, receipt_id))
    done = till.complete(request, shown.totals.paid_minor, receipt_id)
    assert done.outcome == Outcome.RECORDED
    (sale,) = [r for r in till.own_records() if isinstance(r, SaleRecord) and r.key == receipt_id]
    return sale


def ids() -> list[str]:
    return [f"01957e3c-9a{number:02}-7c11-8d22-3e4f5a6b7c8d" for number in range(30)]


def left(till: JoinedTill, name: str) -> int:
    share = till.till.journal.counter_rights.shares([name]).get(name)
    return share.left if share else 0


# Shares in advance


def test_a_till_gets_a_share_in_advance_and_gives_it_without_a_line(joined: JoinedTill) -> None:
    till = ready(joined, HUNDRED, **counting(USES, 100))
    assert left(till, USES) == 2
    till.cut_off()
    assert [discount(till, TEN, key) for key in ids()[:3]] == [100, 100, 0]


def test_what_a_receipt_draws_is_in_its_record_with_the_right_it_came_from(
    joined: JoinedTill,
) -> None:
    till = ready(joined, HUNDRED, **counting(USES, 100))
    assert joined.centre is not None
    (grant,) = joined.centre.counter_grants
    sale = sell(till)
    assert sale.drawn == (CounterDrawn(grant.grant_id, 1),)
    assert sale.inputs.allowance.left == {USES: 2}
    assert left(till, USES) == 1


def test_tills_without_such_offers_ask_nothing(joined: JoinedTill) -> None:
    till = ready(joined, offer("plain"))
    sell(till)
    assert joined.centre is not None
    assert joined.centre.asked(CounterRequest) == []


def test_a_share_is_filled_up_when_less_than_half_is_left(joined: JoinedTill) -> None:
    till = ready(joined, HUNDRED, **counting(USES, 100))
    assert joined.centre is not None
    before = len(joined.centre.asked(CounterRequest))
    sell(till, ids()[0])
    till.talk()
    assert len(joined.centre.asked(CounterRequest)) == before
    sell(till, ids()[1])
    till.talk()
    assert left(till, USES) == 2


def test_what_the_centre_has_nothing_of_is_not_asked_for_all_the_time(
    joined: JoinedTill, system: SetSystem
) -> None:
    till = ready(joined, HUNDRED)
    assert joined.centre is not None
    asked = len(joined.centre.asked(CounterRequest))
    till.talk()
    assert len(joined.centre.asked(CounterRequest)) == asked
    system.let_pass(STOCK_AGAIN_MS)
    till.talk()
    assert len(joined.centre.asked(CounterRequest)) == asked + 1


def test_limits_of_a_day_are_asked_for_half_a_day_ahead(
    joined: JoinedTill, system: SetSystem
) -> None:
    till = ready(joined, DAILY, **counting(TODAY, 9))
    assert left(till, TODAY) == 2
    system.let_pass(DAY_MS // 2)
    assert joined.centre is not None
    tomorrow = "store.uses.store-1:daily@2025-03-06"
    joined.centre.counters_left[tomorrow] = 9
    till.talk()
    assert left(till, tomorrow) == 2


# While a receipt is open


def test_uses_an_open_receipt_was_shown_are_nobody_elses(joined: JoinedTill) -> None:
    till = ready(joined, HUNDRED, **counting(USES, 2))
    till.cut_off()
    assert [discount(till, TEN, key) for key in ids()[:3]] == [100, 100, 0]
    for key in ids()[:2]:
        assert till.complete(TEN, 900, key).outcome == Outcome.RECORDED
    assert till.complete(TEN, 1_000, ids()[2]).outcome == Outcome.RECORDED
    assert left(till, USES) == 0


def test_set_aside_means_durably(joined: JoinedTill) -> None:
    till = ready(joined, HUNDRED, **counting(USES, 2))
    till.cut_off()
    assert [discount(till, TEN, key) for key in ids()[:2]] == [100, 100]
    again = till.reopened()
    assert discount(again, TEN, ids()[2]) == 0
    assert again.complete(TEN, 900, ids()[0]).outcome == Outcome.RECORDED
    again.close()


def test_a_new_total_puts_back_what_it_does_not_draw(joined: JoinedTill) -> None:
    till = ready(joined, BUDGET, **counting(MINOR, 100))
    assert joined.centre is not None
    joined.centre.counter_share = 100
    till.cut_off()
    joined.till.link_up = True
    assert discount(till, receipt(line(gross_minor=800))) == 80
    till.cut_off()
    assert discount(till, receipt(line(gross_minor=300), version=2)) == 30
    assert discount(till, TEN, OTHER_RECEIPT) == 70
    assert discount(till, receipt(line(gross_minor=900), version=3)) == 30


@pytest.mark.parametrize("how", ["cancelled", "abandoned"])
def test_a_receipt_given_up_puts_back_what_it_has_taken(
    joined: JoinedTill, system: SetSystem, how: str
) -> None:
    till = ready(joined, HUNDRED, **counting(USES, 2))
    till.cut_off()
    assert [discount(till, TEN, key) for key in ids()[:2]] == [100, 100]
    if how == "cancelled":
        till.cancel(ids()[0])
    else:
        system.let_pass(ABANDONED_MS + 1)
        till.talk()
    assert discount(till, TEN, ids()[2]) == 100


def test_the_receipt_completed_is_the_receipt_shown(joined: JoinedTill) -> None:
    """A share that comes between total and completion changes nothing of either."""
    till = ready(joined, BUDGET, **counting(MINOR, 10_000))
    assert joined.centre is not None
    till.cut_off()
    shown = till.update(receipt(line(gross_minor=100_000)))
    assert calculation_of(shown).totals.discount_minor == 2
    joined.till.link_up = True
    joined.centre.counter_share = 5_000
    till.talk()
    assert left(till, MINOR) == 5_000
    done = till.complete(receipt(line(gross_minor=100_000)), 99_998)
    assert calculation_of(done) == calculation_of(shown)


def test_training_takes_nothing(joined: JoinedTill) -> None:
    till = ready(joined, HUNDRED, **counting(USES, 2))
    till.cut_off()
    assert [discount(till, receipt(training=True), key) for key in ids()[:3]] == [100] * 3
    assert left(till, USES) == 2


def test_what_comes_back_is_a_fact_and_not_the_tills_to_give_again(joined: JoinedTill) -> None:
    till = ready(joined, HUNDRED, **counting(USES, 2))
    sell(till)
    till.cut_off()
    assert till.take_back(returning()).outcome == Outcome.RECORDED
    assert left(till, USES) == 1


# With a line, while the customer waits


def test_an_empty_till_asks_for_what_the_receipt_needs(joined: JoinedTill) -> None:
    till = ready(joined, BUDGET, **counting(MINOR, 2))
    assert joined.centre is not None
    joined.centre.counters_left[MINOR] = 500
    assert discount(till) == 100
    wish = CounterWish(counter=MINOR, amount=98)
    assert joined.centre.asked(CounterRequest)[-1].wishes == (wish,)


def test_a_till_that_has_enough_asks_nothing(joined: JoinedTill) -> None:
    till = ready(joined, HUNDRED, **counting(USES, 100))
    assert joined.centre is not None
    asked = len(joined.centre.asked(CounterRequest))
    sell(till)
    assert len(joined.centre.asked(CounterRequest)) == asked


def test_a_sale_does_not_ask_again_at_once_for_what_is_not_to_be_had(
    joined: JoinedTill, system: SetSystem
) -> None:
    till = ready(joined, HUNDRED)
    assert joined.centre is not None
    system.let_pass(ASK_AGAIN_MS)
    asked = len(joined.centre.asked(CounterRequest))
    assert [discount(till, TEN, key) for key in ids()[:3]] == [0, 0, 0]
    assert len(joined.centre.asked(CounterRequest)) == asked + 1


# Codes


def test_a_single_code_is_asked_for_when_it_is_shown_and_used_once(joined: JoinedTill) -> None:
    till = ready(joined, COUPON, **counting(ONCE, 1))
    assert left(till, ONCE) == 0
    assert discount(till, WITH_CODE) == 50
    sale = sell(till, RECEIPT, WITH_CODE)
    assert [each.amount for each in sale.drawn] == [1]
    assert discount(till, WITH_CODE, OTHER_RECEIPT) == 0


def test_a_used_code_is_named_with_when_and_where(joined: JoinedTill) -> None:
    till = ready(joined, COUPON)
    assert joined.centre is not None
    joined.centre.used_codes = (
        UsedCode(code="ONCE-1", last="2025-03-01T09:00:00 store s9"),
        UsedCode(code="ONCE-2", last="never shown"),
    )
    (why,) = calculation_of(till.update(WITH_CODE)).reasons
    assert (why.code, why.figures["last"]) == ("code_used", "2025-03-01T09:00:00 store s9")


def test_a_code_nobody_used_goes_home_when_its_receipt_is_over(joined: JoinedTill) -> None:
    till = ready(joined, COUPON, **counting(ONCE, 1))
    assert discount(till, WITH_CODE) == 50
    till.talk()
    assert not [r for r in till.own_records() if isinstance(r, CounterReturnRecord)]
    till.cancel()
    till.talk()
    (home,) = [r for r in till.own_records() if isinstance(r, CounterReturnRecord)]
    assert home.amount == 1
    assert left(till, ONCE) == 0


# Rules R1 and R2


def test_a_grant_that_comes_twice_counts_once(joined: JoinedTill) -> None:
    till = ready(joined, HUNDRED, **counting(USES, 100))
    assert joined.centre is not None
    again = CounterAnswer(grants=tuple(joined.centre.counter_grants))
    joined.till.journal.counter_rights.withdraw()
    for _ in range(2):
        driven(stock(till.till), lambda _: again)
    assert left(till, USES) == 0
    assert len([r for r in till.own_records() if isinstance(r, CounterInRecord)]) == 1


@pytest.mark.parametrize("wrong", ["till", "incarnation", "session", "signature"])
def test_a_grant_for_somebody_else_or_of_another_session_is_not_kept(
    joined: JoinedTill, wrong: str
) -> None:
    till = ready(joined, HUNDRED)
    assert joined.centre is not None
    grant = joined.centre.counter_grant(USES, 5)
    changes: dict[str, dict[str, object]] = {
        "till": {"till_id": 99},
        "incarnation": {"incarnation": bytes(8)},
        "session": {"session": bytes(range(16))},
        "signature": {},
    }
    key = STRANGER_KEY if wrong == "signature" else CENTRE_KEY
    forged = sign_message(msgspec.structs.replace(grant, **changes[wrong]), key)
    joined.system.let_pass(STOCK_AGAIN_MS)
    driven(stock(till.till), lambda _: CounterAnswer(grants=(forged,)))
    assert left(till, USES) == 0


def test_an_answer_that_comes_after_the_stream_began_anew_is_not_kept(joined: JoinedTill) -> None:
    till = ready(joined, HUNDRED)
    assert joined.centre is not None
    joined.system.let_pass(STOCK_AGAIN_MS)
    asking = stock(till.till)
    next(asking)
    late = CounterAnswer(grants=(joined.centre.counter_grant(USES, 5),))
    till.till.start_incarnation("a test")
    with pytest.raises(StopIteration):
        asking.send(late)
    assert left(till, USES) == 0


def test_a_stream_begun_anew_has_no_rights(joined: JoinedTill) -> None:
    till = ready(joined, HUNDRED, **counting(USES, 100))
    assert discount(till) == 100
    till.till.start_incarnation("a test")
    till.cut_off()
    assert discount(till) == 0


def test_a_journal_without_its_anchor_spends_no_share(joined: JoinedTill) -> None:
    till = ready(joined, HUNDRED, **counting(USES, 100))
    (till.folder / ANCHOR_FILE).unlink()
    again = till.reopened()
    assert discount(again, TEN, OTHER_RECEIPT) == 0
    again.close()


def test_a_share_asked_back_goes_home_but_for_what_is_on_open_receipts(joined: JoinedTill) -> None:
    till = ready(joined, HUNDRED, **counting(USES, 2))
    assert joined.centre is not None
    assert discount(till) == 100
    joined.centre.recalls = [joined.centre.counter_grants[0].grant_id]
    till.talk()
    (home,) = [r for r in till.own_records() if isinstance(r, CounterReturnRecord)]
    assert (home.amount, home.why) == (1, "recalled")
    assert till.complete(TEN, 900).outcome == Outcome.RECORDED


def test_a_share_goes_home_by_record_when_its_period_is_over(
    joined: JoinedTill, system: SetSystem
) -> None:
    till = ready(joined, DAILY, **counting(TODAY, 9))
    system.let_pass(3 * DAY_MS)
    till.talk()
    (home,) = [r for r in till.own_records() if isinstance(r, CounterReturnRecord)]
    assert (home.amount, home.why) == (2, "its period is over")


def test_a_revoked_till_gives_nothing_more(joined: JoinedTill, centre: FakeCentre) -> None:
    till = ready(joined, HUNDRED, **counting(USES, 100))
    centre.is_revoked = True
    till.talk()
    till.cut_off()
    assert discount(till) == 0


def test_a_lost_answer_costs_the_customer_nothing_but_the_offer(joined: JoinedTill) -> None:
    till = ready(joined, COUPON, **counting(ONCE, 1))
    assert joined.centre is not None
    joined.centre.silent.add(PATH_COUNTERS)
    assert discount(till, WITH_CODE) == 0
    assert till.complete(WITH_CODE, 1_000).outcome == Outcome.RECORDED
