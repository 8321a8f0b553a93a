"""Points go from the vault to a sibling: gone first, taken once, by whom they were meant for."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.journal.transfers import Transfers
from agent.neighbours.asking import accept
from loyalty.outcomes import Outcome
from sync.neighbours import (
    AskSibling,
    RightsAnswer,
    RightsRequest,
    Transfer,
    answer_of,
    content_of,
    pack,
    unpack,
)
from sync.records import (
    GrantReturnRecord,
    LotTaken,
    SaleRecord,
    Source,
    XferInRecord,
    XferOutRecord,
)
from sync.signing import SigningKey
from sync.transferring import OpenRequest, OpenRequests
from tests.support.store_lan import SECOND, THIRD, VAULT, StoreTill, seed_of
from tests.support.till import CARD, OTHER_RECEIPT, RECEIPT, receipt
from tests.unit.agent.neighbours.conftest import Store

TEN = receipt(card=CARD)
GRANT = "01957e00-0000-7abc-8def-000000000001"


def records(till: StoreTill, kind: type[Any]) -> list[Any]:
    """Return a till's records of one kind."""
    return [record for record in till.own_records() if isinstance(record, kind)]


def rights_request(
    points: int = 60, *, nonce: bytes = b"n" * 16, asker: int = SECOND
) -> RightsRequest:
    """Return a request for points of account 7."""
    return RightsRequest(
        account_id=7, points=points, nonce=nonce, till_id=asker, incarnation=b"i" * 8
    )


def given(store: Store, request: RightsRequest, sender: int = SECOND) -> RightsAnswer | None:
    """Send a request to the vault as bytes and return its answer."""
    body = pack(request)
    assert body is not None
    return answer_of(store.lan.desks[VAULT].asked(sender, body), RightsAnswer)


# The way it should be


def test_a_till_that_holds_nothing_redeems_what_the_vault_holds(store: Store) -> None:
    answer = store.second.reserve(TEN, 60)
    assert (answer.outcome, answer.reserved_points, answer.link) == (Outcome.RESERVED, 60, "down")
    assert (store.vault.left(), store.second.left()) == (40, 0)
    assert store.second.complete(TEN, 940).outcome == Outcome.RECORDED
    (out,), (come,) = records(store.vault, XferOutRecord), records(store.second, XferInRecord)
    assert (out.grant_id, out.points, out.lots) == (GRANT, 60, (LotTaken(501, 60),))
    assert (out.transfer_id, out.nonce) == (come.transfer_id, come.nonce)
    assert (out.to_till, come.from_till) == (SECOND, VAULT)
    (sale,) = records(store.second, SaleRecord)
    assert sale.sources == (
        Source(
            kind="grant",
            grant_id=GRANT,
            points=60,
            lots=(LotTaken(501, 60),),
            transfer_id=out.transfer_id,
        ),
    )


def test_own_rights_go_first_and_only_what_is_missing_is_asked_for(store: Store) -> None:
    assert store.second.centre is not None
    store.second.centre.grants(25, lot_id=777)
    store.second.till.link_up = True
    store.second.talk()
    store.second.cut_off()
    assert store.second.reserve(TEN, 60).reserved_points == 60
    assert store.vault.left() == 65


def test_points_of_several_grants_come_as_several_transfers_of_one_answer(store: Store) -> None:
    assert store.vault.centre is not None
    store.vault.centre.grants(30, lot_id=777)
    store.vault.till.link_up = True
    store.vault.talk()
    store.vault.cut_off()
    assert store.second.reserve(TEN, 120).reserved_points == 120
    assert store.vault.left() == 10
    assert sum(record.points for record in records(store.second, XferInRecord)) == 120


def test_what_is_left_of_a_cancelled_receipt_is_spent_here_by_the_next(store: Store) -> None:
    store.second.reserve(TEN, 60)
    store.second.cancel()
    assert store.second.left() == 60
    assert store.second.reserve(TEN, 60, OTHER_RECEIPT).reserved_points == 60
    assert store.vault.left() == 40


def test_what_a_till_got_it_gives_to_nobody(store: Store) -> None:
    store.second.reserve(TEN, 60)
    store.second.cancel()
    body = pack(rights_request(asker=THIRD))
    assert body is not None
    answer = answer_of(store.lan.desks[SECOND].asked(THIRD, body), RightsAnswer)
    assert answer is not None
    assert answer.transfers == ()
    assert store.second.left() == 60


