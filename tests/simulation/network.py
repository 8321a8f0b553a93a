"""The line between a till and the centre: cuts, losses, delays, repeats of the very same bytes."""

import random
from functools import lru_cache

from agent.identity import Identity
from agent.till_service.till import Till
from sync.blobs import piece_range
from sync.codec import CONTENT_TYPE, compress, decode, decompress, encode
from sync.cycle import PATH_BUNDLE, Ask, Fetch
from sync.errors import LinkError, RefusedError
from sync.messages import Message, Problem
from sync.signing import (
    HEADER_NONCE,
    HEADER_SESSION,
    HEADER_SIGNATURE,
    HEADER_TILL,
    SigningKey,
    answer_content,
    check,
    request_content,
)
from tests.simulation.centre import Request, Response, SimulatedCentre
from tests.simulation.chronicle import Chronicle
from tests.simulation.faults import Faults
from tests.simulation.kernel import Kernel, Waiter, really, sleep

_HOUR_MS = 3_600_000
_REPEAT_SOON_MS_MAX = 20_000


@lru_cache(maxsize=256)
def _signing_key(seed: bytes) -> SigningKey:
    """Return a till's key; each agent makes its own but once."""
    return SigningKey(seed)


class Network:
    """All lines of a world.

    Attributes:
        cut_stores: stores whose line is down.
        faults: may be changed while the world runs.
    """

    def __init__(
        self,
        kernel: Kernel,
        centre: SimulatedCentre,
        *,
        faults: Faults,
        chronicle: Chronicle,
        draws: random.Random,
    ) -> None:
        self._kernel = kernel
        self._centre = centre
        self._chronicle = chronicle
        self._draws = draws
        self.faults = faults
        self.cut_stores: set[str] = set()

    def has_rules_for(self, till: Till) -> bool:
        """Say whether the centre would answer a pull that it holds: there are newer rules."""
        return till.books.active_version < self._centre.newest_version

    async def ask(self, identity: Identity, ask: Ask, *, session: bytes, ms_max: int) -> Message:
        """Send a till's message and return its answer, as the agent's own client does.

        Raises:
            LinkError: no answer in time.
            RefusedError: the centre refused by name.
            SignatureError: the answer is not the centre's.
        """
        nonce = self._draws.randbytes(16)
        response = await self._exchange(
            identity.place.store, _signed(identity, ask, session=session, nonce=nonce), ms_max
        )
        signature = bytes.fromhex(response.headers[HEADER_SIGNATURE])
        check(identity.centre_key, signature, answer_content(nonce, response.status, response.body))
        body = decompress(response.body, response.headers.get("tillside-encoding", ""))
        if response.status != 200:
            problem = decode(Problem, body)
            raise RefusedError(problem.error, problem.message)
        return decode(ask.answer, body)

    async def fetch(self, identity: Identity, fetch: Fetch, *, ms_max: int) -> bytes:
        """Fetch a piece of a bundle.

        Raises:
            LinkError: no answer in time.
        """
        wanted = piece_range(fetch.manifest, fetch.piece)
        headers = (("range", wanted),) if wanted else ()
        request = Request("GET", PATH_BUNDLE + fetch.manifest.bundle, headers)
        response = await self._exchange(identity.place.store, request, ms_max)
        if response.status not in (200, 206):
            raise LinkError(f"bundle answered with status {response.status}")
        return response.body

    async def _exchange(self, store: str, request: Request, ms_max: int) -> Response:
        waiter = Waiter(self._kernel)
        kind = request.path.rsplit("/", 1)[-1][:12]
        if self._happens(self.faults.lost_requests):
            self._chronicle.fault("request lost", f"{store} {kind}")
        else:
            self._kernel.start(self._deliver(store, request, waiter), f"{store} {kind}")
        if self._happens(self.faults.late_repeats):
            self._kernel.start(self._repeat(store, request), f"{store} {kind} again")
        response = await waiter.wait(ms_max)
        if response is None:
            raise LinkError(f"{kind}: no answer")
        assert isinstance(response, Response)
        return response

    async def _deliver(self, store: str, request: Request, waiter: Waiter) -> None:
        kind = request.path.rsplit("/", 1)[-1][:12]
        if self._happens(self.faults.slow_requests):
            self._chronicle.fault("request slow", f"{store} {kind}")
            await sleep(self._draws.randint(1_000, 60_000))
        else:
            await sleep(self._draws.randint(3, 40))
        if store in self.cut_stores:
            return
        response = await really(self._centre.handle(request))
        self._chronicle.note(f"centre {store} {kind} {response.status}")
        if self._happens(self.faults.lost_replies):
            self._chronicle.fault("reply lost", f"{store} {kind}")
            return
        await sleep(self._draws.randint(3, 40))
        if store not in self.cut_stores:
            waiter.resolve(response)

    async def _repeat(self, store: str, request: Request) -> None:
        soon = self._draws.random() < 0.7
        await sleep(self._draws.randint(50, _REPEAT_SOON_MS_MAX if soon else 6 * _HOUR_MS))
        kind = request.path.rsplit("/", 1)[-1][:12]
        response = await really(self._centre.handle(request))
        self._chronicle.fault("request repeated", f"{store} {kind} {response.status}")
        if kind in ("push", "lines") and response.status == 200:
            self._chronicle.sometimes["batch pushed twice"] += 1

    def _happens(self, per_thousand: int) -> bool:
        return self._draws.randrange(1000) < per_thousand


def _signed(identity: Identity, ask: Ask, *, session: bytes, nonce: bytes) -> Request:
    body, encoding = compress(encode(ask.message))
    content = request_content(
        "POST", ask.path, till_id=identity.till_id, session=session, nonce=nonce, body=body
    )
    headers = [
        ("content-type", CONTENT_TYPE),
        (HEADER_TILL, str(identity.till_id)),
        (HEADER_SESSION, session.hex()),
        (HEADER_NONCE, nonce.hex()),
        (HEADER_SIGNATURE, _signing_key(identity.key_seed).sign(content).hex()),
    ]
    if encoding:
        headers.append(("content-encoding", encoding))
    return Request("POST", ask.path, tuple(headers), body)
