"""One-time codes: for a store and a slot, good for a day, kept as hashes (design: sync 4.1)."""

import hashlib
from dataclasses import dataclass

from central.database.named_sql import load_queries
from central.database.pool import Connection, Pool
from central.errors import BadRequestError, EnrolmentError
from central.keys import CentreKeys
from central.programmes.registry import keep_programmes
from central.rights.planner import wish_for_share
from central.system import System
from loyalty.basket import Place
from sync.enrolling import EnrolAnswer, EnrolRequest
from sync.errors import SignatureError
from sync.signing import check, enrol_content

_SQL = load_queries("central.tills", "queries.sql")

CODE_LIFETIME_MS = 24 * 3_600_000
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CODE_CHARACTERS = 10


@dataclass(frozen=True, slots=True)
class NewCode:
    """A code to be typed or handed to an installer; shown once."""

    code: str
    store_id: str
    slot: str
    expires_at_ms: int


async def make_code(
    connection: Connection, store_id: str, slot: str, *, is_vault: bool, system: System
) -> NewCode:
    """Make a code for one till of a store.

    Raises:
        BadRequestError: there is no such store.
    """
    if await connection.fetchrow(_SQL["store"], store_id) is None:
        raise BadRequestError("store", f"there is no store {store_id!r}; load stores first")
    bits = int.from_bytes(system.random_bytes(8), "big")
    text = "".join(_ALPHABET[bits >> 5 * i & 31] for i in range(_CODE_CHARACTERS))
    text += _check_character(text)
    expires_at_ms = system.now_ms() + CODE_LIFETIME_MS
    await connection.execute(
        _SQL["insert_code"], _hash(text), store_id, slot, is_vault, expires_at_ms
    )
    return NewCode(f"{text[:5]}-{text[5:]}", store_id, slot, expires_at_ms)


def _check_character(text: str) -> str:
    return _ALPHABET[sum((i + 2) * _ALPHABET.index(c) for i, c in enumerate(text)) % 31]


def _plain(code: str) -> str:
    text = (
        code.upper()
        .replace("-", "")
        .replace(" ", "")
        .replace("O", "0")
        .replace("I", "1")
        .replace("L", "1")
    )
    if len(text) != _CODE_CHARACTERS + 1 or any(c not in _ALPHABET for c in text):
        raise EnrolmentError(
            "the code is not complete; it has 11 characters, as the centre showed it"
        )
    if _check_character(text[:-1]) != text[-1]:
        raise EnrolmentError("the code is mistyped; its check character does not fit")
    return text


def _hash(text: str) -> bytes:
    return hashlib.sha256(b"tillside-code/1" + text.encode()).digest()


async def enrol(
    pool: Pool, request: EnrolRequest, *, keys: CentreKeys, system: System
) -> EnrolAnswer:
    """Make a till of whoever holds the code; the code is burnt in the same transaction.

    The same key with the same code gets the same answer again, so a lost answer is harmless. Who
    had the place before goes on selling, but customers' points are set aside for it no more.

    Raises:
        EnrolmentError: the code is mistyped, unknown, too old or used by another till,
            or the key is not proven.
    """
    try:
        check(request.public_key, request.signature, enrol_content(request))
    except SignatureError as error:
        raise EnrolmentError("the request is not signed by the key it brings") from error
    code_hash = _hash(_plain(request.code))
    async with pool.acquire() as connection, connection.transaction():
        code = await connection.fetchrow(_SQL["lock_code"], code_hash)
        if code is None:
            raise EnrolmentError("this code is unknown; ask for a new one")
        till_id = code["till_id"]
        if till_id is not None:
            if await connection.fetchval(_SQL["till_of_key"], request.public_key) != till_id:
                raise EnrolmentError("this code was used by another till; ask for a new one")
        else:
            if code["expires_at_ms"] < system.now_ms():
                raise EnrolmentError("this code is too old; ask for a new one")
            if await connection.fetchval(_SQL["till_of_key"], request.public_key) is not None:
                raise EnrolmentError(
                    "this key belongs to a till already; a new till makes a new key"
                )
            await keep_programmes(connection)
            await connection.execute(_SQL["leave_place"], code["store_id"], code["slot"])
            till_id = await connection.fetchval(
                _SQL["insert_till"], code["store_id"], code["slot"], request.public_key,
                request.hardware, code["is_vault"], system.now_ms(),
            )  # fmt: skip
            await connection.execute(_SQL["use_code"], code_hash, till_id, system.now_ms())
        store = await connection.fetchrow(_SQL["store"], code["store_id"])
    assert store is not None
    await wish_for_share(pool, store_id=code["store_id"], till_id=till_id)
    return EnrolAnswer(
        till_id=till_id,
        place=Place(
            store=store["store_id"],
            region=store["region"],
            banner=store["banner"],
            till=str(till_id),
        ),
        card_key=keys.card_key,
        centre_key=keys.centre.public,
        rule_keys=keys.rule_public,
        server_time_ms=system.now_ms(),
    )
