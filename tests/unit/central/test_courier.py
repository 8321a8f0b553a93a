"""Points carried by a telephone: given once, to one ask of one incarnation, and never by time."""

import asyncio

import httpx
import msgspec

from central.database.pool import Pool
from central.rights.courier import Carried
from central.rights.issuing import DAY_MS, RightsSettings
from sync import cycle, qr
from sync.cycle import PATH_HELLO
from sync.messages import Grant, HelloAnswer, ReceiptAnswer, ReceiptRequest
from sync.qr import CourierAsk, CourierGrant, ReceiptProof
from sync.records import GrantInRecord
from sync.signing import SigningKey
from tests.support.centre import KEYS, NOW_MS, JoinedCentre, LotState, Totals, joined_centre
from tests.support.till_probe import TillProbe, take

CARD, OTHER_CARD = "2990 0000 0000 0017", "2990 0000 0000 0024"
SALE = "01957e3c-9a40-7c11-8d22-3e4f5a6b7c8d"
RETURN = "01957e40-11f0-7a02-9b13-0c1d2e3f4a5b"
NONCE = b"nonce 01"


class Asking:
    """A till's asks: how many it made, and which are open."""

    def __init__(self, centre: JoinedCentre, till: TillProbe) -> None:
        self.centre = centre
        self.till = till
        self.made = 0
        self.open: list[bytes] = []

    def ask(self, points: int = 80, *, card: str = CARD, key: SigningKey | None = None) -> str:
        """Make an ask; returns its code."""
        self.made += 1
        nonce = f"nonce {self.made:02}".encode()
        self.open.append(nonce)
        asked = CourierAsk(
            till_id=self.till.till_id,
            incarnation=self.till.incarnation,
            number=self.made,
            nonce=nonce,
            store="store-1",
            card=self.till.card(card)[: qr.CARD_BYTES],
            points=points,
        )
        return qr.write(qr.seal(asked, key or self.till.key))

    async def talk(self) -> None:
        """Say HELLO, hand in what there is, have it applied, and pull."""
        await self.hello()
        if len(self.till.bodies) > self.till.acked:
            await self.till.push()
        await self.centre.apply()
        await self.till.pull()

    async def hello(self) -> HelloAnswer:
        """Say HELLO with the asks, take the session and speak in it."""
        message = msgspec.structs.replace(
            self.till.hello_message(), asks_made=self.made, asks_open=tuple(self.open)
        )
        answer = await self.till.ask(PATH_HELLO, message, HelloAnswer)
        self.till.session = answer.session
        return answer

    def take(self, code: str) -> Grant:
        """Take a grant as a till does; returns it as a right."""
        found = qr.read(CourierGrant, code)
        qr.check_seal(found, KEYS.centre.public)
        self.open.remove(found.nonce)
        self.till.append(GrantInRecord(at_ms=0, grant_id=found.grant_id))
        return Grant(
            grant_id=found.grant_id,
            purpose="grant",
            account_id=found.account_id,
            till_id=found.till_id,
            incarnation=found.incarnation,
            session=found.nonce,
            points=found.points,
            lots=found.lots,
            not_after_ms=found.not_after_ms,
        )


async def send(centre: JoinedCentre, token: str = KEYS.app_token, **body: object) -> httpx.Response:
    return await centre.http.post(
        "/v1/app/courier",
        content=msgspec.json.encode(body),
        headers={"authorization": f"Bearer {token}"},
    )


async def carry(
    centre: JoinedCentre, ask: str, *, card: str = CARD, receipts: tuple[str, ...] = ()
) -> Carried:
    """Have a telephone carry an ask."""
    response = await send(centre, card=card, ask=ask, receipt_codes=receipts)
    assert response.status_code == 200, response.text
    return msgspec.json.decode(response.content, type=Carried)


async def asking(centre: JoinedCentre, *points: int) -> Asking:
    """Return a till that said HELLO, and a customer with points."""
    till = await centre.till()
    await centre.customer(7, *(points or (300,)), card=CARD)
    return Asking(centre, till)


