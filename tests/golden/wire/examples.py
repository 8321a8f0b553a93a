"""One fixed example of every message and record, with no field at its default, and fixed keys."""

import msgspec

from loyalty.account import AccountSnapshot, Allowance, LotPart, RedeemRequest, SpendRight
from loyalty.basket import Basket, BasketLine, Moment, Place
from loyalty.returns import ReturnItem, ReturnMade
from sync.blocked import BlockedCards
from sync.chain import first_link, links
from sync.enrolling import EnrolAnswer, EnrolRequest
from sync.fingerprints import fingerprint
from sync.forgetting import Forgotten, ForgottenAnswer
from sync.lines import Lines, LinesAnswer
from sync.listening import AccountChange, Fresh, FreshAnswer, Listen, ListenAnswer
from sync.messages import (
    AccountRow,
    Applied,
    AuthoriseAnswer,
    AuthoriseRequest,
    BusKey,
    Compare,
    CompareAnswer,
    CounterAnswer,
    CounterGrant,
    CounterRequest,
    CounterWish,
    Cursor,
    Grant,
    Hello,
    HelloAnswer,
    Manifest,
    Message,
    OutcomeRow,
    Problem,
    Pull,
    PullAnswer,
    Push,
    PushAnswer,
    ReceiptAnswer,
    ReceiptRequest,
    Roster,
    RosterTill,
    SnapshotAnswer,
    SnapshotRequest,
    UsedCode,
)
from sync.neighbours import (
    CopiesAnswer,
    CopiesRequest,
    Delivery,
    DeliveryAnswer,
    HeadAnswer,
    HeadRequest,
    Heartbeat,
    RightsAnswer,
    RightsRequest,
    RulesAnswer,
    RulesRequest,
    SignedHead,
    Transfer,
    WitnessAnswer,
    WitnessRequest,
    content_of,
    sign_head,
)
from sync.points import PointsAnswer, PointsRequest
from sync.records import (
    CalculationInputs,
    CounterDrawn,
    CounterInRecord,
    CounterReturnRecord,
    GrantInRecord,
    GrantReturnRecord,
    LotTaken,
    OpenRecord,
    Record,
    RefundRecord,
    SaleRecord,
    Source,
    VoidRecord,
    XferInRecord,
    XferOutRecord,
    encode_record,
)
from sync.reporting import Report, ReportAnswer
from sync.roots import ReleaseKey, RootDocument, new_root, write_root
from sync.rule_messages import Delta, RulesReport
from sync.session_key import KeyOffer, SessionKeys, seal
from sync.short_grants import ShortGrant
from sync.signing import SigningKey, card_hash, enrol_content, sign_message
from tests.golden.codes import examples as codes

TILL_ID = 17
INCARNATION = bytes.fromhex("a1b2c3d4e5f60718")
SESSION = bytes.fromhex("00112233445566778899aabbccddeeff")
NONCE = bytes.fromhex("0f1e2d3c4b5a69788796a5b4c3d2e1f0")
CARD_KEY = bytes(range(32))
CARD = "2990 0000 0000 0017"
BUNDLE = "5f" * 32
SALE_KEY = "01957e3c-9a40-7c11-8d22-3e4f5a6b7c8d"
RETURN_KEY = "01957e40-11f0-7a02-9b13-0c1d2e3f4a5b"
GRANT_ID = "01957e00-0000-7abc-8def-001122334455"
TRANSFER_ID = "01957e3c-9a90-7777-8abc-00aa11bb22cc"
SIBLING_ID = 18
SIBLING_INCARNATION = bytes.fromhex("5566778899aabbcc")
AUTHORISATION_ID = "01957e3c-9b00-7fed-8cba-554433221100"
COUNTER_GRANT_ID = "01957e3c-9b40-7123-8456-66778899aabb"
NOON_MS = 1_741_176_000_000

till_key = SigningKey(b"the till's key, of 32 bytes here")
centre_key = SigningKey(b"the centre's key, of 32 bytes ..")
key_offer = KeyOffer(b"for one HELLO alone, of 32 bytes")
session_key = SessionKeys(centre_key.seed()).key_of(TILL_ID, SESSION)
rule_key = SigningKey(b"the rules' key, of 32 bytes too.")

