"""Who may speak as a till: a known key over these very bytes, in the live session."""

import httpx
import pytest

from sync.codec import CONTENT_TYPE, decode, encode
from sync.cycle import PATH_AUTHORISE, PATH_HELLO, PATH_PULL, PATH_PUSH
from sync.errors import RefusedError
from sync.messages import (
    AuthoriseAnswer,
    AuthoriseRequest,
    HelloAnswer,
    Message,
    Problem,
    PullAnswer,
    PushAnswer,
    SnapshotAnswer,
    SnapshotRequest,
)
from sync.short_header import HEADER_SHORT, ShortHeader, read_signature, write_short
from sync.signing import (
    HEADER_NONCE,
    HEADER_SESSION,
    HEADER_SIGNATURE,
    HEADER_TILL,
    NO_SESSION,
    SigningKey,
    answer_content,
    check,
    request_content,
)
from tests.support.centre import KEYS, JoinedCentre, Totals
from tests.support.till_probe import TillProbe, read_answer


def with_header(request: httpx.Request, name: str, value: str | None) -> httpx.Request:
    headers = httpx.Headers(request.headers)
    del headers[name]
    if value is not None:
        headers[name] = value
    return httpx.Request(request.method, request.url, headers=headers, content=request.content)


async def refusal(till: TillProbe, request: httpx.Request) -> tuple[int, str]:
    response = await till.http.send(request)
    assert response.headers["content-type"] == CONTENT_TYPE
    with pytest.raises(RefusedError) as caught:
        read_answer(response, HelloAnswer)
    return response.status_code, caught.value.code


def hello_request(till: TillProbe) -> httpx.Request:
    return till.request(PATH_HELLO, till.hello_message(), session=NO_SESSION)


async def test_an_unknown_till_is_not_authenticated(centre: JoinedCentre) -> None:
    till = await centre.till()
    for unknown in ("4711", "0", "-1", str(2**70)):
        request = with_header(hello_request(till), HEADER_TILL, unknown)
        assert await refusal(till, request) == (401, "not_authenticated")


async def test_the_key_of_another_till_does_not_fit(centre: JoinedCentre) -> None:
    till, other = await centre.till(), await centre.till()
    till.key = other.key
    assert await refusal(till, hello_request(till)) == (401, "signature_wrong")


async def test_a_tampered_body_is_refused_and_nothing_of_it_is_kept(centre: JoinedCentre) -> None:
    till = await centre.till()
    request = till.request(PATH_PUSH, till.push_message())
    tampered = httpx.Request(
        "POST", request.url, headers=request.headers, content=request.content[:-1] + b"!"
    )
    assert await refusal(till, tampered) == (401, "signature_wrong")
    assert await centre.pool.fetchval("select count(*) from inbox") == 0


@pytest.mark.parametrize("path", [PATH_PULL, PATH_AUTHORISE])
async def test_a_signature_is_good_for_its_own_path_alone(centre: JoinedCentre, path: str) -> None:
    till = await centre.till()
    request = till.request(PATH_PUSH, till.push_message())
    moved = httpx.Request(
        "POST", f"http://centre{path}", headers=request.headers, content=request.content
    )
    assert await refusal(till, moved) == (401, "signature_wrong")


@pytest.mark.parametrize("name", [HEADER_TILL, HEADER_SESSION, HEADER_NONCE, HEADER_SIGNATURE])
@pytest.mark.parametrize("value", [None, "not hexadecimal", "abcd"])
async def test_a_header_that_is_missing_or_damaged_is_named(
    centre: JoinedCentre, name: str, value: str | None
) -> None:
    till = await centre.till()
    request = with_header(hello_request(till), name, value)
    response = await till.http.send(request)
    assert response.status_code == 401
    problem = decode(Problem, response.content)
    assert problem.error == "not_authenticated"
    assert f"the header {name} " in problem.message