async def outstanding(centre: JoinedCentre) -> list[int]:
    rows = await centre.pool.fetch("select outstanding from right_grant order by issued_at_ms")
    return [row["outstanding"] for row in rows]


# What is given


async def test_a_grant_is_for_exactly_the_ask(centre: JoinedCentre) -> None:
    asks = await asking(centre)
    carried = await carry(centre, asks.ask(80))
    grant = qr.read(CourierGrant, carried.code)
    qr.check_seal(grant, KEYS.centre.public)
    till = asks.till
    assert (grant.account_id, grant.points) == (7, 80)
    assert (grant.till_id, grant.incarnation, grant.nonce) == (
        till.till_id,
        till.incarnation,
        NONCE,
    )
    assert (carried.outcome, carried.points, carried.store) == ("granted", 80, "store-1")
    assert carried.not_after_ms == grant.not_after_ms == NOW_MS + DAY_MS
    assert await centre.totals(7) == Totals(300, 80)


async def test_carried_again_it_is_the_same_grant(centre: JoinedCentre) -> None:
    asks = await asking(centre)
    ask = asks.ask(80)
    first = await carry(centre, ask)
    asks.take(first.code)
    await asks.talk()
    assert await carry(centre, ask) == first
    assert await centre.totals(7) == Totals(300, 80)
    assert (await carry(centre, asks.ask(80))).code != first.code
    assert await centre.totals(7) == Totals(300, 160)


async def test_one_ask_carried_by_many_at_once_is_one_grant(centre: JoinedCentre) -> None:
    asks = await asking(centre)
    ask = asks.ask(80)
    carried = await asyncio.gather(*(carry(centre, ask) for _ in range(6)))
    assert len({each.code for each in carried}) == 1
    assert await centre.totals(7) == Totals(300, 80)


async def test_an_ask_answered_for_one_customer_is_over_for_another(centre: JoinedCentre) -> None:
    asks = await asking(centre)
    await centre.customer(8, 300, card=OTHER_CARD)
    ask = asks.ask()
    assert (await carry(centre, ask)).outcome == "granted"
    other = await carry(centre, ask, card=OTHER_CARD)
    assert (other.outcome, other.code) == ("ask_over", "")
    assert await centre.totals(8) == Totals(300)


async def test_points_of_another_card_than_the_receipts_are_not_given(
    centre: JoinedCentre,
) -> None:
    asks = await asking(centre)
    await centre.customer(8, 300, card=OTHER_CARD)
    carried = await carry(centre, asks.ask(card=CARD), card=OTHER_CARD)
    assert (carried.outcome, carried.code) == ("another_card", "")
    assert await centre.totals(8) == Totals(300)


async def test_no_more_than_there_is_and_than_the_caps_allow(pool: Pool) -> None:
    settings = RightsSettings(grant_points_max=120, till_points_max=200)
    async with joined_centre(pool, settings) as centre:
        asks = await asking(centre, 500)
        points = [(await carry(centre, asks.ask(300))).points for _ in range(3)]
        assert points == [120, 80, 0]


async def test_nothing_is_there_to_be_carried(centre: JoinedCentre) -> None:
    asks = await asking(centre, 30)
    assert (await carry(centre, asks.ask(80))).points == 30
    assert (await carry(centre, asks.ask(80))).outcome == "nothing_available"


async def test_what_another_till_holds_is_asked_back(centre: JoinedCentre) -> None:
    vault = await centre.till(is_vault=True)
    await centre.customer(7, 300, card=CARD, home="store-1")
    (held,) = (await vault.pull()).grants
    await vault.push()
    await centre.apply()
    asks = Asking(centre, await centre.till())
    carried = await carry(centre, asks.ask(80))
    assert (carried.outcome, carried.held_elsewhere_points) == ("held_elsewhere", 300)
    assert (await vault.pull()).recalls == (held.grant_id,)