card = card_hash(CARD_KEY, CARD)
place = Place(store="store-1", region="north", banner="green", till="17", channel="kiosk")
moment = Moment(local="2025-03-05T12:00:00", uncertainty_s=2)
lot_part = LotPart(lot_id=501, points=120, expires_on="2026-03-01", restriction="dairy")
snapshot = AccountSnapshot(
    identified=True,
    account_id=7,
    tier="gold",
    segments=("family", "früh"),
    points=1_250,
    in_birthday_window=True,
    personal_offers=("spring-7", "yours"),
    purchases=31,
    counters={"stamps:coffee": 4, "uses:welcome@2025-03": 2},
    last_used={"uses:welcome@2025-03": "2025-03-02T18:30:05 store store-2"},
    version=44,
)
basket = Basket(
    lines=(
        BasketLine(
            line_id="1",
            sku="milk",
            quantity=2_000,
            gross_minor=258,
            pos_reduced=True,
            gtin="04006381333931",
            department="food",
            category="food/dairy",
            brand="Молочная река",
            attributes={"size": "1 l"},
        ),
        BasketLine(line_id="2", sku="apples", quantity=1_234, gross_minor=369, by_weight=True),
    ),
    codes=("SPRING",),
    tender="card",
)
inputs = CalculationInputs(
    bundle=BUNDLE,
    basket=basket,
    moment=moment,
    place=place,
    account=snapshot,
    request=RedeemRequest(points=150, as_many_as_possible=True),
    right=SpendRight(points=150, lots=(lot_part,)),
    allowance=Allowance(
        left={"campaign.uses:spring-7": 3},
        used_codes={"SPRING": "2025-03-02T18:30:05 store store-2"},
    ),
)

grant_given_on = sign_message(
    Grant(
        grant_id=GRANT_ID,
        purpose="grant",
        account_id=7,
        till_id=TILL_ID,
        incarnation=INCARNATION,
        session=SESSION,
        points=120,
        lots=(lot_part,),
        not_after_ms=NOON_MS + 1_209_600_000,
    ),
    centre_key,
)
counter_grant = sign_message(
    CounterGrant(
        grant_id=COUNTER_GRANT_ID,
        counter="campaign.uses:spring-7@2025-03",
        till_id=TILL_ID,
        incarnation=INCARNATION,
        session=SESSION,
        amount=3,
        ends_on="2025-04-01",
    ),
    centre_key,
)
used_code = UsedCode(code="SPRING", last="2025-03-02T18:30:05 store store-2")
unsigned_transfer = Transfer(
    transfer_id=TRANSFER_ID,
    grant=grant_given_on,
    points=90,
    lots=(LotTaken(501, 90),),
    from_incarnation=INCARNATION,
    to_till=SIBLING_ID,
    to_incarnation=SIBLING_INCARNATION,
    nonce=NONCE,
)
transfer = msgspec.structs.replace(
    unsigned_transfer, signature=till_key.sign(content_of(unsigned_transfer))
)

RECORDS: dict[type[Record], Record] = {
    OpenRecord: OpenRecord(
        at_ms=NOON_MS,
        incarnation_number=3,
        reason="amnesia",
        previous_incarnation="18" * 8,
        previous_head="c4" * 32,
    ),
    SaleRecord: SaleRecord(
        at_ms=NOON_MS + 1,
        key=SALE_KEY,
        version=4,
        inputs=inputs,
        calculation=msgspec.Raw(b'{"paid_minor":477,"redeemed_points":150}'),
        card=card.hex(),
        sources=(
            Source(
                kind="grant",
                points=100,
                grant_id=GRANT_ID,
                lots=(LotTaken(501, 60), LotTaken(502, 40)),
                transfer_id=TRANSFER_ID,
            ),
            Source(
                kind="authorisation",
                points=20,
                grant_id=AUTHORISATION_ID,
                lots=(LotTaken(lot_id=503, points=20),),
            ),
            Source(kind="risk", points=30),
        ),
        link_up=True,
        clock_q="suspect",
        drawn=(CounterDrawn(COUNTER_GRANT_ID, 1),),
        code_age=3,
    ),
    VoidRecord: VoidRecord(at_ms=NOON_MS + 2, key=SALE_KEY, why="cancelled at the till"),
    RefundRecord: RefundRecord(
        at_ms=NOON_MS + 3,
        key=RETURN_KEY,
        original_key=SALE_KEY,
        lines=(
            ReturnItem(line_id="1", quantity=1_000),
            ReturnItem(line_id="2", quantity=1_234),
        ),
        moment=moment,
        place=place,
        calculation=msgspec.Raw(b'{"money_back_minor":477}'),
        receipt_code=codes.CODES["receipt"],
    ),
    GrantInRecord: GrantInRecord(at_ms=NOON_MS + 4, grant_id=GRANT_ID),
    GrantReturnRecord: GrantReturnRecord(
        at_ms=NOON_MS + 5,
        grant_id=GRANT_ID,
        points=400,
        why="recalled",
        lots=(LotTaken(501, 300), LotTaken(502, 100)),
        transfer_id=TRANSFER_ID,
    ),
    XferOutRecord: XferOutRecord(
        at_ms=NOON_MS + 6,
        transfer_id=TRANSFER_ID,
        grant_id=GRANT_ID,
        account_id=7,
        points=90,
        lots=(LotTaken(501, 90),),
        to_till=SIBLING_ID,
        to_incarnation=SIBLING_INCARNATION.hex(),
        nonce=NONCE.hex(),
    ),
    XferInRecord: XferInRecord(
        at_ms=NOON_MS + 7,
        transfer_id=TRANSFER_ID,
        grant_id=GRANT_ID,
        account_id=7,
        points=90,
        lots=(LotTaken(501, 90),),
        from_till=TILL_ID,
        from_incarnation=INCARNATION.hex(),
        nonce=NONCE.hex(),
        signature=transfer.signature.hex(),
    ),
    CounterInRecord: CounterInRecord(at_ms=NOON_MS + 8, grant_id=COUNTER_GRANT_ID),
    CounterReturnRecord: CounterReturnRecord(
        at_ms=NOON_MS + 9, grant_id=COUNTER_GRANT_ID, amount=2, why="recalled"
    ),
}

