"""Who may accept a transfer of points between tills, without I/O (design: sync 4.10).

The giver's debit is durable before its answer leaves (rule R1). The receiver accepts an answer only
for a nonce that it has open (rule R2). Open nonces live in memory alone, on purpose: a journal that
was restored would bring an open nonce back with it, and the same transfer would be accepted, and
spent, a second time (design: sync N15, N20).
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from sync.errors import SignatureError
from sync.neighbours import RightsAnswer, Transfer, content_of
from sync.signing import check, check_message

OPEN_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """A request for points that is not answered yet.

    Attributes:
        receipt_id: for whose sake it was made; asked again it repeats the nonce.
        till_id: who was asked.
        incarnation: the receiver's own.
    """

    nonce: bytes
    receipt_id: str
    account_id: int
    points: int
    till_id: int
    incarnation: bytes


class OpenRequests:
    """The open nonces of one life of one till."""

    def __init__(self) -> None:
        self._open: OrderedDict[bytes, OpenRequest] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def find(
        self, *, receipt_id: str, account_id: int, till_id: int, incarnation: bytes
    ) -> OpenRequest | None:
        """Return what is still open of a receipt with one till; an older stream's is not."""
        wanted = (receipt_id, account_id, till_id, incarnation)
        for request in self._open.values():
            if wanted == (
                request.receipt_id, request.account_id, request.till_id, request.incarnation,
            ):  # fmt: skip
                return request
        return None

    def add(self, request: OpenRequest) -> None:
        """Open a nonce; of too many the oldest is given up, its points come home by the centre."""
        self._open[request.nonce] = request
        while len(self._open) > OPEN_MAX:
            self._open.popitem(last=False)

    def close(self, nonce: bytes) -> OpenRequest | None:
        """Close a nonce; returns what it was opened for, None when it is not open."""
        return self._open.pop(nonce, None)

    def close_all(self) -> None:
        """Close every nonce: nothing asked for up to now is accepted any more."""
        self._open.clear()


def may_accept(
    answer: RightsAnswer,
    request: OpenRequest,
    *,
    till_id: int,
    incarnation: bytes,
    giver_key: bytes,
    centre_key: bytes,
) -> bool:
    """Say whether an answer is good for an open request, as a whole.

    Args:
        till_id: the receiver, with its live incarnation.
        giver_key: the public key of the till that was asked.
    """
    if not answer.transfers or answer.nonce != request.nonce or request.incarnation != incarnation:
        return False
    ids = {transfer.transfer_id for transfer in answer.transfers}
    return len(ids) == len(answer.transfers) and all(
        transfer.nonce == request.nonce
        and transfer.to_till == till_id
        and transfer.to_incarnation == incarnation
        and transfer.grant.till_id == request.till_id
        and transfer.grant.account_id == request.account_id
        and is_genuine(transfer, giver_key=giver_key, centre_key=centre_key)
        for transfer in answer.transfers
    )


def is_genuine(transfer: Transfer, *, giver_key: bytes, centre_key: bytes) -> bool:
    """Say whether the giver signed it, and gives a part of what the centre gave to it."""
    grant = transfer.grant
    given = {lot.lot_id: lot.points for lot in grant.lots}
    asked: dict[int, int] = {}
    for lot in transfer.lots:
        asked[lot.lot_id] = asked.get(lot.lot_id, 0) + lot.points
    if sum(asked.values()) != transfer.points or grant.purpose != "grant":
        return False
    if any(points > given.get(lot_id, 0) for lot_id, points in asked.items()):
        return False
    if transfer.from_incarnation != grant.incarnation:
        return False  # only whom the centre gave it to may pass it on, once
    try:
        check_message(grant, centre_key)
        check(giver_key, transfer.signature, content_of(transfer))
    except SignatureError:
        return False
    return True
