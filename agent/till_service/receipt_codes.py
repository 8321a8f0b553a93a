"""The code on a receipt: it says what was sold here, and proves it where nobody knows it yet.

The till signs the receipt's place in its stream, so a code can be checked by whoever has the till's
key, and shows the centre how far a stream must reach (design: sync 2.5, 4.6, 4.12).
"""

from enum import Enum
from functools import lru_cache

import msgspec

from agent.till_service.till import Till
from loyalty.calculation import Calculation
from sync import qr
from sync.errors import QrTextError, SignatureError
from sync.qr import ReceiptProof
from sync.records import SaleRecord
from sync.signing import SigningKey

_MINUTES = len("YYYY-MM-DDTHH:MM")


@lru_cache(maxsize=4)
def _key(seed: bytes) -> SigningKey:
    return SigningKey(seed)


def receipt_code(till: Till, record: SaleRecord, calculation: Calculation, seq: int) -> str:
    """Return the text of the QR code to be printed on a receipt; empty for a key that is no UUID.

    Args:
        seq: of the record in the current stream.
    """
    totals = calculation.totals
    try:
        proof = ReceiptProof(
            key=record.key,
            till_id=till.identity.till_id,
            incarnation=till.journal.stream.head().incarnation,
            seq=seq,
            card=bytes.fromhex(record.card)[: qr.CARD_BYTES],
            earned_points=totals.earned_points,
            redeemed_points=totals.redeemed_points,
            paid_minor=totals.paid_minor,
            moment=record.inputs.moment.local[:_MINUTES],
            bundle=bytes.fromhex(record.inputs.bundle)[:8].ljust(8, b"\0"),
        )
        return qr.sealed_text(proof, _key(till.identity.key_seed))
    except QrTextError:
        return ""


class RecordedCode(msgspec.Struct, frozen=True, kw_only=True):
    """The code of a receipt that was recorded here."""

    receipt_id: str
    receipt_code: str = ""


def recorded_code(till: Till, receipt_id: str) -> RecordedCode | None:
    """Return a receipt's code as it was answered when it was recorded; None where it has none."""
    row = till.journal.receipt(receipt_id)
    if row is None or row.state != "recorded":
        return None
    found = msgspec.json.decode(row.answer, type=RecordedCode)
    return found if found.receipt_code else None


class Verdict(Enum):
    """What a till can say of a code by itself."""

    GENUINE = "genuine"
    UNPROVEN = "unproven"
    WRONG = "wrong"


def judge(till: Till, code: str, receipt_id: str) -> tuple[Verdict, ReceiptProof | None]:
    """Read a receipt's code and check it as far as the keys known here go.

    Returns:
        `UNPROVEN` for a till whose key is not known here; the proof is None where it is wrong.
    """
    try:
        proof = qr.read(ReceiptProof, code)
    except QrTextError:
        return Verdict.WRONG, None
    if proof.key != receipt_id:
        return Verdict.WRONG, None
    public = key_of(till, proof.till_id)
    if public is None:
        return Verdict.UNPROVEN, proof
    try:
        qr.check_seal(proof, public)
    except SignatureError:
        return Verdict.WRONG, None
    return Verdict.GENUINE, proof


def key_of(till: Till, till_id: int) -> bytes | None:
    """Return the public key of this till or of a sibling; None for a till not known here."""
    if till_id == till.identity.till_id:
        return _key(till.identity.key_seed).public
    return till.neighbours.key_of(till_id)