bodies = tuple(encode_record(record) for record in RECORDS.values())
start = first_link(TILL_ID, INCARNATION)
chain = links(start, bodies)

grant = sign_message(
    Grant(
        grant_id=AUTHORISATION_ID,
        purpose="authorisation",
        account_id=7,
        till_id=TILL_ID,
        incarnation=INCARNATION,
        session=SESSION,
        points=120,
        lots=(lot_part,),
        not_after_ms=NOON_MS + 1_209_600_000,
        sale_key=SALE_KEY,
    ),
    centre_key,
)
manifest = sign_message(
    Manifest(
        bundle=BUNDLE,
        version=12,
        size_bytes=48_231,
        activate_at="2025-03-06T00:00:00",
        chunks=(bytes(range(32)), bytes(range(32, 64))),
    ),
    rule_key,
)
root = write_root(
    new_root(
        RootDocument(
            version=1,
            root_keys=(centre_key.public.hex(),),
            threshold=1,
            release_keys=(ReleaseKey(key=rule_key.public.hex(), generation=1),),
        )
    ).signed_by(centre_key)
)
account_row = AccountRow(
    card=card,
    snapshot=snapshot,
    blocked=True,
    masked_name="A*** K.",
    points=1_250,
    held_points=500,
)
applied = Applied(incarnation=INCARNATION, through=5, waiting=(3, 4))
cursor = Cursor(epoch=1, transaction=70_011, row=918_273)
outcome = OutcomeRow(
    seq=2, incarnation=INCARNATION, outcome="adjusted", reason="blocked before the sale", points=-9
)
roster = Roster(
    version="4c1f0d2e3b5a6978",
    store="store-1",
    bus_keys=(BusKey(number=2, secret=bytes(range(32, 64))),),
    tills=(
        RosterTill(
            till_id=TILL_ID, public_key=till_key.public, bus_address="10.0.0.17:7117", vault=True
        ),
    ),
)
unsigned_enrolment = EnrolRequest(
    code="7KQ2M-9XW4TD",
    public_key=till_key.public,
    hardware="Linux x86_64 0242ac110002",
    nonce=NONCE,
    signature=b"",
)

