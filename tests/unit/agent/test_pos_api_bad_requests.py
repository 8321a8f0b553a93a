"""Bad requests to the register's API: named, answered at once, and nothing of them stays."""

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from loyalty.basket import BasketLine
from loyalty.limits import BASKET_LINES_MAX
from tests.support.builders import A_WEDNESDAY
from tests.support.till import OTHER_RECEIPT, RECEIPT, RETURN, TOKEN
from tests.unit.agent.register import MILK, PAID, SALE, UPDATE, Body, Register, register_of

pytestmark = pytest.mark.asyncio(loop_scope="module")
NOWHERE = "http://127.0.0.1:9"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def register(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Register]:
    """A register beside one agent, which all these requests leave as it was."""
    async with register_of(tmp_path_factory.mktemp("bad") / "till", NOWHERE) as register:
        yield register


@pytest.mark.parametrize("token", ["", "wrong", TOKEN + " ", TOKEN[:-1], TOKEN.upper(), "é" * 9])
async def test_without_its_token_no_program_gets_in(register: Register, token: str) -> None:
    if token.strip() == TOKEN:
        assert (await register.update(SALE))[0] == 200
        return
    for method, path in (
        ("PUT", UPDATE),
        ("POST", f"{UPDATE}/complete"),
        ("GET", "/v1/health"),
        ("GET", "/nothing"),
    ):
        response = await register.http.request(
            method, path, headers={b"Authorization": f"Bearer {token}".strip().encode()}, json=PAID
        )
        assert response.status_code == 401
        assert response.json()["error"] == "token_wrong"
        assert TOKEN not in response.text
    assert (await register.call("GET", "/v1/health"))[1]["receipts"] == {}


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"milk", b"\xff\xfe", b'{"version": 1,}', b"[" * 100_000, b"\x00", b'"\\ud800"'],
)
async def test_what_is_not_json_is_named(register: Register, content: bytes) -> None:
    status, answer = await register.call("PUT", UPDATE, content=content)
    assert status in (400, 422)
    assert answer["error"] in ("not_json", "request_invalid")


WRONG: list[tuple[object, str]] = [
    ([], "object"),
    ({}, "version"),
    ({**SALE, "version": 0}, "version"),
    ({**SALE, "version": 1.5}, "version"),
    ({**SALE, "version": "1"}, "version"),
    ({**SALE, "version": 10**30}, "version"),
    ({**SALE, "moment": "yesterday"}, "yesterday"),
    ({**SALE, "moment": "2025-02-30T12:00:00"}, "2025-02-30"),
    ({**SALE, "moment": "2025-03-05T12:00:00+01:00"}, "local time"),
    ({**SALE, "moment": "9999-12-31T23:59:59"}, "year"),
    ({**SALE, "lines": None}, "lines"),
    ({**SALE, "lines": [None]}, "lines[0]"),
    ({**SALE, "lines": [{**MILK, "quantity": -1_000}]}, "quantity"),
    ({**SALE, "lines": [{**MILK, "quantity": 0}]}, "quantity"),
    ({**SALE, "lines": [{**MILK, "quantity": 1_500}]}, "pieces"),
    ({**SALE, "lines": [{**MILK, "quantity": 10**20}]}, "quantity"),
    ({**SALE, "lines": [{**MILK, "quantity": "1000"}]}, "quantity"),
    ({**SALE, "lines": [{**MILK, "gross_minor": -1}]}, "gross_minor"),
    ({**SALE, "lines": [{**MILK, "gross_minor": 9.99}]}, "gross_minor"),
    ({**SALE, "lines": [{**MILK, "gross_minor": 10**13}]}, "gross_minor"),
    ({**SALE, "lines": [{**MILK, "sku": ""}]}, "sku"),
    ({**SALE, "lines": [{**MILK, "sku": "x" * 201}]}, "sku"),
    ({**SALE, "lines": [{**MILK, "line_id": None}]}, "line_id"),
    ({**SALE, "lines": [{**MILK, "attributes": {"a": 1}}]}, "attributes"),
    ({**SALE, "lines": [MILK, {**MILK, "sku": "bread"}]}, "line_id"),
    ({**SALE, "codes": ["x"] * 101}, "codes"),
    ({**SALE, "card": "x" * 1_201}, "card"),
    ({**SALE, "cart": "typing error"}, "cart"),
    ({**SALE, "training": "yes"}, "training"),
]


@pytest.mark.parametrize(("body", "named"), WRONG)
async def test_a_wrong_field_is_422_and_named(register: Register, body: object, named: str) -> None:
    status, answer = await register.update(body)
    assert status == 422
    assert answer["error"] in ("request_invalid", "basket_invalid")
    assert named in answer["message"]
    assert (await register.update(SALE))[0] == 200


