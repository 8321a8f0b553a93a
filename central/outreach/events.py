"""What other systems are told: events with a version, in the form of CloudEvents 1.0.

Nothing in them says who somebody is: an account is its number, a card is never named, a person of
the chain neither (design: centre 5 and 8). A field is only ever added; what has to change otherwise
becomes another version beside the one before.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Final
from uuid import UUID, uuid5

import msgspec

RULES_KEY: Final = "rules"
SOURCE: Final = "/tillside/centre"
NAMESPACE: Final = UUID("6f2c1e2a-8a53-5c0e-9d27-3f3f5d0b7c41")
"""Of events' ids; never another one."""
_PREFIX: Final = "tillside."
CONTENT_TYPE: Final = "application/cloudevents+json"


class EventData(msgspec.Struct, frozen=True, kw_only=True):
    """What an event says."""

    TYPE: ClassVar[str]
    """Its type and version, without the common prefix."""
    NAMED_BY: ClassVar[tuple[str, ...]] = ()
    """Fields that say which one of its type it is, where it may come again after a restore."""


class ReceiptPosted(EventData, frozen=True, kw_only=True):
    """A receipt is in the ledger, as it was printed.

    Attributes:
        account: whose; null for nobody's.
        moment: local time at the store.
        as_calculated: whether the centre calculates the same.
    """

    TYPE: ClassVar[str] = "receipt.posted.v1"
    NAMED_BY: ClassVar[tuple[str, ...]] = ("receipt",)

    receipt: str
    account: int | None
    store: str
    till: int
    moment: str
    bundle: str
    gross_minor: int
    discount_minor: int
    redeemed_minor: int
    redeemed_points: int
    paid_minor: int
    earned_points: int
    as_calculated: bool


class ReceiptReturned(EventData, frozen=True, kw_only=True):
    """Goods of a receipt came back.

    Attributes:
        refund: key of the return.
        points_back: that had been redeemed and are the customer's again.
        points_taken: that had been earned and are no more.
    """

    TYPE: ClassVar[str] = "receipt.returned.v1"
    NAMED_BY: ClassVar[tuple[str, ...]] = ("refund",)

    refund: str
    receipt: str
    account: int | None
    money_back_minor: int
    points_back: int
    points_taken: int


class PointsLot(msgspec.Struct, frozen=True, kw_only=True):
    """Points that begin and end on the same local days; empty = no end."""

    points: int
    active_from: str
    expires_on: str
    restriction: str
    offer: str


class PointsEarned(EventData, frozen=True, kw_only=True):
    """A receipt earned points."""

    TYPE: ClassVar[str] = "points.earned.v1"
    NAMED_BY: ClassVar[tuple[str, ...]] = ("receipt",)

    account: int
    receipt: str
    points: int
    lots: tuple[PointsLot, ...]


class PointsRedeemed(EventData, frozen=True, kw_only=True):
    """A receipt was paid with points."""

    TYPE: ClassVar[str] = "points.redeemed.v1"
    NAMED_BY: ClassVar[tuple[str, ...]] = ("receipt",)

    account: int
    receipt: str
    points: int


class PointsAdjusted(EventData, frozen=True, kw_only=True):
    """Somebody gave points, or took them (below zero)."""

    TYPE: ClassVar[str] = "points.adjusted.v1"
    NAMED_BY: ClassVar[tuple[str, ...]] = ("account", "adjustment")

    account: int
    adjustment: str
    points: int
    reason: str


class PartnerPointsMoved(EventData, frozen=True, kw_only=True):
    """A partner gave points, or took them back (below zero).

    Attributes:
        reference: the partner's name of the accrual or reversal.
    """

    TYPE: ClassVar[str] = "points.partner.v1"
    NAMED_BY: ClassVar[tuple[str, ...]] = ("partner", "reference")

    account: int
    partner: str
    reference: str
    points: int


class TierChanged(EventData, frozen=True, kw_only=True):
    """An account reached a tier, or lost it."""

    TYPE: ClassVar[str] = "tier.changed.v1"

    account: int
    tier: str
    tier_before: str


class AccountMerged(EventData, frozen=True, kw_only=True):
    """An account was emptied into another one, which its number means from now on."""

    TYPE: ClassVar[str] = "account.merged.v1"

    merge: int
    from_account: int
    into_account: int
    points: int


