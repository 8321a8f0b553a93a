"""What travels between tills: packed within bounds, signed by whom it binds."""

from typing import Any

import msgspec
import pytest

from sync.codec import compress, encode
from sync.errors import MalformedMessageError
from sync.messages import Message
from sync.neighbours import (
    BODY_BYTES_MAX,
    UNPACKED_BYTES_MAX,
    Heartbeat,
    RightsAnswer,
    SignedHead,
    Transfer,
    WitnessRequest,
    answer_of,
    content_of,
    is_signed_by,
    pack,
    unpack,
)
from sync.signing import SigningKey, check, sign_message
from sync.transferring import OPEN_MAX, OpenRequest, OpenRequests, is_genuine
from tests.golden.wire import examples
from tests.golden.wire.examples import NEIGHBOUR_MESSAGES, centre_key, signed_head, till_key

SAID = [kind for kind in NEIGHBOUR_MESSAGES if kind.__struct_config__.tag]


@pytest.mark.parametrize("kind", SAID, ids=lambda kind: kind.__name__)
def test_what_is_said_is_read_as_it_was_said(kind: type[Message]) -> None:
    body = pack(NEIGHBOUR_MESSAGES[kind])
    assert body is not None
    assert unpack(body) == NEIGHBOUR_MESSAGES[kind]
    assert answer_of(body, kind) == NEIGHBOUR_MESSAGES[kind]


def test_a_heartbeat_is_small() -> None:
    body = pack(NEIGHBOUR_MESSAGES[Heartbeat])
    assert body is not None
    assert len(body) < 400


def test_what_fits_no_envelope_is_not_packed() -> None:
    copy = NEIGHBOUR_MESSAGES[WitnessRequest]
    noise = b"".join(SigningKey(bytes([n]) * 32).sign(b"noise") for n in range(256)) * 4
    long = msgspec.structs.replace(copy, records=(noise[:16_000],) * 1)
    assert pack(long) is not None
    random = tuple(
        b"".join(SigningKey(bytes([n]) * 32).sign(bytes([i])) for n in range(256)) for i in range(4)
    )
    assert pack(msgspec.structs.replace(copy, records=random)) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x02",
        b"\x00",
        b"\x00\xc1",
        b"\x00\x80",
        b"\x01\x28\xb5\x2f\xfd",
        b"\x00" * (BODY_BYTES_MAX + 1),
        b"\x00" + msgspec.msgpack.encode({"say": "sing"}),
        b"\x00" + b"\x91" * 50_000,
    ],
    ids=lambda body: body[:8].hex(),
)
def test_rubbish_is_refused_by_name(body: bytes) -> None:
    with pytest.raises(MalformedMessageError):
        unpack(body)
    assert answer_of(body, RightsAnswer) is None


def test_a_bomb_is_refused_before_it_goes_off() -> None:
    copy = NEIGHBOUR_MESSAGES[WitnessRequest]
    large = msgspec.structs.replace(copy, records=(bytes(UNPACKED_BYTES_MAX),))
    assert pack(large) is None
    bomb = b"\x01" + compress(encode(large))[0]
    assert len(bomb) < 1_000
    with pytest.raises(MalformedMessageError):
        unpack(bomb)


# Signatures


@pytest.mark.parametrize(
    "change",
    [
        {"till_id": 18},
        {"incarnation": b"another!"},
        {"incarnation_number": 4},
        {"seq": 5},
        {"head": b"h" * 32},
        {"acked_seq": 3},
        {"signature": b""},
    ],
    ids=str,
)
def test_a_changed_head_is_nobodys_word(change: dict[str, Any]) -> None:
    assert is_signed_by(signed_head, till_key.public)
    assert not is_signed_by(msgspec.structs.replace(signed_head, **change), till_key.public)
    assert set(SignedHead.__struct_fields__) >= set(change)


@pytest.mark.parametrize(
    "change",
    [
        {"transfer_id": "another"},
        {"points": 89},
        {"lots": ()},
        {"from_incarnation": b"another!"},
        {"to_till": 19},
        {"to_incarnation": b"another!"},
        {"nonce": b"m" * 16},
        {
            "grant": sign_message(
                msgspec.structs.replace(examples.grant_given_on, points=99), centre_key
            )
        },
        {"signature": b""},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_changed_transfer_is_not_genuine(change: dict[str, Any]) -> None:
    transfer = examples.transfer
    keys = {"giver_key": till_key.public, "centre_key": centre_key.public}
    check(till_key.public, transfer.signature, content_of(transfer))
    assert is_genuine(transfer, **keys)
    changed = msgspec.structs.replace(transfer, **change)
    genuine = is_genuine(changed, **keys)
    # Another paper of the same grant is still the centre's word for it.
    assert genuine == ("grant" in change)


def test_every_field_of_a_transfer_is_in_the_test_above() -> None:
    (mark,) = test_a_changed_transfer_is_not_genuine.pytestmark
    fields = {name for change in mark.args[1] for name in change}
    assert fields == set(Transfer.__struct_fields__)


# Open requests


def opened(number: int, *, receipt_id: str = "r", incarnation: bytes = b"i" * 8) -> OpenRequest:
    return OpenRequest(number.to_bytes(16, "big"), receipt_id, 7, 60, 17, incarnation)


def test_a_nonce_is_closed_once() -> None:
    requests = OpenRequests()
    requests.add(opened(1))
    assert requests.close(opened(1).nonce) == opened(1)
    assert requests.close(opened(1).nonce) is None


def test_the_same_receipt_asks_with_the_same_nonce_in_the_same_stream_only() -> None:
    requests = OpenRequests()
    requests.add(opened(1))
    wish = {"receipt_id": "r", "account_id": 7, "till_id": 17}
    assert requests.find(**wish, incarnation=b"i" * 8) == opened(1)  # type: ignore[arg-type]
    assert requests.find(**wish, incarnation=b"j" * 8) is None  # type: ignore[arg-type]
    requests.close_all()
    assert requests.find(**wish, incarnation=b"i" * 8) is None  # type: ignore[arg-type]


def test_open_requests_are_bounded() -> None:
    requests = OpenRequests()
    for number in range(OPEN_MAX + 5):
        requests.add(opened(number))
    assert len(requests) == OPEN_MAX
    assert requests.close(opened(0).nonce) is None
