"""Rules from files and folders: parts become one bundle; what is wrong is named by its place."""

import json
from pathlib import Path

import pytest

from central.errors import BadRequestError
from central.rules.documents import DEFAULT_PROGRAMME, UnreadableRulesError, read_rules
from central.rules.publishing import read_document
from loyalty.documents import encode
from tests.support.builders import bundle, having, offer, percent, programme

TEN = encode(offer("ten", percent(10)))
TWENTY = encode(offer("twenty", percent(20)))
POINTS = {"programme_id": "green", "currency": "EUR"}


def written(folder: Path, name: str, document: object) -> Path:
    path = folder / name
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def problems(*paths: Path) -> list[tuple[str, str]]:
    """Return place and problem of all that is wrong; places without the folder."""
    with pytest.raises(UnreadableRulesError) as caught:
        read_rules(*paths)
    return [(found.place.rpartition("/")[2], found.says) for found in caught.value.problems]


def test_a_bundle_document_is_read_as_it_is_published(tmp_path: Path) -> None:
    made = bundle(offer("ten"), of=programme(), groups={"dairy": ("milk",)}, version=7)
    path = written(tmp_path, "rules.json", encode(made))
    source = read_rules(path)
    assert source.bundle == read_document(path.read_bytes()) == made
    assert (source.files, source.lacks) == ((path,), ())
    assert source.offer_places == (f"{path}: $.offers[0]",)


@pytest.mark.parametrize(
    ("document", "places"),
    [
        (TEN, ["$"]),
        ([TEN, TWENTY], ["$[0]", "$[1]"]),
        ({"offers": [TEN, TWENTY]}, ["$.offers[0]", "$.offers[1]"]),
    ],
)
def test_offers_alone_are_rules_with_the_default_programme(
    tmp_path: Path, document: object, places: list[str]
) -> None:
    path = written(tmp_path, "offers.json", document)
    source = read_rules(path)
    assert source.bundle.programme == DEFAULT_PROGRAMME
    assert source.lacks == ("version", "programme")
    assert source.offer_places == tuple(f"{path}: {place}" for place in places)
    assert [each.offer_id for each in source.bundle.offers] == ["ten", "twenty"][: len(places)]


def test_a_folder_is_one_bundle_of_all_its_files(tmp_path: Path) -> None:
    written(tmp_path, "1-programme.json", POINTS)
    written(tmp_path, "2-summer.json", [TWENTY])
    written(tmp_path, "3-winter.json", {"version": 3, "offers": [TEN]})
    written(tmp_path, "4-goods.json", {"catalogue": {"milk": {"brand": "A"}}, "version": 2})
    written(tmp_path, "5-goods.json", {"catalogue": {"tea": {}}, "groups": {"hot": ["tea"]}})
    written(tmp_path, "6-groups.json", {"groups": {"cold": ["milk"]}})
    written(tmp_path, "7-empty.json", {})
    written(tmp_path, ".kept-by-the-editor.json", {"colour": "green"})
    (tmp_path / "readme.txt").write_text("nothing of ours", encoding="utf-8")
    source = read_rules(tmp_path)
    found = source.bundle
    assert (found.version, found.programme.currency) == (3, "EUR")
    assert [each.offer_id for each in found.offers] == ["twenty", "ten"]
    assert (sorted(found.catalogue), sorted(found.groups)) == (["milk", "tea"], ["cold", "hot"])
    assert source.lacks == ()
    assert [path.name[0] for path in source.files] == ["1", "2", "3", "4", "5", "6", "7"]
    one_by_one = read_rules(*sorted(tmp_path.glob("[1-7]*.json")))
    assert one_by_one.compiled().bundle_hash == source.compiled().bundle_hash


def test_the_same_file_twice_is_read_once(tmp_path: Path) -> None:
    path = written(tmp_path, "rules.json", {"programme": POINTS, "offers": [TEN]})
    assert len(read_rules(path, tmp_path, path).bundle.offers) == 1


def test_rules_are_compiled_under_the_hash_they_are_published_by(tmp_path: Path) -> None:
    made = bundle(offer("ten"))
    spaced = tmp_path / "rules.json"
    spaced.write_text(json.dumps(encode(made), indent=4), encoding="utf-8")
    tight = written(tmp_path, "tight.json", encode(made))
    assert read_rules(spaced).compiled().bundle_hash == read_rules(tight).compiled().bundle_hash


