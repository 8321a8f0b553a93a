"""A joined centre over a test's own database, in a world that stands until a test moves it."""

import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple

import httpx

from central.api.till_rates import TillRates
from central.bootstrap import Centre, join_centre
from central.database.pool import Pool, Pools
from central.keys import CentreKeys
from central.ledger.verify import LedgerProof, verify_ledger
from central.people.loading import Loaded, load_lines
from central.privacy.customers import CustomerDesk
from central.privacy.personal_keys import PersonalKeys
from central.programmes.registry import programme_of_store
from central.rights.issuing import DAY_MS, RightsSettings
from central.rules.publishing import Published, publish
from central.streams.durable import Durable
from central.system import System
from central.tills.enrolment import make_code
from loyalty.bundle import Bundle
from loyalty.compilation import Rules, compile_bundle
from loyalty.documents import encode as encode_document
from loyalty.offers import PointsPerMoney, Who
from sync.codec import encode as encode_message
from sync.cycle import PATH_ENROL
from sync.enrolling import EnrolAnswer, EnrolRequest
from sync.records import Record
from sync.signing import SigningKey, enrol_content
from tests.support import builders
from tests.support.till_probe import Outcome, TillProbe, read_answer

NOW_MS = 1_741_176_000_000
"""2025-03-05T12:00:00Z, the noon of `builders.A_WEDNESDAY`."""
STORE = "store-1"
RULE_KEY = SigningKey(b"r" * 32)
KEYS = CentreKeys(
    centre=SigningKey(b"c" * 32),
    rule_public=(RULE_KEY.public,),
    card_key=b"k" * 32,
    office_token="0f" * 32,
    app_token="a9" * 32,
)
PERSONAL_KEYS = PersonalKeys((b"o" * 32,), b"c" * 32)
BUNDLE = builders.bundle(
    builders.offer(
        "tenth",
        PointsPerMoney(points=1, per_minor=10),
        title={"en": "A point for every ten cents", "ru": "Балл за каждые десять копеек"},
        who=Who(identified=True),
    )
)
"""A customer earns a point for every 0.10 paid; a point pays 0.01, at most half of the receipt."""


class FixedSystem(System):
    """A clock that stands and randomness that counts up, so that every run is the same."""

    def __init__(self) -> None:
        self.at_ms = NOW_MS
        self._drawn = count(1)

    def now_ms(self) -> int:
        return self.at_ms

    def monotonic_ms(self) -> int:
        return self.at_ms

    def random_bytes(self, count: int) -> bytes:
        return hashlib.shake_128(str(next(self._drawn)).encode()).digest(count)

    def pass_days(self, days: int) -> None:
        """Move the clock on."""
        self.at_ms += days * DAY_MS


class Totals(NamedTuple):
    """An account's points; `posted - held` are available."""

    posted: int
    held: int = 0
    debt: int = 0


class LotState(NamedTuple):
    """Where a lot's points are."""

    available: int
    held: int = 0
    redeemed: int = 0
    taken_back: int = 0


class PoolState(NamedTuple):
    """Where the risk pool's points are."""

    free: int
    budgets: int = 0
    losses: int = 0
    uncovered: int = 0
    exposures: int = 0


