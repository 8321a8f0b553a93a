"""Programs and customers prove themselves: secrets, tokens, refreshing, and the end of each."""

import asyncio
import base64
import json
from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from central.access.clients import list_clients, revoke_client, rotate_secret
from central.access.tokens import ACCESS_S, Claims, make_token, read_token, token_key
from central.api.oauth_routes import PATH_REVOKE, PATH_TOKEN
from central.errors import AuthenticationError
from central.ledger.merging import merge_accounts
from sync.signing import SigningKey
from tests.support.centre import KEYS, NOW_MS, JoinedCentre
from tests.support.outside import FORM_HEADERS, Program, program

KEY = token_key(KEYS.centre)
CARD = "4000"
HOUR_MS = 3_600_000


async def app(centre: JoinedCentre, *scopes: str) -> Program:
    await centre.customer(7, 300, card=CARD)
    return await program(centre, "app", "app", *scopes)


async def status(centre: JoinedCentre, token: str) -> int:
    response = await centre.http.get(
        "/v1/app/account", headers={"authorization": f"Bearer {token}"}
    )
    return response.status_code


async def refreshed(program: Program, token: str) -> tuple[int, Mapping[str, str]]:
    response = await program.ask(grant_type="refresh_token", refresh_token=token)
    return response.status_code, response.json()


# Tokens


def claims(**changes: object) -> Claims:
    return msgspec.convert({"client_id": "app", "scopes": ["account:read"], **changes}, Claims)


def test_a_token_says_what_it_was_made_for() -> None:
    wish = claims(account_id=7, session_id="ab")
    token = make_token(wish, KEY, now_ms=NOW_MS, token_id="1")
    assert read_token(token, KEY.public, now_ms=NOW_MS + ACCESS_S * 1000 - 1) == wish
    header, body, _ = token.split(".")
    assert json.loads(base64.urlsafe_b64decode(header + "==")) == {"alg": "EdDSA", "typ": "at+jwt"}
    said = json.loads(base64.urlsafe_b64decode(body + "=="))
    assert (said["sub"], said["exp"] - said["iat"]) == ("account:7", 600)


def test_a_token_that_is_over_is_none() -> None:
    token = make_token(claims(), KEY, now_ms=NOW_MS, token_id="1")
    with pytest.raises(AuthenticationError, match="over"):
        read_token(token, KEY.public, now_ms=NOW_MS + ACCESS_S * 1000)


def test_another_key_and_another_algorithm_are_refused() -> None:
    token = make_token(claims(), SigningKey(b"x" * 32), now_ms=NOW_MS, token_id="1")
    with pytest.raises(AuthenticationError):
        read_token(token, KEY.public, now_ms=NOW_MS)
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"at+jwt"}').rstrip(b"=").decode()
    good = make_token(claims(), KEY, now_ms=NOW_MS, token_id="1")
    for forged in (f"{none}.{good.split('.')[1]}.", f"{none}.{good.split('.', 1)[1]}"):
        with pytest.raises(AuthenticationError):
            read_token(forged, KEY.public, now_ms=NOW_MS)


@given(st.data())
def test_no_changed_character_goes_unnoticed(data: st.DataObject) -> None:
    token = make_token(claims(account_id=7), KEY, now_ms=NOW_MS, token_id="1")
    # The last character of 64 bytes in base64 holds four bits that mean nothing.
    at = data.draw(st.integers(0, len(token) - 2))
    other = data.draw(st.characters(codec="latin-1").filter(lambda each: each != token[at]))
    with pytest.raises(AuthenticationError):
        read_token(token[:at] + other + token[at + 1 :], KEY.public, now_ms=NOW_MS)


@given(st.text(max_size=40))
def test_whatever_else_is_shown_is_refused_by_name(text: str) -> None:
    with pytest.raises(AuthenticationError):
        read_token(text, KEY.public, now_ms=NOW_MS)


# Programs


async def test_a_program_gets_a_token_by_either_way_of_proving_itself(
    centre: JoinedCentre,
) -> None:
    partner = await program(centre, "bakery", "partner")
    basic = await partner.ask(grant_type="client_credentials", scope="statement:read")
    fields = {"grant_type": "client_credentials", "client_id": "bakery"}
    form = "&".join(f"{k}={v}" for k, v in {**fields, "client_secret": partner.secret}.items())
    posted = await centre.http.post(PATH_TOKEN, content=form, headers=FORM_HEADERS)
    assert (basic.status_code, posted.status_code) == (200, 200)
    assert basic.json().keys() == {"access_token", "expires_in", "scope"} | {"token_type"}
    assert basic.json()["scope"] == "statement:read"
    assert posted.json()["scope"] == "points:accrue points:reverse statement:read"
    assert basic.headers["cache-control"] == "no-store"
    read = read_token(basic.json()["access_token"], KEY.public, now_ms=NOW_MS)
    assert read == claims(client_id="bakery", scopes=["statement:read"])


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, (400, "invalid_request")),
        ({"grant_type": "password"}, (400, "unsupported_grant_type")),
        ({"grant_type": "client_credentials", "scope": "account:read"}, (400, "invalid_scope")),
        ({"grant_type": "client_credentials", "scope": " "}, (400, "invalid_scope")),
        ({"grant_type": "client_credentials", "client_secret": "x"}, (400, "invalid_request")),
        ({"grant_type": "refresh_token"}, (400, "invalid_request")),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, (400, "invalid_grant")),
        ({"grant_type": "refresh_token", "refresh_token": "7.x.y"}, (400, "invalid_grant")),
    ],
)
async def test_refusals_of_the_token_end_point_are_those_of_rfc_6749(
    centre: JoinedCentre, fields: Mapping[str, str], expected: tuple[int, str]
) -> None:
    partner = await program(centre, "bakery", "partner")
    response = await partner.ask(**fields)
    assert (response.status_code, response.json()["error"]) == expected
    assert response.headers["content-type"] == "application/json"
    assert response.json()["error_description"]


