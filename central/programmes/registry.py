"""Which programmes there are, which banners have them, and whose a rule document is.

A programme has its own accounts: a customer's card leads to one account, one wallet, in each. A
store has its banner's programme; banners that share a programme share its wallets. The programme
with the empty name is the default: a chain that never names one has no other, and nothing to do
(design: centre 2).
"""

import re
from typing import Final

import msgspec
import zstandard

from central.database.named_sql import load_queries
from central.database.pool import Connection
from central.errors import BadRequestError, NotFoundError
from central.staff.audit import note
from loyalty.errors import LoyaltyError
from loyalty.limits import TEXT_CHARACTERS_MAX

_SQL = load_queries("central.programmes", "queries.sql")

DEFAULT: Final = ""
"""The programme of every banner that names none."""
_NAMED_MAX: Final = 5
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class ProgrammeRow(msgspec.Struct, frozen=True, kw_only=True):
    """A programme as people see it.

    Attributes:
        programme: its name, that of its rules (`programme_id`); empty = the default one.
        release: version of the newest release that stands; 0 = none.
    """

    programme: str
    title: str
    made_at_ms: int
    banners: tuple[str, ...]
    stores: int
    accounts: int
    release: int


def called(programme: str) -> str:
    """Return what a programme is called towards people."""
    return programme or "the default programme"


async def list_programmes(connection: Connection) -> list[ProgrammeRow]:
    """Return every programme, the default one first."""
    stores, accounts = [
        {row["programme"]: row["number"] for row in await connection.fetch(_SQL[name])}
        for name in ("stores_of_programmes", "accounts_of_programmes")
    ]
    return [
        ProgrammeRow(
            programme=row["programme"],
            title=row["title"],
            made_at_ms=row["made_at_ms"],
            banners=tuple(row["banners"]),
            stores=stores.get(row["programme"], 0),
            accounts=accounts.get(row["programme"], 0),
            release=row["release"],
        )
        for row in await connection.fetch(_SQL["programmes"])
    ]


async def are_several(connection: Connection) -> bool:
    """Say whether there is any programme beside the default one."""
    return bool(await connection.fetchval(_SQL["are_several"]))


async def keep_programmes(connection: Connection) -> None:
    """Have no banner and no store change its programme until this transaction ends.

    For whoever gives a store its first till or customer: from then on its programme stays.
    """
    await connection.execute(_SQL["keep_programmes"])


async def require_programme(connection: Connection, programme: str) -> None:
    """Refuse a name that no programme has.

    Raises:
        NotFoundError: no programme is called so.
    """
    if "\0" in programme or not await connection.fetchval(_SQL["is_known"], programme):
        raise NotFoundError(
            f"there is no programme {programme!r}; tillside-central programmes list shows them"
        )


async def add_programme(
    connection: Connection, programme: str, title: str, *, person: str, now_ms: int
) -> ProgrammeRow:
    """Add a programme; done twice it is done once. Call it in a transaction.

    Args:
        programme: the `programme_id` its rules will have.

    Raises:
        BadRequestError: the name cannot be one, or the default programme's rules have it.
    """
    if _NAME.fullmatch(programme) is None:
        raise BadRequestError("programme", "is letters, digits and . _ -, at most 64")
    if len(title) > TEXT_CHARACTERS_MAX or "\0" in title:
        raise BadRequestError("title", f"is a text of at most {TEXT_CHARACTERS_MAX} characters")
    await connection.execute(_SQL["lock_programmes"])
    if await _id_of_default_rules(connection) == programme:
        raise BadRequestError(
            "programme", f"{programme!r} is what the rules of the default programme are called"
        )
    made = await connection.fetchval(_SQL["insert_programme"], programme, title, now_ms)
    if made is not None:
        await note(
            connection, person=person, action="programmes.add", subject=f"programme:{programme}",
            detail={"title": title}, now_ms=now_ms,
        )  # fmt: skip
    return await find_programme(connection, programme)


async def find_programme(connection: Connection, programme: str) -> ProgrammeRow:
    """Return a programme.

    Raises:
        NotFoundError: there is none of that name.
    """
    await require_programme(connection, programme)
    found = await list_programmes(connection)
    return next(each for each in found if each.programme == programme)