def test_what_nobody_needs_goes_home_with_the_next_conversation(store: Store) -> None:
    store.second.reserve(TEN, 60)
    store.second.cancel()
    store.second.talk()
    (home,) = records(store.second, GrantReturnRecord)
    assert (home.grant_id, home.points, home.why) == (GRANT, 60, "not needed here")
    assert home.transfer_id == records(store.second, XferInRecord)[0].transfer_id
    assert store.second.left() == 0


def test_a_silent_vault_costs_one_sale_its_wait_and_no_other(store: Store) -> None:
    store.lan.cut_off.add(VAULT)
    assert store.second.reserve(TEN, 60).outcome == Outcome.RIGHTS_EXHAUSTED
    asked = len(store.lan.asked)
    assert store.second.reserve(TEN, 60, OTHER_RECEIPT).outcome == Outcome.RIGHTS_EXHAUSTED
    assert len(store.lan.asked) == asked
    store.lan.cut_off.clear()
    store.lan.beat()
    assert store.second.reserve(TEN, 60).reserved_points == 60


def test_in_the_first_seconds_the_vault_is_asked_before_it_was_heard(store: Store) -> None:
    store.second = store.second.reopened()
    store.second.cut_off()
    store.second.background()  # asks for its head; nobody was heard yet
    assert store.second.reserve(TEN, 60).reserved_points == 60


def test_a_vault_never_heard_costs_one_ask_of_one_sale(store: Store) -> None:
    store.second = store.second.reopened()
    store.second.cut_off()
    store.second.background()
    store.lan.cut_off.add(VAULT)
    asked = len(store.lan.asked)
    for key in (RECEIPT, OTHER_RECEIPT):
        assert store.second.reserve(TEN, 60, key).outcome == Outcome.RIGHTS_EXHAUSTED
    wishes = [ask for _, ask in store.lan.asked[asked:] if isinstance(ask.message, RightsRequest)]
    assert [ask.till_id for ask in wishes] == [VAULT]
    store.lan.cut_off.clear()
    store.lan.beat()
    assert store.second.reserve(TEN, 60).reserved_points == 60


def test_a_sibling_not_heard_for_seven_seconds_is_not_asked(store: Store) -> None:
    store.second.reserve(TEN, 1)
    asked = len(store.lan.asked)
    store.system.let_pass(7_000)
    store.second.reserve(TEN, 60, OTHER_RECEIPT)
    assert len(store.lan.asked) == asked


# Retries and lost answers (N5, N6)


def test_a_retry_gets_the_same_transfer(store: Store) -> None:
    first, again = given(store, rights_request()), given(store, rights_request(points=90))
    assert first == again
    assert store.vault.left() == 40
    assert len(records(store.vault, XferOutRecord)) == 1
    store.vault = store.vault.reopened()
    store.lan.beat()
    assert given(store, rights_request()) == first


def test_a_lost_answer_strands_the_points_and_a_retry_brings_them(store: Store) -> None:
    store.lan.lost_answers.add(RightsRequest)
    assert store.second.reserve(TEN, 60).outcome == Outcome.RIGHTS_EXHAUSTED
    assert (store.vault.left(), store.second.left()) == (40, 0)
    store.lan.lost_answers.clear()
    store.lan.beat()
    assert store.second.reserve(TEN, 60).reserved_points == 60
    assert store.vault.left() == 40  # the same transfer, not another


def test_an_answer_that_comes_twice_is_taken_once(store: Store) -> None:
    store.second.reserve(TEN, 60)
    store.second.cancel()
    assert replayed(store) == 0
    assert store.second.left() == 60


class Forgetful(OpenRequests):
    """The naive receiver of N5 and N15: it never closes a nonce."""

    def close(self, nonce: bytes) -> OpenRequest | None:
        """Return the request and keep it open."""
        return self._open.get(nonce)


class Careless(Transfers):
    """The naive receiver of N5: a transfer has no number it would know again."""

    def take(self, transfer: Transfer) -> bool:
        """Credit whatever comes."""
        self._database.run("delete from transfer_taken")
        self._database.run("delete from held_right")
        return super().take(transfer)


def replayed(store: Store, *, nonce_from: OpenRequests | None = None) -> int:
    """Hand the vault's last answer to the second till again; returns the points it took."""
    till = store.second.till
    body = next(body for asker, body in reversed(store.lan.answers) if is_given(asker, body))
    answer = unpack(body)
    assert isinstance(answer, RightsAnswer)
    incarnation = till.journal.stream.head().incarnation
    request = OpenRequest(answer.nonce, RECEIPT, 7, 60, VAULT, incarnation)
    if nonce_from is not None:
        till.neighbours.requests = nonce_from
    return accept(till, request, answer)


