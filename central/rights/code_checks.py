"""What the centre knows of a code somebody shows: who signed it, and whether it still counts."""

from typing import Final

import msgspec

from central.database.named_sql import load_queries
from central.database.pool import Connection
from central.errors import NotFoundError
from central.rights.courier import fate, grant_code
from sync import qr
from sync.code_text import good_until_ms, moment_text
from sync.customer_code import CustomerCode
from sync.errors import SignatureError
from sync.messages import Grant
from sync.qr import CourierAsk, CourierGrant, Document, ReceiptProof
from sync.signing import SigningKey

_SQL = load_queries("central.rights", "courier.sql")

_RECEIPT: Final = {
    "posted": "it is posted as printed",
    "posted_differently": "A RECEIPT OF THIS KEY IS POSTED WITH OTHER FIGURES",
    "heard": "its record has not come yet; its code was heard of before",
    "unknown": "its record has not come yet",
}
_ASK: Final = {
    "open": "nobody has brought it yet, and a grant can be had for it",
    "granted": "it was answered with a grant: {grant}",
    "over": "it is over: its till does not wait for it any more",
    "refused": "its till is revoked or in quarantine, and gets no points",
}
_GRANT: Final = {
    "taken": "its till has taken it",
    "open": "its till has not taken it yet, as far as its records have come",
    "over": "its till has not taken it, and it is too late since {until}",
    "home": "it came home, and is worth nothing any more",
    "unknown": "IT IS GENUINE, BUT THIS DATABASE DOES NOT KNOW IT: an older copy was put back",
}


class CheckedCode(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a code.

    Attributes:
        signer: who has to have signed it, and where that till stands.
        state: what became of it; empty of one that is not genuine.
        counts: it is genuine and still good for something; a receipt's always is.
        words: the state in words.
    """

    is_genuine: bool
    signer: str
    state: str = ""
    counts: bool = False
    words: str = ""


async def check_code(
    connection: Connection, code: Document, centre_key: bytes, *, now_ms: int
) -> CheckedCode:
    """Say whether a code is genuine, and what became of it.

    Args:
        centre_key: the centre's public key.
    """
    match code:
        case ReceiptProof() | CourierAsk():
            public: bytes | None = await connection.fetchval(_SQL["key_of_till"], code.till_id)
            signer = await _till(connection, code.till_id)
        case _:
            public, signer = centre_key, "the centre"
    try:
        if public is None:
            return CheckedCode(is_genuine=False, signer=signer)
        qr.check_seal(code, public)
    except SignatureError:
        return CheckedCode(is_genuine=False, signer=signer)
    state, counts, words = await _became(connection, code, now_ms=now_ms)
    return CheckedCode(is_genuine=True, signer=signer, state=state, counts=counts, words=words)


async def _became(connection: Connection, code: Document, *, now_ms: int) -> tuple[str, bool, str]:
    """Return what became of a genuine code, whether it still counts, and it in words."""
    match code:
        case ReceiptProof():
            receipt = await fate(connection, code)
            return receipt, True, _RECEIPT[receipt]
        case CourierAsk():
            state, words = await _ask(connection, code)
            return state, state in ("open", "granted"), words
        case CourierGrant():
            state = await _grant(connection, code, now_ms=now_ms)
            words = _GRANT[state].format(until=moment_text(code.not_after_ms))
            whose = await _till(connection, code.till_id)
            return state, state == "open", f"{words}; it is for {whose} alone"
        case CustomerCode():
            until = moment_text(good_until_ms(code))
            if now_ms < good_until_ms(code):
                return "open", True, f"good until {until}"
            return "over", False, f"over since {until}"


async def code_of(connection: Connection, name: str, key: SigningKey) -> str:
    """Return the code of a grant by courier, or of a receipt that was heard of, by its id.

    Raises:
        NotFoundError: the centre has neither; only a till can sign the code of a receipt.
    """
    row = await connection.fetchrow(_SQL["grant_of_courier"], name)
    if row is not None:
        grant = msgspec.msgpack.decode(row["body"], type=Grant)
        return await grant_code(connection, grant, key)
    heard: str | None = await connection.fetchval(_SQL["heard_code"], name)
    if heard is None:
        raise NotFoundError(
            f"there is no grant by courier {name}, and no code of such a receipt was heard of; a"
            f" receipt's code is signed by its till: tillside-agent receipt print {name}"
        )
    return heard


async def _till(connection: Connection, till_id: int) -> str:
    row = await connection.fetchrow(_SQL["place_of_till"], till_id)
    if row is None:
        return f"till {till_id}, which this chain does not have"
    said = f"till {till_id} (store {row['store_id']}, register {row['slot']})"
    return said + (", revoked since" if row["revoked"] else "")


async def _ask(connection: Connection, ask: CourierAsk) -> tuple[str, str]:
    """Return what became of an ask, and in words."""
    made = await connection.fetchrow(_SQL["grant_of_ask"], ask.till_id, ask.incarnation, ask.nonce)
    if made is not None:
        return "granted", _ASK["granted"].format(grant=made["grant_id"])
    till = await connection.fetchrow(
        _SQL["asking_till"], ask.till_id, ask.incarnation, ask.number, ask.nonce
    )
    assert till is not None
    state = "open"
    if till["revoked"]:
        state = "refused"
    elif till["over"] or till["followed"]:
        state = "over"
    return state, _ASK[state]


async def _grant(connection: Connection, grant: CourierGrant, *, now_ms: int) -> str:
    """Return what became of a grant by courier."""
    row = await connection.fetchrow(_SQL["grant_of_courier"], grant.grant_id)
    if row is None:
        return "unknown"
    if row["received"]:
        return "taken"
    if row["state"] != "open":
        return "home"
    return "open" if now_ms < grant.not_after_ms else "over"
