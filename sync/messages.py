"""The wire messages between till and centre, MessagePack maps; one class a message.

Readers ignore fields they do not know, so a newer side may add some; a field that is missing takes
its default or is an error. Hashes, keys and incarnations are raw bytes.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from loyalty.account import AccountSnapshot, LotPart
from loyalty.returns import ReturnMade
from sync.blocked import BlockedCards
from sync.fields import Count, CounterName, Hash, Incarnation, Positive, PublicKey
from sync.fingerprints import FINGERPRINT_BYTES
from sync.limits import ASKS_OPEN_MAX, COUNTERS_ASKED_MAX, PREVIOUS_MAX
from sync.rule_messages import NO_REPORT, Delta, RulesReport
from sync.session_key import OFFER_BYTES, SEALED_BYTES


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What every message is."""


class Cursor(Message, frozen=True, kw_only=True):
    """A place in the change feed: rows up to it are known (design: sync 1.7).

    Attributes:
        epoch: rises when the feed's transaction numbers start anew.
    """

    epoch: Count = 0
    transaction: Count = 0
    row: Count = 0


class Hello(Message, frozen=True, kw_only=True, omit_defaults=True):
    """A till says where its stream stands; sending it ends the session before (design: sync 4.2).

    Attributes:
        acked_hash: link of `acked_seq`, so that the centre can compare without asking.
        bundle: hash of the active bundle, hexadecimal; empty if none.
        bus_address: where this till listens to others of its store; empty for none.
        asks_made: how many asks for points by courier this journal ever made.
        feed_epoch: of the cursor it has; 0 before its first pull.
        asks_open: nonces of those for which a grant may still be taken; for no other ask up to
            `asks_made` one ever will be (design: sync 4.9, rule R2).
        forgotten: number up to which erased customers are forgotten here (`sync.forgetting`);
            None = it does not say.
        offer: public key for this HELLO alone, 32 bytes, for which the centre may seal the
            session's key (`sync.session_key`); empty = the till signs everything.
        previous: the streams this one went on from, the last ones first, while the centre has
            acknowledged nothing of it; others that are newer tell of a second machine of the till.
    """

    incarnation: Incarnation
    incarnation_number: Count
    seq: Count
    head: Hash
    acked_seq: Count
    acked_hash: Hash
    clock_ms: int
    bundle: str
    software: str
    receipts_waiting: Count = 0
    disk_free_bytes: Count = 0
    rights_points: Count = 0
    risk_left_points: Count = 0
    bus_address: Annotated[str, Meta(max_length=200)] = ""
    asks_made: Count = 0
    asks_open: Annotated[tuple[bytes, ...], Meta(max_length=ASKS_OPEN_MAX)] = ()
    feed_epoch: Count = 0
    rules: RulesReport = NO_REPORT
    forgotten: Count | None = None
    offer: Annotated[bytes, Meta(max_length=OFFER_BYTES)] = b""
    previous: Annotated[tuple[Incarnation, ...], Meta(max_length=PREVIOUS_MAX)] = ()


Verdict = Literal["ok", "epoch", "rewind", "amnesia", "revoked"]
"""`epoch` is `ok` for the stream; what the till knows of accounts has to be compared."""


