"""What a till says of its rules between two HELLOs: kept as a HELLO keeps it, session and all."""

from typing import Any

import msgspec
import pytest

from central.database.doors import Door
from central.rules.guarding import RuleGuard
from central.tills.caller import SessionUnknownError, caller_of
from central.tills.desk import find_till
from central.tills.waiting import RULES
from sync.cycle import PATH_HELLO
from sync.errors import RefusedError
from sync.messages import HelloAnswer
from sync.reporting import PATH_REPORT, Report, ReportAnswer
from sync.rule_messages import RulesReport
from sync.signing import NO_SESSION
from tests.support.centre import STORE, JoinedCentre
from tests.support.till_probe import TillProbe
from tests.unit.central.test_rules_guard import GOOD
from tests.unit.central.test_rules_life import Office

TOLD = (
    "select t.bundle as newest, t.last_seen_ms, t.session, t.session_verified, r.*"
    " from till t join till_rules r using (till_id) where till_id = $1"
)


async def told(till: TillProbe, bundle: str, number: int = 1, **rules: int | str) -> None:
    said = Report(number=number, bundle=bundle, rules=RulesReport(**rules))  # type: ignore[arg-type]
    await till.ask(PATH_REPORT, said, ReportAnswer)


async def told_of(centre: JoinedCentre, till: TillProbe) -> dict[str, Any]:
    row = await centre.pool.fetchrow(TOLD, till.till_id)
    assert row is not None
    return dict(row)


async def bundles_of(centre: JoinedCentre, till: TillProbe) -> tuple[str, str, str]:
    """Return what a till says it has, what is in force there, and what it refused."""
    row = await told_of(centre, till)
    return row["newest"], row["bundle"], row["refused"]


async def test_a_report_is_kept_as_a_hello_keeps_it_and_the_session_goes_on(
    centre: JoinedCentre,
) -> None:
    reporting, greeting = await centre.till(), await centre.till()
    rules = RulesReport(
        generation=1, version=7, refused="b" * 64, why="slow", calculated=412, slow=2, dropped=9
    )
    session = reporting.session
    centre.system.at_ms += 5_000
    said = Report(number=1, bundle="a" * 64, rules=rules)
    await reporting.ask(PATH_REPORT, said, ReportAnswer)
    hello = msgspec.structs.replace(greeting.hello_message(), bundle="a" * 64, rules=rules)
    greeting.session = NO_SESSION
    await greeting.ask(PATH_HELLO, hello, HelloAnswer)
    one, other = [await told_of(centre, each) for each in (reporting, greeting)]
    assert (one.pop("session"), one.pop("till_id")) == (session, reporting.till_id)
    assert (one.pop("report"), other.pop("report")) == (1, 0)
    assert other.pop("session") != session
    other.pop("till_id")
    assert one == other
    assert one["last_seen_ms"] == centre.system.now_ms()
    # Rights are handed out in it as before.
    await centre.customer(7, 300, card="4000")
    assert (await reporting.authorise("s1", 7, 100)).authorisations


async def test_a_report_needs_the_live_session(centre: JoinedCentre) -> None:
    till = await centre.till()
    before, till.session = till.session, b"x" * 16
    with pytest.raises(RefusedError) as caught:
        await told(till, "a" * 64)
    assert caught.value.code == "session_unknown"
    till.session = before
    await told(till, "a" * 64)


async def test_a_guard_halts_by_what_tills_report(centre: JoinedCentre) -> None:
    office = await Office.of(centre)
    release = await office.published(await office.approved(GOOD), "everywhere")
    guard = RuleGuard(centre.pool, centre.system)
    till = await centre.till()
    await told(till, release.bundle, version=release.version)
    assert not await guard.look()
    await told(till, "", 2, refused=release.bundle, why="slow")
    (halted,) = await guard.look()
    assert halted.why == "1 of 1 tills refuse it"


async def test_a_report_without_a_place_comes_again(centre: JoinedCentre) -> None:
    till, front = await centre.till(), centre.parts.desk.front
    front.others = Door(running_max=1, waiting_max=0, wait_s_max=600.0)
    async with front.others:
        with pytest.raises(RefusedError) as caught:
            await told(till, "a" * 64)
    assert caught.value.code == "overloaded"
    await told(till, "a" * 64)


async def test_a_report_that_comes_late_or_twice_changes_nothing(centre: JoinedCentre) -> None:
    till = await centre.till()
    await told(till, "a" * 64, 1, waiting="c" * 64)
    assert await bundles_of(centre, till) == ("c" * 64, "a" * 64, "")
    await told(till, "b" * 64, 2, refused="d" * 64)
    for number in (1, 2):
        await told(till, "a" * 64, number)
    assert await bundles_of(centre, till) == ("b" * 64, "b" * 64, "d" * 64)
    await till.hello()
    await told(till, "a" * 64, 1)
    assert await bundles_of(centre, till) == ("a" * 64, "a" * 64, "")


async def test_reports_come_again_while_tills_are_still_told_of_rules(
    centre: JoinedCentre, monkeypatch: pytest.MonkeyPatch
) -> None:
    till, room = await centre.till(), centre.parts.desk.room
    monkeypatch.setattr(room, "come_behind", lambda: 40.0)
    said = Report(number=1, bundle="a" * 64, rules=RulesReport())
    answer = await till.http.send(till.request(PATH_REPORT, said))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "41")
    await till.pull()
    monkeypatch.undo()
    await told(till, "a" * 64)


async def test_why_a_bundle_was_refused_may_be_anything(centre: JoinedCentre) -> None:
    """The till has it from the bundle; without an answer it would say HELLO for ever."""
    till = await centre.till()
    await told(till, "a" * 64, refused="b" * 64, why="unknown\0kind")
    assert (await told_of(centre, till))["why"] == "unknownkind"
    hello = msgspec.structs.replace(till.hello_message(), software="1\0")
    till.session = NO_SESSION
    with pytest.raises(RefusedError) as caught:
        await till.ask(PATH_HELLO, hello, HelloAnswer)
    assert caught.value.code == "message_malformed"


async def test_a_report_of_a_session_that_has_ended_meanwhile_changes_nothing(
    centre: JoinedCentre,
) -> None:
    till, desk = await centre.till(), centre.parts.desk
    row = await find_till(centre.pool, till.till_id)
    assert row is not None
    caller = caller_of(row, till.session)
    await till.hello()
    before = await bundles_of(centre, till)
    with pytest.raises(SessionUnknownError):
        await desk.report(caller, Report(number=9, bundle="a" * 64, rules=RulesReport()))
    assert await bundles_of(centre, till) == before


async def test_a_report_has_the_tills_own_pull_looked_at_again(centre: JoinedCentre) -> None:
    """What is in force there below what waits may have been taken away before the centre knew."""
    till, room = await centre.till(), centre.parts.desk.room
    with room.seat(till.till_id, STORE) as seat:
        await told(till, "a" * 64)
        assert seat.topics == {RULES}
        seat.forget(RULES)
        await told(till, "a" * 64)  # twice
        assert not seat.topics
