"""A whole till core over real files, on a joined centre by its real routes; a line to cut."""

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Self, TypeVar
from uuid import UUID, uuid5

import httpx

from agent.identity import identity_of
from agent.till_service.allowances import send_idle_home, stock
from agent.till_service.messages import ReceiptAnswer, ReceiptRequest
from central.programmes.registry import programme_of_store
from loyalty.calculation import Calculation
from loyalty.returns import ReturnItem
from sync.blobs import piece_range
from sync.cycle import PATH_BUNDLE, Ask, Fetch, converse
from sync.errors import LinkError, SyncError
from sync.messages import Message
from tests.support.centre import STORE, JoinedCentre
from tests.support.till import (
    JoinedTill,
    SetSystem,
    calculation_of,
    completing,
    reserving,
    returning,
)
from tests.support.till_probe import TillProbe

R = TypeVar("R")
_RECEIPTS = UUID("01957e3c-9a40-7c11-8d22-3e4f5a6b7c8d")


class TillOnCentre:
    """One till and its centre.

    Attributes:
        joined: the till; its own centre is not used.
        line_is_cut: nothing reaches the centre, and the till notices when it tries.
        pieces: of bundles, that were fetched.
        pieces_max: after so many the line breaks.
    """

    def __init__(self, joined: JoinedTill, signer: TillProbe) -> None:
        self.joined = joined
        self.line_is_cut = False
        self.pieces: list[int] = []
        self.pieces_max = 1_000
        self._signer = signer
        self._sold = 0

    @classmethod
    async def enrolled(cls, centre: JoinedCentre, folder: Path, *, store: str = STORE) -> Self:
        """Enrol a till of a store and let it talk once."""
        key = centre.new_key()
        answer = await centre.enrol_with(await centre.code(store), key)
        identity = identity_of(
            answer, centre_url="http://centre", key_seed=key.seed(), pos_token="token"
        )
        system = SetSystem(centre.system.now_ms())
        async with centre.pool.acquire() as connection:
            programme = await programme_of_store(connection, store) or ""
            rules = await centre.parts.applier.library.newest(connection, programme)
        signer = TillProbe(centre.http, key, answer, rules)
        till = cls(JoinedTill(folder, identity=identity, system=system), signer)
        await till.talk()
        return till

    def reopened(self) -> Self:
        """Return the till that starts over the same files, on a good line."""
        return type(self)(self.joined.reopened(), self._signer)

    # The line

    def reach(self, http: httpx.AsyncClient) -> None:
        """Talk to another centre from now on, that stands where the old one did."""
        self._signer.http = http

    async def talk(self) -> None:
        """Hold one conversation; the link is up after it."""
        till = self.joined.till
        send_idle_home(till)
        await self._driven(converse(self.joined.side, greet=True), self._asked)
        await self._driven(stock(till), self._asked)
        till.link_up = True

    async def _asked(self, question: Ask | Fetch) -> Message | bytes:
        if self.line_is_cut:
            raise LinkError("no line")
        if isinstance(question, Fetch):
            if len(self.pieces) == self.pieces_max:
                raise LinkError("no line")
            self.pieces.append(question.piece)
            wanted = piece_range(question.manifest, question.piece)
            headers = {"range": wanted} if wanted else {}
            path = PATH_BUNDLE + question.manifest.bundle
            response = await self._signer.http.get(path, headers=headers)
            return response.content
        session = self.joined.till.session
        request = self._signer.request(question.path, question.message, session=session)
        return await self._signer.send(request, question.answer)

    async def _asked_in_time(self, question: Ask | Fetch) -> Message | bytes | None:
        """Answer what a sale asks, as the link worker does: None where nothing comes."""
        till = self.joined.till
        if not till.link_up:
            return None
        try:
            return await self._asked(question)
        except SyncError:
            till.link_up = False
            return None

    async def _driven(self, steps: Generator[Any, Any, R], answers: Callable[..., Any]) -> R:
        try:
            question = next(steps)
            while True:
                try:
                    reply = await answers(question)
                except LinkError as error:
                    question = steps.throw(error)
                else:
                    question = steps.send(reply)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    # The register

    async def calculate(self, request: ReceiptRequest) -> Calculation:
        """Show what a receipt would be, and forget it."""
        receipt_id = self._next_id()
        steps = self.joined.receipts.update(receipt_id, request)
        answer = await self._driven(steps, self._asked_in_time)
        return calculation_of(answer)

    async def sell(self, request: ReceiptRequest, receipt_id: str = "") -> Calculation:
        """Calculate and complete a receipt; returns what was printed."""
        receipt_id = receipt_id or self._next_id()
        steps = self.joined.receipts.update(receipt_id, request)
        shown = calculation_of(await self._driven(steps, self._asked_in_time))
        last = completing(request, shown.totals.paid_minor)
        steps = self.joined.receipts.complete(receipt_id, last)
        answer: ReceiptAnswer = await self._driven(steps, self._asked_in_time)
        assert answer.outcome == "recorded", answer
        return calculation_of(answer)

    async def redeem(self, request: ReceiptRequest, points: int) -> Calculation:
        """Set points aside for a receipt and complete it; returns what was printed."""
        receipt_id = self._next_id()
        await self._driven(self.joined.receipts.update(receipt_id, request), self._asked_in_time)
        steps = self.joined.receipts.reserve(receipt_id, reserving(request, points))
        shown = calculation_of(await self._driven(steps, self._asked_in_time))
        last = completing(request, shown.totals.paid_minor)
        steps = self.joined.receipts.complete(receipt_id, last)
        answer: ReceiptAnswer = await self._driven(steps, self._asked_in_time)
        assert answer.outcome == "recorded", answer
        return calculation_of(answer)

    async def take_back(self, *lines: str | ReturnItem, original: str) -> None:
        """Return goods of a receipt."""
        request = returning(*lines, original=original, confirm=True)
        steps = self.joined.returns.handle(self._next_id(), request)
        answer = await self._driven(steps, self._asked_in_time)
        assert answer.outcome == "recorded", answer

    def _next_id(self) -> str:
        self._sold += 1
        return str(uuid5(_RECEIPTS, f"{self.joined.till.identity.till_id} {self._sold}"))

    def close(self) -> None:
        """Close the till's files."""
        self.joined.close()
