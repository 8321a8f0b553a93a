"""Points by courier at the till: one grant for one ask of one incarnation, and no other."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec
import pytest

from agent.bootstrap import ANCHOR_FILE
from agent.journal.database import Database
from agent.till_service.courier import CourierService
from agent.till_service.messages import CourierAnswer, CourierRequest, GrantRequest
from loyalty.account import LotPart
from loyalty.offers import PointsPerMoney
from loyalty.outcomes import Outcome
from sync import qr
from sync.errors import LinkError
from sync.limits import ASKS_OPEN_MAX
from sync.messages import Hello
from sync.qr import CourierAsk, CourierGrant
from sync.records import GrantInRecord, GrantReturnRecord, SaleRecord
from sync.signing import SigningKey, card_hash
from tests.support import builders
from tests.support.till import (
    CARD,
    CARD_KEY,
    CENTRE_KEY,
    DAY_MS,
    NOON_MS,
    OTHER_CARD,
    OTHER_RECEIPT,
    RECEIPT,
    STRANGER_KEY,
    TILL_ID,
    TILL_SEED,
    FakeCentre,
    JoinedTill,
    SetSystem,
    customer,
    joined_over,
    receipt,
)
from tests.unit.agent.losing_disk import LosingDisk

GRANT_ID = "01957e00-0000-7abc-8def-001122334455"
TEN = receipt(card=CARD)
RULES = builders.bundle(builders.offer("points", PointsPerMoney(points=1, per_minor=100)))


def ask(
    till: JoinedTill, points: int = 80, *, card: str = CARD, receipt_id: str = RECEIPT
) -> CourierAsk:
    """Have the till make an ask; returns what a telephone reads."""
    answer = CourierService(till.till).ask(receipt_id, CourierRequest(card=card, points=points))
    assert answer.outcome == Outcome.COURIER_ASKED, answer
    return qr.read(CourierAsk, answer.code)


def granted(
    asked: CourierAsk,
    *,
    key: SigningKey = CENTRE_KEY,
    grant_id: str = GRANT_ID,
    other: Mapping[str, object] = MappingProxyType({}),
) -> str:
    """Return the code of the grant a centre would make for an ask, with `other` in it."""
    grant = CourierGrant(
        grant_id=grant_id,
        account_id=7,
        till_id=asked.till_id,
        incarnation=asked.incarnation,
        nonce=asked.nonce,
        points=asked.points,
        lots=(LotPart(lot_id=501, points=asked.points),),
        not_after_ms=NOON_MS + DAY_MS,
        tier="gold",
    )
    return qr.write(qr.seal(msgspec.structs.replace(grant, **other), key))


def take(till: JoinedTill, code: str) -> CourierAnswer:
    return CourierService(till.till).take(GrantRequest(code=code))


def points_here(till: JoinedTill) -> int:
    return till.till.journal.rights.points_held()


def hello(till: JoinedTill) -> Hello:
    return till.side.hello()


# The ask


def test_an_ask_says_who_asks_for_what_and_the_till_has_signed_it(alone: JoinedTill) -> None:
    asked = ask(alone, 80)
    assert (asked.till_id, asked.points, asked.store, asked.number) == (TILL_ID, 80, "store-1", 1)
    assert asked.incarnation == alone.till.journal.stream.head().incarnation
    assert card_hash(CARD_KEY, CARD).startswith(asked.card)
    qr.check_seal(asked, SigningKey(TILL_SEED).public)


def test_asking_again_shows_the_same_ask_and_another_wish_makes_another(alone: JoinedTill) -> None:
    first = ask(alone, 80)
    assert ask(alone, 80) == first
    for other in (ask(alone, 90), ask(alone, 80, card=OTHER_CARD)):
        assert other.nonce != first.nonce
    assert ask(alone, 80) == first


def test_a_closed_receipt_and_an_empty_card_ask_for_nothing(alone: JoinedTill) -> None:
    service = CourierService(alone.till)
    blank = service.ask(RECEIPT, CourierRequest(card="  ", points=5))
    alone.cancel()
    closed = service.ask(RECEIPT, CourierRequest(card=CARD, points=5))
    assert [(answer.outcome, answer.code) for answer in (blank, closed)] == [
        (Outcome.NOT_IDENTIFIED, ""),
        (Outcome.RECEIPT_CLOSED, ""),
    ]


def test_of_more_asks_than_may_be_out_the_oldest_is_over(alone: JoinedTill) -> None:
    asks = [ask(alone, points) for points in range(1, ASKS_OPEN_MAX + 2)]
    assert hello(alone).asks_open == tuple(each.nonce for each in asks[1:])
    assert take(alone, granted(asks[0])).outcome == Outcome.GRANT_NOT_AWAITED
    assert take(alone, granted(asks[1])).outcome == Outcome.GRANT_TAKEN


# The grant


@pytest.mark.parametrize("is_known", [True, False], ids=["known here", "never heard of"])
def test_a_customer_redeems_without_any_line(
    joined: JoinedTill, centre: FakeCentre, *, is_known: bool
) -> None:
    centre.publishes(RULES)
    centre.knows(customer() if is_known else customer(OTHER_CARD, 8))
    joined.talk()
    joined.cut_off()
    joined.update(TEN)
    assert joined.reserve(TEN, 80).reserved_points == 0
    brought = take(joined, granted(ask(joined)))
    assert (brought.outcome, brought.receipt_id, brought.points) == ("grant_taken", RECEIPT, 80)
    reserved = joined.reserve(TEN, 80)
    assert (reserved.outcome, reserved.reserved_points) == (Outcome.RESERVED, 80)
    assert joined.complete(TEN, 1_000 - 80).outcome == Outcome.RECORDED
    grant_in, sale = joined.own_records()[-2:]
    assert isinstance(grant_in, GrantInRecord)
    assert isinstance(sale, SaleRecord)
    assert grant_in.grant_id == GRANT_ID
    assert [(s.kind, s.grant_id, s.points) for s in sale.sources] == [("grant", GRANT_ID, 80)]
    assert sale.inputs.account.account_id == 7
    assert points_here(joined) == 0


def test_a_grant_is_taken_once_however_often_it_is_shown(alone: JoinedTill) -> None:
    alone.take_rules(RULES)
    code = granted(ask(alone))
    for _ in range(3):
        assert take(alone, code).outcome == Outcome.GRANT_TAKEN
    assert points_here(alone) == 80
    alone.reserve(TEN, 80)
    alone.complete(TEN, 920)
    assert take(alone, code).outcome == Outcome.GRANT_TAKEN
    assert points_here(alone) == 0
    assert [type(r) for r in alone.own_records()].count(GrantInRecord) == 1


def test_one_ask_takes_one_grant_alone(alone: JoinedTill) -> None:
    asked = ask(alone)
    take(alone, granted(asked))
    second = granted(asked, grant_id="01957e00-0000-7abc-8def-ffffffffffff")
    assert take(alone, second).outcome == Outcome.GRANT_NOT_AWAITED
    assert points_here(alone) == 80


NOT_FOR_US: dict[str, dict[str, object]] = {
    "another till": {"till_id": TILL_ID + 1},
    "another incarnation": {"incarnation": b"\x01" * 8},
    "another ask": {"nonce": b"\x02" * 8},
    "over": {"not_after_ms": NOON_MS},
}


@pytest.mark.parametrize("fields", NOT_FOR_US.values(), ids=list(NOT_FOR_US))
def test_a_genuine_grant_for_something_else_is_not_taken(
    alone: JoinedTill, fields: dict[str, object]
) -> None:
    asked = ask(alone)
    assert take(alone, granted(asked, other=fields)).outcome == Outcome.GRANT_NOT_AWAITED
    assert points_here(alone) == 0
    assert take(alone, granted(asked)).outcome == Outcome.GRANT_TAKEN


def test_what_the_centre_did_not_sign_is_wrong(alone: JoinedTill) -> None:
    asked = ask(alone)
    own = SigningKey(TILL_SEED)
    codes = [granted(asked, key=STRANGER_KEY), granted(asked, key=own), "2990000000017", "TSG1:AB"]
    assert {take(alone, code).outcome for code in codes} == {Outcome.CODE_WRONG}
    assert points_here(alone) == 0


# Durability, and what ends an ask


def test_asks_and_grants_survive_a_restart(alone: JoinedTill) -> None:
    asked = ask(alone)
    again = alone.reopened()
    assert ask(again) == asked
    assert take(again, granted(asked)).outcome == Outcome.GRANT_TAKEN
    once_more = again.reopened()
    assert points_here(once_more) == 80
    assert take(once_more, granted(asked)).outcome == Outcome.GRANT_TAKEN
    assert points_here(once_more) == 80
    once_more.close()


def test_a_disk_that_refuses_leaves_the_ask_open(tmp_path: Path) -> None:
    import apsw

    disk = LosingDisk("courier")
    (tmp_path / "till").mkdir()
    journal = Database(str(tmp_path / "till" / "journal.db"), vfs=disk.name)
    till = joined_over(journal, tmp_path)
    asked = ask(till)
    disk.write_error = apsw.FullError
    assert take(till, granted(asked)).outcome == Outcome.JOURNAL_UNAVAILABLE
    disk.write_error = None
    assert points_here(till) == 0
    assert take(till, granted(asked)).outcome == Outcome.GRANT_TAKEN
    assert points_here(till) == 80
    till.close()
    disk.unregister()


def test_a_receipt_takes_its_asks_along_when_it_is_closed(alone: JoinedTill) -> None:
    asked, of_another = ask(alone), ask(alone, receipt_id=OTHER_RECEIPT)
    alone.cancel()
    assert take(alone, granted(asked)).outcome == Outcome.GRANT_NOT_AWAITED
    alone.complete(receipt(), 1_000, OTHER_RECEIPT)
    assert take(alone, granted(of_another)).outcome == Outcome.GRANT_NOT_AWAITED
    assert hello(alone).asks_open == ()


def test_a_new_incarnation_awaits_nothing_of_the_old_one(alone: JoinedTill) -> None:
    asked = ask(alone)
    alone.till.start_incarnation("amnesia")
    assert take(alone, granted(asked)).outcome == Outcome.GRANT_NOT_AWAITED
    incarnation = alone.till.journal.stream.head().incarnation
    assert (
        take(alone, granted(asked, other={"incarnation": incarnation})).outcome
        == "grant_not_awaited"
    )
    assert ask(alone).number == 2


def test_a_journal_restored_with_an_open_ask_has_no_rights_to_take(
    alone: JoinedTill, tmp_path: Path, system: SetSystem
) -> None:
    asked = ask(alone)
    image = tmp_path / "image"
    alone.close()
    shutil.copytree(alone.folder, image)
    spent = JoinedTill(alone.folder, system=system)
    take(spent, granted(asked))
    spent.close()
    shutil.copyfile(alone.folder / ANCHOR_FILE, image / ANCHOR_FILE)
    with_anchor = JoinedTill(image, system=system)
    assert take(with_anchor, granted(asked)).outcome == Outcome.GRANT_NOT_AWAITED
    with_anchor.close()


def test_an_open_ask_without_an_anchor_is_over(alone: JoinedTill, system: SetSystem) -> None:
    asked = ask(alone)
    alone.close()
    (alone.folder / ANCHOR_FILE).unlink()
    again = JoinedTill(alone.folder, system=system)
    assert take(again, granted(asked)).outcome == Outcome.GRANT_NOT_AWAITED
    again.close()


def test_a_revoked_till_and_a_centre_that_went_back_end_all_asks(
    joined: JoinedTill, centre: FakeCentre
) -> None:
    joined.talk()
    asked = ask(joined)
    centre.is_revoked = True
    joined.talk()
    assert take(joined, granted(asked)).outcome == Outcome.GRANT_NOT_AWAITED
    centre.is_revoked = False
    joined.talk()
    asked = ask(joined, 70)
    kept = next(iter(centre.stream.streams.values()))
    del kept.bodies[-1:], kept.hashes[-1:]
    joined.talk()
    assert take(joined, granted(asked)).outcome == Outcome.GRANT_NOT_AWAITED


def test_a_hello_says_how_many_asks_there_were_and_which_are_open(alone: JoinedTill) -> None:
    first, second = ask(alone, 10), ask(alone, 20)
    assert (hello(alone).asks_made, hello(alone).asks_open) == (2, (first.nonce, second.nonce))
    take(alone, granted(first))
    assert (hello(alone).asks_made, hello(alone).asks_open) == (2, (second.nonce,))


def test_asks_outlive_attempts_to_reach_the_centre(joined: JoinedTill, centre: FakeCentre) -> None:
    joined.talk()
    asked = ask(joined)
    centre.silent.add("/v1/till/hello")
    for _ in range(3):
        with pytest.raises(LinkError):
            joined.talk()
    assert take(joined, granted(asked)).outcome == Outcome.GRANT_TAKEN


# An ordinary grant from then on


def test_what_is_left_goes_home_when_it_ends_or_is_asked_back(
    joined: JoinedTill, centre: FakeCentre, system: SetSystem
) -> None:
    centre.publishes(RULES)
    joined.talk()
    take(joined, granted(ask(joined)))
    joined.cut_off()
    joined.reserve(TEN, 30)
    joined.complete(TEN, 970)
    centre.recalls = [GRANT_ID]
    joined.talk()
    (home,) = [r for r in centre.records() if isinstance(r, GrantReturnRecord)]
    assert (home.grant_id, home.points, home.why) == (GRANT_ID, 50, "recalled")
    other = "01957e00-0000-7abc-8def-ffffffffffff"
    take(joined, granted(ask(joined, 40, receipt_id=OTHER_RECEIPT), grant_id=other))
    system.let_pass(2 * DAY_MS)
    joined.talk()
    home = [r for r in centre.records() if isinstance(r, GrantReturnRecord)][-1]
    assert (home.grant_id, home.points, home.why) == (other, 40, "expired")
