"""From a rule document to bytes a till can fetch; what is wrong is named by its place."""

import hashlib
import json

import pytest
import zstandard

from central.errors import BadRequestError
from central.rules.library import RuleLibrary
from central.rules.publishing import RefusedRulesError, read_document
from loyalty.checking import Code
from loyalty.documents import encode
from loyalty.offers import AmountOff, CardPrice, NeedsAll, NeedsTender, UnitPrice, When
from sync.messages import PullAnswer
from sync.signing import check_message
from tests.support.builders import bundle, combines, having, offer, percent
from tests.support.centre import BUNDLE, RULE_KEY, JoinedCentre


def document(**changes: object) -> bytes:
    plain = encode(bundle(offer("ten", percent(10))))
    assert isinstance(plain, dict)
    return json.dumps({**plain, **changes}).encode()


def changed_offer(**changes: object) -> bytes:
    plain = encode(offer("ten", percent(10)))
    assert isinstance(plain, dict)
    return document(offers=[{**plain, **changes}])


async def test_a_published_bundle_is_named_by_its_hash_and_signed(centre: JoinedCentre) -> None:
    published = await centre.publish_document(document(version=2))
    assert (published.offers, published.products) == (1, 0)
    manifest = published.manifest
    check_message(manifest, RULE_KEY.public)
    response = await centre.http.get(f"/v1/bundles/{manifest.bundle}")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/zstd"
    assert "immutable" in response.headers["cache-control"]
    content = zstandard.decompress(response.content)
    assert hashlib.sha256(content).hexdigest() == manifest.bundle
    assert len(content) == manifest.size_bytes


async def test_tills_hear_of_it_at_the_next_pull(centre: JoinedCentre) -> None:
    till = await centre.till()
    published = await centre.publish_document(document(version=2))
    answer: PullAnswer = await till.pull()
    assert answer.manifest == published.manifest


async def test_the_same_document_twice_is_harmless(centre: JoinedCentre) -> None:
    first = await centre.publish_document(document(version=2))
    again = await centre.publish_document(document(version=2))
    assert again == first
    spaced = json.dumps(json.loads(document(version=2)), indent=4).encode()
    assert await centre.publish_document(spaced) == first
    assert await centre.pool.fetchval("select count(*) from bundle") == 2


@pytest.mark.parametrize("version", [1, 2])
async def test_the_version_must_rise(centre: JoinedCentre, version: int) -> None:
    await centre.publish_document(document(version=2))
    with pytest.raises(BadRequestError, match=r"\$.version: must be above 2"):
        await centre.publish_document(document(version=version, groups={"dairy": ["milk"]}))


async def test_every_published_bundle_is_found_for_ever(centre: JoinedCentre) -> None:
    first = await centre.publish_document(document(version=2))
    hashes = [first.manifest.bundle]
    for version in range(3, 14):
        made = await centre.publish(bundle(offer("ten", percent(version)), version=version))
        hashes.append(made.bundle_hash)
    library = RuleLibrary()
    async with centre.pool.acquire() as connection:
        assert (await library.newest(connection)).bundle.version == 13
        for bundle_hash in (*hashes, *hashes):
            found = await library.find(connection, bundle_hash)
            assert found.bundle_hash == bundle_hash
        with pytest.raises(LookupError):
            await library.find(connection, "0" * 64)
        assert (await library.find(connection, "")).bundle.offers == ()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", r"^\$: not JSON"),
        (b"{", r"^\$: not JSON"),
        (b"\xff", r"^\$: not JSON"),
        (b"[" * 100_000, r"^\$: not JSON"),
        (b"[]", r"^\$: must be an object, not a list"),
        (document(colour="green"), r"^\$.colour: is not a field here; known: "),
        (document(version="1"), r"^\$.version: must be an integer, not a text"),
        (document(version=0), r"^\$: version must be at least 1"),
        (document(version=1.5), r"^\$.version: must be an integer, not a number with a fraction"),
        (document(programme={}), r"^\$.programme.programme_id: is missing"),
        (changed_offer(priority=None), r"^\$.offers\[0\].priority: must be an integer, not null"),
        (
            changed_offer(gives={"kind": "percent", "rate_ppm": 2_000_000}),
            r"^\$.offers\[0\].gives: rate_ppm must be 1 to 1000000",
        ),
        (
            changed_offer(gives={"kind": "bonfire"}),
            r"^\$.offers\[0\].gives.kind: must be one of amount, buy_get, card_price, ",
        ),
        (document(offers=[encode(offer("a")), encode(offer("a"))]), r"^offers: offer 'a' stands"),
        (
            document(offers=[encode(offer("a", lines=having("group", "dairy")))]),
            r"^offers: offer 'a' names product group 'dairy', which the bundle lacks",
        ),
        (
            document(offers=[encode(offer(when=When(starts="2025-03-02", until="2025-03-01")))]),
            r"^offers: offer 'offer' ends before it starts",
        ),
        (
            document(
                offers=[
                    encode(offer("a", AmountOff(amount_minor=1), combines=combines("g"))),
                    encode(
                        offer(
                            "b",
                            CardPrice(prices={"milk": UnitPrice(amount_minor=1)}),
                            combines=combines("g", mode="first"),
                        )
                    ),
                ]
            ),
            r"^offers: offers 'a' and 'b' give group 'g' two modes",
        ),
    ],
)  # fmt: skip
def test_a_bad_document_is_refused_by_its_place(content: bytes, says: str) -> None:
    with pytest.raises(BadRequestError, match=says):
        read_document(content)


