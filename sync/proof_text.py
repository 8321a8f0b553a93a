"""A receipt's code as people read it."""

from sync.qr import ReceiptProof


def proof_text(proof: ReceiptProof) -> str:
    """Return what a receipt says of itself, several lines; who signed it is the caller's to say."""
    whole, rest = divmod(proof.paid_minor, 100)
    rows = (
        ("receipt", proof.key),
        ("sold", f"{proof.moment}, till {proof.till_id}"),
        ("paid", f"{whole}.{rest:02}"),
        ("points", f"{proof.earned_points} earned, {proof.redeemed_points} redeemed"),
        ("customer", f"card hash {proof.card.hex()}" if proof.card else "nobody"),
        ("record", f"{proof.seq} of incarnation {proof.incarnation.hex()}"),
        ("rules", proof.bundle.hex()),
    )
    return "\n".join(f"  {name:<10}{value}" for name, value in rows)


def proof_document(proof: ReceiptProof) -> dict[str, object]:
    """Return the same as a JSON value, raw bytes in hexadecimal."""
    return {
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
