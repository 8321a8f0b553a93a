"""The keys of people's data: what is sealed with them nobody reads without them.

Each customer's data are sealed with a key of their own (AES-256-GCM), which is sealed with the
chain's personal key; so that key can be replaced without touching the data, and a customer is gone
with one row. Telephone numbers and mail addresses are found by keyed hashes.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from central.errors import ConfigurationError
from central.keys import FOLDER, KEY_BYTES, read_keys, read_or_make_key
from central.system import System

KEY_VARIABLE: Final = "TILLSIDE_CENTRAL_PERSONAL_KEY"
_NONCE_BYTES: Final = 12
_NAME_BYTES: Final = 8

ContactKind = Literal["phone", "mail"]


@dataclass(frozen=True, slots=True)
class Sealed:
    """Data nobody reads without the personal key.

    Attributes:
        key_name: which personal key `wrapped_key` is sealed with.
    """

    key_name: str
    wrapped_key: bytes
    content: bytes


@dataclass(frozen=True, slots=True, repr=False)
class PersonalKeys:
    """Keys of a process that may read people's data.

    Attributes:
        personal: the first one seals, all of them open.
        contacts: makes the hashes of telephone numbers and mail addresses; never changes.
    """

    personal: tuple[bytes, ...]
    contacts: bytes

    def newest(self) -> str:
        """Return the name of the key that seals."""
        return _name_of(self.personal[0])

    def names(self) -> tuple[str, ...]:
        """Return the names of all keys that open."""
        return tuple(map(_name_of, self.personal))

    def contacts_check(self) -> bytes:
        """Return what tells whether another process hashes contacts with the same key."""
        return hmac.digest(self.contacts, b"tillside-contacts-check/1", "sha256")

    def seal(self, account_id: int, content: bytes, system: System) -> Sealed:
        """Seal a customer's data with a new key of their own."""
        own, bound = system.random_bytes(KEY_BYTES), _bound_to(account_id)
        return Sealed(
            key_name=self.newest(),
            wrapped_key=_encrypt(self.personal[0], own, bound, system),
            content=_encrypt(own, content, bound, system),
        )

    def open(self, account_id: int, sealed: Sealed) -> bytes:
        """Return what was sealed for an account.

        Raises:
            ConfigurationError: it was sealed with a key that is not here, or for another account.
        """
        bound = _bound_to(account_id)
        return _decrypt(self._unwrap(sealed, bound), sealed.content, bound)

    def rewrap(self, account_id: int, sealed: Sealed, system: System) -> Sealed:
        """Seal a customer's own key with the newest personal key; the data stay as they are.

        Raises:
            ConfigurationError: the key it was sealed with is not here.
        """
        bound = _bound_to(account_id)
        own = self._unwrap(sealed, bound)
        wrapped = _encrypt(self.personal[0], own, bound, system)
        return Sealed(key_name=self.newest(), wrapped_key=wrapped, content=sealed.content)

    def _unwrap(self, sealed: Sealed, bound: bytes) -> bytes:
        for key in self.personal:
            if _name_of(key) == sealed.key_name:
                return _decrypt(key, sealed.wrapped_key, bound)
        raise ConfigurationError(
            f"the personal key {sealed.key_name} is not here: add it to the key file, below the"
            " newest one"
        )

    def contact_hash(self, kind: ContactKind, text: str) -> bytes:
        """Return what stands for a telephone number or a mail address, however it is written."""
        plain = f"{kind}:{normal(kind, text)}".encode()
        return hmac.digest(self.contacts, plain, "sha256")


def load_personal_keys(
    data: Path, key_file: str, environment: Mapping[str, str], system: System
) -> PersonalKeys:
    """Read the keys, making those in the data folder that are missing.

    Args:
        key_file: with the personal keys, one a line, the newest first; empty = in the data folder.
        environment: may hold the same in a variable, in place of a file.

    Raises:
        ConfigurationError: a key is damaged, or its file cannot be read.
    """
    folder = data / FOLDER
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    contacts = read_or_make_key(folder / "contacts.key", system)
    if text := environment.get(KEY_VARIABLE, "").strip():
        personal = _keys_of(text)
    elif key_file:
        personal = read_keys(Path(key_file))
    else:
        read_or_make_key(folder / "personal.key", system)
        personal = read_keys(folder / "personal.key")
    return PersonalKeys(personal, contacts)


def normal(kind: ContactKind, text: str) -> str:
    """Return a contact as it is hashed: digits with their plus, or letters in lower case."""
    if kind == "mail":
        return text.strip().lower()
    return "".join(each for each in text if each.isdecimal() or each == "+")


def _keys_of(text: str) -> tuple[bytes, ...]:
    try:
        keys = tuple(map(bytes.fromhex, text.split()))
    except ValueError:
        keys = ()
    if not keys or any(len(key) != KEY_BYTES for key in keys):
        raise ConfigurationError(f"{KEY_VARIABLE} must hold keys of {2 * KEY_BYTES} hex digits")
    return keys


def _name_of(key: bytes) -> str:
    return hashlib.sha256(b"tillside-personal-key/1" + key).hexdigest()[: 2 * _NAME_BYTES]


def _bound_to(account_id: int) -> bytes:
    # What is sealed for one account opens for no other, wherever a row is copied to.
    return b"tillside-customer/1" + account_id.to_bytes(8, "big")


def _encrypt(key: bytes, plain: bytes, bound: bytes, system: System) -> bytes:
    nonce = system.random_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, bound)


def _decrypt(key: bytes, sealed: bytes, bound: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound)
    except (InvalidTag, ValueError) as error:
        raise ConfigurationError(
            "these data do not open: damaged, or sealed with another key"
        ) from error
