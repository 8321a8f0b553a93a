"""A store of four tills on its centre, all in this process, with a clock that the day moves.

Tills are the agent's core with its real link client, the centre is joined as `serve` joins it, over
an embedded PostgreSQL; only the network is a function call, so that every byte is counted. A pull
that waits really waits in the centre's waiting room, until the day says that its time is over. When
a till talks follows the link worker's rules (`LinkSettings`).
"""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import httpx
import msgspec

from agent.bootstrap import IDENTITY_FILE, SOFTWARE
from agent.identity import identity_of, save_identity
from agent.link.central_client import CentralClient, terse
from agent.link.till_side import JournalTillSide
from agent.till_service.messages import CompleteRequest, ReceiptRequest, ReserveRequest
from bench.demo.rig import RigError
from bench.sync.counting import CountingTransport, Traffic
from bench.sync.lan import Lan
from bench.till.shop import Sale
from bench.till.stage import MovedSystem, TillCore, to_pay
from central.bootstrap import Centre, join_centre
from central.database.embedded import start_embedded
from central.database.migrations import migrate
from central.database.pool import open_pool
from central.keys import load_keys, load_rule_key
from central.people.loading import load_lines
from central.rights.issuing import RightsSettings
from central.rules.publishing import publish
from central.system import System
from central.tills.enrolment import make_code
from central.tills.waiting import WaitingRoom
from loyalty.bundle import Bundle
from loyalty.documents import encode as encode_document
from sync.codec import decode, encode
from sync.cycle import PATH_ENROL, Ask, Fetch, compare_streams, converse, hear, report, tell
from sync.enrolling import EnrolAnswer, EnrolRequest
from sync.errors import SyncError
from sync.messages import Message
from sync.neighbours import AskSibling
from sync.signing import NO_SESSION, SigningKey, enrol_content

R = TypeVar("R")
HOLD_S = 540
"""The centre's default."""
_TIMEOUT_S = 600.0


class DayClock(System):
    """The centre's clock: the day's."""

    def __init__(self, world: MovedSystem) -> None:
        self._world = world

    def now_ms(self) -> int:
        """Return the day's time."""
        return self._world.now_ms()

    def monotonic_ms(self) -> int:
        """Return the day's time."""
        return self._world.monotonic_ms()


class StoreTill:
    """One till: core, link and counts.

    Attributes:
        lan: to its siblings; None = it hears nobody.
    """

    def __init__(
        self, folder: Path, world: MovedSystem, app: httpx.AsyncBaseTransport, room: WaitingRoom
    ) -> None:
        self.core = TillCore(folder)
        self.core.system = world
        self.core.till.system = world
        self.traffic = Traffic()
        self.lan: Lan | None = None
        self._room = room
        self._held: asyncio.Task[Message] | None = None
        self._client = CentralClient(self.core.till.identity, world)
        transport = CountingTransport(app, self.traffic)
        self._client._http = terse(  # noqa: SLF001 - the network, and nothing else
            httpx.AsyncClient(
                transport=transport, base_url="http://centre.example", trust_env=False
            )
        )
        self.side = JournalTillSide(self.core.till, software=SOFTWARE)

    async def talk(self, *, hello: bool) -> None:
        """Hold one conversation with the centre."""
        greet = hello or self.core.till.session == NO_SESSION
        await self._drive(converse(self.side, greet=greet), patient=True)
        self.core.till.link_up = True

    async def compare_streams(self) -> None:
        """Say HELLO, and push."""
        await self._drive(compare_streams(self.side), patient=True)

    async def report(self) -> None:
        """Say how the rules stand, where that is news."""
        await self._drive(report(self.side), patient=True)

    async def tell(self) -> None:
        """Push what there is, beside the pull that waits."""
        await self._drive(tell(self.side), patient=True)

    async def listen(self, wait_s: int, apply: Callable[[], Awaitable[int]]) -> None:
        """Have a pull wait at the centre; what is urgent is taken before.

        Args:
            apply: lets the centre post what it keeps.
        """
        while True:
            await apply()
            ask = self._listens = self.side.listen(wait_s)
            asking = self._client.ask(ask, session=self.core.till.session, timeout_s=_TIMEOUT_S)
            self._held = asyncio.create_task(asking)
            till_id = self.core.till.identity.till_id
            while not self._held.done() and not self._room.waits(till_id):  # noqa: ASYNC110
                await asyncio.sleep(0.0005)
            if not self._held.done():
                return
            await self._take_held()

    async def hear(self) -> None:
        """Let the time of the pull that waits be over."""
        self._room.wake(self.core.till.identity.till_id)
        await self._take_held()

    async def _take_held(self) -> None:
        assert self._held is not None
        answer = self.side.listened(self._listens.message, await self._held)
        self._held = None
        await self._drive(hear(self.side, answer), patient=True)

    async def sell(self, receipt_id: str, sale: Sale) -> None:
        """Sell a receipt; what the sale asks the centre is asked.

        Raises:
            RigError: it was not recorded.
        """
        fields: dict[str, Any] = {
            "version": 1, "moment": sale.moment, "lines": sale.lines, "codes": sale.codes,
            "card": sale.card,
        }  # fmt: skip
        service = self.core.service
        answer = await self._drive(service.update(receipt_id, ReceiptRequest(**fields)))
        if sale.redeem is not None:
            request = ReserveRequest(**fields, redeem=sale.redeem)
            answer = await self._drive(service.reserve(receipt_id, request))
        last = CompleteRequest(**fields, paid_minor=to_pay(answer))
        done = await self._drive(service.complete(receipt_id, last))
        if done.outcome != "recorded":
            raise RigError(f"{receipt_id} was not recorded: {done.outcome}")
        self.core.till.journal.tidy()

    async def _drive(self, steps: Generator[Any, Any, R], *, patient: bool = False) -> R:
        """Run steps to their end, answering what they ask; a sale's question may go unanswered."""
        try:
            wish = next(steps)
            while True:
                wish = steps.send(await self._answer(wish, patient=patient))
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    async def _answer(
        self, wish: Ask | Fetch | AskSibling, *, patient: bool
    ) -> Message | bytes | None:
        if isinstance(wish, AskSibling):
            return self.lan.ask(self.core.till, wish) if self.lan else None
        if isinstance(wish, Fetch):
            return await self._client.fetch_piece(wish, timeout_s=_TIMEOUT_S)
        session = self.core.till.session
        try:
            return await self._client.ask(wish, session=session, timeout_s=_TIMEOUT_S)
        except SyncError:
            if patient:
                raise
            return None

    async def close(self) -> None:
        """Close files and link."""
        if self._held is not None:
            await self.hear()
        await self._client.close()
        self.core.close()


