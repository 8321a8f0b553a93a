"""Gives points of this till's rights to a sibling that asks: gone here, durably, before it hears.

Rule R1 in one transaction: the right shrinks, the record says so, the answer is kept to be given
again. Whether the answer arrives does not matter: points that nobody got come home by the centre
(design: sync 4.10, N5, N6).
"""

import msgspec

from agent.neighbours.heads import signed_head
from agent.till_service.till import Till
from sync.neighbours import (
    TRANSFERS_MAX,
    RightsAnswer,
    RightsRequest,
    Transfer,
    content_of,
)
from sync.records import XferOutRecord
from sync.signing import SigningKey


def give(till: Till, request: RightsRequest) -> RightsAnswer:
    """Answer a sibling's request; what is in the answer is not this till's any more.

    Raises:
        JournalUnavailableError: the disk refuses; nothing was given.
    """
    journal = till.journal
    asker = (request.till_id, request.incarnation, request.nonce)
    given = journal.transfers.given_for(*asker)
    if not given:
        if till.revoked:
            return RightsAnswer(nonce=request.nonce, why="revoked")
        if till.neighbours.siblings and not till.neighbours.asked_for_head:
            # Its rights may be of the past; it asks siblings within two seconds of its start.
            return RightsAnswer(nonce=request.nonce, why="just started")
        given = _give_away(till, request)
    if journal.rights.are_suspended:
        # The anchor could not be written: a journal that came back without this would give the
        # same points again. They are given with the next try, once the anchor holds.
        return RightsAnswer(nonce=request.nonce, why="suspended")
    if not given:
        return RightsAnswer(nonce=request.nonce, why="nothing to give")
    return RightsAnswer(nonce=request.nonce, transfers=given, head=signed_head(till))


def _give_away(till: Till, request: RightsRequest) -> tuple[Transfer, ...]:
    journal, now_ms = till.journal, till.clock.now_ms()
    incarnation = journal.stream.head().incarnation
    found = journal.transfers.givable(request.account_id, incarnation=incarnation, now_ms=now_ms)
    if not found:
        return ()
    key = SigningKey(till.identity.key_seed)
    given: list[Transfer] = []
    missing = min(request.points, journal.rights.limits.room())
    with journal.transaction():
        for each in found[:TRANSFERS_MAX]:
            points = min(missing, each.points_left)
            if not points:
                break
            lots = journal.rights.take_part(each.grant.grant_id, points)
            bare = Transfer(
                transfer_id=till.system.new_id(),
                grant=each.grant,
                points=points,
                lots=lots,
                from_incarnation=incarnation,
                to_till=request.till_id,
                to_incarnation=request.incarnation,
                nonce=request.nonce,
            )
            transfer = msgspec.structs.replace(bare, signature=key.sign(content_of(bare)))
            journal.transfers.keep_given(transfer)
            journal.stream.append(
                XferOutRecord(
                    at_ms=now_ms,
                    transfer_id=transfer.transfer_id,
                    grant_id=each.grant.grant_id,
                    account_id=request.account_id,
                    points=points,
                    lots=lots,
                    to_till=request.till_id,
                    to_incarnation=request.incarnation.hex(),
                    nonce=request.nonce.hex(),
                )
            )
            given.append(transfer)
            missing -= points
    return tuple(given)
