"""Asks the vault of the store for points that this till does not hold, and takes what it gives.

What is taken is durable before it is spent, and taken once: the nonce is closed first. A reply that
is lost strands its points, which is safe; the same nonce asks for the same points again.
"""

from collections.abc import Generator

import structlog

from agent.neighbours.patience import Patience
from agent.till_service.till import Till
from sync.messages import Message
from sync.neighbours import AskSibling, RightsAnswer, RightsRequest, is_signed_by
from sync.records import XferInRecord
from sync.transferring import OpenRequest, may_accept

log = structlog.get_logger()

HOLDERS_ASKED_MAX = 2
TRIES = 2


def ask_holders(
    till: Till, patience: Patience, *, receipt_id: str, account_id: int, points: int
) -> Generator[AskSibling, Message | None, int]:
    """Ask the vaults that are alive for points of an account; returns how many came.

    What is left of the call's patience is theirs in equal parts, and each vault's for its tries.

    Raises:
        JournalUnavailableError: the disk refuses what came; it comes home by the centre.
    """
    came = 0
    holders = till.neighbours.holders_of(account_id)[:HOLDERS_ASKED_MAX]
    for number, till_id in enumerate(holders):
        part_ms = patience.left_ms // (len(holders) - number)
        wish = (receipt_id, account_id, points - came)
        came += yield from _ask_one(till, till_id, wish, patience, part_ms=part_ms)
        if came >= points:
            break
    return came


def _ask_one(
    till: Till, till_id: int, wish: tuple[str, int, int], patience: Patience, *, part_ms: int
) -> Generator[AskSibling, Message | None, int]:
    receipt_id, account_id, points = wish
    incarnation = till.journal.stream.head().incarnation
    requests = till.neighbours.requests
    request = requests.find(
        receipt_id=receipt_id, account_id=account_id, till_id=till_id, incarnation=incarnation
    )
    if request is None:
        nonce = till.system.random_bytes(16)
        request = OpenRequest(nonce, receipt_id, account_id, points, till_id, incarnation)
        requests.add(request)
    message = RightsRequest(
        account_id=account_id,
        points=request.points,
        nonce=request.nonce,
        till_id=till.identity.till_id,
        incarnation=incarnation,
    )
    # Nobody knows whether a sibling that was never heard is there: a sale waits for one ask only.
    tries = 1 if till.neighbours.is_new(till_id) else TRIES
    kept_ms = patience.left_ms - part_ms
    for number in range(tries):
        at_most_ms = (patience.left_ms - kept_ms) // (tries - number)
        if at_most_ms <= 0:
            return 0  # not asked, or not often enough to say that it is silent
        ask = AskSibling(till_id, message, RightsAnswer)
        answer = yield from patience.ask(ask, at_most_ms=at_most_ms)
        if isinstance(answer, RightsAnswer):
            return accept(till, request, answer)
    till.neighbours.missed(till_id)
    return 0


def accept(till: Till, request: OpenRequest, answer: RightsAnswer) -> int:
    """Take what a sibling gave, in one transaction; returns the points.

    Raises:
        JournalUnavailableError: the disk refuses; nothing was taken, and nothing of it ever is.
    """
    journal = till.journal
    giver_key = till.neighbours.key_of(request.till_id)
    if answer.nonce != request.nonce or giver_key is None:
        return 0
    if not answer.transfers:
        till.neighbours.requests.close(request.nonce)
        return 0
    if not may_accept(
        answer,
        request,
        till_id=till.identity.till_id,
        incarnation=journal.stream.head().incarnation,
        giver_key=giver_key,
        centre_key=till.identity.centre_key,
    ):
        log.warning("transfer_refused", from_till=request.till_id)
        return 0
    if till.neighbours.requests.close(request.nonce) is None:
        return 0  # answered before, or given up by a HELLO meanwhile (rule R2)
    at_ms, came = till.clock.now_ms(), 0
    with journal.transaction():
        head = answer.head
        if head and head.till_id == request.till_id and is_signed_by(head, giver_key):
            journal.witness.keep_head(head)
        for transfer in answer.transfers:
            if not journal.transfers.take(transfer):
                continue
            came += transfer.points
            journal.stream.append(
                XferInRecord(
                    at_ms=at_ms,
                    transfer_id=transfer.transfer_id,
                    grant_id=transfer.grant.grant_id,
                    account_id=transfer.grant.account_id,
                    points=transfer.points,
                    lots=transfer.lots,
                    from_till=request.till_id,
                    from_incarnation=transfer.from_incarnation.hex(),
                    nonce=transfer.nonce.hex(),
                    signature=transfer.signature.hex(),
                )
            )
    return came