def is_given(asker: int, body: bytes) -> bool:
    """Say whether these bytes are points given to the second till."""
    return asker == SECOND and isinstance(unpack(body), RightsAnswer)


def test_an_open_nonce_alone_would_not_double_points(store: Store) -> None:
    """Either of the two guards is enough: the closed nonce, and the number of the transfer."""
    naive = Forgetful()
    store.second.till.neighbours.requests = naive
    store.second.reserve(TEN, 60)
    store.second.cancel()
    assert replayed(store, nonce_from=naive) == 0
    assert store.second.left() == 60


def test_without_both_guards_points_are_spent_twice(store: Store) -> None:
    """N5 as it was."""
    naive, journal = Forgetful(), store.second.till.journal
    store.second.till.neighbours.requests = naive
    journal.transfers = Careless(journal._database, journal.rights)  # noqa: SLF001 - the naive till
    store.second.reserve(TEN, 60)
    store.second.complete(TEN, 940)
    assert replayed(store, nonce_from=naive) == 60
    assert store.vault.left() + 60 + store.second.left() == 160


def test_an_answer_before_the_debit_would_have_both_tills_sell(
    store: Store, tmp_path: Path
) -> None:
    """N6 as it was: the answer is out, and the disk knows nothing of it."""
    store.vault.image(tmp_path / "before")
    assert given(store, rights_request()) is not None
    store.vault = store.vault.restored(tmp_path / "before")
    assert store.vault.left() + 60 == 160


def test_points_are_gone_from_the_disk_before_the_answer(store: Store) -> None:
    assert given(store, rights_request()) is not None
    store.vault = store.vault.reopened()  # the power went right after the answer
    assert store.vault.left() == 40
    assert records(store.vault, XferOutRecord)[0].points == 60


def test_a_vault_whose_disk_refuses_gives_nothing(store: Store) -> None:
    """N6: what is not durable is not said."""
    database = store.vault.till.journal._database  # noqa: SLF001 - the file itself is made small
    (pages,) = database.rows("pragma page_count")
    database.run(f"pragma max_page_count={pages[0]!s}")
    answers = []
    for number in range(200):
        store.system.let_pass(200)
        answers.append(given(store, rights_request(points=1, nonce=number.to_bytes(16, "big"))))
        if answers[-1] is None:
            break
    assert answers[-1] is None
    assert store.vault.left() == 100 - (len(answers) - 1)
    assert len(records(store.vault, XferOutRecord)) == len(answers) - 1


# Whom a transfer is for (N14, N15, S1)


def test_a_restored_till_does_not_take_the_same_transfer_again(
    store: Store, tmp_path: Path
) -> None:
    store.second.image(tmp_path / "image")
    store.second.reserve(TEN, 60)
    store.second.complete(TEN, 940)
    store.second = store.second.restored(tmp_path / "image")
    assert replayed(store) == 0
    assert store.second.left() == 0


def test_a_nonce_that_outlives_a_restore_would_be_the_loss(store: Store, tmp_path: Path) -> None:
    """N15 as it was: with open requests on the disk the same points are had a second time."""
    naive = Forgetful()
    store.second.till.neighbours.requests = naive
    store.second.image(tmp_path / "image")
    store.second.reserve(TEN, 60)
    store.second.complete(TEN, 940)
    store.second = store.second.restored(tmp_path / "image")
    assert replayed(store, nonce_from=naive) == 60
    assert store.vault.left() + 60 + store.second.left() > 100


def test_a_till_that_began_anew_takes_nothing_meant_for_before(store: Store) -> None:
    store.lan.lost_answers.add(RightsRequest)
    store.second.reserve(TEN, 60)
    naive = Forgetful()
    naive._open = store.second.till.neighbours.requests._open.copy()  # noqa: SLF001 - the naive till
    store.second.till.start_incarnation("amnesia")
    assert replayed(store, nonce_from=naive) == 0
    assert store.second.left() == 0


def test_a_hello_ends_every_open_request(store: Store) -> None:
    store.lan.lost_answers.add(RightsRequest)
    store.second.reserve(TEN, 60)
    assert len(store.second.till.neighbours.requests) == 1
    store.second.talk()
    assert len(store.second.till.neighbours.requests) == 0
    assert replayed(store) == 0


