"""Rules on a till: deltas, the local moment they begin, their age, the keys that may sign them."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
import zstandard
from structlog.testing import capture_logs

from agent.journal.rule_trust import Trust
from agent.reference_data.activation import is_due
from agent.reference_data.rule_age import HARD_MS, SOFT_MS
from agent.reference_data.rule_books import BundleRefusedError
from loyalty.bundle import Bundle
from loyalty.canonical import canonical_bytes
from loyalty.offers import PointsPerMoney, Who
from sync.base_rules import base_bytes
from sync.blobs import delta_file
from sync.errors import LinkError, MalformedMessageError, SignatureError
from sync.messages import Cursor, Manifest, PullAnswer
from sync.patches import apply_patch, make_patch
from sync.roots import ReleaseKey, RootDocument, SignedRoot, follow, new_root, write_root
from sync.rule_messages import Delta
from sync.signing import SigningKey, sign_message
from tests.support import builders
from tests.support.builders import offer, percent
from tests.support.till import (
    DAY_MS,
    IDENTITY,
    NOON_MS,
    RULE_KEY,
    STRANGER_KEY,
    FakeCentre,
    JoinedTill,
    receipt,
    signed_bundle,
    signed_manifest,
)

POINTS = offer("base", PointsPerMoney(points=1, per_minor=100), who=Who(identified=True))
GOOD = builders.bundle(POINTS, offer("ten", percent(10)), version=3)
NEWER = builders.bundle(POINTS, offer("twenty", percent(20)), version=4)
ROOT_KEYS = tuple(SigningKey(bytes([number]) * 32) for number in range(1, 4))
NEW_KEY = SigningKey(b"the next rules' key, of 32 bytes")


def hash_of(rules: Bundle) -> str:
    return sha256(canonical_bytes(rules)).hexdigest()


def root(
    version: int, *release: tuple[SigningKey, int], threshold: int = 2, keys: int = 3
) -> SignedRoot:
    return new_root(
        RootDocument(
            version=version,
            root_keys=tuple(key.public.hex() for key in ROOT_KEYS[:keys]),
            threshold=threshold,
            release_keys=tuple(
                ReleaseKey(key=key.public.hex(), generation=number) for key, number in release
            ),
        )
    )


FIRST = root(1, (RULE_KEY, 1)).signed_by(ROOT_KEYS[0]).signed_by(ROOT_KEYS[1]).signed_by(RULE_KEY)
SECOND = root(2, (NEW_KEY, 2)).signed_by(ROOT_KEYS[1]).signed_by(ROOT_KEYS[2])


@pytest.fixture
def ruled(joined: JoinedTill) -> JoinedTill:
    joined.take_rules(GOOD)
    return joined


# Deltas


def announced(till: JoinedTill, manifest: Manifest, delta: Delta | None) -> None:
    till.side.pull_answered(
        PullAnswer(cursor=Cursor(), applied_through=0, more=False, manifest=manifest, delta=delta)
    )


def delta_of(before: Bundle, after: Bundle) -> tuple[Delta, bytes]:
    patch = make_patch(canonical_bytes(before), canonical_bytes(after))
    assert patch is not None
    found = Delta(base=hash_of(before), hash=sha256(patch).digest(), size_bytes=len(patch))
    return found, patch


def test_a_delta_from_what_the_till_has_is_fetched_in_place_of_the_bundle(
    ruled: JoinedTill,
) -> None:
    manifest, _ = signed_bundle(NEWER)
    delta, patch = delta_of(GOOD, NEWER)
    announced(ruled, manifest, delta)
    wanted = ruled.side.wanted_piece()
    assert wanted == (delta_file(manifest, delta), 0)
    ruled.side.piece_arrived(*wanted, patch)
    assert ruled.till.books.active.bundle_hash == manifest.bundle
    assert ruled.side.wanted_piece() is None


@pytest.mark.parametrize("damage", [b"", b"<html>", b"\x28\xb5\x2f\xfd\x00"])
def test_where_a_delta_fails_the_bundle_is_fetched(ruled: JoinedTill, damage: bytes) -> None:
    manifest, content = signed_bundle(NEWER)
    delta, _ = delta_of(GOOD, NEWER)
    announced(ruled, manifest, delta)
    wanted = ruled.side.wanted_piece()
    assert wanted is not None
    ruled.side.piece_arrived(*wanted, damage)
    assert ruled.side.wanted_piece() == (manifest, 0)
    ruled.till.books.take(manifest, content, IDENTITY.place)


def test_a_delta_from_something_else_is_not_asked_for(ruled: JoinedTill) -> None:
    manifest, _ = signed_bundle(NEWER)
    delta, _ = delta_of(NEWER, GOOD)
    announced(ruled, manifest, delta)
    assert ruled.side.wanted_piece() == (manifest, 0)


def test_a_patch_makes_the_named_bytes_or_nothing() -> None:
    before, after = canonical_bytes(GOOD), canonical_bytes(NEWER)
    patch = make_patch(before, after)
    assert patch is not None
    assert apply_patch(before, patch, bundle=hash_of(NEWER)) == after
    for base, name in ((after, hash_of(NEWER)), (before, hash_of(GOOD))):
        with pytest.raises(MalformedMessageError):
            apply_patch(base, patch, bundle=name)


# What cannot be fetched


def rests_s(till: JoinedTill) -> int:
    """Let time pass until a piece is wanted again; returns how long that was."""
    assert till.side.waits_for_rules
    passed_ms = 0
    while not till.side.rules_wait_is_over():
        till.system.let_pass(100)
        passed_ms += 100
    return passed_ms // 1_000


def test_a_bundle_that_cannot_be_fetched_rests_longer_each_time(ruled: JoinedTill) -> None:
    manifest, content = signed_bundle(NEWER)
    announced(ruled, manifest, None)
    rests = []
    for _ in range(14):
        assert ruled.side.wanted_piece() == (manifest, 0)
        ruled.side.fetch_failed(LinkError("status 503"))
        assert ruled.side.wanted_piece() is None
        assert ruled.side.rules_not_fetched == f"{manifest.bundle} status 503"
        rests.append(rests_s(ruled))
    assert rests == sorted(rests)
    assert rests[0] < 1
    assert 300 < rests[-1] <= 600
    assert ruled.side.wanted_piece() == (manifest, 0)
    ruled.side.piece_arrived(manifest, 0, zstandard.compress(content))
    assert ruled.till.books.active.bundle_hash == manifest.bundle
    assert ruled.side.rules_not_fetched == ""


def test_a_piece_that_comes_damaged_again_and_again_is_fetched_with_pauses(
    ruled: JoinedTill,
) -> None:
    manifest, _ = signed_bundle(NEWER)
    for _ in range(3):
        announced(ruled, manifest, None)
        assert ruled.side.wanted_piece() == (manifest, 0)
        ruled.side.piece_arrived(manifest, 0, b"damaged")
        announced(ruled, manifest, None)
        assert ruled.side.wanted_piece() is None
        rests_s(ruled)


def test_another_bundle_is_fetched_at_once(ruled: JoinedTill) -> None:
    announced(ruled, signed_bundle(NEWER)[0], None)
    for _ in range(9):
        ruled.side.fetch_failed(LinkError("status 503"))
    manifest, _ = signed_bundle(builders.bundle(version=5))
    announced(ruled, manifest, None)
    assert ruled.side.wanted_piece() == (manifest, 0)
    assert ruled.side.rules_not_fetched == ""


def test_a_delta_that_cannot_be_fetched_twice_is_left_for_the_bundle(ruled: JoinedTill) -> None:
    manifest, _ = signed_bundle(NEWER)
    delta, _ = delta_of(GOOD, NEWER)
    announced(ruled, manifest, delta)
    for _ in range(2):
        assert ruled.side.wanted_piece() == (delta_file(manifest, delta), 0)
        ruled.side.fetch_failed(LinkError("status 404"))
        assert ruled.side.wanted_piece() is None
        rests_s(ruled)
    assert ruled.side.wanted_piece() == (manifest, 0)


# Going back without fetching


def test_what_is_here_already_is_taken_under_a_higher_version_and_not_fetched(
    ruled: JoinedTill,
) -> None:
    ruled.take_rules(NEWER)
    back = signed_manifest(canonical_bytes(GOOD), version=5)
    announced(ruled, back, None)
    assert ruled.side.wanted_piece() is None
    books = ruled.till.books
    assert (books.active.bundle_hash, books.active_version) == (hash_of(GOOD), 5)
    announced(ruled, signed_bundle(NEWER)[0], None)  # version 4 once more: a replay
    assert (books.active.bundle_hash, ruled.side.wanted_piece()) == (hash_of(GOOD), None)


def test_a_lost_cache_does_not_let_older_rules_in(ruled: JoinedTill) -> None:
    ruled.take_rules(NEWER)
    ruled.close()
    (ruled.folder / "cache.db").unlink()
    again = JoinedTill(ruled.folder, system=ruled.system)
    assert again.till.books.active.bundle_hash == ""
    with pytest.raises(BundleRefusedError, match="not newer"):
        again.take_rules(GOOD)
    again.take_rules(NEWER)
    assert again.till.books.active_version == 4
    again.close()


# The moment they begin


def test_rules_wait_for_their_moment_by_the_registers_clock(ruled: JoinedTill) -> None:
    content = canonical_bytes(NEWER)
    bare = replace_manifest(signed_manifest(content, version=4), activate_at="2025-03-05T13:00:00")
    ruled.till.books.take(sign_message(bare, RULE_KEY), content, IDENTITY.place)
    books = ruled.till.books
    assert books.report().waiting == hash_of(NEWER)
    assert books.newest_bundle() == hash_of(NEWER)
    assert books.at("2025-03-05T12:59:59").bundle_hash == hash_of(GOOD)
    again = ruled.reopened()
    assert again.till.books.at("2025-03-05T12:59:59").bundle_hash == hash_of(GOOD)
    assert again.till.books.at("2025-03-05T13:00:00").bundle_hash == hash_of(NEWER)
    assert again.till.books.at("2025-03-05T12:00:00").bundle_hash == hash_of(NEWER)
    again.close()


def waiting(rules: Bundle, *, version: int, activate_at: str) -> tuple[Manifest, bytes]:
    content = canonical_bytes(rules)
    bare = replace_manifest(signed_manifest(content, version=version), activate_at=activate_at)
    return sign_message(bare, RULE_KEY), content


@pytest.mark.parametrize(("hours", "rules"), [(12, NEWER), (11, GOOD)])
def test_what_waits_goes_before_newer_rules_that_wait_only_once_its_moment_is_past(
    ruled: JoinedTill, hours: int, rules: Bundle
) -> None:
    """No receipt was begun since; before it is past everywhere, it was replaced."""
    books = ruled.till.books
    first = waiting(NEWER, version=4, activate_at="2025-03-05T13:00:00")
    newest = builders.bundle(POINTS, offer("thirty", percent(30)), version=5)
    second = waiting(newest, version=5, activate_at="2025-03-08T13:00:00")
    books.take(*first, IDENTITY.place)
    ruled.system.let_pass((hours + 1) * 3_600_000)
    books.take(*second, IDENTITY.place)
    again = ruled.reopened()
    for each in (books, again.till.books):
        assert each.report().waiting == hash_of(newest)
        assert each.at("2025-03-07T13:00:00").bundle_hash == hash_of(rules)
    ruled.system.let_pass(2 * DAY_MS)
    assert books.at("2025-03-08T13:00:00").bundle_hash == hash_of(newest)
    again.close()


def test_a_till_that_lost_its_cache_says_what_it_took_last(ruled: JoinedTill) -> None:
    ruled.till.books.take(
        *waiting(NEWER, version=4, activate_at="2025-03-05T13:00:00"), IDENTITY.place
    )
    ruled.close()
    (ruled.folder / "cache.db").unlink()
    again = JoinedTill(ruled.folder, system=ruled.system)
    pull = again.side.pull()
    assert (pull.bundle, pull.rules) == ("", (0, 4))
    # So the centre can tell it of what is in force, above that, and then again of what waits.
    again.till.books.take(signed_manifest(canonical_bytes(GOOD), version=5), canonical_bytes(GOOD),
                          IDENTITY.place)  # fmt: skip
    again.till.books.take(
        *waiting(NEWER, version=6, activate_at="2025-03-05T13:00:00"), IDENTITY.place
    )
    assert again.till.books.at("2025-03-05T12:59:59").bundle_hash == hash_of(GOOD)
    assert again.till.books.at("2025-03-05T13:00:00").bundle_hash == hash_of(NEWER)
    again.close()


def replace_manifest(manifest: Manifest, **changes: object) -> Manifest:
    return msgspec.structs.replace(manifest, signature=b"", **changes)


@pytest.mark.parametrize(
    ("local", "hours", "due"),
    [
        ("2025-03-05T06:00:00", 0, True),
        ("2025-03-05T05:59:59", 0, False),
        ("2025-03-05T06:00:00", -15, False),  # the register's clock is far ahead
        ("2031-01-01T00:00:00", -15, False),
        ("1999-01-01T00:00:00", 12, True),  # far behind: everywhere on Earth it is past by now
        ("", 11, False),
        ("", 12, True),
    ],
)
def test_a_register_whose_clock_is_off_neither_begins_early_nor_never(
    local: str, hours: int, *, due: bool
) -> None:
    six_utc_ms = NOON_MS - 6 * 3_600_000
    now_ms = six_utc_ms + hours * 3_600_000
    assert is_due("2025-03-05T06:00:00", local=local, now_ms=now_ms) is due


# Their age


def test_old_rules_are_said_to_be_old_and_at_last_give_way_to_base_rules(
    ruled: JoinedTill, centre: FakeCentre
) -> None:
    books, clock = ruled.till.books, ruled.system
    centre.publishes(GOOD)
    ruled.talk()
    begun_ms = clock.wall_ms
    for age_ms, state, name in (
        (SOFT_MS - 60_000, "fresh", hash_of(GOOD)),
        (SOFT_MS + 60_000, "old", hash_of(GOOD)),
        (HARD_MS + 60_000, "expired", sha256(base_bytes(GOOD)).hexdigest()),
    ):
        clock.passed_ms += begun_ms + age_ms - clock.wall_ms
        clock.wall_ms = begun_ms + age_ms
        assert books.age_state() == state
        assert books.at("2025-03-05T12:00:00").bundle_hash == name
    base = books.at("2025-03-05T12:00:00")
    assert [each.offer_id for each in base.bundle.offers] == ["base"]
    assert ruled.update(receipt()).outcome  # a sale always goes through
    ruled.talk()
    assert books.age_state() == "fresh"
    assert books.at("2025-03-05T12:00:00").bundle_hash == hash_of(GOOD)


# Keys


def test_roots_follow_one_another_and_only_then_are_trusted(tmp_path: Path) -> None:
    till = JoinedTill(tmp_path / "till")
    till.till.books.take_roots([write_root(FIRST)])
    till.take_rules(GOOD)
    till.till.books.take_roots([write_root(FIRST), write_root(SECOND)])
    assert till.till.books.report().root == 2
    with pytest.raises(SignatureError):  # the old key is gone
        till.take_rules(NEWER)
    # Another generation begins its versions anew: the old key may have used all of them up.
    till.till.books.take(*signed_bundle(replace(NEWER, version=1), key=NEW_KEY), IDENTITY.place)
    again = till.reopened()
    assert again.till.books.report().root == 2
    assert again.till.books.active.bundle_hash == hash_of(replace(NEWER, version=1))
    assert (again.till.books.generation, again.till.books.active_version) == (2, 1)
    again.close()


@pytest.mark.parametrize(
    "wrong",
    [
        root(2, (NEW_KEY, 2)).signed_by(ROOT_KEYS[0]),  # one of two
        root(2, (NEW_KEY, 2)).signed_by(ROOT_KEYS[0]).signed_by(STRANGER_KEY),
        root(3, (NEW_KEY, 2)).signed_by(ROOT_KEYS[0]).signed_by(ROOT_KEYS[1]),  # 2 is left out
        msgspec.structs.replace(SECOND, document=SECOND.document.replace('old":2', 'old":1')),
        msgspec.structs.replace(SECOND, document="{}"),
    ],
)  # fmt: skip
def test_a_root_that_does_not_follow_changes_nothing_not_even_on_the_disk(
    tmp_path: Path, wrong: SignedRoot
) -> None:
    till = JoinedTill(tmp_path / "till")
    till.till.books.take_roots([write_root(FIRST)])
    kept = till.till.journal.rule_trust.read()
    with pytest.raises((SignatureError, MalformedMessageError)):
        till.till.books.take_roots([write_root(wrong)])
    assert till.till.journal.rule_trust.read() == kept == Trust(root=write_root(FIRST))
    till.take_rules(GOOD)
    till.close()


def test_a_first_root_that_no_key_of_the_enrolment_signed_is_refused(tmp_path: Path) -> None:
    till = JoinedTill(tmp_path / "till")
    stranger = root(1, (STRANGER_KEY, 9), threshold=1, keys=1).signed_by(ROOT_KEYS[0])
    with pytest.raises(SignatureError, match="enrolment"):
        till.till.books.take_roots([write_root(stranger)])
    with pytest.raises(SignatureError):
        till.till.books.take(*signed_bundle(GOOD, key=STRANGER_KEY), IDENTITY.place)
    till.close()


def test_a_root_needs_its_own_keys_too() -> None:
    others = RootDocument(
        version=2, root_keys=(STRANGER_KEY.public.hex(),), threshold=1,
        release_keys=(ReleaseKey(key=NEW_KEY.public.hex(), generation=2),),
    )  # fmt: skip
    signed = new_root(others).signed_by(ROOT_KEYS[0]).signed_by(ROOT_KEYS[1])
    with pytest.raises(SignatureError, match="root 2 asks for"):
        follow(FIRST.root(), signed)
    assert follow(FIRST.root(), signed.signed_by(STRANGER_KEY)).version == 2


# Telling


def test_the_centre_is_told_what_was_refused_and_why(ruled: JoinedTill, centre: FakeCentre) -> None:
    ruled.till.books.report()
    broken = builders.bundle(offer("ten"), offer("ten"), version=9)
    centre.publishes(broken)
    with capture_logs():
        ruled.talk()
    assert ruled.till.books.has_news()
    report = ruled.till.books.report()
    assert (report.refused, report.version) == (hash_of(broken), 3)
    assert "'ten'" in report.why
    assert not ruled.till.books.has_news()


def test_totals_and_receipts_given_up_are_counted_by_bundle(ruled: JoinedTill) -> None:
    key = "01957e3c-9a42-7c11-8d22-3e4f5a6b7c8d"
    ruled.update(receipt(), key)
    ruled.receipts.cancel(key)
    report = ruled.till.books.report()
    assert (report.calculated, report.dropped) == (1, 1)
    ruled.take_rules(NEWER)
    assert ruled.till.books.report().calculated == 0


def test_days_are_days() -> None:
    assert (SOFT_MS, HARD_MS) == (3 * DAY_MS, 14 * DAY_MS)
