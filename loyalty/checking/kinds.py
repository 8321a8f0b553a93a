"""Which rewards give points, which hand something out; all others take money off."""

from loyalty.offers import (
    Gift,
    IssuedCoupon,
    Message,
    Offer,
    PartnerPoints,
    PointsMultiplier,
    PointsPerItem,
    PointsPerMoney,
    PointsPerReceipt,
)

POINTS = (PointsPerMoney, PointsPerItem, PointsPerReceipt, PointsMultiplier)
HAND_OUTS = (Gift, IssuedCoupon, Message, PartnerPoints)


def reward_kind(offer: Offer) -> str:
    """Return `points`, `hand_out` or `price`."""
    if isinstance(offer.gives, POINTS):
        return "points"
    return "hand_out" if isinstance(offer.gives, HAND_OUTS) else "price"