async def test_a_replayed_request_changes_nothing(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7, 300)
    till.append(till.sale("s1", account=7))
    push = till.request(PATH_PUSH, till.push_message())
    first = await till.send(push, PushAnswer)
    await centre.apply()
    wish = AuthoriseRequest(key="s2", account_id=7, points=100, incarnation=till.incarnation)
    authorise = till.request(PATH_AUTHORISE, wish)
    right = await till.send(authorise, AuthoriseAnswer)
    before = await centre.totals(7)
    assert await till.send(push, PushAnswer) == first
    assert await till.send(authorise, AuthoriseAnswer) == right
    await centre.apply()
    assert await centre.totals(7) == before == Totals(400, 100)
    assert await centre.pool.fetchval("select count(*) from inbox") == 2


async def test_the_session_ends_with_the_next_hello(centre: JoinedCentre) -> None:
    till = await centre.till()
    old = till.session
    await till.hello()
    assert till.session != old
    await till.push()
    for path, message in (
        (PATH_PUSH, till.push_message(1)),
        (PATH_PULL, till.pull_message()),
    ):
        for session in (old, NO_SESSION, b"s" * 16):
            request = till.request(path, message, session=session)
            assert await refusal(till, request) == (409, "session_unknown")


async def test_points_are_set_aside_in_a_verified_session_alone(centre: JoinedCentre) -> None:
    till = await centre.till(greet=False)
    await centre.customer(7, 300)
    with pytest.raises(RefusedError, match="session_unknown"):
        await till.authorise("s1", 7, 100)
    await till.hello()
    await till.push()
    till.forget_after(0)
    till.append(till.void("other"))  # another history under the same incarnation
    assert (await till.hello()).verdict == "amnesia"
    with pytest.raises(RefusedError, match="session_unknown"):
        await till.authorise("s1", 7, 100)
    assert await centre.totals(7) == Totals(300)


async def test_points_are_set_aside_for_the_incarnation_of_the_session_alone(
    centre: JoinedCentre,
) -> None:
    till = await centre.till()
    await centre.customer(7, 300)
    wish = AuthoriseRequest(key="s1", account_id=7, points=100, incarnation=b"elsewhen")
    with pytest.raises(RefusedError, match="session_unknown"):
        await till.ask(PATH_AUTHORISE, wish, AuthoriseAnswer)
    assert await centre.totals(7) == Totals(300)


async def test_a_revoked_till_is_told_at_hello_and_its_records_are_kept_for_review(
    centre: JoinedCentre,
) -> None:
    await centre.fund(1_000)
    till = await centre.till(is_vault=True)
    await centre.customer(7, 300, home="store-1")
    await centre.pool.execute("update till set revoked = true")
    answer = await till.hello()
    assert answer.verdict == "revoked"
    assert await centre.post(till, till.sale("s1", account=7)) == [
        ("rejected_kept", "the till was revoked", 0)
    ]
    assert await centre.pool.fetchval("select count(*) from inbox where applied") == 2
    assert await centre.totals(7) == Totals(300)
    pulled = await till.send(till.request(PATH_PULL, till.pull_message()), PullAnswer)
    assert pulled.grants == ()
    with pytest.raises(RefusedError, match="session_unknown"):
        await till.authorise("s2", 7, 100)
    assert (await centre.risk_pool()).budgets == 500  # of the session before it was revoked


async def test_every_answer_is_signed_for_its_request(centre: JoinedCentre) -> None:
    till = await centre.till()
    other = SigningKey(b"o" * 32)
    assert KEYS.centre.public != other.public
    ask = SnapshotRequest(card=till.card("nobody"))
    assert await till.ask("/v1/till/snapshot", ask, SnapshotAnswer) == SnapshotAnswer()
    with pytest.raises(RefusedError, match="message_malformed"):  # a refusal is signed as well
        await till.ask("/v1/till/snapshot", Problem(error="", message=""), SnapshotAnswer)