class AccountMergeUndone(EventData, frozen=True, kw_only=True):
    """Two accounts again."""

    TYPE: ClassVar[str] = "account.merge_undone.v1"

    merge: int
    from_account: int
    into_account: int
    points: int


class AccountErased(EventData, frozen=True, kw_only=True):
    """Its customer is to be forgotten wherever events go; the books stay."""

    TYPE: ClassVar[str] = "account.erased.v1"

    account: int


class RulesReleased(EventData, frozen=True, kw_only=True):
    """Rules were published; rings say which tills get them."""

    TYPE: ClassVar[str] = "rules.released.v1"

    release: int
    bundle: str
    kind: str
    draft: str
    activate_at: str


class RulesStateChanged(EventData, frozen=True, kw_only=True):
    """A release was halted, by a guard or a person, resumed or withdrawn."""

    TYPE: ClassVar[str] = "rules.state_changed.v1"

    release: int
    bundle: str
    state: str
    by_guard: bool


DATA_TYPES: Final[Mapping[str, type[EventData]]] = {
    each.TYPE: each
    for each in (
        ReceiptPosted, ReceiptReturned, PointsEarned, PointsRedeemed, PointsAdjusted,
        PartnerPointsMoved, TierChanged,
        AccountMerged, AccountMergeUndone, AccountErased, RulesReleased, RulesStateChanged,
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened.

    Attributes:
        key: what it happened to, `account/7`: events of one key are told in their order.
        is_named: its data say which one it is; else that may happen again, and its moment says so.
    """

    key: str
    data: EventData
    is_named: bool = True


def account_key(account_id: int) -> str:
    """Return the key of an account's events."""
    return f"account/{account_id}"


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event in the outbox.

    Attributes:
        event_id: rises with time; within a key strictly in order.
        id: for receivers, which may get an event twice; the same each time.
        type: with its version, without the common prefix.
        data: JSON.
    """

    event_id: int
    id: str
    key: str
    type: str
    data: str
    at_ms: int

    @property
    def full_type(self) -> str:
        """The type as receivers know it."""
        return _PREFIX + self.type

    def encode(self) -> bytes:
        """Return it as receivers get it: one JSON object, CloudEvents 1.0, structured."""
        moment = datetime.fromtimestamp(self.at_ms / 1000, UTC)
        return msgspec.json.encode(
            {
                "specversion": "1.0",
                "id": self.id,
                "source": SOURCE,
                "type": self.full_type,
                "subject": self.key,
                "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "datacontenttype": "application/json",
                "partitionkey": self.key,
                "sequence": str(self.event_id),
                "data": msgspec.Raw(self.data.encode()),
            }
        )


def event_id(event: Event, *, now_ms: int) -> UUID:
    """Return what receivers know an event by: the same whenever the same thing is told.

    Receipts, returns and what others ask for under a name of their own come again after a restore:
    their ids come from those names. What happens here alone has its moment in its id: after a
    restore it is another one, though its number may be the same.
    """
    data, kind = event.data, event.data.TYPE
    if data.NAMED_BY and event.is_named:
        named: list[object] = [getattr(data, name) for name in data.NAMED_BY]
    else:
        named = [event.key, now_ms, data]
    return uuid5(NAMESPACE, msgspec.json.encode([kind, *named]).decode())


def encode_data(data: EventData) -> str:
    """Return what an event says as JSON."""
    return msgspec.json.encode(data).decode()


def event_schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema of a whole event of a type.

    Raises:
        KeyError: there is no such type.
    """
    (data,), components = msgspec.json.schema_components([DATA_TYPES[name]])
    text = {"type": "string"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": _PREFIX + name,
        "type": "object",
        "properties": {
            "specversion": {"const": "1.0"},
            "id": {"type": "string", "format": "uuid"},
            "source": {"const": SOURCE},
            "type": {"const": _PREFIX + name},
            "subject": text,
            "time": {"type": "string", "format": "date-time"},
            "datacontenttype": {"const": "application/json"},
            "partitionkey": text,
            "sequence": {"type": "string", "pattern": "^[0-9]+$"},
            "data": data,
        },
        "required": [
            "specversion", "id", "source", "type", "subject", "time", "datacontenttype",
            "partitionkey", "sequence", "data",
        ],
        "$defs": components,
    }  # fmt: skip