async def give_banner(
    connection: Connection, banner: str, programme: str, *, person: str, now_ms: int
) -> ProgrammeRow:
    """Give a banner a programme: the wallets its stores' customers have. Call it in a transaction.

    Raises:
        BadRequestError: it is no banner, or it has stores with tills or customers of another one.
        NotFoundError: there is no such programme.
    """
    if not 0 < len(banner) <= TEXT_CHARACTERS_MAX or "\0" in banner:
        raise BadRequestError("banner", f"is a text of 1 to {TEXT_CHARACTERS_MAX} characters")
    await connection.execute(_SQL["lock_programmes"])
    await require_programme(connection, programme)
    rows = await connection.fetch(_SQL["stores_elsewhere"], banner, programme)
    if bound := await _bound_stores(connection, [row["store_id"] for row in rows]):
        names = ", ".join(bound[:_NAMED_MAX])
        raise BadRequestError(
            "banner",
            f"stores of {banner} have tills or customers of another programme already: {names}",
        )
    await connection.execute(_SQL["put_banner"], banner, programme)
    await connection.execute(_SQL["follow_banner"], banner, programme)
    await note(
        connection, person=person, action="programmes.banner", subject=f"programme:{programme}",
        detail={"banner": banner}, now_ms=now_ms,
    )  # fmt: skip
    return await find_programme(connection, programme)


async def programme_of_new_store(connection: Connection, store_id: str, banner: str) -> str:
    """Return the programme of a store that is loaded with a banner. Call it in a transaction.

    Raises:
        BadRequestError: the store has tills or customers of another programme.
    """
    await connection.execute(_SQL["lock_programmes"])
    programme: str = await connection.fetchval(_SQL["programme_of_banner"], banner)
    before = await programme_of_store(connection, store_id)
    if before not in (None, programme) and await _bound_stores(connection, [store_id]):
        raise BadRequestError(
            "$.banner", f"store {store_id} has tills or customers of {called(before or DEFAULT)}"
        )
    return programme


async def _bound_stores(connection: Connection, store_ids: list[str]) -> list[str]:
    """Return those of some stores that have tills or customers: their programme stays."""
    bound: set[str] = set()
    for name in ("stores_with_tills", "stores_with_customers"):
        bound |= {row["store_id"] for row in await connection.fetch(_SQL[name], store_ids)}
    return sorted(bound)


async def programme_of_store(connection: Connection, store_id: str) -> str | None:
    """Return a store's programme; None where there is no such store."""
    if "\0" in store_id:
        return None
    found: str | None = await connection.fetchval(_SQL["programme_of_store"], store_id)
    return found


async def programme_of_account(connection: Connection, account_id: int) -> str | None:
    """Return whose wallet an account is; None where there is no such account."""
    found: str | None = await connection.fetchval(_SQL["programme_of_account"], account_id)
    return found


async def programme_of_rules(connection: Connection, programme_id: str) -> str:
    """Return whose the rules with an id are: a programme of that name, or else the default one.

    Where there are several programmes the default one's rules keep their id, so that a slip of the
    pen sends no banner the rules of another.

    Raises:
        BadRequestError: no programme is called so, and the default one's rules are not either.
    """
    if programme_id and await connection.fetchval(_SQL["is_known"], programme_id):
        return programme_id
    if not await are_several(connection):
        return DEFAULT
    known = await _id_of_default_rules(connection)
    if known not in ("", programme_id):
        raise BadRequestError(
            "$.programme.programme_id",
            f"there is no programme {programme_id!r}: add it (tillside-central programmes add), or"
            f" use {known!r}, as the default programme's rules are called",
        )
    return DEFAULT


async def _id_of_default_rules(connection: Connection) -> str:
    """Return what the default programme's rules are called; empty where there are none yet."""
    content = await connection.fetchval(_SQL["newest_content"], DEFAULT)
    if content is None:
        return ""
    try:
        document = msgspec.json.decode(zstandard.decompress(content), type=_RulesHead)
    except (msgspec.DecodeError, zstandard.ZstdError, LoyaltyError):
        return ""  # of a release of this program that is gone
    return document.programme.programme_id


class _ProgrammeHead(msgspec.Struct, frozen=True):
    programme_id: str


class _RulesHead(msgspec.Struct, frozen=True):
    """What of a rule document says whose it is."""

    programme: _ProgrammeHead
