"""An envelope of the store bus has fixed bytes, and bytes that were ever sent can still be opened.

`envelope.json`: one packet of each kind in hex, the keys and what was sealed. `--update-golden`
writes it anew.
"""

import json
from pathlib import Path

import pytest

from sync.envelope import Envelope, Keyring, Kind, Sender, StoreKey, request_tag

GOLDEN = Path(__file__).parent / "envelope.json"
KEYS = [StoreKey(7, bytes(range(32))), StoreKey(6, bytes(range(32, 64)))]
STORE = "store-12 Вокзальная"
RING = Keyring(STORE, KEYS)
SENDER = Sender(17, bytes.fromhex("a1b2c3d4e5f60718"), 3)
ASKED = Sender(18, bytes.fromhex("18070605f4e3d2c1"), 1)
REQUEST = Envelope(Kind.REQUEST, SENDER, 18, 1_000_001, b"may I have 120 points")
EXAMPLES = {
    "gossip": Envelope(Kind.GOSSIP, SENDER, 0, 1_000_000, b"I am here"),
    "request": REQUEST,
    "answer": Envelope(
        Kind.ANSWER, ASKED, 17, 5, b"here they are", request_tag(RING.seal(REQUEST))
    ),
}


def described(envelope: Envelope) -> dict[str, object]:
    return {
        "kind": envelope.kind.name.lower(),
        "sender": envelope.sender.till_id,
        "incarnation": envelope.sender.incarnation.hex(),
        "incarnation_number": envelope.sender.incarnation_number,
        "to": envelope.to,
        "counter": envelope.counter,
        "body": envelope.body.decode(),
        "reply_to": envelope.reply_to.hex(),
        "packet": RING.seal(envelope).hex(),
    }


@pytest.fixture(scope="module", autouse=True)
def _written_anew(*, update_golden: bool) -> None:
    if update_golden:
        found: dict[str, object] = {name: described(one) for name, one in EXAMPLES.items()}
        head = {"store": STORE, "keys": {str(key.number): key.secret.hex() for key in KEYS}}
        text = json.dumps(head | found, indent=2, ensure_ascii=False) + "\n"
        GOLDEN.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("name", EXAMPLES)
def test_bytes_are_the_golden_ones(name: str) -> None:
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert golden[name] == described(EXAMPLES[name]), "the difference must be on purpose"


@pytest.mark.parametrize("name", EXAMPLES)
def test_golden_bytes_are_opened(name: str) -> None:
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    keys = [StoreKey(int(number), bytes.fromhex(key)) for number, key in golden["keys"].items()]
    opened = Keyring(golden["store"], keys).open(bytes.fromhex(golden[name]["packet"]))
    assert opened == EXAMPLES[name]
