"""What tills of one store say to each other: MessagePack maps in the envelopes of the store bus.

Gossip is a `Heartbeat`; a request is one of `Request` and has one answer. The envelope proves the
store, never a till: whatever has weight carries a signature by the key of the till that gives its
word, and siblings know each other's keys from the centre's roster (design: sync 4.10).
"""

from dataclasses import dataclass
from typing import Annotated, Final, Literal, TypeVar

import msgspec
from msgspec import Meta

from sync.codec import compress, decompress
from sync.errors import MalformedMessageError, SignatureError
from sync.fields import Count, Hash, Incarnation, Positive
from sync.messages import Grant, Message
from sync.records import LotTaken
from sync.signing import SigningKey, check

PATH_DELIVER = "/v1/till/deliver"

HEARTBEAT_MS: Final = 2_000
SILENT_AFTER_MS: Final = 7_000
"""A sibling not heard for so long is asked nothing: no sale waits for it."""
ASK_BUDGET_MS: Final = 150
"""How long a sale waits for one sibling (design: sync 4.6)."""
BODY_BYTES_MAX: Final = 60_000
"""Of a message between siblings as it travels; fits an envelope."""
UNPACKED_BYTES_MAX: Final = 262_144
"""Of a message between siblings before compression; what is larger is refused unread."""
WITNESS_RECORDS_MAX: Final = 64
"""Records of one copy, which a witness can check and hand on as a whole."""
COPIES_ASKED_MAX: Final = 32
"""Copies a witness asks about at once."""
TRANSFERS_MAX: Final = 8
"""Grants one answer may take points from."""
RULES_PART_BYTES: Final = 49_152
"""Of one part of a rule bundle, packed already: it fits an envelope whatever it holds."""

Nonce = Annotated[bytes, Meta(min_length=16, max_length=16)]
_Text = Annotated[str, Meta(max_length=200)]


class SignedHead(Message, frozen=True, kw_only=True):
    """A till's word where its stream stands; one that its stream contradicts proves amnesia.

    Attributes:
        acked_seq: records up to it are durable at the centre.
        epoch: life of the centre that the till has heard of; `acked_seq` is of it.
        signature: by the till's key over all other fields.
    """

    till_id: Positive
    incarnation: Incarnation
    incarnation_number: Count
    seq: Count
    head: Hash
    acked_seq: Count = 0
    signature: bytes = b""
    epoch: Count = 0


class Heartbeat(Message, frozen=True, kw_only=True, tag_field="say", tag="heartbeat"):
    """What a till tells all others every two seconds; decides nothing but whom to ask.

    Attributes:
        link_up: the centre answered it last.
        bundle: hash of the active bundle, hexadecimal; empty for none.
        rights: digest of the rights it holds, for people who compare.
    """

    head: SignedHead
    link_up: bool = False
    bundle: _Text = ""
    rights: _Text = ""


class RightsRequest(Message, frozen=True, kw_only=True, tag_field="say", tag="rights"):
    """Asks for points of one account that the other till holds.

    Asked again with the same nonce it gets the same transfers (design: sync N5).

    Attributes:
        nonce: fresh; an answer is accepted only while it is open.
        till_id: who asks.
    """

    account_id: Positive
    points: Positive
    nonce: Nonce
    till_id: Positive
    incarnation: Incarnation


class Transfer(Message, frozen=True, kw_only=True):
    """Points of one grant, gone from the giver for good, for one nonce of one incarnation.

    Attributes:
        grant: as the centre signed it for the giver; `points` and `lots` are a part of it.
        lots: which of its lots; they add up to `points`.
        signature: by the giver's key over `transfer_content`.
    """

    transfer_id: Annotated[str, Meta(max_length=64)]
    grant: Grant
    points: Positive
    lots: tuple[LotTaken, ...]
    from_incarnation: Incarnation
    to_till: Positive
    to_incarnation: Incarnation
    nonce: Nonce
    signature: bytes = b""


