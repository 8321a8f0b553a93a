"""One-time codes at the till: who stands there without a line, once; no sale is ever stopped."""

from pathlib import Path
from types import MappingProxyType

import msgspec
import pytest

from agent.journal.database import Database
from agent.till_service.courier import CourierService
from agent.till_service.messages import CourierRequest, ReceiptAnswer
from loyalty.offers import AmountOff, PointsPerMoney, Who
from loyalty.outcomes import Outcome
from sync import qr
from sync.customer_code import STEP_MS, CustomerCode, digits_of, step_of
from sync.messages import SnapshotRequest
from sync.qr import CourierAsk
from sync.records import SaleRecord
from sync.signing import SigningKey, card_hash
from tests.support import builders
from tests.support.till import (
    CARD,
    CARD_KEY,
    CENTRE_KEY,
    NOON_MS,
    OTHER_RECEIPT,
    RECEIPT,
    STRANGER_KEY,
    FakeCentre,
    JoinedTill,
    SetSystem,
    customer,
    joined_over,
    receipt,
)
from tests.unit.agent.losing_disk import LosingDisk

MINUTE_MS = 60_000
PROGRAMME = builders.programme().programme_id
RULES = builders.bundle(
    builders.offer("points", PointsPerMoney(points=1, per_minor=100), who=Who(identified=True)),
    builders.offer("gold", AmountOff(amount_minor=50), who=Who(tiers=("gold",))),
    builders.offer("yours", AmountOff(amount_minor=7), who=Who(personal=True)),
)
NOTHING = MappingProxyType[str, object]({})


def shown(
    *,
    at_ms: int = NOON_MS,
    account_id: int = 7,
    key: SigningKey = CENTRE_KEY,
    other: MappingProxyType[str, object] = NOTHING,
) -> str:
    """Return what a telephone shows as a QR code."""
    code = CustomerCode(
        account_id=account_id,
        step=step_of(at_ms),
        programme=PROGRAMME,
        card=card_hash(CARD_KEY, CARD),
        version=5,
        points=300,
        purchases=3,
        tier="gold",
        offers=("yours",),
    )
    return qr.sealed_text(msgspec.structs.replace(code, **other), key)


def typed(*, at_ms: int = NOON_MS, account_id: int = 7, programme: str = PROGRAMME) -> str:
    """Return the digits below it."""
    return digits_of(CARD_KEY, programme, account_id, step_of(at_ms))


@pytest.fixture
def till(tmp_path: Path) -> JoinedTill:
    """A till that never reaches the centre and never heard of the customer."""
    till = JoinedTill(tmp_path / "till", system=SetSystem())
    till.take_rules(RULES)
    return till


def codes(answer: ReceiptAnswer) -> list[str]:
    return [message.code for message in answer.messages]


def recorded(till: JoinedTill) -> SaleRecord:
    sale = till.own_records()[-1]
    assert isinstance(sale, SaleRecord)
    return sale


def test_a_till_that_never_heard_of_a_customer_knows_him_by_his_code(till: JoinedTill) -> None:
    shows = receipt(card=shown())
    answer = till.update(shows)
    assert answer.customer is not None
    assert (answer.customer.known, answer.customer.tier, answer.customer.points) == (
        True, "gold", 300,
    )  # fmt: skip
    done = till.complete(shows, 1_000 - 50 - 7)
    assert done.outcome == "recorded"
    sale = recorded(till)
    assert bytes.fromhex(sale.card) == card_hash(CARD_KEY, CARD)
    account = sale.inputs.account
    assert (account.account_id, account.purchases, account.version) == (7, 3, 5)


def test_the_digits_tell_the_account_and_the_points_are_earned(till: JoinedTill) -> None:
    digits = typed()
    shows = receipt(card=f"{digits[:4]} {digits[4:]}")
    answer = till.update(shows)
    assert answer.customer is not None
    assert (answer.customer.known, answer.customer.tier) == (True, "")
    assert till.complete(shows, 1_000).outcome == "recorded"
    sale = recorded(till)
    assert (sale.card, sale.inputs.account.account_id) == ("", 7)