class JoinedStore:
    """The centre and the store's tills."""

    def __init__(self, centre: Centre, world: MovedSystem, folder: Path) -> None:
        self.centre = centre
        self.world = world
        self.tills: list[StoreTill] = []
        self._folder = folder
        self._app = httpx.ASGITransport(app=centre.app)

    async def enrol(self, store: str, *, is_vault: bool) -> StoreTill:
        """Enrol another till; the first one is the vault."""
        slot = str(len(self.tills) + 1)
        async with self.centre.pool.acquire() as connection:
            made = await make_code(
                connection, store, slot, is_vault=is_vault, system=self.centre.system
            )
        key = SigningKey(hashlib.sha256(f"till {slot}".encode()).digest())
        bare = EnrolRequest(
            code=made.code, public_key=key.public, hardware="", nonce=bytes(16), signature=b""
        )
        request = msgspec.structs.replace(bare, signature=key.sign(enrol_content(bare)))
        async with httpx.AsyncClient(transport=self._app, base_url="http://centre") as http:
            response = await http.post(PATH_ENROL, content=encode(request))
        identity = identity_of(
            decode(EnrolAnswer, response.content),
            centre_url="http://centre.example", key_seed=key.seed(), pos_token="",
        )  # fmt: skip
        folder = self._folder / f"till-{slot}"
        folder.mkdir()
        save_identity(folder / IDENTITY_FILE, identity)
        till = StoreTill(folder, self.world, self._app, self.centre.desk.room)
        self.tills.append(till)
        return till

    async def apply(self) -> int:
        """Have the centre post what it keeps; returns how many records came to an end."""
        ended = 0
        while done := await self.centre.applier.apply_pending():
            ended += done
        return ended


@asynccontextmanager
async def joined_store(
    folder: Path, bundle: Bundle, people: Iterable[dict[str, object]], rights: RightsSettings
) -> AsyncIterator[JoinedStore]:
    """Start a centre with people and rules; it ends with the block."""
    world = MovedSystem()
    server = start_embedded(folder / "postgres", durable=False)
    try:
        pool = await open_pool(server.dsn)
        system = DayClock(world)
        keys = load_keys(folder, system)
        async with pool.acquire() as connection:
            await migrate(connection, now_ms=system.now_ms())
        lines = (json.dumps(document).encode() for document in people)
        await load_lines(pool, lines, card_key=keys.card_key, system=system)
        rules = json.dumps(encode_document(bundle)).encode()
        async with pool.acquire() as connection:
            await publish(connection, rules, load_rule_key(folder / "keys" / "rules.key"), system)
            await connection.execute(
                "update risk_pool set funded = funded + 1000000, free = free + 1000000"
            )
        room = WaitingRoom(hold_s_max=HOLD_S)
        room.open()
        store = JoinedStore(join_centre(pool, keys, system, rights, room), world, folder)
        try:
            yield store
        finally:
            for till in store.tills:
                await till.close()
            await pool.close()
    finally:
        server.stop()


def day_id(number: int) -> str:
    """Return the UUID of version 7 of a receipt; its last bits are as random as real ones."""
    digest = int.from_bytes(hashlib.sha256(f"receipt {number}".encode()).digest()[:10], "big")
    bits = (0x0190_0000_0000 + number * 1_000) << 80 | digest
    bits = bits & ~(0xF << 76) | 7 << 76
    return str(UUID(int=bits & ~(0b11 << 62) | 0b10 << 62))