async def test_a_secret_that_is_wrong_is_no_client(centre: JoinedCentre) -> None:
    await program(centre, "bakery", "partner")
    for client_id, secret in (("bakery", "x"), ("nobody", "x"), ("bakery", "")):
        response = await Program(centre, client_id, secret).ask(grant_type="client_credentials")
        assert (response.status_code, response.json()["error"]) == (401, "invalid_client")
        assert response.headers["www-authenticate"].startswith("Basic")


async def test_wrong_secrets_are_slowed_and_lock_nobody_out(centre: JoinedCentre) -> None:
    bakery, mill = [await program(centre, name, "partner") for name in ("bakery", "mill")]
    await bakery.token()
    wrong = Program(centre, "bakery", "x")
    found = [await wrong.ask(grant_type="client_credentials") for _ in range(7)]
    assert [response.status_code for response in found] == [401] * 4 + [429] * 3
    assert found[-1].headers["retry-after"] == "5"
    assert found[-1].json()["error"] == "too_many_requests"
    await bakery.token()  # was right before
    await mill.token()
    centre.system.at_ms += 5_000
    after = [(await wrong.ask(grant_type="client_credentials")).status_code for _ in range(2)]
    assert after == [401, 429]


async def test_a_secret_that_was_right_and_ended_is_slowed_as_others_are(
    centre: JoinedCentre,
) -> None:
    bakery = await program(centre, "bakery", "partner")
    await bakery.token()
    await centre.pool.execute("update api_client set disabled = true")
    tried = [(await bakery.ask(grant_type="client_credentials")).status_code for _ in range(7)]
    assert tried == [401] * 5 + [429] * 2


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (b'{"grant_type":"client_credentials"}', {"content-type": "application/json"}),
        (b"grant_type=a&grant_type=b", FORM_HEADERS),
        (b"x=%ff", FORM_HEADERS),
        (b"x=\xff", FORM_HEADERS),
        (b"&".join(b"%d=1" % n for n in range(30)), FORM_HEADERS),
        (b"x=" + b"y" * 20_000, FORM_HEADERS),
    ],
)
async def test_a_form_that_cannot_be_read_is_an_invalid_request(
    centre: JoinedCentre, content: bytes, headers: Mapping[str, str]
) -> None:
    response = await centre.http.post(PATH_TOKEN, content=content, headers=headers)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


async def test_while_a_secret_is_rotated_both_are_good(centre: JoinedCentre) -> None:
    old = await program(centre, "bakery", "partner")
    async with centre.pool.acquire() as connection:
        secret = await rotate_secret(
            connection, "bakery", "partner", keep_hours=2, by="root", system=centre.system
        )
        (row,) = await list_clients(connection, "partner", now_ms=centre.system.now_ms())
    assert row.secrets == 2
    await old.token()
    await Program(centre, "bakery", secret).token()
    centre.system.at_ms += 2 * HOUR_MS
    refused = await old.ask(grant_type="client_credentials")
    assert refused.status_code == 401
    await Program(centre, "bakery", secret).token()


async def test_a_secret_that_leaked_ends_at_once(centre: JoinedCentre) -> None:
    old = await program(centre, "bakery", "partner")
    async with centre.pool.acquire() as connection:
        secrets = [
            await rotate_secret(
                connection, "bakery", "partner", keep_hours=0, by="root", system=centre.system
            )
            for _ in range(2)
        ]
    assert (await old.ask(grant_type="client_credentials")).status_code == 401
    assert (await Program(centre, "bakery", secrets[0]).ask()).status_code == 401
    await Program(centre, "bakery", secrets[1]).token()


async def test_secrets_stand_nowhere_and_every_change_is_in_the_audit(
    centre: JoinedCentre,
) -> None:
    made = await program(centre, "bakery", "partner")
    async with centre.pool.acquire() as connection:
        await revoke_client(connection, "bakery", "partner", by="ann", system=centre.system)
    audit = await centre.pool.fetch(
        "select person, action, subject from audit where subject like 'client:%' order by audit_id"
    )
    assert [tuple(row) for row in audit] == [
        ("root", "partner.add", "client:bakery"), ("ann", "partner.revoke", "client:bakery"),
    ]  # fmt: skip
    kept = await centre.pool.fetchval("select string_agg(s::text, '') from api_secret s")
    assert made.secret not in kept
    assert made.secret.encode().hex() not in kept