@pytest.mark.parametrize(
    ("call", "body"),
    [
        ("complete", SALE),
        ("complete", {**PAID, "paid_minor": -1}),
        ("complete", {**PAID, "paid_minor": 10**15}),
        ("reserve", SALE),
        ("reserve", {**SALE, "redeem": {"points": -1}}),
        ("reserve", {**SALE, "redeem": {"points": 10**13}}),
        ("reserve", {**SALE, "redeem": 5}),
    ],
)
async def test_a_call_without_what_it_needs_is_422(
    register: Register, call: str, body: Body
) -> None:
    status, answer = await register.call("POST", f"{UPDATE}/{call}", body)
    assert (status, answer["error"]) == (422, "request_invalid")


async def test_too_many_lines_are_refused(register: Register) -> None:
    lines = [{**MILK, "line_id": str(number)} for number in range(BASKET_LINES_MAX)]
    most = await register.update({**SALE, "lines": lines}, f"/v1/receipts/{OTHER_RECEIPT}")
    assert most[0] == 200
    assert len(most[1]["calculation"]["lines"]) == BASKET_LINES_MAX
    many = [*lines, *({**MILK, "line_id": f"more {number}"} for number in range(8_000))]
    status, answer = await register.update({**SALE, "version": 2, "lines": many})
    assert (status, answer["error"]) == (422, "request_invalid")


async def test_a_huge_body_is_refused_unread(register: Register) -> None:
    status, answer = await register.call("PUT", UPDATE, content=b" " * (4 * 1024 * 1024 + 1))
    assert (status, answer["error"]) == (413, "body_too_large")
    assert (await register.update(SALE))[0] == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/v2/health"),
        ("PUT", "/v1/receipts/"),
        ("PUT", "/v1/receipts/17"),
        ("PUT", f"/v1/receipts/{RECEIPT.upper()}"),
        ("PUT", f"/v1/receipts/{RECEIPT}x"),
        ("PUT", f"/v1/receipts/{RECEIPT}%0a"),
        ("POST", f"/v1/receipts/{RECEIPT}/complete/"),
        ("POST", f"/v1/receipts/{RECEIPT}/../{RECEIPT}/complete/x"),
        ("GET", UPDATE),
        ("DELETE", UPDATE),
        ("POST", UPDATE),
        ("PUT", f"{UPDATE}/complete"),
        ("POST", "/v1/health"),
    ],
)
async def test_what_is_no_call_is_404_and_told_where_the_calls_are(
    register: Register, method: str, path: str
) -> None:
    response = await register.http.request(
        method, path, json=PAID, headers={"Authorization": f"Bearer {TOKEN}"}
    )
    assert (response.status_code, response.json()["error"]) == (404, "no_such_call")
    assert "/v1/openapi.json" in response.json()["message"]


@pytest.mark.parametrize("method", ["PATCH", "OPTIONS", "BREW"])
async def test_a_method_nobody_serves_is_405(register: Register, method: str) -> None:
    response = await register.http.request(method, UPDATE)
    assert (response.status_code, response.json()["error"]) == (405, "method_not_allowed")
    assert "PUT" in response.headers["allow"]


async def test_deep_nesting_where_nobody_looks_is_no_failure_of_ours(register: Register) -> None:
    deep = b'{"version":1,"moment":"%b","lines":[{"line_id":"1","x":%b1%b}]}' % (
        A_WEDNESDAY.encode(),
        b"[" * 200_000,
        b"]" * 200_000,
    )
    status, answer = await register.call("PUT", UPDATE, content=deep)
    assert status in (400, 422)
    assert "internal" not in answer["error"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
names = st.sampled_from([*SALE, "card", "codes", "tender", "redeem", "paid_minor", "training"])
line_names = st.sampled_from(list(BasketLine.__dataclass_fields__))
almost_lines = st.builds(
    lambda changes: {**MILK, **changes}, st.dictionaries(line_names, json_values, max_size=2)
)
almost_sales = st.builds(
    lambda lines, changes: {**PAID, "lines": lines, "redeem": {"points": 1}, **changes},
    st.lists(almost_lines, max_size=3),
    st.dictionaries(names, json_values, max_size=3),
)


@settings(max_examples=150)
@given(body=almost_sales | json_values, call=st.sampled_from(["", "/reserve", "/complete"]))
async def test_no_body_whatever_makes_the_agent_fail(
    register: Register, body: object, call: str
) -> None:
    path = f"/v1/receipts/{RETURN}{call}"
    status, _ = await register.call(
        "POST" if call else "PUT", path, content=json.dumps(body).encode()
    )
    assert status in (200, 400, 409, 422)
