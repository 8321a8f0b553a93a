"""Gives siblings the rule bundles this till has, and takes them from siblings: one till downloads.

Nobody is elected. A whole bundle that is announced is fetched by the till with the lowest number
that has a line; the others ask it, and one another, for parts, and fetch for themselves when that
takes too long. What comes from a sibling counts as what comes over the line does: the manifest's
signature and hash decide (design: sync 3.5, 4.10).
"""

import hashlib
from collections.abc import Generator
from typing import Final

import structlog

from agent.neighbours.neighbourhood import Neighbourhood
from agent.neighbours.wanted_rules import WAIT_UNHEARD_MS, WantedRules
from agent.till_service.till import Till
from sync.codec import ENCODING, decompress
from sync.errors import MalformedMessageError
from sync.limits import BUNDLE_BYTES_MAX
from sync.messages import Manifest, Message
from sync.neighbours import RULES_PART_BYTES, AskSibling, RulesAnswer, RulesRequest

log = structlog.get_logger()

_PARTS_AT_ONCE: Final = 4
_BUDGET_MS: Final = 500
"""For a part: no sale waits for it, the next heartbeat does."""

Asking = Generator[AskSibling, Message | None, None]


def give_rules(till: Till, request: RulesRequest) -> RulesAnswer:
    """Return a part of a bundle this till has tried and keeps, as it stands on its disk."""
    part = till.cache.bundle_part(request.bundle, request.start, RULES_PART_BYTES)
    if part is not None:
        content, size_bytes = part
        return RulesAnswer(
            bundle=request.bundle, start=request.start, size_bytes=size_bytes, content=content
        )
    wanted = till.neighbours.wanted
    if wanted is None or wanted.manifest.bundle != request.bundle or not wanted.is_fetched:
        return RulesAnswer(bundle=request.bundle, start=request.start)
    pieces = till.cache.pieces_here(request.bundle)
    return RulesAnswer(bundle=request.bundle, start=request.start, fetched=pieces + 1)


def is_worth_waiting(neighbours: Neighbourhood, wanted: WantedRules, *, now_ms: int) -> bool:
    """Say whether a sibling is likely to give the bundle soon: this till need not fetch it.

    One that has it as its active rules, or one before this till in the order of numbers whom the
    centre answers. In the first seconds of a process nobody was heard yet.
    """
    if wanted.is_over(now_ms):
        return False
    siblings = neighbours.siblings
    for till_id in neighbours.alive():
        if till_id in wanted.useless:
            continue
        has_it = till_id == wanted.giver or siblings[till_id].bundle == wanted.manifest.bundle
        if has_it or (till_id < neighbours.till_id and siblings[till_id].link_up):
            return True
    nobody_heard = all(sibling.is_new for sibling in siblings.values())
    is_young = now_ms - wanted.since_ms < WAIT_UNHEARD_MS
    return bool(neighbours.connected and siblings) and nobody_heard and is_young


def take_rules(till: Till) -> Asking:
    """Ask siblings for some parts of the bundle that is wanted; the last part has it tried."""
    wanted = till.neighbours.wanted
    if wanted is None:
        return
    if wanted.giver is None or not till.neighbours.is_alive(wanted.giver):
        wanted.begin_anew()
        yield from _look_for_giver(till, wanted)
    for _ in range(_PARTS_AT_ONCE):
        if wanted.giver is None or wanted.is_whole or till.neighbours.wanted is not wanted:
            break
        if not (yield from _ask(till, wanted, wanted.giver)):
            break
    if wanted.is_whole and till.neighbours.wanted is wanted:
        _put_together(wanted)


def _look_for_giver(till: Till, wanted: WantedRules) -> Asking:
    """Ask those who have the bundle, else the first with a line and one other in its turn."""
    neighbours, siblings = till.neighbours, till.neighbours.siblings
    alive = sorted(set(neighbours.alive()) - wanted.useless)
    if not alive:
        return
    own = till.identity.till_id
    wanted.asked += 1
    holders = [i for i in alive if siblings[i].bundle == wanted.manifest.bundle]
    if holders:
        # Not all ask the same one.
        whom = [holders[own % len(holders)]]
    else:
        first = [i for i in alive if siblings[i].link_up][:1]
        whom = list(dict.fromkeys((*first, alive[wanted.asked % len(alive)])))
    for till_id in whom:
        if (yield from _ask(till, wanted, till_id)):
            return


def _ask(
    till: Till, wanted: WantedRules, till_id: int
) -> Generator[AskSibling, Message | None, bool]:
    """Ask one sibling for the next part; says whether it came."""
    start, bundle = len(wanted.content), wanted.manifest.bundle
    answer = yield AskSibling(
        till_id, RulesRequest(bundle=bundle, start=start), RulesAnswer, budget_ms=_BUDGET_MS
    )
    now_ms = till.system.monotonic_ms()
    if not isinstance(answer, RulesAnswer):
        wanted.note_silent(till_id)
        return False
    if not answer.size_bytes:
        wanted.note_without(till_id, answer.fetched, now_ms=now_ms)
        return False
    if not _follows(wanted, answer, start):
        log.warning("rules_from_sibling_refused", till=till_id, why="not the part asked for")
        wanted.note_useless(till_id)
        return False
    wanted.note_part(till_id, answer.content, answer.size_bytes, now_ms=now_ms)
    return True


def _follows(wanted: WantedRules, answer: RulesAnswer, start: int) -> bool:
    """Say whether an answer is the next part of what was begun, and the whole can still be it."""
    if (answer.bundle, answer.start) != (wanted.manifest.bundle, start):
        return False
    if not start < answer.size_bytes <= min(wanted.size_bytes_max, BUNDLE_BYTES_MAX):
        return False
    if wanted.size_bytes and answer.size_bytes != wanted.size_bytes:
        return False
    # Parts of no full length would let a sibling go on and on.
    return len(answer.content) == min(RULES_PART_BYTES, answer.size_bytes - start)


def _put_together(wanted: WantedRules) -> None:
    """Hand on what has the hash announced; forget anything else."""
    giver, packed = wanted.giver, bytes(wanted.content)
    assert giver is not None
    wanted.begin_anew()
    try:
        content = _unpacked(wanted.manifest, packed)
    except MalformedMessageError as error:
        log.warning("rules_from_sibling_refused", till=giver, why=str(error))
        wanted.note_useless(giver)
        return
    bundle = wanted.manifest.bundle
    log.info("rules_from_sibling", till=giver, bundle=bundle[:8], packed_bytes=len(packed))
    wanted.take(content)


def _unpacked(manifest: Manifest, packed: bytes) -> bytes:
    """Return the bundle's bytes.

    Raises:
        MalformedMessageError: they are not the ones announced.
    """
    content = decompress(packed, ENCODING, bytes_max=manifest.size_bytes)
    if hashlib.sha256(content).hexdigest() != manifest.bundle:
        raise MalformedMessageError("the bytes are not the ones announced")
    return content
