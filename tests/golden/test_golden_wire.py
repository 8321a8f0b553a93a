"""Every message and record has fixed bytes, and bytes that were ever sent can still be read.

`wire/messages/NAME.hex` holds a message's bytes, `wire/records/NAME.json` a record's bytes and a
line end; NAME.view.json beside them is for people. `wire/signed.json`: what is hashed and signed.
"""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from textwrap import wrap
from typing import get_args

import msgspec
import pytest

import sync.enrolling
import sync.forgetting
import sync.lines
import sync.listening
import sync.messages
import sync.neighbours
import sync.points
import sync.reporting
from sync.codec import decode, encode
from sync.messages import Message
from sync.neighbours import content_of, head_content
from sync.records import Record, decode_record, encode_record
from sync.session_key import check_mac, mac_of
from sync.signing import answer_content, check, check_message, enrol_content, request_content
from tests.golden.wire import examples

WIRE = Path(__file__).parent / "wire"
SIGNED = WIRE / "signed.json"
EVERY_MESSAGE = examples.MESSAGES | examples.SHORT_MESSAGES | examples.NEIGHBOUR_MESSAGES
PATH, BODY = "/v1/till/push", b"the body as it travels"


def tag(kind: type[Record]) -> str:
    """Return a record's kind as it is written."""
    return str(kind.__struct_config__.tag)


def view(value: object) -> str:
    """Return decoded bytes for people; bytes that are no text as hex."""

    def plain(inner: object) -> object:
        if isinstance(inner, bytes):
            try:
                text = inner.decode()
            except UnicodeDecodeError:
                return f"hex:{inner.hex()}"
            return f"text:{text}" if text.isprintable() else f"hex:{inner.hex()}"
        if isinstance(inner, dict):
            return {key: plain(item) for key, item in inner.items()}
        return [plain(item) for item in inner] if isinstance(inner, list) else inner

    return json.dumps(plain(value), indent=2, ensure_ascii=False) + "\n"


def signed() -> dict[str, str]:
    """Return whatever is hashed or signed, by name; contents of signatures as text and hash."""
    request = request_content(
        "POST",
        PATH,
        till_id=examples.TILL_ID,
        session=examples.SESSION,
        nonce=examples.NONCE,
        body=BODY,
    )
    answer = answer_content(examples.NONCE, 200, BODY)
    found = {"chain: first link": examples.start.hex()}
    for kind, link in zip(examples.RECORDS, examples.chain, strict=True):
        found[f"chain: after {tag(kind)}"] = link.hex()
    return found | {
        "card hash": examples.card.hex(),
        "public key: till": examples.till_key.public.hex(),
        "public key: centre": examples.centre_key.public.hex(),
        "public key: rules": examples.rule_key.public.hex(),
        "request: signed text": request[:-32].decode(),
        "request: signed hash": request[-32:].hex(),
        "request: signature": examples.till_key.sign(request).hex(),
        "answer: signed text": answer[:-32].decode(),
        "answer: signed hash": answer[-32:].hex(),
        "answer: signature": examples.centre_key.sign(answer).hex(),
        "session: key": examples.session_key.hex(),
        "request: MAC": mac_of(examples.session_key, request).hex(),
        "answer: MAC": mac_of(examples.session_key, answer).hex(),
        "enrolment: signed bytes": enrol_content(examples.unsigned_enrolment).hex(),
        "grant: signature": examples.grant.signature.hex(),
        "counter grant: signature": examples.counter_grant.signature.hex(),
        "manifest: signature": examples.manifest.signature.hex(),
        "transfer: signed bytes": content_of(examples.transfer).hex(),
        "transfer: signature": examples.transfer.signature.hex(),
        "head: signed bytes": head_content(examples.signed_head).hex(),
        "head: signature": examples.signed_head.signature.hex(),
    }


@cache
def expected() -> dict[Path, str]:
    """Return every golden file as it should be now."""
    files = {SIGNED: json.dumps(signed(), indent=2) + "\n"}
    for message_kind, message in EVERY_MESSAGE.items():
        body = encode(message)
        stem = WIRE / "messages" / message_kind.__name__
        files[stem.with_suffix(".hex")] = "\n".join(wrap(body.hex(), 96)) + "\n"
        files[stem.with_suffix(".view.json")] = view(msgspec.msgpack.decode(body))
    for record_kind, record in examples.RECORDS.items():
        body = encode_record(record)
        stem = WIRE / "records" / tag(record_kind)
        files[stem.with_suffix(".json")] = body.decode() + "\n"
        files[stem.with_suffix(".view.json")] = view(msgspec.json.decode(body))
    return files


def kept() -> set[Path]:
    """Return the golden files there are."""
    return {path for path in WIRE.rglob("*") if path.suffix in {".hex", ".json"}}


