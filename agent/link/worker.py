"""Keeps till and centre in step: one conversation after the other, never in the way of a sale."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from agent.errors import JournalDamagedError, JournalUnavailableError
from agent.link.central_client import CentralClient
from agent.link.holding import Holding
from agent.link.rhythm import Rhythm
from agent.link.till_side import JournalTillSide
from agent.link.turns import Turns
from agent.neighbours.delivering import deliver
from agent.till_service.allowances import send_idle_home, stock
from agent.till_service.till import Till
from agent.till_thread import TillThread
from sync.cycle import (
    PATH_HELLO,
    PATH_PUSH,
    Ask,
    Conversation,
    Fetch,
    compare_streams,
    converse,
    hear,
    report,
    tell,
)
from sync.errors import BusyError, CrowdedError, LinkError, RestartsError, SyncError
from sync.lines import PATH_LINES
from sync.messages import Message, PullAnswer
from sync.neighbours import HEARTBEAT_MS
from sync.retry_schedule import retry_delay_s
from sync.signing import NO_SESSION

log = structlog.get_logger()

_RULES_LOOK_S = HEARTBEAT_MS / 1000
"""While rules are left to siblings, or rest: so often it is asked whether they still do."""
_BRINGS = frozenset({PATH_PUSH, PATH_LINES})
_LINKS = _BRINGS | {PATH_HELLO}
"""Without an answer to these the till is without its centre: siblings keep copies for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSettings:
    """How the link is used.

    Attributes:
        pull_interval_s: pause between conversations when nothing happens; it grows while that
            lasts (`Rhythm`).
        hello_interval_s: how often the stream is compared while online (design: sync 4.2).
        hold_s_max: the longest a pull waits at the centre, whatever that announces; 0 = never.
        hello_interval_held_s: how often the stream is compared while pulls wait there and nothing
            was spent without the centre.
        retry_delay_s_max: ceiling of the back-off.
        ask_budget_ms: how long a sale waits for the centre's knowledge of a customer
            (design: till 2).
        authorise_budget_ms: how long a redemption waits for an authorisation.
    """

    pull_interval_s: float = 15.0
    hello_interval_s: float = 60.0
    hold_s_max: float = 600.0
    hello_interval_held_s: float = 3600.0
    retry_delay_s_max: float = 600.0
    request_timeout_s: float = 20.0
    ask_budget_ms: int = 150
    authorise_budget_ms: int = 1000