class HelloAnswer(Message, frozen=True, kw_only=True, omit_defaults=True):
    """How the centre sees the till's stream.

    Attributes:
        verified: the chain was compared up to what the centre has; rights move only then.
        incarnation_number_min: the least that a new incarnation of this till may take.
        risk_points_total: all ever given to this incarnation; what is spent counts against it.
        offline_points_max: the most to spend from grants and risk budget until the next HELLO that
            is answered with it; None leaves cap and count as they were.
        seen_seq: highest record of this incarnation of which a printed receipt, or anybody else,
            has told the centre; a till that has fewer has forgotten some.
        hold_s: the longest the centre keeps a pull waiting for news, seconds; 0 = it does not.
        roots: signed root documents after the one the till trusts, in order.
        short: it reads the short header (`sync.short_header`).
        erasures: newest number there is, for a till that says how far it has forgotten.
        sealed: the session's key, for the till's offer; empty = requests are to be signed.
        moulds: it reads lines that are packed so (`sync.moulds`).
        reports: it hears of rules between two HELLOs (`sync.reporting`).
        quarantined: two machines run as this till; no rights until somebody has looked.
        mark_waits: `durable_seq` waits for copies of the centre's database; answers that do not
            tell it leave it where it is. Otherwise it goes with what is acknowledged.
    """

    verdict: Verdict
    verified: bool
    session: Annotated[bytes, Meta(min_length=16, max_length=16)]
    last_seq: Count
    last_hash: Hash
    durable_seq: Count
    server_time_ms: int
    incarnation_number_min: Positive
    risk_points_total: Count = 0
    seen_seq: Count = 0
    offline_points_max: Count | None = None
    hold_s: Count = 0
    lines: bool = False
    roots: tuple[bytes, ...] = ()
    erasures: Count = 0
    short: bool = False
    sealed: Annotated[bytes, Meta(max_length=SEALED_BYTES)] = b""
    moulds: bool = False
    quarantined: bool = False
    mark_waits: bool = False
    reports: bool = False


class Push(Message, frozen=True, kw_only=True):
    """Consecutive records of one stream.

    Attributes:
        previous_hash: link before the first record.
    """

    incarnation: Incarnation
    from_seq: Positive
    previous_hash: Hash
    records: tuple[bytes, ...]


class PushAnswer(Message, frozen=True, kw_only=True):
    """What the centre now has, contiguous and durable."""

    verdict: Literal["ack", "gap", "fork"]
    last_seq: Count
    last_hash: Hash
    durable_seq: Count
    incarnation_number_min: Positive


class Applied(Message, frozen=True, kw_only=True):
    """Which records of one of the till's streams are in accounts told beside it (design: sync 4.5).

    Attributes:
        through: records up to here are, later ones are not.
        waiting: records up to there that are not either: kept, and not applied yet.
    """

    incarnation: Incarnation
    through: Count
    waiting: tuple[Count, ...] = ()


class AccountRow(Message, frozen=True, kw_only=True):
    """An account as tills may know it; `card` is a keyed hash, never a number.

    Attributes:
        masked_name: what a screen may show, e.g. "A*** K."; may be empty.
        points: not held by anybody, spendable with an authorisation.
        held_points: set aside for tills.
    """

    card: bytes
    snapshot: AccountSnapshot
    blocked: bool = False
    masked_name: str = ""
    points: Count = 0
    held_points: Count = 0


class Grant(Message, frozen=True, kw_only=True):
    """Points of one account set aside for one incarnation of one till (design: sync 4.0).

    Attributes:
        session: the till accepts a grant only in the session it was sent in (rule R2).
        sale_key: for an authorisation the one receipt it is good for.
        signature: by the centre's key over all other fields.
    """

    grant_id: str
    purpose: Literal["grant", "authorisation"]
    account_id: int
    till_id: int
    incarnation: Incarnation
    session: bytes
    points: Positive
    lots: tuple[LotPart, ...]
    not_after_ms: int
    sale_key: str = ""
    signature: bytes = b""


class OutcomeRow(Message, frozen=True, kw_only=True):
    """What became of one record."""

    seq: Count
    incarnation: Incarnation
    outcome: str
    reason: str = ""
    points: int = 0


class Manifest(Message, frozen=True, kw_only=True):
    """A bundle that is to be active, named by the hash of its bytes.

    Attributes:
        bundle: SHA-256 of the uncompressed bytes, hexadecimal.
        chunks: SHA-256 of each piece of the compressed bytes, `sync.blobs.CHUNK_BYTES` long but for
            the last, so that a bad line costs a piece and not the bundle (design: sync 3.5).
        signature: by a rule key over all other fields.
    """

    bundle: Annotated[str, Meta(min_length=64, max_length=64)]
    version: Positive
    size_bytes: Count
    activate_at: str = ""
    chunks: tuple[Hash, ...] = ()
    signature: bytes = b""


