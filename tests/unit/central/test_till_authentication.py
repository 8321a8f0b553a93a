"""Who may speak as a till: a known key over these very bytes, in the live session."""

import httpx
import msgspec
import pytest

from central.bootstrap import join_centre
from central.rights.issuing import RightsSettings
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
from sync.session_key import KeyOffer, SessionKeys, check_mac, mac_of
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
    till: TillProbe, path: str, message: Message, *, tag: bytes = b"", key: bytes = b""
) -> httpx.Request:
    """Return a request as tills send it once HELLO has said that the centre reads short headers.

    Args:
        key: of the session: a MAC stands in place of the signature.
    """
    body, nonce = encode(message), b"n" * 12
    content = request_content(
        "POST", path, till_id=till.till_id, session=till.session, nonce=nonce, body=body
    )
    said = ShortHeader(
        till_id=till.till_id,
        nonce=nonce,
        tag=tag or till.session[:4],
        signature=mac_of(key, content) if key else till.key.sign(content),
    )
    headers = {HEADER_SHORT: write_short(said)}
    return till.http.build_request("POST", path, content=body, headers=headers)


async def told(till: TillProbe, request: httpx.Request, *, key: bytes = b"") -> tuple[int, bytes]:
    """Send it; the answer is signed by the centre, shortly, and says nothing that is not needed.

    Args:
        key: the answer carries a MAC under it in place of the centre's signature.
    """
    response = await till.http.send(request)
    assert "content-type" not in response.headers
    assert HEADER_SIGNATURE not in response.headers
    signature = read_signature(response.headers[HEADER_SHORT])
    content = answer_content(b"n" * 12, response.status_code, response.content)
    if key:
        check_mac(key, signature, content)
    else:
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


# The session's key


async def key_after_hello(till: TillProbe) -> bytes:
    """Say HELLO with an offer and take the session; returns its key."""
    till.session = NO_SESSION
    offer = KeyOffer(b"o" * 32)
    hello = msgspec.structs.replace(till.hello_message(), offer=offer.public)
    answer = await till.ask(PATH_HELLO, hello, HelloAnswer)
    till.session = answer.session
    return offer.open(answer.sealed, answer.session)


async def test_who_offers_gets_the_sessions_key_and_is_believed_and_answered_by_it(
    centre: JoinedCentre,
) -> None:
    till = await centre.till()
    key = await key_after_hello(till)
    request = short_request(till, PATH_PUSH, till.push_message(), key=key)
    status, body = await told(till, request, key=key)
    assert (status, decode(PushAnswer, body).last_seq) == (200, 1)
    # A refusal of what is believed, too.
    wrong = short_request(till, PATH_PUSH, Problem(error="", message=""), key=key)
    status, body = await told(till, wrong, key=key)
    assert (status, decode(Problem, body).error) == (400, "message_malformed")


async def test_a_till_that_offers_nothing_is_told_no_key_and_signs(centre: JoinedCentre) -> None:
    till = await centre.till()
    assert (await till.hello()).sealed == b""
    await key_after_hello(till)
    status, _ = await told(till, short_request(till, PATH_PUSH, till.push_message()))
    assert status == 200  # a signature is good in a session that has a key, too


async def test_every_session_has_another_key_and_none_outlives_its_session(
    centre: JoinedCentre,
) -> None:
    till, other = await centre.till(), await centre.till()
    old, message = await key_after_hello(till), till.push_message()
    old_tag = till.session[:4]
    keys = {old, await key_after_hello(till), await key_after_hello(other)}
    assert len(keys) == 3
    for key in (old, await key_after_hello(other)):
        status, body = await told(till, short_request(till, PATH_PUSH, message, key=key))
        assert (status, decode(Problem, body).error) == (401, "signature_wrong")
    again = short_request(till, PATH_PUSH, message, key=old, tag=old_tag)
    status, body = await told(till, again)
    assert (status, decode(Problem, body).error) == (409, "session_unknown")
    assert await centre.pool.fetchval("select count(*) from inbox") == 0


async def test_a_mac_is_good_for_its_own_body_and_path_alone(centre: JoinedCentre) -> None:
    till = await centre.till()
    key = await key_after_hello(till)
    request = short_request(till, PATH_PUSH, till.push_message(), key=key)
    for path, body in ((PATH_PULL, request.content), (PATH_PUSH, request.content[:-1] + b"!")):
        tampered = httpx.Request(
            "POST", f"http://centre{path}", headers=request.headers, content=body
        )
        status, told_body = await told(till, tampered)
        assert (status, decode(Problem, told_body).error) == (401, "signature_wrong")
    assert await centre.pool.fetchval("select count(*) from inbox") == 0


async def test_no_session_has_no_key(centre: JoinedCentre) -> None:
    """Whatever a till was before its first HELLO, it proves it with its own key."""
    till = await centre.till(greet=False)
    till.session = NO_SESSION
    key = SessionKeys(KEYS.centre.seed()).key_of(till.till_id, NO_SESSION)
    for path, message in ((PATH_HELLO, till.hello_message()), (PATH_PUSH, till.push_message())):
        status, body = await told(till, short_request(till, path, message, key=key))
        assert (status, decode(Problem, body).error) == (409, "session_unknown")


async def test_a_revoked_till_is_refused_with_its_key_as_with_its_signature(
    centre: JoinedCentre,
) -> None:
    till = await centre.till()
    key = await key_after_hello(till)
    await centre.pool.execute("update till set revoked = true")
    ask = SnapshotRequest(card=till.card("nobody"))
    request = short_request(till, "/v1/till/snapshot", ask, key=key)
    status, body = await told(till, request, key=key)
    assert (status, decode(Problem, body).error) == (410, "till_revoked")


async def test_an_offer_that_is_no_key_is_refused(centre: JoinedCentre) -> None:
    till = await centre.till()
    hello = msgspec.structs.replace(till.hello_message(), offer=bytes(32))
    request = till.request(PATH_HELLO, hello, session=NO_SESSION)
    assert await refusal(till, request) == (400, "message_malformed")


async def test_another_process_of_the_centre_knows_the_key_as_well(centre: JoinedCentre) -> None:
    till = await centre.till()
    key = await key_after_hello(till)
    another = join_centre(centre.pool, KEYS, centre.system, RightsSettings())
    transport = httpx.ASGITransport(app=another.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://centre") as till.http:
        request = short_request(till, PATH_PUSH, till.push_message(), key=key)
        assert (await told(till, request, key=key))[0] == 200


# What a push says beside its records


async def test_that_a_till_was_heard_of_is_noted_when_it_is_news_and_no_row_is_written_else(
    centre: JoinedCentre,
) -> None:
    async def noted() -> tuple[str, int, bool, int]:
        row = await centre.pool.fetchrow(
            "select xmin::text, last_seen_ms, session_verified, receipts_waiting from till"
        )
        assert row is not None
        return row["xmin"], row["last_seen_ms"], row["session_verified"], row["receipts_waiting"]

    async def push() -> None:
        till.append(till.void(f"v{till.acked}"))
        await till.push()

    till = await centre.till()
    await push()
    version, seen_ms, verified, _ = await noted()
    assert verified
    await push()
    assert await noted() == (version, seen_ms, True, 0)
    centre.system.at_ms += 31_000
    await push()
    assert (await noted())[1] == seen_ms + 31_000
    await centre.pool.execute("update till set receipts_waiting = 3")
    await push()
    assert (await noted())[3] == 0
