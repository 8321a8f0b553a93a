"""The envelope of every message between the tills of a store, and what keeps a replay out (pure).

The transport below knows no sender and keeps no secret: whoever reaches the port may send bytes. An
envelope says who speaks, to whom, and carries a MAC under the store's key. It hides nothing: the
body travels as it is (design: hardware 7.5, sync 4.10).

Layout, numbers big-endian, 88 bytes around the body::

    0  version u8 = 1     20 receiver till u64, 0 all    48 reply_to 24 bytes, zero if no answer
    1  kind u8            28 incarnation 8 bytes         72 body
    2  key number u16     36 incarnation number u32     -16 MAC: BLAKE2b keyed with the store's
    4  store tag 8 bytes  40 counter u64                    key over the store's name (its length
    12 sender till u64                                      u16 before it) and all before the MAC
"""

import hashlib
import hmac
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

from sync.errors import MalformedMessageError, SignatureError

VERSION: Final = 1
ENVELOPE_BYTES_MAX: Final = 65_536
"""Of a whole packet; what is longer is refused before anything of it is read."""
MAC_BYTES: Final = 16
STORE_KEY_BYTES: Final = 32
STORE_KEYS_MAX: Final = 4
EVERY_TILL: Final = 0
NO_REQUEST: Final = b"\x00" * 24

_HEAD = struct.Struct(">BBH8sQQ8sIQ24s")
_COUNTER_AT = 40
_PERSON = b"tillside-bus/1"
BODY_BYTES_MAX: Final = ENVELOPE_BYTES_MAX - _HEAD.size - MAC_BYTES
_NUMBER_MAX = 2**64 - 1
_INCARNATION_NUMBER_MAX = 2**32 - 1
_KEY_NUMBER_MAX = 2**16 - 1


class Kind(IntEnum):
    """What an envelope is for."""

    GOSSIP = 1
    REQUEST = 2
    ANSWER = 3


class StoreKey(NamedTuple):
    """A key all tills of a store share; the centre gives it in the roster.

    Attributes:
        number: names it on the wire, 1 to 65,535; a new key of a store takes a new number.
        secret: 32 bytes.
    """

    number: int
    secret: bytes


class Sender(NamedTuple):
    """Who sealed an envelope.

    Attributes:
        incarnation: 8 bytes.
        incarnation_number: rises with every incarnation of a till.
    """

    till_id: int
    incarnation: bytes
    incarnation_number: int


@dataclass(frozen=True, slots=True)
class Envelope:
    """An envelope as opened: genuine, but maybe a replay.

    Attributes:
        to: the till it is for; `EVERY_TILL` for all.
        counter: never the same twice for one sender.
        reply_to: `request_tag` of the request this answers; `NO_REQUEST` if it answers none.
    """

    kind: Kind
    sender: Sender
    to: int
    counter: int
    body: bytes
    reply_to: bytes = NO_REQUEST