MESSAGES: dict[type[Message], Message] = {
    Cursor: cursor,
    EnrolRequest: msgspec.structs.replace(
        unsigned_enrolment, signature=till_key.sign(enrol_content(unsigned_enrolment))
    ),
    EnrolAnswer: EnrolAnswer(
        till_id=TILL_ID,
        place=place,
        card_key=CARD_KEY,
        centre_key=centre_key.public,
        rule_keys=(rule_key.public,),
        server_time_ms=NOON_MS,
        root=root,
    ),
    Hello: Hello(
        incarnation=INCARNATION,
        incarnation_number=3,
        seq=6,
        head=chain[5],
        acked_seq=2,
        acked_hash=chain[1],
        clock_ms=NOON_MS,
        bundle=BUNDLE,
        software="0.1.0",
        receipts_waiting=4,
        disk_free_bytes=21_474_836_480,
        rights_points=620,
        risk_left_points=470,
        bus_address="10.0.0.17:7117",
        asks_made=312,
        asks_open=(codes.NONCE,),
        feed_epoch=2,
        rules=RulesReport(
            root=2,
            generation=1,
            version=12,
            waiting=BUNDLE,
            refused=BUNDLE[::-1],
            why="not JSON: truncated",
            calculated=412,
            slow=2,
            dropped=9,
        ),
        forgotten=1_741_176_000_003,
        offer=key_offer.public,
        previous=(b"incarna1", b"incarna0"),
    ),
    HelloAnswer: HelloAnswer(
        verdict="rewind",
        verified=True,
        session=SESSION,
        last_seq=1,
        last_hash=chain[0],
        durable_seq=1,
        server_time_ms=NOON_MS + 80,
        incarnation_number_min=4,
        risk_points_total=500,
        seen_seq=7,
        offline_points_max=20_000,
        hold_s=240,
        lines=True,
        roots=(root,),
        erasures=1_741_176_000_007,
        short=True,
        moulds=True,
        quarantined=True,
        mark_waits=True,
        reports=True,
        sealed=seal(
            session_key, key_offer.public, session=SESSION, seed=b"for one answer alone, 32 bytes.."
        ),
    ),
    Push: Push(incarnation=INCARNATION, from_seq=3, previous_hash=chain[1], records=bodies[2:4]),
    PushAnswer: PushAnswer(
        verdict="ack", last_seq=4, last_hash=chain[3], durable_seq=4, incarnation_number_min=4
    ),
    Applied: applied,
    AccountRow: account_row,
    Grant: grant,
    OutcomeRow: outcome,
    Manifest: manifest,
    Pull: Pull(
        incarnation=INCARNATION,
        cursor=cursor,
        bundle=BUNDLE,
        bytes_max=262_144,
        seq=6,
        roster="4c1f0d2e3b5a6978",
        wait_s=240,
        rules=(1, 11),
        blocked=(1, 52),
    ),
    PullAnswer: PullAnswer(
        cursor=Cursor(epoch=1, transaction=70_020, row=918_300),
        applied_through=2,
        more=True,
        accounts=(account_row,),
        grants=(grant,),
        recalls=(GRANT_ID,),
        outcomes=(outcome,),
        manifest=manifest,
        applied=(applied,),
        roster=roster,
        compare=True,
        delta=Delta(base=BUNDLE[::-1], hash=bytes(range(32)), size_bytes=383),
        blocked=BlockedCards(
            epoch=1, version=54, is_whole=True, blocked=card[:8], lifted=card[8:16]
        ),
        whole_left=(7,),
        erasures=1_741_176_000_007,
    ),
    Compare: Compare(sums=fingerprint([(card, 7, 12)]), bytes_max=262_144),
    CompareAnswer: CompareAnswer(
        cursor=Cursor(epoch=2, transaction=70_020),
        buckets=bytes([card[0]]),
        accounts=(account_row,),
        more=True,
        applied=(applied,),
    ),
    Forgotten: Forgotten(through=1_741_176_000_003),
    ForgottenAnswer: ForgottenAnswer(through=1_741_176_000_007, accounts=(7, 12)),
    Report: Report(
        number=3,
        bundle=BUNDLE,
        rules=RulesReport(generation=2, version=7, refused=BUNDLE[::-1], slow=2),
    ),
    ReportAnswer: ReportAnswer(),
    BusKey: roster.bus_keys[0],
    RosterTill: roster.tills[0],
    Roster: roster,
    SnapshotRequest: SnapshotRequest(card=card, account_id=7),
    SnapshotAnswer: SnapshotAnswer(account=account_row, applied=(applied,)),
    AuthoriseRequest: AuthoriseRequest(
        key=SALE_KEY, account_id=7, points=120, incarnation=INCARNATION
    ),
    AuthoriseAnswer: AuthoriseAnswer(authorisations=(grant,), held_elsewhere_points=380),
    CounterGrant: counter_grant,
    CounterWish: CounterWish(counter="campaign.uses:spring-7", amount=1),
    CounterRequest: CounterRequest(
        incarnation=INCARNATION,
        wishes=(CounterWish(counter="campaign.uses:spring-7", amount=1),),
        taken=(COUNTER_GRANT_ID,),
    ),
    CounterAnswer: CounterAnswer(grants=(counter_grant,), used_codes=(used_code,)),
    UsedCode: used_code,
    ReceiptRequest: ReceiptRequest(key=SALE_KEY, date="2025-03-06", code=codes.CODES["receipt"]),
    ReceiptAnswer: ReceiptAnswer(
        calculation=b'{"paid_minor":477,"redeemed_points":150}',
        returns=(
            ReturnMade(
                key=RETURN_KEY,
                items=(ReturnItem(line_id="2", quantity=1_234),),
                charged_back_minor=25,
            ),
        ),
        available_points=1_250,
        code="genuine",
    ),
    Problem: Problem(error="session_unknown", message="say HELLO first"),
}