class BusKey(Message, frozen=True, kw_only=True):
    """A secret all tills of a store share; it keeps strangers out and decides no money."""

    number: Positive
    secret: Annotated[bytes, Meta(min_length=32, max_length=32)]


class RosterTill(Message, frozen=True, kw_only=True):
    """A till of the store, as the others may trust it.

    Attributes:
        bus_address: `host:port`; empty while it has told none.
        vault: the store's customers' points may be set aside for it.
    """

    till_id: Positive
    public_key: PublicKey
    bus_address: str = ""
    vault: bool = False


class Roster(Message, frozen=True, kw_only=True):
    """Who belongs to a store; a till that is not in it is not listened to (design: sync 4.10).

    Attributes:
        version: changes with any of the rest.
        bus_keys: the first seals; all open.
        tills: all of the store that are not revoked, the receiver among them, by number.
    """

    version: str
    store: str
    bus_keys: tuple[BusKey, ...] = ()
    tills: tuple[RosterTill, ...] = ()


class Pull(Message, frozen=True, kw_only=True):
    """Asks for what has changed since the cursor.

    Attributes:
        bundle: hash of the newest bundle the till has, so that the centre can announce another.
        seq: last record of the stream when this was asked; what the till accepted before the
            session began is at or before it.
        roster: version of the roster the till has.
        wait_s: the answer may wait so long for something urgent; 0 = answer at once.
        rules: generation and version of the manifest it took last; None = it does not say.
        blocked: epoch and version of the list of blocked cards it has; None = it keeps none.
    """

    incarnation: Incarnation
    cursor: Cursor
    bundle: str
    bytes_max: Annotated[int, Meta(ge=1024)]
    seq: Count | None = None
    roster: str = ""
    wait_s: Count = 0
    rules: tuple[Count, Count] | None = None
    blocked: tuple[Count, Count] | None = None


class PullAnswer(Message, frozen=True, kw_only=True, omit_defaults=True):
    """What has changed, from one snapshot of the centre.

    Attributes:
        applied_through: records of this stream whose effects are in the rows.
        more: there is more to pull at once.
        applied: the same to the record; this stream first, then older ones of the till of which
            something still waits. Of those not named everything the centre has is in the rows.
        roster: where it is another than the till has.
        compare: the feed cannot go on from the till's cursor: it has to compare what it knows.
        delta: from the bundle the till named to the one of `manifest`.
        whole_left: accounts it asked for whole that did not fit.
        erasures: newest number there is, where the till has not forgotten so far.
    """

    cursor: Cursor
    applied_through: Count
    more: bool
    accounts: tuple[AccountRow, ...] = ()
    grants: tuple[Grant, ...] = ()
    recalls: tuple[str, ...] = ()
    outcomes: tuple[OutcomeRow, ...] = ()
    manifest: Manifest | None = None
    applied: tuple[Applied, ...] = ()
    roster: Roster | None = None
    compare: bool = False
    delta: Delta | None = None
    blocked: BlockedCards | None = None
    whole_left: tuple[Count, ...] = ()
    erasures: Count = 0


class Compare(Message, frozen=True, kw_only=True):
    """Says which accounts the till knows, in sums by bucket (`sync.fingerprints`)."""

    sums: Annotated[bytes, Meta(min_length=FINGERPRINT_BYTES, max_length=FINGERPRINT_BYTES)]
    bytes_max: Annotated[int, Meta(ge=1024)]


class CompareAnswer(Message, frozen=True, kw_only=True):
    """Buckets that are not equal, told whole, from one snapshot of the centre.

    Attributes:
        cursor: of that snapshot; it is the till's once nothing is left to tell.
        buckets: numbers of those told; the till drops what it had in them.
        more: other buckets differ too; compare again.
        applied: as in a pull.
    """

    cursor: Cursor
    buckets: bytes = b""
    accounts: tuple[AccountRow, ...] = ()
    more: bool = False
    applied: tuple[Applied, ...] = ()


