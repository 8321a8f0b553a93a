"""One till of a store fetches a whole bundle; the others have it from it, or fetch it soon."""

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import zstandard

from agent.neighbours.desk import NeighbourDesk
from agent.neighbours.wanted_rules import (
    BARE_WAIT_MS,
    WAIT_MS,
    WAIT_MS_MAX,
    WAIT_UNHEARD_MS,
    WantedRules,
)
from loyalty.bundle import Bundle
from loyalty.canonical import canonical_bytes
from loyalty.outcomes import Outcome
from sync.blobs import chunk_hashes, delta_file
from sync.cycle import Fetch
from sync.messages import Cursor, Manifest, Message, PullAnswer
from sync.neighbours import (
    BODY_BYTES_MAX,
    HEARTBEAT_MS,
    RULES_PART_BYTES,
    RulesAnswer,
    RulesRequest,
    pack,
    unpack,
)
from sync.patches import make_patch
from sync.rule_messages import Delta
from sync.signing import sign_message
from tests.support import builders
from tests.support.store_lan import SECOND, THIRD, VAULT, StoreTill
from tests.support.till import CARD, RULE_KEY, receipt, signed_bundle, signed_manifest
from tests.unit.agent.neighbours.conftest import HALF, POINTS, Store, large_bundle

NEWER = builders.bundle(POINTS, version=2)
NOTHING = b""


def fetches(till: StoreTill) -> int:
    assert till.centre is not None
    return sum(isinstance(asked, Fetch) for asked in till.centre.questions)


def bundle_of(till: StoreTill) -> str:
    return till.till.books.active.bundle_hash


def publish(store: Store, bundle: Bundle = NEWER) -> Manifest:
    """Bring the line back and announce a bundle to every till from now on; all hear of all."""
    for till in (store.vault, store.second, store.third):
        assert till.centre is not None
        till.centre.publishes(bundle)
        till.till.link_up = True
    store.lan.beat()
    return signed_bundle(bundle)[0]


def let_pass(store: Store, ms: int, *, beats: bool = True) -> None:
    """Let time go by, with everybody's heartbeats."""
    while ms > 0:
        store.system.let_pass(min(ms, HEARTBEAT_MS))
        ms -= HEARTBEAT_MS
        if beats:
            store.lan.beat()


def ask_siblings(store: Store, till: StoreTill, *, rounds: int) -> int:
    """Do what is due beside the sales until no rules are wanted; returns after how many rounds."""
    for number in range(rounds):
        if till.till.neighbours.wanted is None:
            return number
        till.background()
        let_pass(store, HEARTBEAT_MS)
    return rounds


# The usual way


def test_one_till_fetches_and_the_others_have_it_from_it(store: Store) -> None:
    manifest = publish(store)
    for till in (store.third, store.second, store.vault):
        till.talk()
    assert [fetches(till) for till in (store.vault, store.second, store.third)] == [1, 0, 0]
    store.lan.beat()
    for till in (store.second, store.third):
        assert till.side.waits_for_rules
        till.background()
        assert bundle_of(till) == manifest.bundle
        assert till.side.rules_wait_is_over()
        till.talk()
        assert fetches(till) == 0
        assert till.centre is not None
        assert till.till.books.report().version == 2