# Hostile and mad siblings


def answered(store: Store) -> tuple[OpenRequest, RightsAnswer]:
    """Return a request the second till has open and the genuine answer that is on its way."""
    store.lan.lost_answers.add(RightsRequest)
    store.second.reserve(TEN, 60)
    requests = store.second.till.neighbours.requests
    incarnation = store.second.till.journal.stream.head().incarnation
    request = requests.find(
        receipt_id=RECEIPT, account_id=7, till_id=VAULT, incarnation=incarnation
    )
    answer = unpack(store.lan.answers[-1][1])
    assert request is not None
    assert isinstance(answer, RightsAnswer)
    return request, answer


def signed_anew(transfer: Transfer, *, seed: bytes | None = None, **change: object) -> Transfer:
    """Return a transfer changed and signed again by the vault, or by somebody else."""
    changed = msgspec.structs.replace(transfer, **change)
    key = SigningKey(seed or seed_of(VAULT))
    return msgspec.structs.replace(changed, signature=key.sign(content_of(changed)))


@pytest.mark.parametrize(
    "change",
    [
        {"points": 61},
        {"points": 500, "lots": (LotTaken(501, 500),)},
        {"lots": (LotTaken(999, 60),)},
        {"lots": (LotTaken(501, 60), LotTaken(501, 60)), "points": 120},
        {"to_till": THIRD},
        {"to_incarnation": b"another!"},
        {"from_incarnation": b"another!"},
        {"nonce": b"m" * 16},
    ],
    ids=str,
)
def test_a_mad_vault_gives_no_more_than_the_centre_gave_it(
    store: Store, change: dict[str, Any]
) -> None:
    request, answer = answered(store)
    mad = msgspec.structs.replace(answer, transfers=(signed_anew(answer.transfers[0], **change),))
    assert accept(store.second.till, request, mad) == 0
    assert store.second.left() == 0
    assert accept(store.second.till, request, answer) == 60  # the genuine one still counts


def test_a_transfer_nobody_of_the_store_signed_is_not_taken(store: Store) -> None:
    request, answer = answered(store)
    for seed in (seed_of(THIRD), b"somebody else's key, of 32 bytes"):
        forged = signed_anew(answer.transfers[0], seed=seed)
        wrong = msgspec.structs.replace(answer, transfers=(forged,))
        assert accept(store.second.till, request, wrong) == 0


def test_the_same_transfer_twice_in_one_answer_is_not_taken(store: Store) -> None:
    request, answer = answered(store)
    twice = msgspec.structs.replace(answer, transfers=answer.transfers * 2)
    assert accept(store.second.till, request, twice) == 0


def test_nobody_asks_in_anothers_name(store: Store) -> None:
    assert given(store, rights_request(asker=SECOND), sender=THIRD) is None
    assert store.vault.left() == 100


def test_a_stranger_gets_no_answer(store: Store) -> None:
    assert given(store, rights_request(asker=99), sender=99) is None
    assert store.vault.left() == 100


def test_a_revoked_till_gives_nothing(store: Store) -> None:
    store.vault.till.revoked = True
    answer = given(store, rights_request())
    assert answer is not None
    assert (answer.transfers, answer.why) == ((), "revoked")


def test_a_flood_of_requests_is_not_answered_and_stops_nothing(store: Store) -> None:
    answers = [
        given(store, rights_request(points=1, nonce=n.to_bytes(16, "big"))) for n in range(60)
    ]
    assert 0 < sum(answer is not None for answer in answers) <= 20
    assert store.vault.reserve(TEN, 60).reserved_points == 60
    store.system.let_pass(1_000)
    assert given(store, rights_request(points=1, nonce=b"z" * 16)) is not None


@pytest.mark.parametrize("body", [b"", b"\x00", b"\x01" + b"x" * 50, b"\x00\xc1", b"x" * 70_000])
def test_rubbish_has_no_answer_and_no_effect(store: Store, body: bytes) -> None:
    assert store.lan.desks[VAULT].asked(SECOND, body) is None
    store.lan.desks[VAULT].heard(SECOND, body)
    assert store.vault.reserve(TEN, 60).reserved_points == 60


def test_an_answer_of_another_kind_counts_as_none(store: Store) -> None:
    ask = AskSibling(VAULT, rights_request(), RightsAnswer)
    assert answer_of(pack(ask.message), RightsAnswer) is None
