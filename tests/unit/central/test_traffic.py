"""Traffic classes: a storm in a lower one has to come again, tills come in whatever happens."""

import asyncio
from collections import Counter
from collections.abc import MutableMapping
from dataclasses import replace
from typing import Any

import pytest

from central.api.traffic import (
    APP,
    PROVEN,
    Bounds,
    Receive,
    Send,
    TrafficControl,
    address_of,
    kind_of,
)
from central.system import System

NARROW = Bounds(per_s_max=1e9, running_max=1, waiting_max=1, wait_s_max=5.0, late_ms_max=1e9)
SHUT = Bounds(per_s_max=1e9, running_max=1, waiting_max=0, wait_s_max=5.0, late_ms_max=1e9)


class Answering:
    """Answers 200, apps and people when they are let."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()

    async def __call__(self, scope: MutableMapping[str, Any], _: Receive, send: Send) -> None:
        if kind_of(scope["path"]) != "till":
            await self.gate.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def call(
    control: TrafficControl, path: str, came_from: str = "10.0.0.1"
) -> tuple[int, dict[bytes, bytes]]:
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "path": path, "client": (came_from, 40_000)}
    await control(scope, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"])


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v1/till/push", "till"), ("/v1/enrol", "open"), ("/v1/bundles/ab", "open"),
        ("/v1/health", "open"), ("/v1/ready", "open"),
        ("/v1/app/courier", "app"), ("/v1/partner/accruals/x", "app"),
        ("/v1/oauth/token", "sign_in"), ("/v1/oauth/revoke", "sign_in"),
        ("/v1/exposure", "office"), ("/", "office"), ("/v2/unheard-of", "office"),
    ],
)  # fmt: skip
def test_every_path_has_a_class(path: str, kind: str) -> None:
    assert kind_of(path) == kind


@pytest.mark.parametrize("path", ["/v1/app/courier", "/v1/exposure"])
async def test_beyond_its_bounds_a_class_is_told_to_come_again_and_tills_come_in(path: str) -> None:
    app = Answering()
    control = TrafficControl(app, app_bounds=NARROW, office=NARROW)
    running, waiting = (asyncio.create_task(call(control, path)) for _ in range(2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    status, headers = await call(control, path)
    assert (status, headers[b"retry-after"]) == (503, b"1")
    assert (await call(control, "/v1/till/push"))[0] == 200
    app.gate.set()
    assert [status for status, _ in await asyncio.gather(running, waiting)] == [200, 200]
    assert sum(control.refused().values()) == 1
    assert (await call(control, path))[0] == 200


async def test_whoever_waits_too_long_is_told_to_come_again() -> None:
    impatient = Bounds(per_s_max=1e9, running_max=1, waiting_max=5, wait_s_max=0.0, late_ms_max=1e9)
    app = Answering()
    control = TrafficControl(app, app_bounds=impatient)
    running = asyncio.create_task(call(control, "/v1/app/courier"))
    await asyncio.sleep(0)
    assert (await call(control, "/v1/app/courier"))[0] == 503
    app.gate.set()
    assert (await running)[0] == 200


async def test_while_this_process_is_late_lower_classes_wait_and_tills_come_in() -> None:
    app = Answering()
    app.gate.set()
    control = TrafficControl(app, app_bounds=replace(APP, wait_s_max=60.0))
    assert (await call(control, "/v1/app/courier"))[0] == 200
    control.burden.late_ms = 50.0
    app_call = asyncio.create_task(call(control, "/v1/app/courier"))
    await asyncio.sleep(0)
    assert (await call(control, "/v1/till/push"))[0] == 200
    assert (await call(control, "/v1/exposure"))[0] == 200
    assert not app_call.done()
    assert (await app_call)[0] == 200  # once it is late no more
    assert control.burden.late_ms < 50.0


async def test_a_class_is_let_in_at_its_rate() -> None:
    app = Answering()
    app.gate.set()
    slow = Bounds(per_s_max=100.0, running_max=50, waiting_max=50, wait_s_max=5.0, late_ms_max=1e9)
    control = TrafficControl(app, app_bounds=slow)
    began_s = asyncio.get_running_loop().time()
    answers = await asyncio.gather(*(call(control, "/v1/app/courier") for _ in range(30)))
    assert {status for status, _ in answers} == {200}
    # Ten at once, the others one after the other.
    assert asyncio.get_running_loop().time() - began_s > 0.15


async def test_the_busier_the_process_the_fewer_of_a_lower_class_come_in() -> None:
    class Working(System):
        """Works half of the time."""

        def worked_us(self) -> int:
            return int(asyncio.get_running_loop().time() * 500_000)

    app = Answering()
    app.gate.set()
    stands_back = Bounds(
        per_s_max=1e9, running_max=50, waiting_max=500, wait_s_max=0.3, late_ms_max=1e9,
        busy_max=0.4, per_s_min=100.0,
    )  # fmt: skip
    control = TrafficControl(app, app_bounds=stands_back, system=Working())
    idle = await asyncio.gather(*(call(control, "/v1/app/courier") for _ in range(100)))
    assert {status for status, _ in idle} == {200}
    async with asyncio.timeout(20):
        while control.burden.busy <= 0.45:  # noqa: ASYNC110 - it beats
            await asyncio.sleep(0.02)
    assert control.burden.busy < 0.6
    told = await asyncio.gather(*(call(control, "/v1/app/courier") for _ in range(100)))
    busy = Counter(status for status, _ in told)
    # Ten at once, a hundred a second for 0.3 s, of which a process that stands still has less; the
    # others are told to come again.
    assert 5 < busy[200] < 60
    assert busy[503] == 100 - busy[200]
    assert (await call(control, "/v1/till/push"))[0] == 200


async def test_those_that_were_refused_at_one_moment_do_not_come_again_at_one_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    control = TrafficControl(Answering(), app_bounds=SHUT)
    held_s: list[float] = []

    async def hold(delay_s: float) -> None:
        held_s.append(delay_s)

    monkeypatch.setattr(asyncio, "sleep", hold)
    for _ in range(50):
        assert (await call(control, "/v1/app/courier"))[0] == 503
    tenths = Counter(int(each * 10) for each in held_s)
    assert (len(held_s), min(held_s) >= 1.0) == (50, True)
    assert len(tenths) >= 5
    assert max(tenths.values()) <= 20


# Wrong secrets

TOKEN = "/v1/oauth/token"
WIDE = Bounds(per_s_max=1e9, running_max=9, waiting_max=999, wait_s_max=5.0, late_ms_max=1e9)
PROGRAM, FLOOD = "10.0.0.2", "10.0.0.9"


class Asking:
    """Answers 401 to who has no secret."""

    async def __call__(self, scope: MutableMapping[str, Any], _: Receive, send: Send) -> None:
        if scope["client"][0] == PROGRAM:
            scope[PROVEN] = True
        status = 200 if PROVEN in scope or scope["path"] != TOKEN else 401
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def statuses(control: TrafficControl, came_from: str, times: int) -> Counter[int]:
    answers = await asyncio.gather(*(call(control, TOKEN, came_from) for _ in range(times)))
    return Counter(status for status, _ in answers)


async def test_who_proves_nothing_again_and_again_gets_a_narrow_door_and_others_sign_in() -> None:
    control = TrafficControl(Asking(), sign_in=WIDE, strangers=SHUT)
    found = await statuses(control, FLOOD, 100)
    assert found.keys() == {401, 503}
    assert 20 <= found[401] < 50  # a few more come in while it asks
    assert await statuses(control, PROGRAM, 100) == {200: 100}
    assert await statuses(control, "10.0.0.3", 1) == {401: 1}
    assert control.refused() == {"app": 0, "sign_in": found[503], "office": 0}


async def test_a_flood_at_the_door_to_sign_in_moves_no_app_and_no_till() -> None:
    control = TrafficControl(Asking(), sign_in=SHUT, app_bounds=NARROW)
    assert await statuses(control, FLOOD, 50) == {503: 50}
    assert (await call(control, "/v1/app/account", FLOOD))[0] == 200
    assert (await call(control, "/v1/till/push", FLOOD))[0] == 200


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("10.0.0.1", "10.0.0.2", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("", "testclient", False),
    ],
)
def test_an_address_is_who_has_it(one: str, other: str, *, same: bool) -> None:
    found = [address_of({"client": (text, 1)}) for text in (one, other)]
    assert (found[0] == found[1]) == same
    assert address_of({"client": None}) == address_of({})
