"""Who this till is: written once by enrolment, readable by the service alone."""

import os
from pathlib import Path

import msgspec

from agent.errors import EnrolmentError
from loyalty.basket import Place
from sync.enrolling import EnrolAnswer


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """The till's name, keys and centre.

    Attributes:
        key_seed: the till's private key; never leaves the file.
        card_key: key of the chain's card hashes.
        root: signed root document, JSON, which names the rule keys; empty where there is none.
    """

    till_id: int
    place: Place
    centre_url: str
    key_seed: bytes
    card_key: bytes
    centre_key: bytes
    rule_keys: tuple[bytes, ...]
    pos_token: str
    root: str = ""


def identity_of(
    answer: EnrolAnswer, *, centre_url: str, key_seed: bytes, pos_token: str
) -> Identity:
    """Return the identity an enrolment gives."""
    return Identity(
        till_id=answer.till_id,
        place=answer.place,
        centre_url=centre_url,
        key_seed=key_seed,
        card_key=answer.card_key,
        centre_key=answer.centre_key,
        rule_keys=answer.rule_keys,
        pos_token=pos_token,
        root=answer.root.decode(errors="replace"),
    )


def save_identity(path: Path, identity: Identity) -> None:
    """Write the file whole or not at all, mode 0600, durable on return."""
    partial = path.with_suffix(".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(identity), indent=2))
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def load_identity(path: Path) -> Identity:
    """Read the file.

    Raises:
        EnrolmentError: it is missing or unreadable.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Identity)
    except FileNotFoundError as error:
        raise EnrolmentError(
            "this till is not enrolled; run: tillside-agent enrol --centre URL --code CODE"
        ) from error
    except (OSError, msgspec.DecodeError) as error:
        raise EnrolmentError(f"cannot read {path.name}: {error}; enrol the till again") from error