async def test_a_blocked_account_and_a_revoked_till_get_nothing(centre: JoinedCentre) -> None:
    asks = await asking(centre)
    await centre.pool.execute("update account set blocked = true")
    assert (await carry(centre, asks.ask())).outcome == "blocked"
    await centre.pool.execute("update account set blocked = false")
    await centre.pool.execute("update till set revoked = true")
    assert (await carry(centre, asks.ask())).outcome == "ask_over"
    assert await centre.totals(7) == Totals(300)


async def test_what_ends_first_goes_first_and_the_code_stays_small(centre: JoinedCentre) -> None:
    till = await centre.till()
    ends = ["2025-03-06", "2025-03-07", "2025-12-31", *([""] * 12)]
    await centre.customer(7, *([10] * 15), card=CARD, ends=ends)
    grant = qr.read(CourierGrant, (await carry(centre, Asking(centre, till).ask(500))).code)
    assert len(grant.lots) == qr.LOTS_MAX
    assert {lot.expires_on for lot in grant.lots} == {"2025-03-07", "2025-12-31", ""}
    assert (await centre.lots(7))[:2] == [LotState(10), LotState(0, 10)]


# Who may ask


async def test_without_the_apps_token_nobody_carries_anything(centre: JoinedCentre) -> None:
    asks = await asking(centre)
    for token in ("", KEYS.office_token, "guess"):
        response = await send(centre, token, card=CARD, ask=asks.ask())
        assert (response.status_code, response.json()["error"]) == (401, "not_authenticated")
    assert await centre.totals(7) == Totals(300)


async def test_an_ask_no_till_signed_is_refused(centre: JoinedCentre) -> None:
    asks = await asking(centre)
    stranger = SigningKey(b"somebody else's key, of 32 bytes")
    unknown = CourierAsk(
        till_id=10**9,
        incarnation=b"\x01" * 8,
        number=1,
        nonce=NONCE,
        store="",
        card=b"\x02" * 8,
        points=1,
    )
    for ask in (asks.ask(key=stranger), qr.write(qr.seal(unknown, stranger)), "TSA1:AA", "x"):
        response = await send(centre, card=CARD, ask=ask)
        assert (response.status_code, response.json()["error"]) == (422, "request_invalid")


async def test_an_unknown_card_and_a_body_of_another_form_are_named(centre: JoinedCentre) -> None:
    asks = await asking(centre)
    assert (await send(centre, card="nobody's", ask=asks.ask())).status_code == 404
    assert (await send(centre, card=CARD)).status_code == 422
    assert (await send(centre, card=CARD, ask=asks.ask(), more=1)).status_code == 422


async def test_an_incarnation_that_was_followed_by_another_asks_in_vain(
    centre: JoinedCentre,
) -> None:
    asks = await asking(centre)
    await asks.till.push()
    old = asks.ask()
    asks.till.open_stream(2)
    await asks.till.hello()
    assert (await carry(centre, old)).outcome == "ask_over"
    assert (await carry(centre, asks.ask())).outcome == "granted"


async def test_an_incarnation_the_centre_has_not_heard_of_may_ask(centre: JoinedCentre) -> None:
    asks = await asking(centre)
    asks.till.open_stream(2)
    grant = asks.take((await carry(centre, asks.ask(80))).code)
    await asks.hello()
    await centre.post(asks.till, asks.till.sale(SALE, account=7, sources=[take(grant, 80)]))
    assert await centre.totals(7) == Totals(300 - 80 + 92, 0)


# An ordinary grant


async def test_a_sale_spends_it_and_a_return_of_the_residue_brings_the_rest_home(
    centre: JoinedCentre,
) -> None:
    asks = await asking(centre)
    grant = asks.take((await carry(centre, asks.ask(100))).code)
    sale = asks.till.sale(SALE, account=7, sources=[take(grant, 60)])
    outcomes = await centre.post(asks.till, sale)
    assert [outcome.outcome for outcome in outcomes] == ["accepted"]
    assert await outstanding(centre) == [40]
    await centre.post(asks.till, asks.till.give_back(grant, 40))
    assert await centre.totals(7) == Totals(300 - 60 + 94, 0)


