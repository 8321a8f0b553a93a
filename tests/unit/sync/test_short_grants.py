"""A grant in few bytes is the very grant that was signed, and nobody else's."""

import msgspec
import pytest

from loyalty.account import LotPart
from sync.errors import SignatureError
from sync.listening import lengthened, shortened
from sync.messages import Cursor, Grant, PullAnswer
from sync.short_grants import Holder, long_grants, short_grants
from sync.signing import SigningKey, check_message, sign_message

KEY = SigningKey(b"c" * 32)
HOLDER = Holder(41, b"our life", b"s" * 16)
GRANT = sign_message(
    Grant(
        grant_id="01957e3c-9a40-7c11-8d22-3e4f5a6b7c8d",
        purpose="grant",
        account_id=1_000_007,
        till_id=41,
        incarnation=b"our life",
        session=b"s" * 16,
        points=120,
        lots=(
            LotPart(lot_id=31, points=100, expires_on="2026-03-01", restriction="dairy"),
            LotPart(lot_id=32, points=20),
        ),
        not_after_ms=1_741_780_800_000,
    ),
    KEY,
)


def answer(*grants: Grant) -> PullAnswer:
    return PullAnswer(cursor=Cursor(epoch=1), applied_through=0, more=False, grants=grants)


def test_it_comes_back_as_it_was_signed_in_a_third_of_its_bytes() -> None:
    short, plain = short_grants((GRANT,), HOLDER)
    assert plain == ()
    assert long_grants(short, HOLDER) == (GRANT,)
    check_message(long_grants(short, HOLDER)[0], KEY.public)
    assert len(msgspec.msgpack.encode(short)) < len(msgspec.msgpack.encode(GRANT)) / 2


@pytest.mark.parametrize(
    "changed",
    [
        {"till_id": 42},
        {"incarnation": b"a former"},
        {"session": b"t" * 16},
        {"purpose": "authorisation"},
        {"sale_key": "sale"},
        {"grant_id": "01957E3C-9A40-7C11-8D22-3E4F5A6B7C8D"},
        {"grant_id": "grant 1"},
    ],
)
def test_what_the_session_does_not_say_is_told_whole(changed: dict[str, object]) -> None:
    other = msgspec.structs.replace(GRANT, **changed)
    assert short_grants((other,), HOLDER) == ((), (other,))


def test_in_another_session_it_is_worth_nothing() -> None:
    """Rule R2: what was told before a HELLO cannot be taken after it."""
    short, _ = short_grants((GRANT,), HOLDER)
    (late,) = long_grants(short, msgspec.structs.replace(HOLDER, session=b"n" * 16))
    with pytest.raises(SignatureError):
        check_message(late, KEY.public)


def test_an_answer_tells_all_its_grants_each_in_its_form() -> None:
    other = msgspec.structs.replace(GRANT, session=b"t" * 16)
    short = shortened(answer(GRANT, other), incarnation=b"our life", holder=HOLDER)
    assert len(short.grants) == 1
    meant = lengthened(short, epoch=1, incarnation=b"our life", holder=HOLDER)
    assert set(meant.grants) == {GRANT, other}


def test_a_till_of_before_is_told_them_whole() -> None:
    short = shortened(answer(GRANT), incarnation=b"our life")
    assert short.grants == ()
    assert lengthened(short, epoch=1, incarnation=b"our life").grants == (GRANT,)
