"""An authorisation asked for in few bytes is the one that was asked for and signed."""

import msgspec
import pytest

from loyalty.account import LotPart
from sync.codec import decode, encode
from sync.errors import SignatureError
from sync.messages import AuthoriseAnswer, AuthoriseRequest, Grant
from sync.points import (
    PointsAnswer,
    lengthened_rights,
    points_request,
    request_of,
    shortened_rights,
)
from sync.short_grants import Holder
from sync.signing import SigningKey, check_message, sign_message

KEY = SigningKey(b"c" * 32)
HOLDER = Holder(41, b"our life", b"s" * 16)
SALE = "01957e3c-9a40-7c11-8d22-3e4f5a6b7c8d"
RIGHT = sign_message(
    Grant(
        grant_id="01957e3c-0000-7c11-8d22-3e4f5a6b7c8d",
        purpose="authorisation",
        account_id=1_000_007,
        till_id=41,
        incarnation=HOLDER.incarnation,
        session=HOLDER.session,
        points=120,
        lots=(LotPart(lot_id=31, points=120, expires_on="2026-03-01"),),
        not_after_ms=1_741_780_800_000,
        sale_key=SALE,
    ),
    KEY,
)
REQUEST = AuthoriseRequest(key=SALE, account_id=7, points=90, incarnation=HOLDER.incarnation)


def told(answer: AuthoriseAnswer, key: str, holder: Holder = HOLDER) -> AuthoriseAnswer:
    short = decode(PointsAnswer, encode(shortened_rights(answer, key, HOLDER)))
    return lengthened_rights(short, key, holder)


def test_a_question_comes_back_as_it_was() -> None:
    brief = points_request(REQUEST)
    assert brief is not None
    assert request_of(brief, HOLDER.incarnation) == REQUEST
    assert len(encode(brief)) < len(encode(REQUEST)) / 3


@pytest.mark.parametrize("key", ["sale 1", SALE.upper(), SALE.replace("-", "")])
def test_a_key_that_is_no_plain_uuid_is_asked_for_in_full(key: str) -> None:
    assert points_request(msgspec.structs.replace(REQUEST, key=key)) is None


def test_rights_come_back_as_they_were_signed() -> None:
    answer = AuthoriseAnswer(authorisations=(RIGHT,), held_elsewhere_points=380)
    assert told(answer, SALE) == answer
    check_message(told(answer, SALE).authorisations[0], KEY.public)
    assert len(encode(shortened_rights(answer, SALE, HOLDER))) < len(encode(answer)) / 2


def test_one_of_an_earlier_session_is_told_in_full() -> None:
    earlier = msgspec.structs.replace(RIGHT, session=b"t" * 16)
    answer = AuthoriseAnswer(authorisations=(earlier, RIGHT))
    assert set(told(answer, SALE).authorisations) == {earlier, RIGHT}


def test_for_another_receipt_or_session_it_is_worth_nothing() -> None:
    answer = AuthoriseAnswer(authorisations=(RIGHT,))
    short = shortened_rights(answer, SALE, HOLDER)
    others = (
        lengthened_rights(short, RIGHT.grant_id, HOLDER),
        lengthened_rights(short, SALE, msgspec.structs.replace(HOLDER, session=b"n" * 16)),
    )
    for other in others:
        with pytest.raises(SignatureError):
            check_message(other.authorisations[0], KEY.public)