class Keyring:
    """The keys of one store: seals with the first, opens with any."""

    def __init__(self, store: str, keys: Iterable[StoreKey]) -> None:
        """Prepare the keys.

        Raises:
            ValueError: none or too many keys, one of another length, or a number twice.
        """
        self._store = store.encode()
        self._tag = hashlib.blake2b(self._store, digest_size=8, person=b"tillside-store").digest()
        found = list(keys)
        self._secrets = {key.number: key.secret for key in found}
        if not 1 <= len(found) <= STORE_KEYS_MAX or len(self._secrets) != len(found):
            raise ValueError(f"a store has 1 to {STORE_KEYS_MAX} bus keys of different numbers")
        for number, secret in self._secrets.items():
            if len(secret) != STORE_KEY_BYTES or not 1 <= number <= _KEY_NUMBER_MAX:
                raise ValueError(f"a bus key has {STORE_KEY_BYTES} bytes and a number to 65535")
        self._first = found[0].number

    def seal(self, envelope: Envelope) -> bytes:
        """Return the packet.

        Raises:
            ValueError: the body is empty or longer than `BODY_BYTES_MAX`, or a number is too large.
        """
        sender = envelope.sender
        if not 1 <= len(envelope.body) <= BODY_BYTES_MAX:
            raise ValueError(f"a body has 1 to {BODY_BYTES_MAX} bytes, not {len(envelope.body)}")
        if max(sender.till_id, envelope.to, envelope.counter) > _NUMBER_MAX:
            raise ValueError("a till's number and a counter have 8 bytes")
        packet = (
            _HEAD.pack(
                VERSION,
                envelope.kind,
                self._first,
                self._tag,
                sender.till_id,
                envelope.to,
                sender.incarnation,
                min(sender.incarnation_number, _INCARNATION_NUMBER_MAX),
                envelope.counter,
                envelope.reply_to,
            )
            + envelope.body
        )
        return packet + self._mac(self._secrets[self._first], packet)

    def open(self, packet: bytes) -> Envelope:
        """Check and read a packet; nothing of it is believed before its MAC holds.

        Raises:
            MalformedMessageError: too long, too short, or not of this version.
            SignatureError: another store's, an unknown key, or the MAC does not match.
        """
        if not _HEAD.size + MAC_BYTES < len(packet) <= ENVELOPE_BYTES_MAX:
            raise MalformedMessageError(f"an envelope of {len(packet)} bytes")
        (version, kind, number, tag, till_id, to, incarnation, incarnation_number, counter,
         reply_to) = _HEAD.unpack_from(packet)  # fmt: skip
        if version != VERSION:
            raise MalformedMessageError(f"envelopes of version {version} are not spoken here")
        secret = self._secrets.get(number)
        if secret is None or tag != self._tag:
            raise SignatureError("sealed for another store or with a key this till has not")
        content, mac = packet[:-MAC_BYTES], packet[-MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(secret, content)):
            raise SignatureError("the MAC does not match")
        try:
            known = Kind(kind)
        except ValueError as error:
            raise MalformedMessageError(f"an envelope of kind {kind}") from error
        return Envelope(
            kind=known,
            sender=Sender(till_id, incarnation, incarnation_number),
            to=to,
            counter=counter,
            body=content[_HEAD.size :],
            reply_to=reply_to,
        )

    def _mac(self, secret: bytes, content: bytes) -> bytes:
        digest = hashlib.blake2b(key=secret, digest_size=MAC_BYTES, person=_PERSON)
        digest.update(len(self._store).to_bytes(2, "big") + self._store)
        digest.update(content)
        return digest.digest()


def request_tag(packet: bytes) -> bytes:
    """Return what an answer to this request carries: its counter and its MAC."""
    return packet[_COUNTER_AT : _COUNTER_AT + 8] + packet[-MAC_BYTES:]


REPLAY_WINDOW: Final = 1024
"""How far behind the newest counter of a sender a packet may still arrive for the first time."""
INCARNATIONS_MAX: Final = 8
"""Incarnations remembered of one till; of more, the one with the lowest number is shut out."""


class ReplayWindows:
    """Which counters were seen, by till and incarnation.

    Memory is bounded: `REPLAY_WINDOW` bits for each of `INCARNATIONS_MAX` incarnations of the tills
    in the roster. What is older than the window is refused as if it had been seen. A window begins
    with the first packet that comes: what was sent before it counts as seen.
    """

    def __init__(self) -> None:
        self._tills: dict[int, dict[tuple[int, bytes], tuple[int, int]]] = {}

    def accept(self, sender: Sender, counter: int) -> bool:
        """Note a genuine packet; False for one that was seen or is too old to know."""
        windows = self._tills.setdefault(sender.till_id, {})
        name = (sender.incarnation_number, sender.incarnation)
        window = windows.get(name)
        if window is None:
            if len(windows) == INCARNATIONS_MAX:
                lowest = min(windows)
                if name < lowest:
                    return False
                del windows[lowest]
            windows[name] = (counter, _ALL_SEEN)
            return True
        newest, seen = window
        ahead = counter - newest
        if ahead > 0:
            seen = seen << ahead & _ALL_SEEN if ahead < REPLAY_WINDOW else 0
            windows[name] = (counter, seen | 1)
            return True
        if -ahead >= REPLAY_WINDOW or seen >> -ahead & 1:
            return False
        windows[name] = (newest, seen | 1 << -ahead)
        return True

    def keep_only(self, till_ids: Mapping[int, object]) -> None:
        """Forget the tills that left the roster."""
        for till_id in self._tills.keys() - till_ids.keys():
            del self._tills[till_id]


_ALL_SEEN = (1 << REPLAY_WINDOW) - 1
