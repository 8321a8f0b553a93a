"""Rule bundles: verified before they are kept, the last good one stays, the cache may go."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import apsw
import msgspec
import pytest
import zstandard
from structlog.testing import capture_logs

from agent.reference_data.rule_books import BundleRefusedError
from loyalty.bundle import Bundle, Product
from loyalty.canonical import canonical_bytes
from sync.cycle import Fetch
from sync.errors import SignatureError
from sync.messages import Manifest
from tests.support import builders
from tests.support.builders import having, offer, percent
from tests.support.till import (
    CARD,
    IDENTITY,
    OTHER_RECEIPT,
    RULE_KEY,
    STRANGER_KEY,
    FakeCentre,
    JoinedTill,
    calculation_of,
    customer,
    receipt,
    signed_bundle,
    signed_manifest,
)

GOOD = builders.bundle(offer("ten", percent(10)), version=3)
NEWER = builders.bundle(offer("twenty", percent(20)), version=4)


def without_a_group() -> Bundle:
    named = offer("lost", lines=having("group", "dairy"))
    return builders.bundle(named, version=4)


def with_an_offer_twice() -> Bundle:
    return builders.bundle(offer("ten"), offer("ten"), version=4)


def with_a_product_without_a_name() -> Bundle:
    """Compiles, and fails the receipt of the self-test."""
    return builders.bundle(offer("ten"), catalogue={"": Product()}, version=4)


def paid(till: JoinedTill, key: str = OTHER_RECEIPT) -> int:
    return calculation_of(till.update(receipt(), key)).totals.paid_minor


@pytest.fixture
def ruled(joined: JoinedTill, centre: FakeCentre) -> JoinedTill:
    """A till with a good bundle from its centre."""
    centre.publishes(GOOD)
    joined.talk()
    assert joined.till.books.active_version == 3
    return joined


# Taking a bundle in


def test_a_newer_bundle_is_fetched_once_and_is_active(
    ruled: JoinedTill, centre: FakeCentre
) -> None:
    centre.publishes(NEWER)
    ruled.talk()
    ruled.talk()
    fetched = [question for question in centre.questions if isinstance(question, Fetch)]
    assert len(fetched) == 2
    assert ruled.till.books.active_version == 4
    assert paid(ruled) == 800


@pytest.mark.parametrize(
    "make", [without_a_group, with_an_offer_twice, with_a_product_without_a_name]
)
def test_a_bundle_that_does_not_work_here_is_refused_once_and_for_all(
    ruled: JoinedTill, centre: FakeCentre, make: Callable[[], Bundle]
) -> None:
    centre.publishes(make())
    with capture_logs() as logs:
        ruled.talk()
        ruled.talk()
    assert [entry["event"] for entry in logs] == ["bundle_refused"]
    fetched = [question for question in centre.questions if isinstance(question, Fetch)]
    assert len(fetched) == 2  # the good one and the bad one
    again = ruled.reopened()
    again.talk()
    assert len([question for question in centre.questions if isinstance(question, Fetch)]) == 2
    assert again.till.books.active_version == 3
    assert paid(again) == 900
    again.close()


def test_a_refused_bundle_is_followed_by_the_next_good_one(
    ruled: JoinedTill, centre: FakeCentre
) -> None:
    centre.publishes(without_a_group())
    ruled.talk()
    centre.publishes(builders.bundle(offer("twenty", percent(20)), version=5))
    ruled.talk()
    assert paid(ruled) == 800


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>please log in</html>",
        b"[]",
        b"[" * 100_000,
        b"\xff\xfe",
        b"{}",
        b'{"kind":"tillside-bundle/2","version":4,"programme":{}}',
        canonical_bytes(NEWER)[:-1],
        canonical_bytes(NEWER).replace(b"200000", b"2e5"),
        canonical_bytes(NEWER).replace(b'"version":4', b'"version":4,"extra":1'),
    ],
)
def test_signed_bytes_that_are_no_bundle_are_refused(ruled: JoinedTill, content: bytes) -> None:
    with pytest.raises(BundleRefusedError):
        ruled.till.books.take(signed_manifest(content, version=4), content, IDENTITY.place)
    assert paid(ruled) == 900


def test_bytes_that_are_not_the_ones_announced_are_refused(ruled: JoinedTill) -> None:
    manifest, content = signed_bundle(NEWER)
    tampered = content.replace(b"200000", b"900000")
    assert tampered != content
    with pytest.raises(BundleRefusedError, match="not the ones announced"):
        ruled.till.books.take(manifest, tampered, IDENTITY.place)
    assert paid(ruled) == 900


def test_a_manifest_nobody_trusted_has_signed_is_neither_wanted_nor_taken(
    ruled: JoinedTill, centre: FakeCentre
) -> None:
    manifest, content = signed_bundle(NEWER, key=STRANGER_KEY)
    with pytest.raises(SignatureError):
        ruled.till.books.take(manifest, content, IDENTITY.place)
    centre.newest = (manifest, content)
    with capture_logs() as logs:
        ruled.talk()
    assert [entry["event"] for entry in logs] == ["bundle_refused"]
    assert len([question for question in centre.questions if isinstance(question, Fetch)]) == 1
    assert paid(ruled) == 900


def test_a_manifest_changed_after_it_was_signed_is_refused(ruled: JoinedTill) -> None:
    manifest, content = signed_bundle(GOOD)
    lifted = Manifest(bundle=manifest.bundle, version=9, size_bytes=9, signature=manifest.signature)
    with pytest.raises(SignatureError):
        ruled.till.books.take(lifted, content, IDENTITY.place)
    assert ruled.till.books.active_version == 3


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_version_that_does_not_rise_is_refused(
    ruled: JoinedTill, centre: FakeCentre, version: int
) -> None:
    older = builders.bundle(offer("ninety", percent(90)), version=version)
    with pytest.raises(BundleRefusedError, match="not newer"):
        ruled.till.books.take(*signed_bundle(older), IDENTITY.place)
    centre.publishes(older)
    ruled.talk()
    assert len([question for question in centre.questions if isinstance(question, Fetch)]) == 1
    assert paid(ruled) == 900


def test_any_of_the_rule_keys_may_sign(tmp_path: Path) -> None:
    both = msgspec.structs.replace(IDENTITY, rule_keys=(STRANGER_KEY.public, RULE_KEY.public))
    till = JoinedTill(tmp_path / "two", identity=both)
    till.till.books.take(*signed_bundle(GOOD, key=RULE_KEY), both.place)
    till.till.books.take(*signed_bundle(NEWER, key=STRANGER_KEY), both.place)
    assert paid(till) == 800
    till.close()


# The cache


def test_rules_are_there_after_a_restart_without_any_centre(ruled: JoinedTill) -> None:
    again = ruled.reopened()
    assert paid(again) == 900
    again.close()


def spoilt(path: Path, sql: str) -> None:
    connection = apsw.Connection(str(path))
    connection.execute(sql)
    assert connection.changes()
    connection.close()


def gone(path: Path) -> None:
    path.unlink()


def no_database(path: Path) -> None:
    path.write_bytes(b"garbage" * 1_000)


def broken_inside(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096 : 4096 + 200] = b"\xff" * 200
    path.write_bytes(content)


def with_spoilt_rules(path: Path) -> None:
    spoilt(path, "update bundle set content = x'00112233'")


def with_other_rules(path: Path) -> None:
    """Somebody writes rules of his own into the file; their bytes are not what the name says."""
    content = zstandard.compress(canonical_bytes(builders.bundle(offer("free", percent(99)))))
    spoilt(path, f"update bundle set content = x'{content.hex()}'")


@pytest.mark.parametrize(
    "damage", [gone, no_database, broken_inside, with_spoilt_rules, with_other_rules]
)
def test_a_spoilt_cache_never_stops_a_till_and_is_told_anew(
    ruled: JoinedTill, centre: FakeCentre, damage: Callable[[Path], None]
) -> None:
    centre.knows(customer(points=10))
    ruled.talk()
    ruled.close()
    damage(ruled.folder / "cache.db")
    centre.knows(customer(points=10))
    again = JoinedTill(ruled.folder, centre=centre, system=ruled.system)
    assert again.till.books.active.bundle_hash == ""
    assert paid(again, key="01957e3c-9a42-7c11-8d22-3e4f5a6b7c8d") == 1_000
    again.talk()
    assert again.till.books.active_version == 3
    assert paid(again) == 900
    known = again.update(receipt(card=CARD))
    assert known.customer is not None
    assert known.customer.known
    again.close()


def test_the_cache_keeps_the_last_three_good_bundles(ruled: JoinedTill) -> None:
    for version in range(4, 9):
        ruled.take_rules(builders.bundle(offer("ten", percent(version)), version=version))
    ruled.close()
    kept = sqlite3.connect(ruled.folder / "cache.db")
    versions = kept.execute("select version from bundle order by version").fetchall()
    kept.close()
    assert versions == [(6,), (7,), (8,)]


def test_an_account_in_the_cache_holds_no_card_number(
    ruled: JoinedTill, centre: FakeCentre
) -> None:
    centre.knows(customer(points=10))
    ruled.talk()
    ruled.close()
    content = (ruled.folder / "cache.db").read_bytes()
    assert CARD.encode() not in content
    assert json.dumps(CARD).encode() not in content
