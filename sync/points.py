"""An authorisation asked for in few bytes: what the session and the question say is left out.

Nothing of what is signed changes: the till puts it back and checks the signature over the whole.
"""

from typing import Annotated, Final
from uuid import UUID

import msgspec
from msgspec import Meta

from sync.fields import Count, Positive
from sync.messages import AuthoriseAnswer, AuthoriseRequest, Message
from sync.short_grants import Holder, ShortGrant, long_grants, short_grants

PATH_POINTS: Final = "/v1/till/points"
_GRANTS_MAX: Final = 1_000


class PointsRequest(Message, frozen=True, kw_only=True, array_like=True):
    """As AuthoriseRequest, of the session's incarnation.

    Attributes:
        key: bytes of a UUID.
    """

    key: Annotated[bytes, Meta(min_length=16, max_length=16)]
    account_id: Count
    points: Positive


class PointsAnswer(Message, frozen=True, kw_only=True, array_like=True):
    """As AuthoriseAnswer.

    Attributes:
        rights: for the session's till, incarnation and session, and the receipt asked for.
        others: those of an earlier session, in full.
    """

    rights: Annotated[tuple[ShortGrant, ...], Meta(max_length=_GRANTS_MAX)] = ()
    held_elsewhere_points: Count = 0
    others: AuthoriseAnswer | None = None


def points_request(request: AuthoriseRequest) -> PointsRequest | None:
    """Return a request in few bytes; None where it cannot be said so."""
    try:
        key = UUID(request.key)
    except ValueError:
        return None
    if str(key) != request.key:
        return None
    return PointsRequest(key=key.bytes, account_id=request.account_id, points=request.points)


def request_of(asked: PointsRequest, incarnation: bytes) -> AuthoriseRequest:
    """Undo `points_request`."""
    return AuthoriseRequest(
        key=str(UUID(bytes=asked.key)),
        account_id=asked.account_id,
        points=asked.points,
        incarnation=incarnation,
    )


def shortened_rights(answer: AuthoriseAnswer, key: str, holder: Holder) -> PointsAnswer:
    """Return an answer in few bytes.

    Args:
        key: of the receipt asked for.
        holder: the session's.
    """
    short, plain = short_grants(answer.authorisations, holder, sale_key=key)
    return PointsAnswer(
        rights=short,
        held_elsewhere_points=answer.held_elsewhere_points,
        others=AuthoriseAnswer(authorisations=plain) if plain else None,
    )


def lengthened_rights(answer: PointsAnswer, key: str, holder: Holder) -> AuthoriseAnswer:
    """Undo `shortened_rights`."""
    others = answer.others.authorisations if answer.others is not None else ()
    return msgspec.structs.replace(
        AuthoriseAnswer(held_elsewhere_points=answer.held_elsewhere_points),
        authorisations=(*long_grants(answer.rights, holder, sale_key=key), *others),
    )
