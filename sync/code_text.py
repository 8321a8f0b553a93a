"""What the codes that travel as QR say, as people read it and as JSON.

Who signed a code, and whether it still counts, is the caller's to say.
"""

from datetime import UTC, datetime

from loyalty.account import LotPart
from sync.customer_code import STEP_MS, STEPS_GOOD, CustomerCode
from sync.qr import CourierAsk, CourierGrant, Document, ReceiptProof

_Rows = list[tuple[str, str]]


def code_text(document: Document) -> str:
    """Return what a code says, several lines."""
    return "\n".join(f"  {name:<10}{value}" for name, value in _rows(document))


def _rows(document: Document) -> _Rows:
    match document:
        case ReceiptProof():
            return _receipt_rows(document)
        case CourierAsk():
            return _ask_rows(document)
        case CourierGrant():
            return _grant_rows(document)
        case CustomerCode():
            return _customer_rows(document)


def code_document(document: Document) -> dict[str, object]:
    """Return the same as a JSON value, raw bytes in hexadecimal."""
    match document:
        case ReceiptProof():
            return _receipt_document(document)
        case CourierAsk():
            return {
                "kind": "ask",
                "till": document.till_id,
                "incarnation": document.incarnation.hex(),
                "number": document.number,
                "nonce": document.nonce.hex(),
                "store": document.store,
                "card": document.card.hex(),
                "points": document.points,
            }
        case CourierGrant():
            return {
                "kind": "grant",
                "grant": document.grant_id,
                "account": document.account_id,
                "till": document.till_id,
                "incarnation": document.incarnation.hex(),
                "nonce": document.nonce.hex(),
                "points": document.points,
                "lots": [_lot_document(lot) for lot in document.lots],
                "not_after_ms": document.not_after_ms,
                "tier": document.tier,
            }
        case CustomerCode():
            return {
                "kind": "customer",
                "account": document.account_id,
                "programme": document.programme,
                "card": document.card.hex(),
                "points": document.points,
                "tier": document.tier,
                "shown_ms": shown_ms(document),
                "not_after_ms": good_until_ms(document),
            }


def shown_ms(code: CustomerCode) -> int:
    """Return when a customer's code was shown."""
    return code.step * STEP_MS


def good_until_ms(code: CustomerCode) -> int:
    """Return until when a till takes a customer's code it has not seen before."""
    return (code.step + STEPS_GOOD + 1) * STEP_MS


def moment_text(moment_ms: int) -> str:
    """Return a moment as people read it, UTC, to the minute."""
    return f"{datetime.fromtimestamp(moment_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"


def _receipt_rows(proof: ReceiptProof) -> _Rows:
    whole, rest = divmod(proof.paid_minor, 100)
    return [
        ("receipt", proof.key),
        ("sold", f"{proof.moment}, till {proof.till_id}"),
        ("paid", f"{whole}.{rest:02}"),
        ("points", f"{proof.earned_points} earned, {proof.redeemed_points} redeemed"),
        ("customer", f"card hash {proof.card.hex()}" if proof.card else "nobody"),
        ("record", f"{proof.seq} of incarnation {proof.incarnation.hex()}"),
        ("rules", proof.bundle.hex()),
    ]


def _receipt_document(proof: ReceiptProof) -> dict[str, object]:
    return {
        "kind": "receipt",
        "key": proof.key,
        "till": proof.till_id,
        "incarnation": proof.incarnation.hex(),
        "seq": proof.seq,
        "card": proof.card.hex(),
        "earned_points": proof.earned_points,
        "redeemed_points": proof.redeemed_points,
        "paid_minor": proof.paid_minor,
        "moment": proof.moment,
        "bundle": proof.bundle.hex(),
    }


def _ask_rows(ask: CourierAsk) -> _Rows:
    return [
        ("ask", f"{ask.number} of incarnation {ask.incarnation.hex()}, nonce {ask.nonce.hex()}"),
        ("till", f"{ask.till_id}" + (f", store {ask.store}" if ask.store else "")),
        ("points", f"{ask.points} asked for"),
        ("customer", f"card hash {ask.card.hex()}"),
    ]


def _grant_rows(grant: CourierGrant) -> _Rows:
    return [
        ("grant", grant.grant_id),
        ("points", f"{grant.points} of account {grant.account_id}"),
        *(("lot", _lot_text(lot)) for lot in grant.lots),
        ("tier", grant.tier or "none"),
        ("for", f"till {grant.till_id}, incarnation {grant.incarnation.hex()}"),
        ("answers", f"the ask with nonce {grant.nonce.hex()}"),
        ("until", moment_text(grant.not_after_ms)),
    ]


def _lot_text(lot: LotPart) -> str:
    ends = f"end {lot.expires_on}" if lot.expires_on else "never end"
    bound = f", for {lot.restriction} alone" if lot.restriction else ""
    return f"{lot.points} points of lot {lot.lot_id}, {ends}{bound}"


def _lot_document(lot: LotPart) -> dict[str, object]:
    return {
        "lot": lot.lot_id,
        "points": lot.points,
        "expires_on": lot.expires_on,
        "restriction": lot.restriction,
    }


def _customer_rows(code: CustomerCode) -> _Rows:
    return [
        ("customer", f"account {code.account_id} of programme {code.programme}"),
        (
            "balance",
            f"{code.points} points, tier {code.tier or 'none'}",
        ),
        ("shown", moment_text(shown_ms(code))),
        ("until", moment_text(good_until_ms(code))),
    ]
