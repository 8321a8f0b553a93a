"""One code of each kind, every field set, with fixed keys."""

from loyalty.account import LotPart
from sync import qr
from sync.customer_code import CustomerCode
from sync.qr import CourierAsk, CourierGrant, Document, ReceiptProof
from sync.signing import SigningKey, card_hash

TILL_ID = 17
INCARNATION = bytes.fromhex("a1b2c3d4e5f60718")
NONCE = bytes.fromhex("0f1e2d3c4b5a6978")
CARD = card_hash(bytes(range(32)), "2990 0000 0000 0017")[: qr.CARD_BYTES]
SALE_KEY = "01957e3c-9a40-7c11-8d22-3e4f5a6b7c8d"
GRANT_ID = "01957e00-0000-7abc-8def-001122334455"

TILL_KEY = SigningKey(b"the till's key, of 32 bytes here")
CENTRE_KEY = SigningKey(b"the centre's key, of 32 bytes ..")

ask = qr.seal(
    CourierAsk(
        till_id=TILL_ID,
        incarnation=INCARNATION,
        number=312,
        nonce=NONCE,
        store="Тверская 12",
        card=CARD,
        points=480,
    ),
    TILL_KEY,
)
grant = qr.seal(
    CourierGrant(
        grant_id=GRANT_ID,
        account_id=31_415_926,
        till_id=TILL_ID,
        incarnation=INCARNATION,
        nonce=NONCE,
        points=480,
        lots=(
            LotPart(lot_id=501, points=80, expires_on="2026-03-01", restriction="dairy"),
            LotPart(lot_id=777_777, points=400),
        ),
        not_after_ms=1_741_262_400_000,
        tier="gold",
    ),
    CENTRE_KEY,
)
receipt = qr.seal(
    ReceiptProof(
        key=SALE_KEY,
        till_id=TILL_ID,
        incarnation=INCARNATION,
        seq=123_456,
        card=CARD,
        earned_points=31,
        redeemed_points=150,
        paid_minor=123_456,
        moment="2025-03-05T12:00",
        bundle=bytes.fromhex("5f" * 8),
    ),
    TILL_KEY,
)

customer = qr.seal(
    CustomerCode(
        account_id=1_234_567,
        step=58_039_200,
        programme="green",
        card=bytes(range(100, 116)),
        version=42,
        points=1_250,
        purchases=17,
        in_birthday_window=True,
        tier="gold",
        segments=("families",),
        offers=("coffee-5", "spring-7"),
    ),
    CENTRE_KEY,
)

DOCUMENTS: dict[str, Document] = {
    "ask": ask,
    "customer": customer,
    "grant": grant,
    "receipt": receipt,
}
CODES = {name: qr.write(document) for name, document in DOCUMENTS.items()}
SIGNERS = {
    "ask": TILL_KEY.public,
    "customer": CENTRE_KEY.public,
    "grant": CENTRE_KEY.public,
    "receipt": TILL_KEY.public,
}