async def test_a_body_that_unpacks_to_too_much_is_refused(centre: JoinedCentre) -> None:
    till = await centre.till()
    request = till.request(PATH_PULL, SnapshotRequest(card=bytes(5_000_000)))
    assert len(request.content) < 10_000
    with pytest.raises(RefusedError, match="unpacks to at most 4194304 bytes"):
        await till.send(request, PullAnswer)


# The short header


def short_request(
    till: TillProbe, path: str, message: Message, *, tag: bytes = b""
) -> httpx.Request:
    """Return a request as tills send it once HELLO has said that the centre reads short headers."""
    body, nonce = encode(message), b"n" * 12
    content = request_content(
        "POST", path, till_id=till.till_id, session=till.session, nonce=nonce, body=body
    )
    said = ShortHeader(
        till_id=till.till_id,
        nonce=nonce,
        tag=tag or till.session[:4],
        signature=till.key.sign(content),
    )
    headers = {HEADER_SHORT: write_short(said)}
    return till.http.build_request("POST", path, content=body, headers=headers)


async def told(till: TillProbe, request: httpx.Request) -> tuple[int, bytes]:
    """Send it; the answer is signed by the centre, shortly, and says nothing that is not needed."""
    response = await till.http.send(request)
    assert "content-type" not in response.headers
    assert HEADER_SIGNATURE not in response.headers
    signature = read_signature(response.headers[HEADER_SHORT])
    content = answer_content(b"n" * 12, response.status_code, response.content)
    check(till.identity.centre_key, signature, content)
    return response.status_code, response.content


async def test_a_short_header_is_as_good_as_four_long_ones(centre: JoinedCentre) -> None:
    till = await centre.till()
    assert (await till.hello()).short
    status, body = await told(till, short_request(till, PATH_PUSH, till.push_message()))
    assert status == 200
    assert decode(PushAnswer, body).last_seq == 1


async def test_another_session_another_key_or_another_body_is_refused_shortly(
    centre: JoinedCentre,
) -> None:
    till, other = await centre.till(), await centre.till()
    message = till.push_message()
    status, body = await told(till, short_request(till, PATH_PUSH, message, tag=b"else"))
    assert (status, decode(Problem, body).error) == (409, "session_unknown")
    tampered = short_request(till, PATH_PUSH, message)
    tampered = httpx.Request("POST", tampered.url, headers=tampered.headers, content=b"!")
    del tampered.headers["content-length"]
    status, body = await told(till, tampered)
    assert (status, decode(Problem, body).error) == (401, "signature_wrong")
    till.key = other.key
    status, body = await told(till, short_request(till, PATH_PUSH, message))
    assert (status, decode(Problem, body).error) == (401, "signature_wrong")
    assert await centre.pool.fetchval("select count(*) from inbox") == 0


async def test_a_beginning_that_fits_is_no_proof_of_a_session(centre: JoinedCentre) -> None:
    """What was signed in the session before is refused though its header names the live one."""
    till = await centre.till()
    before = till.session
    await till.hello()
    live, till.session = till.session, before
    status, body = await told(
        till, short_request(till, PATH_PUSH, till.push_message(), tag=live[:4])
    )
    assert (status, decode(Problem, body).error) == (401, "signature_wrong")


async def test_a_short_header_that_is_none_is_refused(centre: JoinedCentre) -> None:
    till = await centre.till()
    response = await till.http.post(PATH_PUSH, content=b"", headers={HEADER_SHORT: "none"})
    assert (response.status_code, decode(Problem, response.content).error) == (
        400,
        "message_malformed",
    )


async def test_hello_may_be_said_shortly_too_and_in_no_session(centre: JoinedCentre) -> None:
    till = await centre.till()
    before, till.session = till.session, NO_SESSION
    status, body = await told(till, short_request(till, PATH_HELLO, till.hello_message()))
    assert status == 200
    assert decode(HelloAnswer, body).session not in (before, NO_SESSION)
    status, body = await told(till, short_request(till, PATH_PUSH, till.push_message()))
    assert (status, decode(Problem, body).error) == (409, "session_unknown")
