"""How a till becomes one: a code and its key in, its name and the centre's keys out (sync 4.1)."""

from typing import Annotated

from msgspec import Meta

from loyalty.basket import Place
from sync.fields import PublicKey
from sync.limits import ROOT_BYTES_MAX
from sync.messages import Message


class EnrolRequest(Message, frozen=True, kw_only=True):
    """A new till introduces itself with its one-time code.

    Attributes:
        signature: by the till's key over code and nonce, so that the key is proven.
    """

    code: Annotated[str, Meta(max_length=64)]
    public_key: PublicKey
    hardware: Annotated[str, Meta(max_length=200)]
    nonce: Annotated[bytes, Meta(min_length=16, max_length=16)]
    signature: bytes


class EnrolAnswer(Message, frozen=True, kw_only=True):
    """Who the till now is.

    Attributes:
        card_key: key of the chain's card hashes.
        centre_key: signs answers, grants and authorisations.
        rule_keys: any of them may sign a bundle manifest, as long as there is no root document.
        root: signed root document, `sync.roots`; empty where the centre has none.
    """

    till_id: int
    place: Place
    card_key: bytes
    centre_key: PublicKey
    rule_keys: tuple[PublicKey, ...]
    server_time_ms: int
    root: Annotated[bytes, Meta(max_length=2 * ROOT_BYTES_MAX)] = b""