@pytest.fixture(scope="module", autouse=True)
def _written_anew(*, update_golden: bool) -> None:
    if not update_golden:
        return
    for path, text in expected().items():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode())
    for path in kept() - set(expected()):
        path.unlink()


def name_of(path: Path) -> str:
    return path.relative_to(WIRE).as_posix()


@pytest.mark.parametrize("path", sorted(expected()), ids=name_of)
def test_bytes_are_the_golden_ones(path: Path) -> None:
    assert path.read_bytes().decode() == expected()[path], (
        f"{name_of(path)}: the difference must be on purpose"
    )


def test_no_golden_file_is_left_over() -> None:
    assert kept() == set(expected())


@pytest.mark.parametrize("kind", EVERY_MESSAGE)
def test_golden_bytes_are_read_as_the_message(kind: type[Message]) -> None:
    golden = (WIRE / "messages" / f"{kind.__name__}.hex").read_text()
    assert decode(kind, bytes.fromhex(golden)) == EVERY_MESSAGE[kind]


@pytest.mark.parametrize("kind", examples.RECORDS, ids=tag)
def test_golden_bytes_are_read_as_the_record(kind: type[Record]) -> None:
    golden = (WIRE / "records" / f"{tag(kind)}.json").read_bytes().removesuffix(b"\n")
    assert decode_record(golden) == examples.RECORDS[kind]


def test_every_message_has_an_example() -> None:
    parts = (sync.messages, sync.enrolling, sync.forgetting, sync.reporting)
    modules = tuple(map(vars, parts))
    classes = {kind for names in modules for kind in names.values() if isinstance(kind, type)}
    messages = {kind for kind in classes if issubclass(kind, Message)} - {Message}
    assert messages == set(examples.MESSAGES)
    assert all(type(example) is kind for kind, example in examples.MESSAGES.items())


def test_every_message_between_tills_has_an_example() -> None:
    classes = {kind for kind in vars(sync.neighbours).values() if isinstance(kind, type)}
    messages = {kind for kind in classes if issubclass(kind, Message)} - {Message}
    assert messages - set(examples.MESSAGES) == set(examples.NEIGHBOUR_MESSAGES)


def test_every_short_message_has_an_example() -> None:
    modules = (vars(sync.lines), vars(sync.listening), vars(sync.points))
    classes = {kind for names in modules for kind in names.values() if isinstance(kind, type)}
    messages = {kind for kind in classes if issubclass(kind, Message)} - {Message}
    assert messages - set(examples.MESSAGES) == set(examples.SHORT_MESSAGES)


def test_every_record_has_an_example() -> None:
    assert set(get_args(Record)) == set(examples.RECORDS)
    assert all(type(example) is kind for kind, example in examples.RECORDS.items())


def at_default(value: msgspec.Struct) -> Iterator[str]:
    """Yield the fields of a struct whose example does not show that they travel."""
    for field in msgspec.structs.fields(value):
        inner = getattr(value, field.name)
        if field.default is not msgspec.NODEFAULT and inner == field.default:
            yield f"{type(value).__name__}.{field.name}"


@pytest.mark.parametrize(
    "example",
    [
        *examples.MESSAGES.values(),
        *examples.SHORT_MESSAGES.values(),
        *examples.NEIGHBOUR_MESSAGES.values(),
        *examples.RECORDS.values(),
        examples.inputs,
    ],
    ids=lambda example: type(example).__name__,
)
def test_example_shows_every_field(example: msgspec.Struct) -> None:
    assert list(at_default(example)) == []


def test_golden_signatures_hold() -> None:
    golden = json.loads(SIGNED.read_text())
    for name, public in (("request", "till"), ("answer", "centre")):
        content = golden[f"{name}: signed text"].encode() + bytes.fromhex(
            golden[f"{name}: signed hash"]
        )
        signature = bytes.fromhex(golden[f"{name}: signature"])
        check(bytes.fromhex(golden[f"public key: {public}"]), signature, content)
        key, mac = bytes.fromhex(golden["session: key"]), bytes.fromhex(golden[f"{name}: MAC"])
        check_mac(key, mac, content)
    check_message(examples.grant, bytes.fromhex(golden["public key: centre"]))
    check_message(examples.counter_grant, bytes.fromhex(golden["public key: centre"]))
    check_message(examples.manifest, bytes.fromhex(golden["public key: rules"]))


def test_the_sealed_key_of_the_examples_opens() -> None:
    greeted = examples.MESSAGES[sync.messages.HelloAnswer]
    assert isinstance(greeted, sync.messages.HelloAnswer)
    opened = examples.key_offer.open(greeted.sealed, greeted.session)
    assert opened.hex() == json.loads(SIGNED.read_text())["session: key"]
