"""Who signed in by a card that leaves the account is signed out; nobody reads another's points."""

import asyncio
from collections.abc import Mapping

import pytest

from central.ledger.books import lock_account
from central.ledger.card_moves import CardMoved, move_card, undo_move
from central.ledger.merging import merge_accounts, undo_merge
from sync.signing import card_hash
from tests.support.centre import KEYS, NOW_MS, JoinedCentre
from tests.support.outside import Program, program
from tests.unit.central.test_loading import waits_for_a_lock

ALICE, BOB, CAROL = 7, 8, 9
OLD, NEW, THIRD = "4000", "4001", "4002"


@pytest.fixture
async def app(centre: JoinedCentre) -> Program:
    """The app of three customers."""
    for account_id, card in ((ALICE, OLD), (BOB, NEW), (CAROL, THIRD)):
        await centre.customer(account_id, account_id, card=card)
    return await program(centre, "app", "app")


async def shown(app: Program, given: Mapping[str, str]) -> int | None:
    """Return the account a session shows; None where both of its tokens are over."""
    headers = {"authorization": f"Bearer {given['access_token']}"}
    seen = await app.centre.http.get("/v1/app/account", headers=headers)
    next_ = await app.ask(grant_type="refresh_token", refresh_token=given["refresh_token"])
    assert (seen.status_code, next_.status_code) in {(200, 200), (401, 400)}
    return seen.json()["account_id"] if seen.status_code == 200 else None


async def merge(app: Program, old: int = ALICE, new: int = BOB) -> int:
    pool = app.centre.pool
    done = await merge_accounts(pool, old, new, person="ann", reason="one", now_ms=NOW_MS)
    return done.merge_id


async def undo(app: Program, merge_id: int) -> None:
    await undo_merge(app.centre.pool, merge_id, person="ann", now_ms=NOW_MS)


async def move(app: Program, card: str, to_account: int) -> CardMoved:
    which = card_hash(KEYS.card_key, card)
    return await move_card(
        app.centre.pool, which, to_account, person="ann", reason="wrong", now_ms=NOW_MS
    )


async def test_undoing_a_merge_signs_out_who_signed_in_by_a_card_that_goes_back(
    app: Program,
) -> None:
    merge_id = await merge(app)
    alice, bob = await app.token(card=OLD), await app.token(card=NEW)
    assert [await shown(app, each) for each in (alice, bob)] == [BOB, BOB]
    await undo(app, merge_id)
    assert [await shown(app, each) for each in (alice, bob)] == [None, BOB]
    assert await shown(app, await app.token(card=OLD)) == ALICE


async def test_sessions_of_before_a_merge_go_back_with_their_account(app: Program) -> None:
    alice = await app.token(card=OLD)
    first = await merge(app)
    second = await merge(app, BOB, CAROL)
    bob = await app.token(card=NEW)
    assert [await shown(app, each) for each in (alice, bob)] == [CAROL, CAROL]
    await undo(app, second)
    assert [await shown(app, each) for each in (alice, bob)] == [BOB, None]
    await undo(app, first)
    assert await shown(app, alice) == ALICE


async def test_a_card_that_moves_signs_out_who_signed_in_by_it(app: Program) -> None:
    alice, bob = await app.token(card=OLD), await app.token(card=NEW)
    moved = await move(app, OLD, BOB)
    assert [await shown(app, each) for each in (alice, bob)] == [None, BOB]
    hers = await app.token(card=OLD)
    assert await shown(app, hers) == BOB
    await undo_move(app.centre.pool, moved.move_id, person="ann", now_ms=NOW_MS)
    assert [await shown(app, each) for each in (hers, bob)] == [None, BOB]


async def test_a_session_by_another_card_of_the_account_goes_on(app: Program) -> None:
    await move(app, NEW, ALICE)
    by_old, by_new = await app.token(card=OLD), await app.token(card=NEW)
    await move(app, NEW, CAROL)
    assert [await shown(app, each) for each in (by_old, by_new)] == [ALICE, None]


async def test_a_card_that_moves_after_a_merge_signs_out_those_of_before_it_too(
    app: Program,
) -> None:
    alice = await app.token(card=OLD)
    await merge(app)
    assert await shown(app, alice) == BOB
    await move(app, OLD, CAROL)
    assert await shown(app, alice) is None


async def test_who_signs_in_while_the_card_moves_gets_the_account_it_goes_to(
    app: Program,
) -> None:
    pool = app.centre.pool
    async with pool.acquire() as connection:
        moving = connection.transaction()
        await moving.start()
        await lock_account(connection, ALICE)
        signing_in = asyncio.create_task(app.token(card=OLD))
        await waits_for_a_lock(app.centre)
        await connection.execute("update card set account_id = 8 where account_id = 7")
        await connection.execute("update account_card set account_id = 8 where account_id = 7")
        await moving.commit()
    assert await shown(app, await signing_in) == BOB