class RightsAnswer(Message, frozen=True, kw_only=True, tag_field="say", tag="rights_given"):
    """What the other till gave away for the nonce; nothing where it has nothing to give.

    Attributes:
        why: of an empty answer, for people.
        head: of the giver's stream after its debit: who gets the points is a witness of it.
    """

    nonce: Nonce
    transfers: Annotated[tuple[Transfer, ...], Meta(max_length=TRANSFERS_MAX)] = ()
    why: _Text = ""
    head: SignedHead | None = None


class WitnessRequest(Message, frozen=True, kw_only=True, tag_field="say", tag="witness"):
    """Asks to keep a copy of consecutive records that the centre does not have yet.

    Attributes:
        head: of the last of the records, signed: whoever has the copy can prove whose it is.
        previous_hash: link before the first record.
    """

    head: SignedHead
    from_seq: Positive
    previous_hash: Hash
    records: Annotated[tuple[bytes, ...], Meta(min_length=1, max_length=WITNESS_RECORDS_MAX)]


class WitnessAnswer(Message, frozen=True, kw_only=True, tag_field="say", tag="witnessed"):
    """What became of the copy.

    Attributes:
        verdict: kept: durable, agrees with all the witness has; fork: durable, but the witness has
            another history of this incarnation; full: no room; refused: not to be kept.
        known: the highest head the witness has by the same till, or the one that contradicts.
    """

    verdict: Literal["kept", "fork", "full", "refused"]
    known: SignedHead | None = None


class HeadRequest(Message, frozen=True, kw_only=True, tag_field="say", tag="head"):
    """Asks for the highest head a sibling has of the asking till (design: sync 4.11).

    Attributes:
        nonce: comes back in the answer.
    """

    till_id: Positive
    nonce: Nonce


class HeadAnswer(Message, frozen=True, kw_only=True, tag_field="say", tag="head_known"):
    """The highest head by incarnation number, then by seq; none where nothing is known."""

    nonce: Nonce
    known: SignedHead | None = None


class CopiesRequest(Message, frozen=True, kw_only=True, tag_field="say", tag="copies"):
    """Asks the till that these copies are of whether its stream holds them.

    Attributes:
        heads: of copies the centre has by the till's word, as the till once signed them.
    """

    heads: Annotated[tuple[SignedHead, ...], Meta(min_length=1, max_length=COPIES_ASKED_MAX)]


class CopiesAnswer(Message, frozen=True, kw_only=True, tag_field="say", tag="copies_known"):
    """The asked heads that the till's stream holds, signed anew with what is acknowledged now.

    Only a copy whose head is among them needs no hands: a till that came back from an image says
    that the centre has all, of another history.
    """

    heads: Annotated[tuple[SignedHead, ...], Meta(max_length=COPIES_ASKED_MAX)] = ()


class RulesRequest(Message, frozen=True, kw_only=True, tag_field="say", tag="rules"):
    """Asks for a part of a rule bundle that the other till keeps (design: sync 3.5).

    Attributes:
        bundle: SHA-256 of the uncompressed bytes, hexadecimal.
        start: where the part begins in the packed bytes.
    """

    bundle: Annotated[str, Meta(min_length=64, max_length=64)]
    start: Count = 0


class RulesAnswer(Message, frozen=True, kw_only=True, tag_field="say", tag="rules_part"):
    """A part of a rule bundle; only the signed manifest says whether the whole is the one.

    Attributes:
        size_bytes: of the whole as the giver keeps it, packed with zstd by itself; 0: it has none.
        content: `RULES_PART_BYTES` of it from `start`; the last part is shorter.
        fetched: while the giver fetches the bundle from the centre: pieces it has, and 1.
    """

    bundle: Annotated[str, Meta(min_length=64, max_length=64)]
    start: Count = 0
    size_bytes: Count = 0
    content: Annotated[bytes, Meta(max_length=RULES_PART_BYTES)] = b""
    fetched: Count = 0


class Delivery(Message, frozen=True, kw_only=True):
    """Records of another till of the store, handed to the centre by a witness of them.

    Attributes:
        head: of the last record, signed by the till they are of; the chain binds all others.
    """

    head: SignedHead
    from_seq: Positive
    previous_hash: Hash
    records: Annotated[tuple[bytes, ...], Meta(min_length=1, max_length=WITNESS_RECORDS_MAX)]


