"""A grant of the session that is told it, or an authorisation, in few bytes: the rest is known.

Nothing of what is signed changes: the till puts it back and checks the signature over the whole.
"""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from loyalty.account import LotPart
from sync.fields import Count, Positive
from sync.messages import Grant


class ShortGrant(msgspec.Struct, frozen=True, array_like=True):
    """A grant of points, or an authorisation, to the session's till and incarnation.

    Attributes:
        grant_id: bytes of a UUID.
        lots: number, points, end, restriction.
    """

    grant_id: Annotated[bytes, Meta(min_length=16, max_length=16)]
    account_id: Count
    points: Positive
    not_after_ms: Count
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]
    lots: tuple[tuple[int, int, str, str], ...]


class Holder(msgspec.Struct, frozen=True):
    """Whom the grants of an answer are for."""

    till_id: int
    incarnation: bytes
    session: bytes


def short_grants(
    grants: Sequence[Grant], holder: Holder, *, sale_key: str = ""
) -> tuple[tuple[ShortGrant, ...], tuple[Grant, ...]]:
    """Return grants in few bytes, and those that cannot be told so.

    Args:
        sale_key: of the receipt they are authorisations for; empty for grants.
    """
    short, plain = [], []
    for grant in grants:
        told = _short(grant)
        if told is not None and long_grants([told], holder, sale_key=sale_key) == (grant,):
            short.append(told)
        else:
            plain.append(grant)
    return tuple(short), tuple(plain)


def _short(grant: Grant) -> ShortGrant | None:
    try:
        grant_id = UUID(grant.grant_id).bytes
    except ValueError:
        return None
    lots = tuple((lot.lot_id, lot.points, lot.expires_on, lot.restriction) for lot in grant.lots)
    return ShortGrant(
        grant_id, grant.account_id, grant.points, grant.not_after_ms, grant.signature, lots
    )


def long_grants(
    grants: Sequence[ShortGrant], holder: Holder, *, sale_key: str = ""
) -> tuple[Grant, ...]:
    """Return grants as they were signed; with a key, the authorisations for that receipt."""
    return tuple(
        Grant(
            grant_id=str(UUID(bytes=each.grant_id)),
            purpose="authorisation" if sale_key else "grant",
            account_id=each.account_id,
            till_id=holder.till_id,
            incarnation=holder.incarnation,
            session=holder.session,
            points=each.points,
            lots=tuple(
                LotPart(lot_id=lot_id, points=points, expires_on=day, restriction=restriction)
                for lot_id, points, day, restriction in each.lots
            ),
            not_after_ms=each.not_after_ms,
            sale_key=sale_key,
            signature=each.signature,
        )
        for each in grants
    )
