"""Incidents are told once, gone on with seldom, ended once; mails reach a real server."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
import structlog

from central.alerts.findings import Finding, Findings
from central.alerts.incidents import KEEP_MS, QUIET_MS, Incident, IncidentBook, list_incidents
from central.alerts.mail import Letter, MailError, MailSettings, send
from central.alerts.watch import GIVE_UP_MS, Watch, deliver
from central.config import make_config
from central.database.pool import open_pool
from central.errors import ConfigurationError
from central.observability.exposition import FigureReader
from tests.support.centre import KEYS, NOW_MS, JoinedCentre, joined_centre
from tests.support.command_line import central
from tests.support.mail_server import PASSWORD, USER, Letters, certificate_file, mail_server

MINUTE_MS = 60_000
CLONE = Findings((Finding("clone_suspected", "", 1),))
"""Is an incident at once."""
WAITS = Findings((Finding("records_wait", "", 180_000),))
"""Is one after five minutes."""
NOTHING = Findings(())
OFFICE = {"authorization": f"Bearer {KEYS.office_token}"}


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.fixture
def letters() -> Iterator[Letters]:
    with mail_server() as letters:
        yield letters


def settings_of(letters: Letters) -> MailSettings:
    return MailSettings(
        server=f"smtp://127.0.0.1:{letters.port}",
        sender="tillside@example.org",
        recipients=("duty@example.org", "night@example.org"),
    )


@pytest_asyncio.fixture
async def book(centre: JoinedCentre) -> AsyncIterator[IncidentBook]:
    yield IncidentBook(centre.pool, repeat_ms=240 * MINUTE_MS)


async def incidents(centre: JoinedCentre) -> tuple[Incident, ...]:
    async with centre.pool.acquire() as connection:
        return await list_incidents(connection)


# Incidents


async def test_an_incident_is_told_once_however_often_it_is_seen(
    centre: JoinedCentre, book: IncidentBook
) -> None:
    made = [await book.note(CLONE, now_ms=NOW_MS + n * MINUTE_MS) for n in range(10)]
    assert made == [1, *[0] * 9]
    (incident,) = await incidents(centre)
    assert (incident.kind, incident.ended_ms, incident.waiting) == ("clone_suspected", None, 1)


async def test_what_is_soon_right_again_is_no_incident(
    centre: JoinedCentre, book: IncidentBook
) -> None:
    for minute in range(30):
        wrong = minute % 5 < 4  # right again before five minutes are over
        await book.note(WAITS if wrong else NOTHING, now_ms=NOW_MS + minute * MINUTE_MS)
    assert await incidents(centre) == ()
    for minute in range(30, 36):
        await book.note(WAITS, now_ms=NOW_MS + minute * MINUTE_MS)
    (incident,) = await incidents(centre)
    assert incident.began_ms == NOW_MS + 30 * MINUTE_MS
    assert incident.says == "records wait 3 min to be posted"


async def test_what_comes_and_goes_is_one_incident_that_ends_once(
    centre: JoinedCentre, book: IncidentBook
) -> None:
    for minute in range(10):
        found = CLONE if minute % 2 == 0 else NOTHING
        await book.note(found, now_ms=NOW_MS + minute * MINUTE_MS)
    (incident,) = await incidents(centre)
    assert incident.ended_ms is None
    ended_ms = NOW_MS + 8 * MINUTE_MS + QUIET_MS
    assert await book.note(NOTHING, now_ms=ended_ms - 1) == 0
    assert await book.note(NOTHING, now_ms=ended_ms) == 1
    assert await book.note(NOTHING, now_ms=ended_ms + MINUTE_MS) == 0
    (incident,) = await incidents(centre)
    assert (incident.ended_ms, incident.waiting) == (ended_ms, 2)
    await book.note(CLONE, now_ms=ended_ms + 2 * MINUTE_MS)
    assert [each.ended_ms is None for each in await incidents(centre)] == [True, False]


async def test_records_that_may_wait_for_weeks_are_told_of_once_a_week(
    centre: JoinedCentre, book: IncidentBook
) -> None:
    parked = Findings((Finding("records_parked", "", 300_000_000),))
    days = [
        day
        for day in range(30)
        for hour in range(24)
        if await book.note(parked, now_ms=NOW_MS + (day * 24 + hour) * 60 * MINUTE_MS)
    ]
    assert days == [0, 7, 14, 21, 28]
    (incident,) = await incidents(centre)
    assert incident.says == "a record has waited 3 days for a card, a receipt or a transfer"


async def test_one_that_goes_on_is_told_again_seldom(
    centre: JoinedCentre, book: IncidentBook
) -> None:
    made = 0
    for minute in range(0, 24 * 60 + 1, 10):
        made += await book.note(CLONE, now_ms=NOW_MS + minute * MINUTE_MS)
    assert made == 1 + 6  # every four hours of a day
    quiet = IncidentBook(centre.pool)
    assert await quiet.note(CLONE, now_ms=NOW_MS + 99 * 3_600_000) == 0


async def test_what_cannot_be_told_now_neither_begins_nor_ends(
    centre: JoinedCentre, book: IncidentBook
) -> None:
    store = Findings((Finding("store_silent", "s1", 3_600_000),))
    many = Findings((Finding("stores_silent", "", 9),), frozenset({"store_silent"}))
    for minute in range(6):
        await book.note(store, now_ms=NOW_MS + minute * MINUTE_MS)
    for minute in range(6, 60):
        await book.note(many, now_ms=NOW_MS + minute * MINUTE_MS)
    assert {(each.kind, each.ended_ms) for each in await incidents(centre)} == {
        ("store_silent", None), ("stores_silent", None),
    }  # fmt: skip


async def test_two_processes_tell_it_once(centre: JoinedCentre) -> None:
    books = [IncidentBook(centre.pool) for _ in range(3)]
    made = await asyncio.gather(*(each.note(CLONE, now_ms=NOW_MS) for each in books))
    made += await asyncio.gather(*(each.note(CLONE, now_ms=NOW_MS + 1) for each in books))
    assert sum(made) == 1


async def test_old_incidents_are_forgotten_with_their_mails(
    centre: JoinedCentre, book: IncidentBook
) -> None:
    await book.note(CLONE, now_ms=NOW_MS)
    await book.note(NOTHING, now_ms=NOW_MS + QUIET_MS)
    for later in range(1, 3):
        await book.note(NOTHING, now_ms=NOW_MS + QUIET_MS + KEEP_MS + later)
    assert await incidents(centre) == ()
    assert await centre.pool.fetchval("select count(*) from alert_mail") == 0


# Mails


async def test_mails_of_an_incident_arrive_in_order_as_one_thread(
    centre: JoinedCentre, book: IncidentBook, letters: Letters
) -> None:
    await book.note(CLONE, now_ms=NOW_MS)
    assert await deliver(centre.pool, settings_of(letters), now_ms=NOW_MS) == 1
    assert await deliver(centre.pool, settings_of(letters), now_ms=NOW_MS) == 0
    await book.note(CLONE, now_ms=NOW_MS + 240 * MINUTE_MS)
    await book.note(NOTHING, now_ms=NOW_MS + 250 * MINUTE_MS)
    for _ in range(2):  # one of an incident at a time
        await deliver(centre.pool, settings_of(letters), now_ms=NOW_MS + 250 * MINUTE_MS)
    said = "tills whose past was seen twice: 1"
    assert letters.subjects == [
        f"Tillside: {said}", f"Tillside: still: {said}", f"Tillside: over: {said}",
    ]  # fmt: skip
    first, *others = letters.taken
    assert {other["In-Reply-To"] for other in others} == {first["Message-ID"]}
    assert first["Auto-Submitted"] == "auto-generated"
    assert letters.recipients[0] == ["duty@example.org", "night@example.org"]
    assert "docs/rights.md" in first.get_content()
    assert "Until: 2025-03-05 16:10 UTC" in others[1].get_content()
    (incident,) = await incidents(centre)
    assert (incident.sent, incident.waiting) == (3, 0)


async def test_a_mail_that_is_not_taken_is_tried_again_ever_later(
    centre: JoinedCentre, book: IncidentBook, letters: Letters
) -> None:
    await book.note(CLONE, now_ms=NOW_MS)
    await book.note(NOTHING, now_ms=NOW_MS + QUIET_MS)
    letters.refusal = "451 busy, come again"
    at_ms = NOW_MS + QUIET_MS
    tried = []
    for second in range(0, 1_000, 5):
        if await centre.pool.fetchval(
            "select count(*) from alert_mail where next_try_ms <= $1 and occasion = 'began'",
            at_ms + second * 1000,
        ):
            tried.append(second)
        await deliver(centre.pool, settings_of(letters), now_ms=at_ms + second * 1000)
    assert tried == [0, 30, 90, 210, 450, 930]
    (incident,) = await incidents(centre)
    assert incident.failure == "the mail server answers 451: busy, come again"
    letters.refusal = ""
    for hour in (1, 2):
        await deliver(centre.pool, settings_of(letters), now_ms=at_ms + hour * 3_600_000)
    assert [subject.startswith("Tillside: over") for subject in letters.subjects] == [False, True]


async def test_a_mail_nobody_takes_for_days_is_given_up(
    centre: JoinedCentre, book: IncidentBook, letters: Letters
) -> None:
    await book.note(CLONE, now_ms=NOW_MS)
    letters.refusal = "550 no such user"
    await deliver(centre.pool, settings_of(letters), now_ms=NOW_MS + GIVE_UP_MS)
    (incident,) = await incidents(centre)
    assert (incident.waiting, incident.given_up) == (0, 1)
    letters.refusal = ""
    assert await deliver(centre.pool, settings_of(letters), now_ms=NOW_MS + 2 * GIVE_UP_MS) == 0


async def test_a_mail_sent_twice_has_one_name(letters: Letters) -> None:
    letter = Letter(name="once", subject="Тиллсайд", body="Всё хорошо.\n", at_ms=NOW_MS)
    for _ in range(2):
        await send(settings_of(letters), letter)
    one, other = letters.taken
    assert one["Message-ID"] == other["Message-ID"] == "<once@example.org>"
    assert one["Subject"] == "Тиллсайд"
    assert one.get_content().strip() == "Всё хорошо."


@pytest.mark.parametrize("starttls", [False, True])
async def test_mails_travel_under_tls_with_an_account(tmp_path: Path, *, starttls: bool) -> None:
    file = certificate_file(tmp_path)
    scheme = "smtp+starttls" if starttls else "smtps"
    with mail_server(certificate=file, starttls=starttls, needs_login=starttls) as letters:
        settings = MailSettings(
            server=f"{scheme}://localhost:{letters.port}",
            sender="tillside@example.org",
            recipients=("duty@example.org",),
            user=USER if starttls else "",
            password=PASSWORD,
            authorities_file=str(file),
        )
        await send(settings, Letter(name="n", subject="s", body="b", at_ms=NOW_MS))
        assert letters.subjects == ["s"]


async def test_a_stranger_in_the_servers_place_gets_neither_mail_nor_password(
    tmp_path: Path,
) -> None:
    with mail_server(certificate=certificate_file(tmp_path), starttls=True) as letters:
        settings = MailSettings(
            server=f"smtp+starttls://localhost:{letters.port}",
            sender="tillside@example.org",
            recipients=("duty@example.org",),
            user=USER,
            password=PASSWORD,
        )
        with pytest.raises(MailError, match="certificate"):
            await send(settings, Letter(name="n", subject="s", body="b", at_ms=NOW_MS))
        assert letters.taken == []


async def test_a_server_that_is_not_there_is_named_without_the_password() -> None:
    settings = MailSettings(
        server="smtp://127.0.0.1:9",
        sender="tillside@example.org",
        recipients=("duty@example.org",),
        user=USER,
        password=PASSWORD,
    )
    with pytest.raises(MailError) as caught:
        await send(settings, Letter(name="n", subject="s", body="b", at_ms=NOW_MS))
    assert PASSWORD not in str(caught.value)


# The watch


def watch_over(centre: JoinedCentre, letters: Letters, reader: FigureReader) -> Watch:
    book = IncidentBook(centre.pool)
    return Watch(centre.pool, reader, book, settings_of(letters), centre.system)


async def test_a_silent_store_is_told_and_its_return_too(
    centre: JoinedCentre, letters: Letters
) -> None:
    till = await centre.till()
    watch = watch_over(centre, letters, FigureReader(centre.pool, centre.system))
    assert await watch.look() == 0
    for _ in range(8):
        centre.system.at_ms += 5 * MINUTE_MS
        await watch.look()
    assert letters.subjects == ["Tillside: no till of store store-1 is heard, 40 min"]
    await till.hello()
    for _ in range(3):
        centre.system.at_ms += MINUTE_MS
        await watch.look()
    assert len(letters.subjects) == 2
    assert letters.subjects[1].startswith("Tillside: over: no till of store store-1")
    answer = await centre.http.get("/v1/incidents", headers=OFFICE)
    (incident,) = answer.json()
    assert (incident["kind"], incident["sent"]) == ("store_silent", 2)
    assert (await centre.http.get("/v1/incidents")).status_code == 401


async def test_a_database_that_does_not_answer_is_told_from_memory(
    centre: JoinedCentre, letters: Letters, database: str
) -> None:
    gone = await open_pool(database, connections_max=1)
    reader = FigureReader(gone, centre.system)
    watch = watch_over(centre, letters, reader)
    await watch.look()
    await gone.close()
    letters.refusal = "451 not now"
    for _ in range(4):
        centre.system.at_ms += MINUTE_MS
        await watch.look()
    assert letters.taken == []
    letters.refusal = ""
    centre.system.at_ms += MINUTE_MS
    assert await watch.look() == 1
    reader.pool = centre.pool
    centre.system.at_ms += MINUTE_MS
    assert await watch.look() == 1
    assert letters.subjects == [
        "Tillside: the database does not answer", "Tillside: over: the database does not answer",
    ]  # fmt: skip
    assert letters.taken[1]["In-Reply-To"] == letters.taken[0]["Message-ID"]


async def test_incidents_are_kept_where_no_mail_server_is(
    centre: JoinedCentre, letters: Letters
) -> None:
    reader = FigureReader(centre.pool, centre.system)
    watch = Watch(centre.pool, reader, IncidentBook(centre.pool, tells=False), None, centre.system)
    till = await centre.till()
    till.rules.bundle_hash = "ab" * 32
    await centre.post(till, till.sale("s1"))
    centre.broken_checks = {"equal"}
    for _ in range(3):
        assert await watch.look() == 0
        centre.system.at_ms += MINUTE_MS
    (incident,) = (await centre.http.get("/v1/incidents", headers=OFFICE)).json()
    assert (incident["kind"], incident["waiting"]) == ("receipt_unequal", 0)
    # Nobody is told of what began long ago when a server is set; that it goes on or ends, he is.
    told = Watch(
        centre.pool, reader, IncidentBook(centre.pool), settings_of(letters),
        centre.system,
    )  # fmt: skip
    assert await told.look() == 0
    centre.system.at_ms += 60 * MINUTE_MS
    assert await told.look() == 1
    assert letters.subjects == ["Tillside: over: receipts the centre calculates otherwise: 1"]


async def test_a_database_that_does_not_answer_is_no_matter_where_nobody_is_told(
    centre: JoinedCentre, database: str
) -> None:
    gone = await open_pool(database, connections_max=1)
    reader = FigureReader(gone, centre.system)
    watch = Watch(centre.pool, reader, IncidentBook(centre.pool, tells=False), None, centre.system)
    await gone.close()
    for _ in range(4):
        assert await watch.look() == 0
        centre.system.at_ms += MINUTE_MS
    assert await incidents(centre) == ()


# Settings and commands


@pytest.mark.parametrize(
    "wrong",
    [
        {"MAIL_SERVER": "mail.example"},
        {"MAIL_SERVER": "http://mail.example"},
        {"MAIL_SERVER": "smtp://mail.example:port"},
        {"MAIL_TO": ""},
        {"MAIL_TO": "nobody"},
        {"MAIL_TO": "a@b, c@d\nBcc: e@f"},
        {"MAIL_FROM": ""},
        {"MAIL_PASSWORD_FILE": "/nowhere/password"},
    ],
)
def test_settings_that_cannot_work_are_named(wrong: dict[str, str], tmp_path: Path) -> None:
    right = {"MAIL_SERVER": "smtp://m", "MAIL_FROM": "a@b", "MAIL_TO": "c@d, e@f"}
    environment = {f"TILLSIDE_CENTRAL_{name}": value for name, value in {**right, **wrong}.items()}
    with pytest.raises(ConfigurationError):
        make_config({"data": str(tmp_path)}, environment).mail()


def test_without_a_server_there_are_no_mails(tmp_path: Path) -> None:
    assert make_config({"data": str(tmp_path)}, {}).mail() is None


def test_a_password_comes_out_of_its_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n", encoding="utf-8")
    environment = {
        "TILLSIDE_CENTRAL_MAIL_SERVER": "smtp://m",
        "TILLSIDE_CENTRAL_MAIL_FROM": "a@b",
        "TILLSIDE_CENTRAL_MAIL_TO": "c@d",
        "TILLSIDE_CENTRAL_MAIL_PASSWORD_FILE": str(file),
    }
    settings = make_config({"data": str(tmp_path)}, environment).mail()
    assert settings is not None
    assert settings.password == PASSWORD


def test_a_test_mail_arrives_and_incidents_are_listed(
    database: str, tmp_path: Path, letters: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ["--data", str(tmp_path), "--database", database]
    assert central("alerts", "test-mail", *given).code == 78
    for name, value in {
        "SERVER": f"smtp://127.0.0.1:{letters.port}", "FROM": "a@example.org",
        "TO": "duty@example.org",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"TILLSIDE_CENTRAL_MAIL_{name}", value)
    told = central("alerts", "test-mail", *given)
    assert (told.code, letters.subjects) == (0, ["Tillside: a test"])
    letters.refusal = "550 go away"
    refused = central("alerts", "test-mail", *given)
    assert (refused.code, "550: go away" in refused.complained) == (1, True)
    assert "nothing is wrong" in central("alerts", "list", *given).said
    asyncio.run(_note(database))
    listed = central("alerts", "list", *given).said
    assert "tills whose past was seen twice: 1; 0 mails sent, 1 wait (not tried yet)" in listed
    assert '"clone_suspected"' in central("alerts", "list", "--json", *given).said


async def _note(database: str) -> None:
    pool = await open_pool(database, connections_max=2)
    try:
        async with joined_centre(pool) as centre:
            await IncidentBook(centre.pool).note(CLONE, now_ms=NOW_MS)
    finally:
        await pool.close()
