"""A customer's one-time code: who stands at the till, shown by the app, good where no line goes.

As a QR code it is a document the centre has signed, and tells enough of the account for a till that
never heard of it. As digits, for bar codes and for typing, it is an account's number and a check
that tills and centre alone can make. Both are of one step of half a minute, shortly good, and
taken once by a till (`docs/app-and-partner-api.md`).
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from loyalty.limits import POINTS_MAX
from sync.errors import QrTextError
from sync.limits import COUNT_MAX
from sync.qr_text import FieldReader, number_bytes, short_bytes

STEP_MS: Final = 30_000
"""The next code comes so long later."""
STEPS_GOOD: Final = 10
"""A code may first be shown to a till through so many steps after its own."""
TIER_BYTES_MAX: Final = 20
NAME_BYTES_MAX: Final = 40
NAMES_MAX: Final = 16
NAMES_BYTES_MAX: Final = 120
"""Of all segments and offers together, so that the code stays one a telephone can show."""

_CARD_BYTES: Final = 16
_FIRST: Final = "9"
_ACCOUNT_DIGITS: Final = 10
_CHECK_DIGITS: Final = 9
_DIGITS: Final = re.compile(rf"{_FIRST}(\d{{{_ACCOUNT_DIGITS}}})(\d{{{_CHECK_DIGITS}}})", re.ASCII)
_SEPARATORS: Final = re.compile(r"[ -]")


class CustomerCode(msgspec.Struct, frozen=True, kw_only=True):
    """A customer stands at a till; signed by the centre.

    Attributes:
        step: when it was shown: how many `STEP_MS` after 1970.
        programme: of whose rules (`programme_id`) the account is a wallet.
        card: whole keyed hash of a card of the account.
        version: of the account as told here.
        points: what may be shown as balance.
        segments, offers: those that have room.
    """

    account_id: int
    step: int
    programme: str
    card: bytes
    version: int
    points: int
    purchases: int
    in_birthday_window: bool = False
    tier: str = ""
    segments: tuple[str, ...] = ()
    offers: tuple[str, ...] = ()
    signature: bytes = b""


def step_of(now_ms: int) -> int:
    """Return the step of a moment."""
    return now_ms // STEP_MS


def fitting(names: Sequence[str], room_bytes: int) -> tuple[tuple[str, ...], int]:
    """Return those names that have room, in their order, and the room that is left."""
    kept: list[str] = []
    for name in names:
        size_bytes = len(name.encode())
        if size_bytes <= min(room_bytes, NAME_BYTES_MAX) and len(kept) < NAMES_MAX:
            kept.append(name)
            room_bytes -= size_bytes
    return tuple(kept), room_bytes


def code_bytes(code: CustomerCode) -> bytes:
    """Return what is signed of a code.

    Raises:
        QrTextError: a field has no place in the form.
    """
    if len(code.card) != _CARD_BYTES:
        raise QrTextError(f"a card in the code has {_CARD_BYTES} bytes")
    if sum(len(name.encode()) for name in (*code.segments, *code.offers)) > NAMES_BYTES_MAX:
        raise QrTextError(f"segments and offers have {NAMES_BYTES_MAX} bytes together")
    return b"".join(
        (
            number_bytes(code.account_id),
            number_bytes(code.step),
            short_bytes(code.programme.encode(), NAME_BYTES_MAX),
            code.card,
            number_bytes(code.version),
            number_bytes(code.points, POINTS_MAX),
            number_bytes(code.purchases),
            number_bytes(int(code.in_birthday_window), 1),
            short_bytes(code.tier.encode(), TIER_BYTES_MAX),
            _names(code.segments),
            _names(code.offers),
        )
    )


def read_code(fields: FieldReader) -> CustomerCode:
    """Read what `code_bytes` has written.

    Raises:
        QrTextError: it is not.
    """
    return CustomerCode(
        account_id=fields.positive(),
        step=fields.number(),
        programme=fields.text(NAME_BYTES_MAX),
        card=fields.fixed(_CARD_BYTES),
        version=fields.number(),
        points=fields.number(POINTS_MAX),
        purchases=fields.number(),
        in_birthday_window=bool(fields.number(1)),
        tier=fields.text(TIER_BYTES_MAX),
        segments=_read_names(fields),
        offers=_read_names(fields),
    )


def _names(names: Sequence[str]) -> bytes:
    if len(names) > NAMES_MAX:
        raise QrTextError(f"at most {NAMES_MAX} names fit here, not {len(names)}")
    parts = [short_bytes(name.encode(), NAME_BYTES_MAX) for name in names]
    return b"".join((number_bytes(len(names)), *parts))


def _read_names(fields: FieldReader) -> tuple[str, ...]:
    return tuple(fields.text(NAME_BYTES_MAX) for _ in range(fields.number(NAMES_MAX)))


# Digits


def plain_digits(text: str) -> str:
    """Return a text without what people put between digits."""
    return _SEPARATORS.sub("", text.strip())


def are_code_digits(text: str) -> bool:
    """Say whether a text is the digits of some code: 20 of them, the first a nine."""
    return _DIGITS.fullmatch(plain_digits(text)) is not None


def account_in(text: str) -> int:
    """Return the account that digits name, genuine or not; 0 where they are none."""
    found = _DIGITS.fullmatch(plain_digits(text))
    return int(found[1]) if found else 0


def digits_of(card_key: bytes, programme: str, account_id: int, step: int) -> str:
    """Return the digits of a code; empty for an account whose number has no room in them.

    Args:
        card_key: the chain's key of card hashes, which its tills have.
        programme: `programme_id` of the rules.
    """
    if not 0 < account_id < 10**_ACCOUNT_DIGITS:
        return ""
    said = f"{programme}\n{account_id}\n{step}".encode()
    content = hashlib.blake2b(
        said, key=card_key, digest_size=16, person=b"tillside-digits"
    ).digest()
    check = int.from_bytes(content, "big") % 10**_CHECK_DIGITS
    return f"{_FIRST}{account_id:0{_ACCOUNT_DIGITS}}{check:0{_CHECK_DIGITS}}"


def read_digits(
    card_key: bytes, programme: str, text: str, steps: Iterable[int]
) -> tuple[int, int]:
    """Return account and step of a code by its digits.

    Args:
        steps: those it may be of.

    Raises:
        QrTextError: mistyped, of none of these steps, or of another programme.
    """
    digits = plain_digits(text)
    account_id = account_in(text)
    for step in steps if account_id else ():
        if 0 <= step <= COUNT_MAX and digits_of(card_key, programme, account_id, step) == digits:
            return account_id, step
    raise QrTextError("the digits are mistyped, or their time is over")