def test_what_contradicts_itself_does_not_compile(tmp_path: Path) -> None:
    of_no_group = encode(offer("ten", lines=having("group", "dairy")))
    source = read_rules(written(tmp_path, "rules.json", [of_no_group]))
    with pytest.raises(BadRequestError, match=r"^offers: .*'dairy'"):
        source.compiled()


def test_what_two_files_say_is_named_with_both(tmp_path: Path) -> None:
    first = {
        "programme": POINTS, "offers": [TEN], "catalogue": {"milk": {}}, "groups": {"dairy": []},
    }  # fmt: skip
    a, b = written(tmp_path, "a.json", first), written(tmp_path, "b.json", first)
    both = "too; keep one of them"
    other = f"offer 'ten' stands at {a}: $.offers[0] too; give each an id of its own"
    assert problems(tmp_path) == [
        ("b.json: $.programme", f"{a}: $.programme is a programme {both}"),
        ("b.json: $.offers[0]", other),
        ("b.json: $.catalogue.milk", f"stands in {a} {both}"),
        ("b.json: $.groups.dairy", f"stands in {a} {both}"),
    ]
    assert read_rules(b).offer_places == (f"{b}: $.offers[0]",)


def test_one_file_may_not_say_an_offer_twice_either(tmp_path: Path) -> None:
    written(tmp_path, "a.json", [TEN, TEN])
    assert [place for place, _ in problems(tmp_path)] == ["a.json: $[1]"]


@pytest.mark.parametrize(
    ("document", "place", "says"),
    [
        (5, "$", "must be an object, or a list of offers"),
        ("x", "$", "must be an object, or a list of offers"),
        (None, "$", "must be an object, or a list of offers"),
        ({"colour": "green"}, "$.colour", "is not a field here; known: catalogue, groups, offers,"),
        ({"offer": TEN}, "$.offer", "is not a field here; known: "),
        ({"kind": "receipt"}, "$.kind", "must be tillside-bundle/1"),
        ({"version": "1"}, "$.version", "must be an integer, not a text"),
        ({"programme": {}}, "$.programme.programme_id", "is missing"),
        ({"programme_id": "p"}, "$.currency", "is missing"),
        ({"offers": {}}, "$.offers", "must be a list of offers"),
        ({"offers": [{"gives": TEN}]}, "$.offers[0].gives.kind", "must be one of "),
        ({"offer_id": "x"}, "$.gives", "is missing"),
        ({"gives": {"kind": "percent", "rate_ppm": 1}}, "$.offer_id", "is missing"),
        ([5], "$[0]", "must be an object, not an integer"),
        ({"catalogue": {"milk": {"colour": ""}}}, "$.catalogue.milk.colour", "is not a field"),
        ({"catalogue": []}, "$.catalogue", "must be an object, not a list"),
        ({"groups": {"dairy": "milk"}}, "$.groups.dairy", "must be a list, not a text"),
    ],
)
def test_what_is_wrong_is_named_by_file_and_place(
    tmp_path: Path, document: object, place: str, says: str
) -> None:
    ((found, text),) = problems(written(tmp_path, "rules.json", document))
    assert found == f"rules.json: {place}"
    assert text.startswith(says)


@pytest.mark.parametrize("content", [b"", b"{", b'"\xff"', b"[" * 100_000, b"\xef\xbb\xbf{}"])
def test_what_is_no_json_is_named_by_its_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "rules.json").write_bytes(content)
    ((found, text),) = problems(tmp_path)
    assert (found, text.partition(":")[0]) == ("rules.json", "not JSON")


def test_a_version_below_one_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "rules.json", {"version": 0})
    assert problems(path) == [("bundle", "version must be at least 1")]


def test_a_folder_without_rules_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableRulesError, match=r"the folder holds no file \*\.json$"):
        read_rules(tmp_path)


def test_a_file_that_is_not_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_rules(tmp_path / "nowhere.json")


def test_every_problem_is_told_and_the_text_names_the_first_ones(tmp_path: Path) -> None:
    path = written(tmp_path, "rules.json", [{"offer_id": str(i)} for i in range(30)])
    with pytest.raises(UnreadableRulesError) as caught:
        read_rules(path)
    assert len(caught.value.problems) == 30
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{path}: $[0].gives: is missing"
    assert lines[19] == f"{path}: $[19].gives: is missing"
    assert lines[20:] == ["... and 10 problems more"]
    assert caught.value.path == f"{path}: $[0].gives"