@pytest.mark.parametrize("make", [shown, typed])
def test_a_code_is_good_for_one_receipt(till: JoinedTill, make: type) -> None:
    code = make()
    till.update(receipt(card=code))
    other = receipt(card=code)
    refused = till.update(other, OTHER_RECEIPT)
    assert (refused.outcome, codes(refused)) == ("calculated", ["customer_code_used"])
    assert refused.customer is None
    assert till.complete(other, 1_000, OTHER_RECEIPT).outcome == "recorded"  # a sale goes on
    assert recorded(till).inputs.account.account_id == 0
    again = till.update(receipt(card=code, version=2))
    assert again.customer is not None
    following = make(at_ms=NOON_MS + STEP_MS)
    assert till.update(receipt(card=following, version=3)).customer is not None


def test_the_qr_code_and_its_digits_are_one_code(till: JoinedTill) -> None:
    till.update(receipt(card=shown()))
    assert codes(till.update(receipt(card=typed()), OTHER_RECEIPT)) == ["customer_code_used"]


@pytest.mark.parametrize("make", [shown, typed])
def test_a_basket_may_take_longer_than_a_code_lives(tmp_path: Path, make: type) -> None:
    till = JoinedTill(tmp_path / "till", system=SetSystem())
    till.take_rules(RULES)
    code = make()
    paid = till.update(receipt(card=code)).calculation
    till.system.let_pass(40 * MINUTE_MS)
    till = till.reopened()  # and the agent's memory than a receipt
    later = receipt(card=code, version=2)
    assert till.update(later).calculation == paid
    assert till.cancel().outcome == "cancelled"
    (refused,) = codes(till.update(receipt(card=code), OTHER_RECEIPT))
    assert refused == ("customer_code_used" if make is shown else "code_wrong")
    till.close()


@pytest.mark.parametrize(
    ("off_ms", "good"),
    [(-MINUTE_MS, True), (5 * MINUTE_MS, True), (7 * MINUTE_MS, False), (-3 * MINUTE_MS, False)],
)
def test_a_code_is_first_shown_within_minutes(tmp_path: Path, off_ms: int, *, good: bool) -> None:
    centre = FakeCentre()
    till = JoinedTill(tmp_path / "till", centre=centre)
    till.take_rules(RULES)
    till.talk()  # the till knows the time now
    till.cut_off()
    now_ms = till.till.clock.now_ms()
    answer = till.update(receipt(card=shown(at_ms=now_ms - off_ms)))
    assert codes(answer) == ([] if good else ["customer_code_over"])
    by_digits = till.update(receipt(card=typed(at_ms=now_ms - off_ms)), OTHER_RECEIPT)
    assert codes(by_digits) == (["customer_code_used"] if good else ["code_wrong"])
    till.close()


@pytest.mark.parametrize(
    "code",
    [
        shown(key=STRANGER_KEY), shown()[:-3], shown().replace("TSC1:", "TSC1:0"), "TSC1:",
        typed(programme="red"), typed()[:-1] + "0", "9" * 20,
    ],
    ids=["stranger", "cut", "longer", "empty", "programme", "mistyped", "made up"],
)  # fmt: skip
def test_a_code_that_is_not_genuine_is_nobodys(till: JoinedTill, code: str) -> None:
    shows = receipt(card=code)
    answer = till.update(shows)
    assert (answer.outcome, codes(answer), answer.customer) == ("calculated", ["code_wrong"], None)
    assert till.reserve(shows, 10).outcome == "not_identified"
    assert till.complete(shows, 1_000).outcome == "recorded"


def test_a_code_of_another_programme_shows_the_card_alone(till: JoinedTill) -> None:
    other = MappingProxyType[str, object]({"programme": "red"})
    shows = receipt(card=shown(other=other))
    answer = till.update(shows)
    assert answer.customer is not None
    assert answer.customer.known is False
    till.complete(shows, 1_000)
    sale = recorded(till)
    assert (bytes.fromhex(sale.card), sale.inputs.account.account_id) == (
        card_hash(CARD_KEY, CARD), 0,
    )  # fmt: skip


