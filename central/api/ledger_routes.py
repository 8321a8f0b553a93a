"""JSON calls about accounts and the ledger: cards, points, tiers, programmes, days, what waits.

Reading needs the office's token or a person's, writing a person's, with the role it asks for.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from central.api.callers import numbered, office_or_person, read_json
from central.api.long_calls import LongCalls
from central.api.problems import NAMED, problem_response
from central.database.pool import Pool
from central.errors import BadRequestError, NotFoundError
from central.keys import CentreKeys
from central.ledger import adjustments, card_moves, liability, merging, sealing
from central.ledger.adjustments import CALL_CENTRE, FINANCE
from central.people import tiers
from central.programmes import registry, wallets
from central.staff.persons import Person
from central.streams import parked_queue, used_codes
from central.system import System
from loyalty.limits import TEXT_CHARACTERS_MAX
from sync.limits import COUNT_MAX
from sync.signing import card_hash

T = TypeVar("T")
_Name = Annotated[str, Meta(min_length=1, max_length=TEXT_CHARACTERS_MAX)]
Call = Callable[[Request, Person | None], Awaitable[Any]]


class MergeRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The account that stays, and why."""

    into: Annotated[int, Meta(ge=1, le=COUNT_MAX)]
    reason: Annotated[str, Meta(min_length=1, max_length=merging.REASON_CHARACTERS_MAX)]


class MoveRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A card's number, the account that gets it, and why."""

    card: Annotated[str, Meta(min_length=1, max_length=64)]
    to: Annotated[int, Meta(ge=1, le=COUNT_MAX)]
    reason: Annotated[str, Meta(min_length=1, max_length=merging.REASON_CHARACTERS_MAX)]


class ProgrammeRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A programme to add: the `programme_id` its rules will have, and a name for people."""

    programme: _Name
    title: Annotated[str, Meta(max_length=TEXT_CHARACTERS_MAX)] = ""


class BannerRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A banner, and the programme it is to have; empty = the default one."""

    banner: _Name
    programme: Annotated[str, Meta(max_length=TEXT_CHARACTERS_MAX)]


class GiveUpRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a record that waits is given up; `early` = before it has waited as long as it should."""

    reason: Annotated[str, Meta(min_length=1, max_length=parked_queue.REASON_CHARACTERS_MAX)]
    early: bool = False


@dataclass(frozen=True, slots=True)
class LedgerRoutes:
    """Routes of accounts, cards, adjustments and the ledger's days."""

    pool: Pool
    keys: CentreKeys
    system: System
    long_calls: LongCalls

    def routes(self) -> list[Route]:
        """Return every route."""
        calls: tuple[tuple[str, str, Call], ...] = (
            ("GET", "/v1/ledger/liability", self._liability),
            ("GET", "/v1/ledger/seals", self._seals),
            ("GET", "/v1/ledger/inclusion/{subject}", self._inclusion),
            ("GET", "/v1/accounts/{account}/merges", self._merges),
            ("POST", "/v1/accounts/{account}/merge", self._merge),
            ("POST", "/v1/merges/{merge}/undo", self._undo_merge),
            ("POST", "/v1/card-moves", self._move_card),
            ("POST", "/v1/card-moves/{move}/undo", self._undo_move),
            ("GET", "/v1/adjustments/terms", self._terms),
            ("POST", "/v1/adjustments", self._adjust),
            ("GET", "/v1/accounts/{account}/wallets", self._wallets),
            ("GET", "/v1/accounts/{account}/tier", self._tier),
            ("GET", "/v1/tiers/terms", self._tier_terms),
            ("PUT", "/v1/tiers/terms", self._put_tier_terms),
            ("GET", "/v1/programmes", self._programmes),
            ("POST", "/v1/programmes", self._add_programme),
            ("POST", "/v1/banners", self._give_banner),
            ("GET", "/v1/codes", self._codes),
            ("GET", "/v1/parked", self._parked),
            ("POST", "/v1/parked/{record}/give-up", self._give_up),
        )
        return [Route(path, self._endpoint(call), methods=[method]) for method, path, call in calls]

    def _endpoint(self, call: Call) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            try:
                found = await call(request, await office_or_person(request, self.keys, self.pool))
            except NAMED as error:
                return problem_response(error)
            return Response(msgspec.json.encode(found), media_type="application/json")

        return endpoint

    # The ledger's days

    async def _liability(self, request: Request, _: Person | None) -> liability.Liability:
        given = request.query_params.get("day", "")
        day = liability.asked_day(given, now_ms=self.system.now_ms())
        async with (
            self.long_calls.one("tillside-central ledger liability"),
            self.pool.acquire() as connection,
        ):
            return await liability.read_liability(connection, day, _programme(request))

    async def _seals(self, _: Request, __: Person | None) -> list[sealing.Seal]:
        return await sealing.newest_seals(self.pool)

    async def _inclusion(self, request: Request, _: Person | None) -> sealing.InclusionProof:
        subject = request.path_params["subject"]
        at_length = partial(self.long_calls.one, "tillside-central ledger prove")
        async with self.pool.acquire() as connection:
            return await sealing.prove(connection, subject, at_length=at_length)

    # Accounts

    async def _merges(self, request: Request, _: Person | None) -> list[merging.MergeRow]:
        return await merging.list_merges(self.pool, numbered(request, "account"))

    async def _merge(self, request: Request, by: Person | None) -> merging.Merged:
        wish = await read_json(request, MergeRequest)
        return await merging.merge_accounts(
            self.pool, numbered(request, "account"), wish.into,
            person=_in_role(by, CALL_CENTRE), reason=wish.reason, now_ms=self.system.now_ms(),
        )  # fmt: skip

    async def _undo_merge(self, request: Request, by: Person | None) -> merging.Restored:
        person, now_ms = _in_role(by, CALL_CENTRE), self.system.now_ms()
        number = numbered(request, "merge")
        return await merging.undo_merge(self.pool, number, person=person, now_ms=now_ms)

    async def _move_card(self, request: Request, by: Person | None) -> card_moves.CardMoved:
        wish = await read_json(request, MoveRequest)
        return await card_moves.move_card(
            self.pool, card_hash(self.keys.card_key, wish.card), wish.to,
            person=_in_role(by, CALL_CENTRE), reason=wish.reason, now_ms=self.system.now_ms(),
        )  # fmt: skip

    async def _undo_move(self, request: Request, by: Person | None) -> card_moves.CardMoved:
        person, now_ms = _in_role(by, CALL_CENTRE), self.system.now_ms()
        number = numbered(request, "move")
        return await card_moves.undo_move(self.pool, number, person=person, now_ms=now_ms)

    async def _wallets(self, request: Request, _: Person | None) -> list[wallets.Wallet]:
        async with self.pool.acquire() as connection:
            return await wallets.list_wallets(connection, numbered(request, "account"))

    # Adjustments

    async def _terms(self, _: Request, __: Person | None) -> adjustments.AdjustmentTerms:
        return await adjustments.read_terms(self.pool)

    async def _adjust(self, request: Request, by: Person | None) -> adjustments.Adjusted:
        assert by is not None, "writes are a person's"
        wish = await read_json(request, adjustments.Adjustment)
        return await adjustments.adjust(
            self.pool, wish, person=by.name, roles=by.roles, now_ms=self.system.now_ms()
        )

    # Tiers

    async def _tier(self, request: Request, _: Person | None) -> tiers.TierState:
        account_id = numbered(request, "account")
        async with self.pool.acquire() as connection:
            found = await tiers.read_state(connection, account_id)
        if found is None:
            raise NotFoundError(f"no tier was worked out for account {account_id}")
        return found

    async def _tier_terms(self, request: Request, _: Person | None) -> tiers.TierTerms:
        async with self.pool.acquire() as connection:
            found = await tiers.read_terms(connection, _programme(request))
        if found is None:
            raise NotFoundError("no terms of tiers are set: they are kept as they are loaded")
        return found

    async def _put_tier_terms(self, request: Request, by: Person | None) -> tiers.TierTerms:
        person = _in_role(by, FINANCE)
        terms = await read_json(request, tiers.TierTerms)
        async with self.pool.acquire() as connection, connection.transaction():
            await tiers.put_terms(connection, terms, person=person, now_ms=self.system.now_ms())
        return terms

    # Programmes

    async def _programmes(self, _: Request, __: Person | None) -> list[registry.ProgrammeRow]:
        async with self.pool.acquire() as connection:
            return await registry.list_programmes(connection)

    async def _add_programme(self, request: Request, by: Person | None) -> registry.ProgrammeRow:
        person = _in_role(by, FINANCE)
        wish = await read_json(request, ProgrammeRequest)
        async with self.pool.acquire() as connection, connection.transaction():
            return await registry.add_programme(
                connection, wish.programme, wish.title, person=person, now_ms=self.system.now_ms()
            )

    async def _give_banner(self, request: Request, by: Person | None) -> registry.ProgrammeRow:
        person = _in_role(by, FINANCE)
        wish = await read_json(request, BannerRequest)
        async with self.pool.acquire() as connection, connection.transaction():
            return await registry.give_banner(
                connection, wish.banner, wish.programme, person=person, now_ms=self.system.now_ms()
            )

    # What receipts told

    async def _codes(self, request: Request, _: Person | None) -> list[used_codes.CodeTwice]:
        asked = request.query_params.get("account", "")
        account = _within(asked, "account", 1, COUNT_MAX) if asked else None
        async with self.pool.acquire() as connection:
            return await used_codes.codes_twice(connection, account)

    async def _parked(self, request: Request, _: Person | None) -> parked_queue.ParkedQueue:
        asked = request.query_params
        return await parked_queue.list_parked(
            self.pool, now_ms=self.system.now_ms(), store=_plain(asked.get("store", "")),
            days=_within(asked.get("days", "0"), "days", 0, parked_queue.DAYS_MAX),
            rows_max=_within(asked.get("rows", "100"), "rows", 1, parked_queue.ROWS_MAX),
        )  # fmt: skip

    async def _give_up(self, request: Request, by: Person | None) -> parked_queue.ParkedRecord:
        person, number = _in_role(by, CALL_CENTRE), numbered(request, "record")
        wish = await read_json(request, GiveUpRequest)
        async with self.pool.acquire() as connection, connection.transaction():
            return await parked_queue.give_up(
                connection, number, person=person, reason=wish.reason, is_early=wish.early,
                now_ms=self.system.now_ms(),
            )  # fmt: skip


def _programme(request: Request) -> str:
    programme = request.query_params.get("programme", "")
    if "\0" in programme:
        raise NotFoundError("there is no such programme")
    return programme


def _plain(text: str) -> str:
    if "\0" in text:
        raise NotFoundError("there is nothing of this name")
    return text


def _within(text: str, name: str, at_least: int, at_most: int) -> int:
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(COUNT_MAX))
    if not is_number or not at_least <= int(text) <= at_most:
        raise BadRequestError(name, f"has to be a whole number from {at_least} to {at_most}")
    return int(text)


def _in_role(by: Person | None, role: str) -> str:
    assert by is not None, "writes are a person's"
    by.require(role)
    return by.name