# Customers


async def test_a_customer_is_signed_in_by_the_app_that_vouches_for_him(
    centre: JoinedCentre,
) -> None:
    given = await (await app(centre)).token(card=f" {CARD} ")
    assert (given["token_type"], str(given["expires_in"])) == ("Bearer", "600")
    assert await status(centre, given["access_token"]) == 200
    centre.system.at_ms += 600_000
    assert await status(centre, given["access_token"]) == 401


async def test_an_app_says_for_whom_and_of_whom_the_centre_knows(centre: JoinedCentre) -> None:
    made = await app(centre)
    nobody = await made.ask(grant_type="client_credentials")
    stranger = await made.ask(grant_type="client_credentials", card="4711")
    assert (nobody.json()["error"], stranger.json()["error"]) == (
        "invalid_request", "invalid_grant",
    )  # fmt: skip


async def test_a_token_reaches_as_far_as_its_scopes(centre: JoinedCentre) -> None:
    made = await app(centre)
    given = await made.token(card=CARD, scope="offers:activate")
    assert await status(centre, given["access_token"]) == 403
    partner = await program(centre, "bakery", "partner")
    assert await status(centre, (await partner.token())["access_token"]) == 403


async def test_a_refresh_token_gives_the_next_one_and_is_used_up(centre: JoinedCentre) -> None:
    made = await app(centre)
    first = (await made.token(card=CARD))["refresh_token"]
    code, given = await refreshed(made, first)
    assert code == 200
    assert given["refresh_token"] != first
    assert await status(centre, given["access_token"]) == 200
    centre.system.at_ms += 60_001
    code, refused = await refreshed(made, first)  # somebody else has it, too
    assert (code, refused["error"]) == (400, "invalid_grant")
    code, refused = await refreshed(made, given["refresh_token"])
    assert (code, refused["error"]) == (400, "invalid_grant")
    assert await status(centre, given["access_token"]) == 401


async def test_an_answer_that_was_lost_may_be_asked_for_again(centre: JoinedCentre) -> None:
    made = await app(centre)
    first = (await made.token(card=CARD))["refresh_token"]
    answers = await asyncio.gather(*(refreshed(made, first) for _ in range(3)))
    assert [code for code, _ in answers] == [200] * 3
    assert len({answer["refresh_token"] for _, answer in answers}) == 1
    code, _ = await refreshed(made, answers[-1][1]["refresh_token"])
    assert code == 200


async def test_a_session_is_over_when_nobody_refreshes_it(centre: JoinedCentre) -> None:
    made = await app(centre)
    token = (await made.token(card=CARD))["refresh_token"]
    centre.system.pass_days(59)
    code, given = await refreshed(made, token)
    assert code == 200
    centre.system.pass_days(60)
    code, _ = await refreshed(made, given["refresh_token"])
    assert code == 400
    await made.token(card=CARD)
    assert await centre.pool.fetchval("select count(*) from app_session") == 1


async def test_another_program_cannot_refresh_nor_end_a_session(centre: JoinedCentre) -> None:
    made, other = await app(centre), await program(centre, "other", "app")
    given = await made.token(card=CARD)
    code, _ = await refreshed(other, given["refresh_token"])
    assert code == 400
    await other.ask(PATH_REVOKE, token=given["refresh_token"])
    assert await status(centre, given["access_token"]) == 200


async def test_signing_out_ends_the_access_token_too(centre: JoinedCentre) -> None:
    made = await app(centre)
    given = await made.token(card=CARD)
    for token in ("x", given["refresh_token"], given["refresh_token"]):
        assert (await made.ask(PATH_REVOKE, token=token)).status_code == 200
    assert await status(centre, given["access_token"]) == 401
    assert (await made.ask(PATH_REVOKE)).status_code == 400


async def test_a_program_that_is_revoked_takes_its_customers_along(centre: JoinedCentre) -> None:
    made = await app(centre)
    given = await made.token(card=CARD)
    async with centre.pool.acquire() as connection:
        await revoke_client(connection, "app", "app", by="root", system=centre.system)
    assert await status(centre, given["access_token"]) == 401
    assert (await made.ask(grant_type="client_credentials", card=CARD)).status_code == 401


async def test_the_session_of_an_account_that_was_merged_shows_the_other_one(
    centre: JoinedCentre,
) -> None:
    made = await app(centre)
    await centre.customer(8, 50, card="4001")
    headers = await made.headers(card=CARD)
    await merge_accounts(centre.pool, 7, 8, person="ann", reason="one", now_ms=NOW_MS)
    found = (await centre.http.get("/v1/app/account", headers=headers)).json()
    assert (found["account_id"], found["points"]) == (8, 350)