async def test_it_is_asked_back_like_any_other(centre: JoinedCentre) -> None:
    asks = await asking(centre)
    grant = asks.take((await carry(centre, asks.ask(100))).code)
    await asks.till.push()
    await centre.apply()
    other = await centre.till()
    await other.authorise("01957e3c-9a41-7c11-8d22-3e4f5a6b7c8d", 7, 300)
    assert (await asks.till.pull()).recalls == (grant.grant_id,)


async def test_no_time_brings_it_home(centre: JoinedCentre) -> None:
    asks = await asking(centre)
    await carry(centre, asks.ask(80))
    centre.system.pass_days(5)
    await asks.talk()
    assert await outstanding(centre) == [80]


# A grant that never arrives


async def test_a_grant_whose_ask_is_over_comes_home_when_the_till_says_so(
    centre: JoinedCentre,
) -> None:
    asks = await asking(centre)
    await carry(centre, asks.ask(80))
    asks.open.clear()
    await asks.till.pull()
    assert await centre.totals(7) == Totals(300, 80)  # this session began before
    await asks.talk()
    assert await centre.totals(7) == Totals(300)
    assert await centre.pool.fetchval("select count(*) from grant_wish") == 0


async def test_a_grant_whose_ask_is_open_stays(centre: JoinedCentre) -> None:
    asks = await asking(centre)
    code = (await carry(centre, asks.ask(80))).code
    for _ in range(3):
        await asks.talk()
    assert await centre.totals(7) == Totals(300, 80)
    grant = asks.take(code)
    await asks.hello()
    await centre.post(asks.till, asks.till.sale(SALE, account=7, sources=[take(grant, 80)]))
    await asks.till.pull()
    assert await centre.totals(7) == Totals(300 - 80 + 92, 0)


async def test_a_grant_for_an_ask_made_after_the_hello_stays(centre: JoinedCentre) -> None:
    asks = await asking(centre)
    before = asks.till.hello_message()  # on its way for long: the ask is made meanwhile
    code = (await carry(centre, asks.ask(80))).code
    answer = await asks.till.ask(PATH_HELLO, before, HelloAnswer)
    asks.till.session = answer.session
    await asks.till.push()
    await centre.apply()
    await asks.till.pull()
    assert await centre.totals(7) == Totals(300, 80)
    grant = asks.take(code)
    await centre.post(asks.till, asks.till.sale(SALE, account=7, sources=[take(grant, 80)]))
    assert await outstanding(centre) == [0]


async def test_a_grant_taken_and_not_yet_handed_in_stays(centre: JoinedCentre) -> None:
    asks = await asking(centre)
    grant = asks.take((await carry(centre, asks.ask(80))).code)
    await asks.hello()
    await asks.till.pull()  # the stream's end is not here yet
    assert await centre.totals(7) == Totals(300, 80)
    await asks.till.push()
    await asks.till.pull()  # and not applied yet
    assert await centre.totals(7) == Totals(300, 80)
    await centre.apply()
    await asks.till.pull()
    assert await outstanding(centre) == [80]
    await centre.post(asks.till, asks.till.sale(SALE, account=7, sources=[take(grant, 80)]))
    assert await outstanding(centre) == [0]


async def test_an_ask_that_is_over_gets_nothing_any_more(centre: JoinedCentre) -> None:
    asks = await asking(centre)
    ask = asks.ask()
    asks.open.clear()
    await asks.hello()
    assert (await carry(centre, ask)).outcome == "ask_over"
    assert await centre.totals(7) == Totals(300)


# Receipts carried along


def proof(
    till: TillProbe, *, key: str = SALE, seq: int = 5, signer: SigningKey | None = None
) -> str:
    """Return the code of a receipt of a till."""
    document = ReceiptProof(
        key=key,
        till_id=till.till_id,
        incarnation=till.incarnation,
        seq=seq,
        card=b"",
        earned_points=10,
        redeemed_points=50,
        paid_minor=950,
        moment="2025-03-05T11:00",
        bundle=b"\x01" * 8,
    )
    return qr.write(qr.seal(document, signer or till.key))