def test_what_the_code_says_newer_goes_before_what_the_till_was_told(tmp_path: Path) -> None:
    centre = FakeCentre()
    centre.knows(customer(points=80, version=3, tier="silver"))
    till = JoinedTill(tmp_path / "till", centre=centre)
    till.take_rules(RULES)
    till.talk()
    till.cut_off()
    now_ms = till.till.clock.now_ms()
    answer = till.update(receipt(card=shown(at_ms=now_ms)))
    assert answer.customer is not None
    assert (answer.customer.tier, answer.customer.masked_name) == ("gold", "A*** K.")
    older = MappingProxyType[str, object]({"version": 2, "step": step_of(now_ms) - 1})
    told = till.update(receipt(card=shown(other=older)), OTHER_RECEIPT)
    assert told.customer is not None
    assert told.customer.tier == "silver"
    till.close()


def test_with_a_line_the_centre_is_asked_for_the_account_of_the_digits(tmp_path: Path) -> None:
    centre = FakeCentre()
    till = JoinedTill(tmp_path / "till", centre=centre)
    till.take_rules(RULES)
    till.talk()
    centre.accounts[b""] = customer(tier="gold", points=80)  # whom it finds by number
    shows = receipt(card=typed(at_ms=till.till.clock.now_ms()))
    answer = till.update(shows)
    assert centre.asked(SnapshotRequest)[-1] == SnapshotRequest(card=b"", account_id=7)
    assert answer.customer is not None
    assert (answer.customer.tier, answer.customer.points) == ("gold", 80)
    till.complete(shows, 1_000 - 50)
    assert bytes.fromhex(recorded(till).card) == card_hash(CARD_KEY, CARD)
    till.close()


def test_training_uses_no_code_up(till: JoinedTill) -> None:
    code = shown()
    assert till.update(receipt(card=code, training=True)).customer is not None
    assert codes(till.update(receipt(card=code), OTHER_RECEIPT)) == []


def test_points_by_courier_are_asked_for_the_card_behind_a_code(till: JoinedTill) -> None:
    code = shown()
    till.update(receipt(card=code))
    answer = CourierService(till.till).ask(RECEIPT, CourierRequest(card=code, points=80))
    assert answer.outcome == Outcome.COURIER_ASKED
    assert qr.read(CourierAsk, answer.code).card == card_hash(CARD_KEY, CARD)[: qr.CARD_BYTES]
    for unknown in (typed(), shown(key=STRANGER_KEY)):
        refused = CourierService(till.till).ask(RECEIPT, CourierRequest(card=unknown, points=80))
        assert refused.outcome == Outcome.NOT_IDENTIFIED


def test_the_digits_of_two_customers_on_one_receipt_ask_each_for_the_right_card(
    till: JoinedTill,
) -> None:
    other_card = card_hash(CARD_KEY, "the other")
    till.till.cache.put_accounts((customer(), customer("the other", 8)))
    first, second = typed(), typed(account_id=8, at_ms=NOON_MS - STEP_MS)
    for version, digits in enumerate((first, second), start=1):
        till.update(receipt(card=digits, version=version))
    for digits, card in ((first, card_hash(CARD_KEY, CARD)), (second, other_card)):
        answer = CourierService(till.till).ask(RECEIPT, CourierRequest(card=digits, points=80))
        assert qr.read(CourierAsk, answer.code).card == card[: qr.CARD_BYTES]


def test_a_full_disk_stops_no_customer(tmp_path: Path) -> None:
    import apsw

    disk = LosingDisk("customer-codes")
    journal = Database(str(tmp_path / "journal.db"), vfs=disk.name)
    till = joined_over(journal, tmp_path)
    till.take_rules(RULES)
    disk.write_error = apsw.FullError
    answer = till.update(receipt(card=shown()))
    assert answer.customer is not None
    assert answer.customer.tier == "gold"
    disk.write_error = None
    till.close()
    disk.unregister()