@dataclass(slots=True)
class JoinedCentre:
    """The parts of a centre, its routes called in this process, and what a test wants to see of it.

    Attributes:
        broken_checks: checks of the ledger that this test breaks on purpose.
        owner: connected as the database's owner, where the parts are not.
        pools: of the parts.
    """

    parts: Centre
    system: FixedSystem
    http: httpx.AsyncClient
    broken_checks: set[str] = field(default_factory=set)
    owner: Pool | None = None
    pools: Pools | None = None
    _keys_made: "count[int]" = field(default_factory=lambda: count(1))
    _slots: "count[int]" = field(default_factory=lambda: count(1))

    @property
    def pool(self) -> Pool:
        """The database, as its owner."""
        return self.owner or self.parts.pool

    # Setting the scene

    async def load(self, *documents: dict[str, object]) -> Loaded:
        """Load stores and customers as operations do."""
        lines = [json.dumps(document).encode() for document in documents]
        return await load_lines(self.pool, lines, card_key=KEYS.card_key, system=self.system)

    async def store(self, store: str = STORE, *, banner: str = "green") -> None:
        """Add a store."""
        await self.load({"kind": "store", "store": store, "region": "north", "banner": banner})

    async def customer(
        self,
        account_id: int,
        *points: int,
        card: str = "",
        home: str = "",
        ends: Sequence[str] = (),
    ) -> None:
        """Add a customer with a lot of each of `points`; without a home no till gets grants of it.

        Args:
            ends: the lots' `expires_on`; for ever where there are fewer.
        """
        days = [*ends, *([""] * len(points))]
        lots = [
            {"points": n, "active_from": "2025-01-01", "expires_on": day}
            for n, day in zip(points, days, strict=False)
        ]
        line = {"kind": "account", "account_id": account_id, "home_store": home, "lots": lots}
        await self.load({**line, "cards": [card] if card else []})

    async def publish(self, bundle: Bundle) -> Rules:
        """Publish a bundle as operations do and return it compiled, as a till has it."""
        published = await self.publish_document(json.dumps(encode_document(bundle)).encode())
        return compile_bundle(bundle, published.manifest.bundle)

    async def publish_document(self, content: bytes) -> Published:
        """Publish the bytes of a rule document."""
        async with self.pool.acquire() as connection:
            return await publish(connection, content, RULE_KEY, self.system)

    async def fund(self, points: int) -> None:
        """Put points into the risk pool."""
        await self.pool.execute(
            "update risk_pool set funded = funded + $1, free = free + $1 where id = 1", points
        )

    async def code(self, store: str = STORE, *, slot: str = "", is_vault: bool = True) -> str:
        """Make a one-time code; by default for a place of its own."""
        slot = slot or str(next(self._slots))
        async with self.pool.acquire() as connection:
            made = await make_code(connection, store, slot, is_vault=is_vault, system=self.system)
        return made.code

    def new_key(self) -> SigningKey:
        """Return the key of a till that is not enrolled yet."""
        return SigningKey(hashlib.sha256(f"till {next(self._keys_made)}".encode()).digest())

    async def enrol_with(self, code: str, key: SigningKey) -> EnrolAnswer:
        """Hand in a code with a proven key.

        Raises:
            RefusedError: the centre refuses.
        """
        bare = EnrolRequest(
            code=code, public_key=key.public, hardware="probe", nonce=b"n" * 16, signature=b""
        )
        signed = EnrolRequest(
            code=code,
            public_key=key.public,
            hardware="probe",
            nonce=bare.nonce,
            signature=key.sign(enrol_content(bare)),
        )
        return await self.enrol(signed)

    async def enrol(self, request: EnrolRequest) -> EnrolAnswer:
        """Send an enrolment as it is.

        Raises:
            RefusedError: the centre refuses.
        """
        response = await self.http.post(PATH_ENROL, content=encode_message(request))
        return read_answer(response, EnrolAnswer)

    async def till(
        self, store: str = STORE, *, is_vault: bool = False, greet: bool = True, slot: str = ""
    ) -> TillProbe:
        """Enrol a till and let it say HELLO.

        Args:
            is_vault: customers' points may be set aside for it.
            slot: whose place it takes; by default one of its own.
        """
        key = self.new_key()
        identity = await self.enrol_with(await self.code(store, slot=slot, is_vault=is_vault), key)
        async with self.pool.acquire() as connection:
            programme = await programme_of_store(connection, store) or ""
            rules = await self.parts.applier.library.newest(connection, programme)
        till = TillProbe(self.http, key, identity, rules)
        if greet:
            await till.hello()
        return till

    # Letting the centre work

    async def apply(self) -> None:
        """Apply everything that is kept and does not wait."""
        while await self.parts.applier.apply_pending():
            pass

    async def post(self, till: TillProbe, *records: Record) -> list[Outcome]:
        """Append records to a till's stream, hand them in, apply; returns what became of each."""
        seqs = [till.append(record) for record in records]
        await till.push()
        await self.apply()
        outcomes = await self.outcomes(till)
        return [outcomes[seq] for seq in seqs]

    # Looking at it

    async def outcomes(self, till: TillProbe) -> dict[int, Outcome]:
        """Return what became of each record of the till's contiguous stream."""
        rows = await self.pool.fetch(
            "select o.seq, outcome, reason, points from outcome o join inbox i using (arrival)"
            " where o.till_id = $1 and o.incarnation = $2 and not i.branch order by o.seq",
            till.till_id, till.incarnation,
        )  # fmt: skip
        return {row["seq"]: Outcome(row["outcome"], row["reason"], row["points"]) for row in rows}

    async def totals(self, account_id: int) -> Totals:
        """Return an account's totals."""
        row = await self.pool.fetchrow(
            "select posted, held, debt from account where account_id = $1", account_id
        )
        assert row is not None, f"no account {account_id}"
        return Totals(**row)

    async def lots(self, account_id: int) -> list[LotState]:
        """Return an account's lots in the order they were made."""
        rows = await self.pool.fetch(
            "select available, held, redeemed, taken_back from lot where account_id = $1"
            " order by lot_id",
            account_id,
        )
        return [LotState(**row) for row in rows]

    async def risk_pool(self) -> PoolState:
        """Return the risk pool."""
        row = await self.pool.fetchrow(
            "select free, budgets, losses, uncovered, exposures from risk_pool"
        )
        assert row is not None
        return PoolState(**row)

    async def proof(self) -> LedgerProof:
        """Prove the ledger."""
        async with self.pool.acquire() as connection:
            return await verify_ledger(connection)

    async def assert_balanced(self) -> None:
        """Fail unless exactly the checks in `broken_checks` are broken."""
        broken = {check.name: check.broken for check in (await self.proof()).checks if check.broken}
        assert set(broken) == self.broken_checks, broken


@asynccontextmanager
async def joined_centre(
    pool: Pool,
    rights: RightsSettings | None = None,
    pools: Pools | None = None,
    rates: TillRates | None = None,
    durable: Durable = "commit",
) -> AsyncIterator[JoinedCentre]:
    """Give a centre with one store and `BUNDLE` published; its ledger is proven at the end.

    Args:
        pools: of the parts, each under its role; without them all work as `pool` does.
        rates: how often one till may call.
        durable: what makes a record so.
    """
    pools = pools or Pools.shared(pool)
    system = FixedSystem()
    people = CustomerDesk(pools.personal, PERSONAL_KEYS, system)
    parts = join_centre(
        pools.till, KEYS, system, rights or RightsSettings(), pools=pools, people=people,
        rates=rates, durable=durable,
    )  # fmt: skip
    transport = httpx.ASGITransport(app=parts.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://centre") as http:
        centre = JoinedCentre(parts, system, http, owner=pool, pools=pools)
        await centre.store()
        await centre.publish(BUNDLE)
        yield centre
        await centre.assert_balanced()