async def hints(centre: JoinedCentre) -> list[str]:
    return [row[0] for row in await centre.pool.fetch("select sale_key from receipt_hint")]


async def test_a_receipt_heard_of_is_a_note_and_moves_no_points(centre: JoinedCentre) -> None:
    asks = await asking(centre)
    code = proof(asks.till)
    carried = await carry(centre, asks.ask(80), receipts=(code, code))
    assert carried.receipts_heard == 1
    assert await hints(centre) == [SALE]
    assert await centre.totals(7) == Totals(300, 80)
    assert await centre.pool.fetchval("select count(*) from receipt") == 0


async def test_a_receipt_nobody_signed_or_that_has_come_is_no_news(centre: JoinedCentre) -> None:
    asks = await asking(centre)
    await centre.post(asks.till, asks.till.sale(SALE))
    stranger = SigningKey(b"somebody else's key, of 32 bytes")
    wrong = proof(asks.till, key=RETURN, signer=stranger)
    carried = await carry(
        centre, asks.ask(80), receipts=(proof(asks.till), wrong, "TSR1:AA", "4006381333931")
    )
    assert (carried.receipts_heard, await hints(centre)) == (0, [])


async def test_a_stream_must_reach_as_far_as_a_printed_receipt_says(centre: JoinedCentre) -> None:
    asks = await asking(centre)
    assert (await asks.hello()).seen_seq == 0
    await carry(
        centre, asks.ask(), receipts=(proof(asks.till, seq=41), proof(asks.till, key=RETURN))
    )
    assert (await asks.hello()).seen_seq == 41
    asks.till.open_stream(2)
    assert (await asks.hello()).seen_seq == 0


async def test_the_note_goes_when_the_receipt_has_come(centre: JoinedCentre) -> None:
    asks = await asking(centre)
    await carry(centre, asks.ask(10), receipts=(proof(asks.till),))
    await centre.post(asks.till, asks.till.sale(SALE))
    await carry(centre, asks.ask(10), receipts=(proof(asks.till, key=RETURN),))
    assert await hints(centre) == [RETURN]


# Returns of receipts that have not come


async def test_the_centre_says_whether_a_receipts_code_is_genuine(centre: JoinedCentre) -> None:
    till, elsewhere = await centre.till(), await centre.till()

    async def told(code: str) -> str:
        wish = ReceiptRequest(key=SALE, code=code)
        return (await elsewhere.ask(cycle.PATH_RECEIPT, wish, ReceiptAnswer)).code

    assert await told(proof(till, signer=elsewhere.key)) == "wrong"
    assert await told(proof(till, key=RETURN)) == "wrong"
    assert await told("") == ""
    assert await hints(centre) == []
    assert await told(proof(till)) == "genuine"
    assert await hints(centre) == [SALE]


async def test_a_return_before_its_original_waits_and_a_second_one_is_adjusted(
    centre: JoinedCentre,
) -> None:
    await centre.customer(7, 300, card=CARD)
    till, first, second = [await centre.till() for _ in range(3)]
    wish = msgspec.structs.replace(first.refund(RETURN, SALE), receipt_code=proof(till, seq=2))
    assert (await centre.post(first, wish))[0].outcome == "parked"
    assert await hints(centre) == [SALE]
    again = second.refund("01957e40-11f1-7a02-9b13-0c1d2e3f4a5b", SALE)
    assert (await centre.post(second, again))[0].outcome == "parked"
    await centre.post(till, till.sale(SALE, account=7))
    await centre.apply()
    one = (await centre.outcomes(first))[len(first.bodies)]
    two = (await centre.outcomes(second))[len(second.bodies)]
    assert (one.outcome, two.outcome, two.reason) == (
        "accepted",
        "adjusted",
        "line_already_returned",
    )
    assert await centre.totals(7) == Totals(300)