async def test_what_only_looks_wrong_is_published_and_told(centre: JoinedCentre) -> None:
    titled = encode(offer("ten", percent(10), title={"en": "Ten"}, when=When(until="2025-03-05")))
    published = await centre.publish_document(document(version=2, offers=[titled]))
    assert [each.code for each in published.warnings] == [Code.WINDOW_OVER]
    assert (await centre.publish_document(document(version=3))).warnings[0].severity == "warning"


async def test_all_errors_of_a_refused_document_are_told(centre: JoinedCentre) -> None:
    never = NeedsAll(of=(NeedsTender(one_of=("card",)), NeedsTender(one_of=("cash",))))
    offers = [
        encode(offer("a", needs=never)),
        encode(offer("b", when=When(starts="2025-03-02", until="2025-03-01"))),
    ]
    with pytest.raises(RefusedRulesError) as refused:
        await centre.publish_document(document(version=2, offers=offers))
    assert [each.code for each in refused.value.errors] == [
        Code.NEEDS_NEVER_HOLD,
        Code.ENDS_BEFORE_START,
    ]
    assert "what offer 'a' needs can never be there" in str(refused.value)
    assert "\noffer 'b' ends before it starts" in str(refused.value)
    assert await centre.pool.fetchval("select count(*) from bundle") == 1


def test_of_many_errors_the_first_are_told() -> None:
    backwards = When(starts="2025-03-02", until="2025-03-01")
    offers = [encode(offer(str(number), when=backwards)) for number in range(30)]
    with pytest.raises(RefusedRulesError) as refused:
        read_document(document(offers=offers))
    assert len(refused.value.errors) == 30
    assert str(refused.value).endswith("\n... and 10 errors more")


async def test_a_refused_document_leaves_no_trace(centre: JoinedCentre) -> None:
    with pytest.raises(BadRequestError):
        await centre.publish_document(document(version=2, colour="green"))
    assert await centre.pool.fetchval("select count(*) from bundle") == 1


async def test_a_download_goes_on_where_it_broke(centre: JoinedCentre) -> None:
    made = await centre.publish(bundle(*BUNDLE.offers, version=2))
    path = f"/v1/bundles/{made.bundle_hash}"
    whole = (await centre.http.get(path)).content
    for start in (0, 1, len(whole) - 1):
        rest = await centre.http.get(path, headers={"range": f"bytes={start}-"})
        assert rest.content == whole[start:]
        assert rest.status_code == (206 if start else 200)
        if start:
            size = len(whole)
            assert rest.headers["content-range"] == f"bytes {start}-{size - 1}/{size}"
    middle = await centre.http.get(path, headers={"range": "bytes=1-2"})
    assert (middle.status_code, middle.content) == (206, whole[1:3])


@pytest.mark.parametrize(
    "wanted",
    [
        "bytes=1000000-", "bytes=-5", "bytes=2-1", "lines=1-", "bytes=x-",
        f"bytes={'9' * 5_000}-", f"bytes=0-{'9' * 5_000}",
    ],
    ids=["far", "last", "backward", "lines", "no-number", "long", "long-end"],
)  # fmt: skip
async def test_a_range_that_is_not_served_is_416(centre: JoinedCentre, wanted: str) -> None:
    made = await centre.publish(bundle(*BUNDLE.offers, version=2))
    path = f"/v1/bundles/{made.bundle_hash}"
    size = len((await centre.http.get(path)).content)
    response = await centre.http.get(path, headers={"range": wanted})
    assert response.status_code == 416
    assert response.headers["content-range"] == f"bytes */{size}"


async def test_an_unknown_bundle_is_404(centre: JoinedCentre) -> None:
    assert (await centre.http.get("/v1/bundles/" + "0" * 64)).status_code == 404