signed_head = sign_head(
    SignedHead(
        till_id=TILL_ID,
        incarnation=INCARNATION,
        incarnation_number=3,
        seq=4,
        head=chain[3],
        acked_seq=2,
        epoch=3,
    ),
    till_key,
)

SHORT_MESSAGES: dict[type[Message], Message] = {
    Lines: Lines(
        from_seq=3, before=2, proof=chain[2][:16], packed=b"as zstd packs them", moulds=True
    ),
    LinesAnswer: LinesAnswer(taken=True),
    Listen: Listen(
        epoch=1,
        transaction=70_011,
        row=918_273,
        seq=6,
        wait_s=240,
        bundle=bytes.fromhex(BUNDLE)[:8],
        roster=bytes.fromhex("4c1f0d2e3b5a6978"),
        rules=(1, 11),
        whole=(7, 12),
        blocked=52,
    ),
    ListenAnswer: ListenAnswer(
        transaction=70_020,
        row=918_300,
        changed=(
            AccountChange(7, 12, 480, 20, 31, {"offer tenth": 2}, {"offer tenth": "store 1"}),
        ),
        accepted={"": (4, 2, 7, 1), "clock_adjusted": (6, 1)},
        through=8,
        waiting=(6,),
        rest=b"as zstd packs it",
        again=True,
        part=b"part",
        grants=(
            ShortGrant(
                bytes(range(16)),
                7,
                90,
                1_741_780_800_000,
                bytes(range(64)),
                ((31, 90, "2026-03-01", "dairy"),),
            ),
        ),
        moved=bytes([8, 12, 0xE0, 0x03, 20, 31]),
    ),
    Fresh: Fresh(card=card, known=b"vers"),
    FreshAnswer: FreshAnswer(snapshot=b"as zstd packs it"),
    PointsRequest: PointsRequest(key=bytes(range(16)), account_id=7, points=500),
    PointsAnswer: PointsAnswer(
        rights=(
            ShortGrant(
                bytes(range(16)),
                7,
                90,
                1_741_780_800_000,
                bytes(range(64)),
                ((31, 90, "2026-03-01", "dairy"),),
            ),
        ),
        held_elsewhere_points=380,
        others=AuthoriseAnswer(authorisations=(grant,)),
    ),
}
"""Messages that travel as arrays."""

NEIGHBOUR_MESSAGES: dict[type[Message], Message] = {
    SignedHead: signed_head,
    Heartbeat: Heartbeat(head=signed_head, link_up=True, bundle=BUNDLE, rights="70d1c2b3a4958677"),
    RightsRequest: RightsRequest(
        account_id=7,
        points=90,
        nonce=NONCE,
        till_id=SIBLING_ID,
        incarnation=SIBLING_INCARNATION,
    ),
    Transfer: transfer,
    RightsAnswer: RightsAnswer(
        nonce=NONCE, transfers=(transfer,), why="a part of it", head=signed_head
    ),
    WitnessRequest: WitnessRequest(
        head=signed_head, from_seq=3, previous_hash=chain[1], records=bodies[2:4]
    ),
    WitnessAnswer: WitnessAnswer(verdict="fork", known=signed_head),
    HeadRequest: HeadRequest(till_id=TILL_ID, nonce=NONCE),
    HeadAnswer: HeadAnswer(nonce=NONCE, known=signed_head),
    CopiesRequest: CopiesRequest(heads=(signed_head,)),
    CopiesAnswer: CopiesAnswer(heads=(signed_head,)),
    RulesRequest: RulesRequest(bundle=BUNDLE, start=49_152),
    RulesAnswer: RulesAnswer(
        bundle=BUNDLE, start=49_152, size_bytes=49_161, content=b"the rest.", fetched=3
    ),
    Delivery: Delivery(head=signed_head, from_seq=3, previous_hash=chain[1], records=bodies[2:4]),
    DeliveryAnswer: DeliveryAnswer(verdict="branch", last_seq=4),
}
"""What tills of one store say to each other, and to the centre for each other."""