class DeliveryAnswer(Message, frozen=True, kw_only=True):
    """What the centre made of a delivery.

    Attributes:
        verdict: ack: they are in the till's stream; branch: they diverge and are kept beside it;
            gap: records before them are missing, nothing was kept.
        last_seq: of the till's stream at the centre; 0 where it has none.
    """

    verdict: Literal["ack", "branch", "gap"]
    last_seq: Count = 0


Request = RightsRequest | WitnessRequest | HeadRequest | CopiesRequest | RulesRequest
Answer = RightsAnswer | WitnessAnswer | HeadAnswer | CopiesAnswer | RulesAnswer
Said = Heartbeat | Request | Answer

S = TypeVar("S", bound=Message)

_decoder: msgspec.msgpack.Decoder[Said] = msgspec.msgpack.Decoder(Said)
_encoder = msgspec.msgpack.Encoder()
_PLAIN, _ZSTD = b"\x00", b"\x01"


@dataclass(frozen=True, slots=True)
class AskSibling:
    """A message for one till of the store and the kind of answer it has.

    Whoever drives a generator that yields one sends in the answer, or None when none came in time.
    """

    till_id: int
    message: Message
    answer: type[Message]
    budget_ms: int = ASK_BUDGET_MS


def pack(message: Message) -> bytes | None:
    """Return a message as it travels; None for one that fits no envelope."""
    plain = _encoder.encode(message)
    if len(plain) > UNPACKED_BYTES_MAX:
        return None
    body, encoding = compress(plain)
    packed = (_ZSTD if encoding else _PLAIN) + body
    return packed if len(packed) <= BODY_BYTES_MAX else None


def unpack(body: bytes) -> Said:
    """Read whatever a sibling said.

    Raises:
        MalformedMessageError: it is too long, or nothing that tills say to each other.
    """
    if len(body) > BODY_BYTES_MAX or body[:1] not in (_PLAIN, _ZSTD):
        raise MalformedMessageError("not a message between tills")
    plain = body[1:]
    if body[:1] == _ZSTD:
        plain = decompress(plain, "zstd", bytes_max=UNPACKED_BYTES_MAX)
    try:
        return _decoder.decode(plain)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise MalformedMessageError(f"not a message between tills: {error}") from error


def answer_of(body: bytes | None, kind: type[S]) -> S | None:
    """Read an answer of the kind asked for; None for anything else, and for none."""
    if body is None:
        return None
    try:
        said = unpack(body)
    except MalformedMessageError:
        return None
    return said if isinstance(said, kind) else None


def head_content(head: SignedHead) -> bytes:
    """Return what a till signs to say where its stream stands."""
    return b"tillside-head/1\n" + _encoder.encode(msgspec.structs.replace(head, signature=b""))


def sign_head(head: SignedHead, key: SigningKey) -> SignedHead:
    """Return the head with its signature."""
    return msgspec.structs.replace(head, signature=key.sign(head_content(head)))


def is_signed_by(head: SignedHead, public: bytes) -> bool:
    """Say whether a head is the word of the till with this key."""
    try:
        check(public, head.signature, head_content(head))
    except SignatureError:
        return False
    return True


def transfer_content(
    transfer_id: str,
    *,
    grant_id: str,
    account_id: int,
    points: int,
    lots: tuple[LotTaken, ...],
    giver: tuple[int, bytes],
    receiver: tuple[int, bytes],
    nonce: bytes,
) -> bytes:
    """Return what the giver of a transfer signs; records of it can be checked by the same bytes.

    Args:
        giver: till and incarnation, as is `receiver`.
    """
    parts = (transfer_id, grant_id, account_id, points, lots, giver, receiver, nonce)
    return b"tillside-transfer/1\n" + _encoder.encode(parts)


def content_of(transfer: Transfer) -> bytes:
    """Return what the giver of this transfer signs."""
    return transfer_content(
        transfer.transfer_id,
        grant_id=transfer.grant.grant_id,
        account_id=transfer.grant.account_id,
        points=transfer.points,
        lots=transfer.lots,
        giver=(transfer.grant.till_id, transfer.from_incarnation),
        receiver=(transfer.to_till, transfer.to_incarnation),
        nonce=transfer.nonce,
    )