class LinkWorker:
    """The link of one till; lives on the event loop."""

    def __init__(
        self,
        till: Till,
        thread: TillThread,
        client: CentralClient,
        *,
        settings: LinkSettings,
        software: str,
    ) -> None:
        self._till = till
        self._thread = thread
        self._client = client
        self._settings = settings
        self._side = JournalTillSide(till, software=software)
        self._rhythm = Rhythm(settings.pull_interval_s)
        self._wake = asyncio.Event()
        self._holding = Holding(most_s=settings.hold_s_max)
        self._must_rest = False
        self._must_talk = False
        self._greeted_ms = 0
        self._hello_at_ms = 0
        self._turns = Turns(till.system, report_interval_s=settings.hello_interval_s)
        self._is_sure = False
        """The next conversation is for no doubt: it needs no HELLO but one that is due."""
        self.conversations = 0
        self.last_contact_ms: int | None = None
        self.last_error = ""

    def wake(self) -> None:
        """Talk to the centre now."""
        self._must_talk = True
        self._wake.set()

    def tell(self) -> None:
        """Something is to be told: push it now, beside a pull that waits, or talk."""
        self._wake.set()

    @property
    def rules_not_fetched(self) -> str:
        """The announced bundle that could not be fetched last, and why; empty for none."""
        return self._side.rules_not_fetched

    async def run(self) -> None:
        """Talk, wait, talk, until cancelled.

        A mistake in talking ends a conversation and never the link: the till goes on selling.

        Raises:
            JournalDamagedError: the journal failed for good.
        """
        mistakes, system = 0, self._till.system
        while True:
            began_ms = system.monotonic_ms()
            try:
                await self._talk_on()
            except JournalDamagedError:
                raise
            except Exception as error:
                lasted_s = (system.monotonic_ms() - began_ms) / 1000
                mistakes = 1 if lasted_s > self._settings.retry_delay_s_max else mistakes + 1
                self.last_error = f"{type(error).__name__} {error}".rstrip()
                log.exception("link_failed", times=mistakes)
            self._in_doubt(is_down=False)
            await asyncio.sleep(self._retry_delay_s(mistakes))

    async def _talk_on(self) -> None:
        while True:
            retrying = AsyncRetrying(
                retry=retry_if_exception_type((SyncError, JournalUnavailableError)),
                wait=self._delay_s,
                sleep=self._pause,
                before_sleep=self._note_failed,
            )
            async for attempt in retrying:
                with attempt:
                    await self._talk_in_turn()
            if not await self._listen():
                await self._sleep(self._turns.until_s(await self._pause_s()))

    async def _talk_in_turn(self) -> None:
        """Hold a conversation, as often as it takes while the centre has no place for it."""
        while True:
            try:
                return await self._talk()
            except CrowdedError as error:
                self._note(error)
                await self._rest(error)

    async def _listen(self) -> bool:
        """Keep pulls waiting at the centre, one after the other, until a conversation is due.

        Returns:
            Whether it is due now; else after a pause.
        """
        if self._rests():
            return False
        try:
            while wait_s := self._holding.wait_s(self._side.hold_s, self._till.system.jitter()):
                if not await self._hear(wait_s):
                    return True
                if self._rests():
                    break
        except CrowdedError as error:
            await self._rest(error)
            return True
        except BusyError as error:
            await self._sleep(self._turns.come_again_s(error))
            return True
        except (SyncError, JournalUnavailableError):
            return True  # the conversation finds out what is wrong, and how long to wait
        return False

    def _rests(self) -> bool:
        rests, self._must_rest = self._must_rest, False
        return rests

    async def _hear(self, wait_s: int) -> bool:
        """Ask once and wait for the answer; records are pushed beside it meanwhile.

        A centre that has no place for it is asked again when it says.

        Returns:
            Whether another pull may wait now; else a conversation is due.
        """
        try:
            return await self._wait_for_news(wait_s)
        except CrowdedError as error:
            if self._till.session == NO_SESSION:
                raise  # it was a HELLO
            self._turns.pull_at_ms = self._turns.again_at_ms(error)
            self._wake.set()  # what came before is told meanwhile
            return True

    async def _wait_for_news(self, wait_s: int) -> bool:
        session, now_ms = self._till.session, self._till.system.monotonic_ms()
        rest_ms = self._turns.rest_ms(self._turns.pull_at_ms)
        most_s = rest_ms / 1000 + wait_s + self._settings.request_timeout_s
        held = asyncio.create_task(self._pull_held(wait_s, rest_ms / 1000), name="held pull")
        held.add_done_callback(self._wake_of)
        try:
            while not held.done():
                await self._sleep(self._turns.until_s(most_s))
                if held.done():
                    break
                if self._must_talk:
                    return False
                if await self._hello_is_due():
                    await self._compare_streams()
                    return True
                await self._tell()
                if self._till.session != session:
                    return False
            waited_ms = self._till.system.monotonic_ms() - now_ms - rest_ms
            return await self._heard_of(held, wait_s, max(0, waited_ms) / 1000)
        finally:
            held.remove_done_callback(self._wake_of)  # whoever waits next is not to be woken by it
            held.cancel()
            await asyncio.gather(held, return_exceptions=True)

    def _wake_of(self, _: asyncio.Task[PullAnswer]) -> None:
        self._wake.set()

    async def _heard_of(self, held: asyncio.Task[PullAnswer], wait_s: int, waited_s: float) -> bool:
        try:
            with self._watched():
                answer = held.result()
        except CrowdedError:
            raise
        except LinkError:
            self._must_rest = not self._holding.broke(waited_s, wait_s)
            raise
        self._side.brought_news = False
        try:
            await self._drive(hear(self._side, answer))
        except CrowdedError as error:
            if self._till.session == NO_SESSION:
                raise  # it was a HELLO
            await self._rest(error)
            self._is_sure = True  # a conversation takes up what the answer has begun
            return False
        news = self._side.brought_news
        self._must_rest = not self._holding.answered(waited_s, wait_s, brought_news=news)
        if await self._hello_is_due():
            await self._compare_streams()
        else:
            await self._tell()
        return not self._must_talk

    async def _compare_streams(self) -> None:
        now_ms = self._till.system.monotonic_ms()
        await self._drive(compare_streams(self._side))
        self._greeted(now_ms)

    def _greeted(self, at_ms: int) -> None:
        self._greeted_ms = at_ms
        self._hello_at_ms = at_ms + int(self._settings.hello_interval_s * 1000)

    async def _tell(self) -> None:
        """Bring records, and how the rules stand; what there is no place for is told in its time.

        A pull that waits is not given up for it.
        """
        self._turns.begin()
        if not self._turns.push_is_off:
            try:
                await self._drive(tell(self._side))
            except CrowdedError:
                if self._till.session == NO_SESSION:
                    raise  # it was a HELLO
        if await self._thread.run(self._side.has_report) and self._turns.may_report():
            await self._report()

    async def _report(self) -> None:
        try:
            with self._watched():
                await self._thread.drive(report(self._side), self._answer)
        except CrowdedError as error:
            self._turns.put_report_off(error)
        else:
            self._turns.reported()

    async def _rest(self, error: CrowdedError) -> None:
        """Wait as the centre asks, whatever is sold meanwhile; records are told where they can be.

        Who wants a conversation now ends it.
        """
        until_ms = self._turns.again_at_ms(error)
        while await self._sleep(self._turns.rest_ms(until_ms) / 1000):
            if self._till.session != NO_SESSION:
                with suppress(SyncError, JournalUnavailableError):
                    await self._tell()
            if self._must_talk:
                return

    async def _pull_held(self, wait_s: int, rest_s: float) -> PullAnswer:
        await asyncio.sleep(rest_s)
        ask = await self._thread.run(self._side.listen, wait_s)
        timeout_s = wait_s + self._settings.request_timeout_s
        answer = await self._client.ask(ask, session=self._till.session, timeout_s=timeout_s)
        self._heard(ask.path)
        return await self._thread.run(self._side.listened, ask.message, answer)

    async def _hello_is_due(self) -> bool:
        now_ms = self._till.system.monotonic_ms()
        usual_s = max(self._settings.hello_interval_s, self._settings.hello_interval_held_s)
        if now_ms >= self._greeted_ms + int(usual_s * 1000):
            return True
        return now_ms >= self._hello_at_ms and await self._thread.run(self._side.wants_hello)

    async def _pause_s(self) -> float:
        holds = await self._thread.run(self._holds_rights)
        return self._rhythm.pause_s(brought_news=self._side.brought_news, holds_rights=holds)

    def _holds_rights(self) -> bool:
        journal = self._till.journal
        return journal.rights.points_held() > 0 or journal.counter_rights.is_held()

    async def _talk(self) -> None:
        now_ms = self._till.system.monotonic_ms()
        greet = await self._is_to_greet(now_ms)
        self._must_talk = False
        self._side.brought_news = False
        try:
            await self._drive(converse(self._side, greet=greet))
        except CrowdedError:
            self._is_sure = True
            raise
        self.conversations += 1
        if greet:
            self._greeted(now_ms)
        await self._tell()

    async def _is_to_greet(self, now_ms: int) -> bool:
        # Of two machines of one till each ends the other's session.
        is_over = self._till.session == NO_SESSION or self._till.quarantined
        if is_over or self._side.has_moved():
            return True
        if self._is_sure and self._hello_at_ms:
            return await self._hello_is_due()
        return now_ms >= self._hello_at_ms

    async def _drive(self, steps: Conversation) -> None:
        with self._watched():
            await self._thread.run(send_idle_home, self._till)
            await self._thread.drive(steps, self._answer)
            try:
                await self._thread.drive(stock(self._till), self._answer)
                await self._thread.drive(deliver(self._till), self._answer)
            except CrowdedError as error:
                self._turns.put_look_off(error)
            await self._thread.run(self._till.journal.prune, self._till.clock.now_ms())
            self._is_sure = False

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Have the next conversation begin by comparing streams, whatever goes wrong.

        But not where there was no place for a request: line and session are as they were, and a
        HELLO would be one call more.
        """
        session, now_ms = self._till.session, self._till.system.monotonic_ms()
        try:
            yield
        except CrowdedError:
            if self._till.session not in (session, NO_SESSION):
                self._greeted(now_ms)  # what came before it was a HELLO
            raise
        except SyncError as error:
            self._in_doubt(is_down=isinstance(error, LinkError))
            raise

    def _in_doubt(self, *, is_down: bool) -> None:
        """Whatever went wrong, the next conversation begins by comparing the streams."""
        self._hello_at_ms = 0
        self._is_sure = False
        self._must_talk = True
        if is_down:
            self._till.link_up = False

    async def _answer(self, wish: Ask | Fetch) -> Message | bytes:
        timeout_s = self._settings.request_timeout_s
        if isinstance(wish, Fetch):
            return await self._client.fetch_piece(wish, timeout_s=timeout_s)
        try:
            answer = await self._client.ask(wish, session=self._till.session, timeout_s=timeout_s)
        except CrowdedError as error:
            if wish.path in _LINKS:
                self._till.link_up = False
                self._turns.put_push_off(error)
            if wish.path in _BRINGS:
                self._side.turned_away()
            raise
        self._heard(wish.path)
        return answer

    def _heard(self, path: str) -> None:
        if path in _LINKS:
            self._turns.pushed()
        self._till.link_up = not self._turns.push_is_off
        self.last_contact_ms = self._till.clock.now_ms()
        self.last_error = ""

    async def ask_in_time(self, ask: Ask, *, budget_ms: int) -> Message | None:
        """Ask on behalf of a sale; None when no answer came within the budget.

        After a miss the link counts as down, so that the following sales do not wait at all; the
        worker finds out at once whether it really is.
        """
        if not self._till.link_up or self._till.session == NO_SESSION:
            return None
        try:
            async with asyncio.timeout(budget_ms / 1000):
                answer = await self._client.ask(
                    ask, session=self._till.session, timeout_s=budget_ms / 1000
                )
        except CrowdedError:
            return None  # line and session are there: a HELLO would be one call more
        except (TimeoutError, LinkError):
            self._till.link_up = False
            self._hello_at_ms = 0
            self.wake()
            return None
        except SyncError as error:
            log.warning("ask_refused", path=ask.path, why=str(error))
            self._hello_at_ms = 0
            self.wake()
            return None
        return answer

    def _delay_s(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, BusyError | RestartsError):
            return self._turns.come_again_s(error)
        return self._retry_delay_s(state.attempt_number)

    def _retry_delay_s(self, times: int) -> float:
        return retry_delay_s(
            times,
            delay_s_max=self._settings.retry_delay_s_max,
            jitter=self._till.system.jitter(),
        )

    def _note_failed(self, state: RetryCallState) -> None:
        self._note(state.outcome.exception() if state.outcome else None)

    def _note(self, error: BaseException | None) -> None:
        if str(error) != self.last_error:
            is_down = isinstance(error, LinkError) and not isinstance(error, CrowdedError)
            log.warning("link_down" if is_down else "conversation_failed", why=str(error))
        self.last_error = str(error)

    async def _pause(self, seconds: float) -> None:
        await self._sleep(seconds)

    async def _sleep(self, seconds: float) -> bool:
        """Wait; returns whether somebody ended it before its time."""
        # The journal's log grows with or without a line; here nobody waits for it.
        with suppress(JournalUnavailableError):
            await self._thread.run(self._till.journal.tidy)
        woken = False
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken()
                woken = True
        self._wake.clear()
        return woken

    async def _woken(self) -> None:
        """Wait until there is something to do; also for rules that came by no other way."""
        while self._side.waits_for_rules:
            with suppress(TimeoutError):
                async with asyncio.timeout(_RULES_LOOK_S):
                    await self._wake.wait()
                    return
            if await self._thread.run(self._side.rules_wait_is_over):
                self._must_talk = self._is_sure = True
                return
        await self._wake.wait()