def test_a_bundle_of_many_parts_fits_envelopes_and_what_a_sibling_may_ask(store: Store) -> None:
    bundle = large_bundle()
    manifest = publish(store, bundle)
    store.vault.talk()
    store.second.talk()
    store.lan.answers.clear()
    rounds = ask_siblings(store, store.second, rounds=20)
    assert bundle_of(store.second) == manifest.bundle
    assert fetches(store.second) == 0
    packed = len(zstandard.compress(canonical_bytes(bundle), 3))
    parts = [body for asker, body in store.lan.answers if asker == SECOND]
    parts = [body for body in parts if isinstance(unpack(body), RulesAnswer)]
    assert len(parts) == -(-packed // RULES_PART_BYTES) > 5
    assert all(len(body) <= BODY_BYTES_MAX for body in parts)
    assert 2 <= rounds <= len(parts) / 2


def test_the_first_till_in_the_order_of_numbers_waits_for_nobody(store: Store) -> None:
    manifest = publish(store)
    store.vault.talk()
    assert fetches(store.vault) == 1
    assert bundle_of(store.vault) == manifest.bundle
    assert not store.vault.side.waits_for_rules


def test_a_till_that_lost_its_rules_has_them_from_whoever_uses_them(store: Store) -> None:
    manifest = publish(store)
    for till in (store.second, store.third):
        till.take_rules(NEWER)
    store.lan.beat()
    store.vault.talk()
    assert fetches(store.vault) == 0
    store.vault.background()
    assert bundle_of(store.vault) == manifest.bundle


def test_a_bundle_that_waits_for_its_moment_is_given_too(store: Store) -> None:
    manifest = publish(store)
    content = signed_bundle(NEWER)[1]
    later = msgspec.structs.replace(manifest, activate_at="2099-01-01T00:00:00", signature=b"")

    later = sign_message(later, RULE_KEY)
    store.vault.till.books.take(later, content, store.vault.till.identity.place)
    assert bundle_of(store.vault) != manifest.bundle
    store.second.talk()
    store.second.background()
    assert bundle_of(store.second) == manifest.bundle
    assert fetches(store.second) == 0


def test_a_delta_comes_straight_from_the_centre(store: Store) -> None:
    manifest = publish(store)
    patch = make_patch(canonical_bytes(HALF), canonical_bytes(NEWER))
    assert patch is not None
    delta = Delta(
        base=bundle_of(store.second), hash=hashlib.sha256(patch).digest(), size_bytes=len(patch)
    )
    announced = PullAnswer(
        cursor=Cursor(), applied_through=0, more=False, manifest=manifest, delta=delta
    )
    store.second.side.pull_answered(announced)
    assert store.second.side.wanted_piece() == (delta_file(manifest, delta), 0)
    store.second.side.piece_arrived(delta_file(manifest, delta), 0, b"damaged")
    assert store.second.side.wanted_piece() is None  # the whole is worth waiting for
    assert store.second.side.waits_for_rules


# The wait ends


def test_without_the_bundle_for_a_minute_a_till_fetches_its_own(store: Store) -> None:
    publish(store)
    store.second.talk()
    let_pass(store, WAIT_MS - 2 * HEARTBEAT_MS)
    store.second.background()
    assert not store.second.side.rules_wait_is_over()
    let_pass(store, 2 * HEARTBEAT_MS)
    assert store.second.side.rules_wait_is_over()
    assert not store.second.side.rules_wait_is_over()  # said once
    store.second.talk()
    assert fetches(store.second) == 1
    assert store.second.till.books.active_version == 2


def test_a_till_without_any_rules_waits_ten_seconds(store: Store) -> None:
    store.second.close()
    for file in store.second.folder.glob("cache.db*"):
        file.unlink()
    second = store.second = StoreTill(
        store.second.folder,
        lan=store.lan,
        centre=store.second.centre,
        system=store.system,
        identity=store.second.till.identity,
    )
    publish(store)
    assert not bundle_of(second)
    second.talk()
    let_pass(store, BARE_WAIT_MS - HEARTBEAT_MS)
    second.background()
    assert not second.side.rules_wait_is_over()
    let_pass(store, HEARTBEAT_MS)
    assert second.side.rules_wait_is_over()
    second.talk()
    assert fetches(second) == 1


def test_nobody_waits_for_a_sibling_that_is_dead(store: Store) -> None:
    publish(store)
    store.second.talk()
    store.lan.cut_off.add(VAULT)
    let_pass(store, 4 * HEARTBEAT_MS)
    assert store.second.side.rules_wait_is_over()


def test_nobody_waits_for_a_sibling_without_a_line(store: Store) -> None:
    publish(store)
    store.vault.cut_off()
    store.lan.beat()
    store.second.talk()
    assert fetches(store.second) == 1


def test_a_sibling_on_a_slow_line_is_waited_for_while_it_goes_on(store: Store) -> None:
    content = signed_bundle(large_bundle())[1]
    packed = zstandard.compress(content, 3)
    chunks = chunk_hashes(packed)
    bare = msgspec.structs.replace(
        signed_manifest(content, version=2), chunks=chunks, signature=b""
    )

    manifest = sign_message(bare, RULE_KEY)
    publish(store)
    announced = PullAnswer(cursor=Cursor(), applied_through=0, more=False, manifest=manifest)
    for till in (store.vault, store.second):
        till.side.pull_answered(announced)
    assert store.second.side.wanted_piece() is None
    wanted = store.vault.side.wanted_piece()
    while wanted is not None:
        _, piece = wanted
        let_pass(store, WAIT_MS - 3 * HEARTBEAT_MS)
        store.second.background()
        assert not store.second.side.rules_wait_is_over()
        store.vault.side.piece_arrived(manifest, piece, packed[piece << 16 : piece + 1 << 16])
        wanted = store.vault.side.wanted_piece()
    assert len(chunks) > 3
    ask_siblings(store, store.second, rounds=20)
    assert bundle_of(store.second) == manifest.bundle


def test_after_its_start_a_till_waits_a_moment_for_the_first_heartbeat(store: Store) -> None:
    manifest = publish(store)
    vault = store.vault = store.vault.reopened()
    vault.talk()
    assert vault.side.waits_for_rules
    let_pass(store, WAIT_UNHEARD_MS, beats=False)
    assert vault.side.rules_wait_is_over()
    vault.talk()
    assert fetches(vault) == 1
    assert bundle_of(vault) == manifest.bundle


def test_a_till_without_a_bus_fetches_at_once(store: Store) -> None:
    publish(store)
    store.second.till.neighbours.connected = False
    store.second.talk()
    assert fetches(store.second) == 1


def test_a_till_that_has_begun_to_fetch_goes_on_and_takes_what_comes_first(store: Store) -> None:
    manifest = publish(store)
    store.lan.cut_off.add(VAULT)
    let_pass(store, 4 * HEARTBEAT_MS)
    announced = PullAnswer(cursor=Cursor(), applied_through=0, more=False, manifest=manifest)
    store.second.side.pull_answered(announced)
    assert store.second.side.wanted_piece() == (manifest, 0)
    store.lan.cut_off.clear()
    store.vault.talk()
    store.lan.beat()
    assert store.second.side.wanted_piece() == (manifest, 0)
    store.second.background()
    assert bundle_of(store.second) == manifest.bundle
    store.second.side.piece_arrived(manifest, 0, b"too late, and damaged")
    assert bundle_of(store.second) == manifest.bundle
    assert store.second.side.wanted_piece() is None


def test_announced_again_after_a_damaged_piece_it_is_not_waited_for_again(store: Store) -> None:
    manifest = publish(store)
    announced = PullAnswer(cursor=Cursor(), applied_through=0, more=False, manifest=manifest)
    side = store.second.side
    side.pull_answered(announced)
    assert side.wanted_piece() is None
    let_pass(store, WAIT_MS)
    assert side.wanted_piece() == (manifest, 0)
    side.piece_arrived(manifest, 0, b"damaged")
    assert side.wanted_piece() is None
    assert not side.waits_for_rules
    let_pass(store, 1_000)
    side.pull_answered(announced)
    assert side.wanted_piece() == (manifest, 0)


def test_announced_while_it_is_waited_for_it_is_no_news(store: Store) -> None:
    manifest = publish(store)
    announced = PullAnswer(cursor=Cursor(), applied_through=0, more=False, manifest=manifest)
    side = store.second.side
    for is_news in (True, False):
        side.brought_news = False
        side.pull_answered(announced)
        assert side.brought_news is is_news
        assert side.wanted_piece() is None


# What a till gives


def asked_of(till: StoreTill, bundle: str, *, start: int = 0, by: int = SECOND) -> RulesAnswer:
    body = pack(RulesRequest(bundle=bundle, start=start))
    assert body is not None
    reply = till.lan.desks[till.till_id].asked(by, body)
    assert reply is not None
    answer = unpack(reply)
    assert isinstance(answer, RulesAnswer)
    return answer


def test_of_what_it_has_not_a_till_says_so(store: Store) -> None:
    manifest = signed_bundle(NEWER)[0]
    assert asked_of(store.vault, manifest.bundle) == RulesAnswer(bundle=manifest.bundle)


def test_a_bundle_that_was_refused_is_not_given(store: Store) -> None:
    manifest = signed_manifest(b"{}", version=2)
    with pytest.raises(Exception, match="bundle"):
        store.vault.till.books.take(manifest, b"{}", store.vault.till.identity.place)
    assert not asked_of(store.vault, manifest.bundle).size_bytes


def test_past_the_end_there_is_nothing(store: Store) -> None:
    bundle = bundle_of(store.vault)
    size_bytes = asked_of(store.vault, bundle).size_bytes
    for start in (size_bytes, size_bytes + 1, 2**40):
        answer = asked_of(store.vault, bundle, start=start)
        assert (answer.size_bytes, answer.content) == (size_bytes, b"")


def test_who_asks_without_end_gets_no_answer(store: Store) -> None:
    body = pack(RulesRequest(bundle=bundle_of(store.vault)))
    assert body is not None
    desk = store.lan.desks[VAULT]
    answered = [desk.asked(SECOND, body) is not None for _ in range(100)]
    assert 0 < sum(answered) <= 20
    assert desk.asked(THIRD, body) is not None


# Siblings out of their mind


class MadDesk(NeighbourDesk):
    """Lives and has a line, and answers what it likes.

    Attributes:
        lie: makes an answer of the asked for, the right one and how often it was asked.
    """

    lie: Callable[[RulesRequest, RulesAnswer, int], Message | None]
    lies = 0

    def asked(self, sender: int, body: bytes) -> bytes | None:
        """Answer a request for rules."""
        right = super().asked(sender, body)
        asked = unpack(body)
        if not isinstance(asked, RulesRequest) or right is None:
            return right
        self.lies += 1
        answer = unpack(right)
        assert isinstance(answer, RulesAnswer)
        lie = self.lie(asked, answer, self.lies)
        return pack(lie) if lie is not None else None


def gone_mad(
    till: StoreTill, lie: Callable[[RulesRequest, RulesAnswer, int], Message | None]
) -> MadDesk:
    desk = MadDesk(till.till)
    desk.lie = lie
    till.lan.desks[till.till_id] = desk
    return desk


def changed(**fields: Any) -> Callable[[RulesRequest, RulesAnswer, int], Message]:  # noqa: ANN401
    return lambda _, right, __: msgspec.structs.replace(right, **fields)


BOMB = zstandard.compress(bytes(50_000_000), 19)[:RULES_PART_BYTES]
LIES: dict[str, Callable[[RulesRequest, RulesAnswer, int], Message | None]] = {
    "other bytes": lambda _, right, __: msgspec.structs.replace(
        right, content=bytes(len(right.content))
    ),
    "another frame": lambda _, __, ___: RulesAnswer(
        bundle=signed_bundle(NEWER)[0].bundle,
        size_bytes=len(zstandard.compress(b"{}")),
        content=zstandard.compress(b"{}"),
    ),
    "a bomb": lambda asked, __, ___: RulesAnswer(
        bundle=asked.bundle, size_bytes=len(BOMB), content=BOMB
    ),
    "another bundle": changed(bundle="0" * 64),
    "another place": changed(start=7),
    "nothing of something": changed(content=NOTHING),
    "less than a part": lambda _, right, __: msgspec.structs.replace(
        right, content=right.content[:-1]
    ),
    "more than the whole": lambda _, right, __: msgspec.structs.replace(
        right, content=right.content + b"!"
    ),
    "too large a whole": changed(size_bytes=2**40, content=bytes(RULES_PART_BYTES)),
    "without end": lambda asked, right, number: RulesAnswer(
        bundle=right.bundle,
        start=asked.start,
        size_bytes=asked.start + RULES_PART_BYTES + number,
        content=bytes(RULES_PART_BYTES),
    ),
    "a question": lambda asked, _, __: asked,
    "silence, as a release before this one": lambda _, __, ___: None,
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_whatever_a_sibling_gives_only_the_announced_bundle_is_taken(
    store: Store, lie: Callable[[RulesRequest, RulesAnswer, int], Message | None]
) -> None:
    manifest = publish(store)
    before = bundle_of(store.second)
    store.vault.talk()
    mad = gone_mad(store.vault, lie)
    store.lan.beat()
    store.second.talk()
    for _ in range(3):
        assert bundle_of(store.second) == before
        store.second.background()
        let_pass(store, HEARTBEAT_MS)
    # It is asked no more, and nobody waits for it.
    assert 1 <= mad.lies <= 3
    assert store.second.till.neighbours.is_alive(VAULT)
    assert store.second.side.rules_wait_is_over()
    assert store.second.complete(receipt(card=CARD), 1_000).outcome == Outcome.RECORDED
    store.second.talk()
    assert fetches(store.second) == 1
    assert bundle_of(store.second) == manifest.bundle


@pytest.mark.parametrize("name", ["other bytes", "a bomb", "without end"])
def test_after_a_mad_sibling_an_honest_one_is_asked(store: Store, name: str) -> None:
    manifest = publish(store)
    store.third.take_rules(NEWER)
    store.vault.talk()
    gone_mad(store.vault, LIES[name])
    store.lan.beat()
    store.second.talk()
    ask_siblings(store, store.second, rounds=4)
    assert bundle_of(store.second) == manifest.bundle
    assert fetches(store.second) == 0


def half_fetched(store: Store) -> tuple[Manifest, WantedRules]:
    """Publish rules of which the vault has all, and the second till a part."""
    manifest = publish(store, large_bundle())
    store.vault.talk()
    store.second.talk()
    store.second.background()
    wanted = store.second.till.neighbours.wanted
    assert wanted is not None
    return manifest, wanted


def test_half_of_one_sibling_and_half_of_another_is_asked_for_again(store: Store) -> None:
    manifest, wanted = half_fetched(store)
    assert wanted.giver == VAULT
    store.third.take_rules(large_bundle())
    store.lan.cut_off.add(VAULT)
    let_pass(store, 4 * HEARTBEAT_MS)
    ask_siblings(store, store.second, rounds=20)
    assert bundle_of(store.second) == manifest.bundle
    assert fetches(store.second) == 0


def test_a_part_lost_on_the_wire_is_asked_for_again_and_the_rest_stays(store: Store) -> None:
    manifest, wanted = half_fetched(store)
    here = len(wanted.content)
    assert RULES_PART_BYTES < here < wanted.size_bytes
    store.lan.lost_answers.add(RulesRequest)
    let_pass(store, HEARTBEAT_MS)
    store.second.background()
    store.lan.lost_answers.clear()
    assert len(wanted.content) == here
    ask_siblings(store, store.second, rounds=20)
    assert bundle_of(store.second) == manifest.bundle


def test_a_sibling_that_is_for_ever_fetching_is_waited_for_ten_minutes_and_no_longer(
    store: Store,
) -> None:
    publish(store)

    def fetching(asked: RulesRequest, _: RulesAnswer, number: int) -> Message:
        return RulesAnswer(bundle=asked.bundle, fetched=number)

    gone_mad(store.vault, fetching)
    store.second.talk()
    since_ms = store.system.monotonic_ms()
    while not store.second.side.rules_wait_is_over():
        store.second.background()
        let_pass(store, HEARTBEAT_MS)
    waited_ms = store.system.monotonic_ms() - since_ms
    assert waited_ms == WAIT_MS_MAX
    store.second.talk()
    assert fetches(store.second) == 1