class SnapshotRequest(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Asks for one account, fresh, by the keyed hash of a card.

    Attributes:
        account_id: where a customer's code says no card; 0 = by card.
    """

    card: bytes
    account_id: Count = 0


class SnapshotAnswer(Message, frozen=True, kw_only=True):
    """The account, or none for a card nobody knows.

    Attributes:
        applied: as in a pull, of the session's stream.
    """

    account: AccountRow | None = None
    applied: tuple[Applied, ...] = ()


class AuthoriseRequest(Message, frozen=True, kw_only=True):
    """Asks that at least `points` be authorised for one receipt.

    All authorisations of its key count together. Asked again with the same or a smaller number it
    changes nothing, so a lost answer is harmless.
    """

    key: str
    account_id: Count
    points: Positive
    incarnation: Incarnation


class AuthoriseAnswer(Message, frozen=True, kw_only=True):
    """Every open authorisation of the key.

    Attributes:
        held_elsewhere_points: points set aside for another till; it was asked to give them back.
    """

    authorisations: tuple[Grant, ...] = ()
    held_elsewhere_points: Count = 0


class CounterGrant(Message, frozen=True, kw_only=True):
    """Uses, money or points of a shared counter, set aside for one incarnation of one till.

    Attributes:
        session: the till accepts it only in the session it was sent in (rule R2).
        amount: uses, minor units or points, as the counter's name says.
        ends_on: first local day after the counter's period, `YYYY-MM-DD`; empty = it never ends.
        signature: by the centre's key over all other fields.
    """

    grant_id: str
    counter: CounterName
    till_id: int
    incarnation: Incarnation
    session: bytes
    amount: Positive
    ends_on: str = ""
    signature: bytes = b""


class CounterWish(Message, frozen=True, kw_only=True):
    """What a till wants of a shared counter.

    Attributes:
        amount: a customer waits for so much more than the till has; 0 = a share in advance.
    """

    counter: CounterName
    amount: Count = 0


class CounterRequest(Message, frozen=True, kw_only=True):
    """Asks for grants of shared counters, in advance or while a customer waits.

    Asked again in the same session it gives what is not recorded yet once more, so a lost answer is
    harmless.

    Attributes:
        taken: grants of this session that are here already, recorded at the centre or not yet.
    """

    incarnation: Incarnation
    wishes: Annotated[tuple[CounterWish, ...], Meta(max_length=COUNTERS_ASKED_MAX)]
    taken: Annotated[tuple[str, ...], Meta(max_length=1_000)] = ()


class UsedCode(Message, frozen=True, kw_only=True):
    """A code that is used up.

    Attributes:
        last: when and where it was used last, as people say it; empty where that is not known.
    """

    code: str
    last: str = ""


class CounterAnswer(Message, frozen=True, kw_only=True):
    """What was set aside.

    Attributes:
        used_codes: of codes asked about.
    """

    grants: tuple[CounterGrant, ...] = ()
    used_codes: tuple[UsedCode, ...] = ()


class ReceiptRequest(Message, frozen=True, kw_only=True):
    """Asks for a receipt of any till by its sale key, for a return.

    Attributes:
        date: local day of the return, `YYYY-MM-DD`; points that have ended by then are not told.
        code: what its QR code says; empty where nobody read it.
    """

    key: str
    date: str = ""
    code: Annotated[str, Meta(max_length=1_200)] = ""


class ReceiptAnswer(Message, frozen=True, kw_only=True):
    """What the centre knows of a receipt; everything is empty for an unknown one.

    Attributes:
        calculation: canonical bytes.
        returns: of this receipt, posted so far, from all tills.
        available_points: what could be taken back from its account now; none for nobody's receipt.
        code: what the centre makes of the code asked about; empty where it was not asked.
    """

    calculation: bytes = b""
    returns: tuple[ReturnMade, ...] = ()
    available_points: Count | None = None
    code: Literal["", "genuine", "wrong"] = ""


class Problem(Message, frozen=True, kw_only=True):
    """A refusal by name."""

    error: str
    message: str
