"""Customers' telephones: they carry a till's ask to the centre and a grant back, or lose it."""

import random
from collections import deque
from collections.abc import Sequence

from central.errors import CentralError
from central.rights.courier import Carried, CourierDesk
from sync.signing import card_hash
from tests.simulation.chronicle import Chronicle
from tests.simulation.kernel import really, sleep

_RECEIPTS_MAX = 5


class Phones:
    """The way from a register over a telephone to the centre; it needs no line of the store."""

    def __init__(
        self,
        desk: CourierDesk,
        card_key: bytes,
        *,
        chronicle: Chronicle,
        draws: random.Random,
        answers_ms: Sequence[int],
    ) -> None:
        self._desk = desk
        self._card_key = card_key
        self._chronicle = chronicle
        self._draws = draws
        self._answers_ms = answers_ms
        self._receipts: dict[str, deque[str]] = {}
        self._codes: dict[str, str] = {}
        self._grants: dict[str, str] = {}

    def keep(self, card: str, key: str, receipt_code: str) -> None:
        """Remember what a printed receipt says."""
        self._codes[key] = receipt_code
        if receipt_code and card:
            self._receipts.setdefault(card, deque(maxlen=_RECEIPTS_MAX)).append(receipt_code)

    def code_of(self, key: str) -> str:
        """Return what is printed on a receipt; empty where nothing is."""
        return self._codes.get(key, "")

    async def carry(self, card: str, code: str) -> str:
        """Carry an ask; returns what the till is shown, empty where nothing comes back."""
        await sleep(self._draws.choice((1_000, 5_000, 30_000)))
        receipts = tuple(self._receipts.get(card, ()))
        try:
            carried: Carried = await really(
                self._desk.carry(card_hash(self._card_key, card), code, receipts)
            )
        except CentralError as error:
            self._chronicle.note(f"courier refused: {error}")
            return ""
        self._chronicle.sometimes[f"courier: {carried.outcome}"] += 1
        self._chronicle.sometimes["receipt heard of by courier"] += carried.receipts_heard
        await sleep(self._draws.choice(self._answers_ms))
        if self._draws.random() < 0.15:
            self._chronicle.fault("courier's code lost")
            return ""
        if carried.code:
            self._grants[card] = carried.code
        return carried.code

    def old_grant(self, card: str) -> str:
        """Return the code that the customer was shown last; empty where there was none."""
        return self._grants.get(card, "")
