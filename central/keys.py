"""The centre's keys: a file each in the data folder, mode 0600, made at the first start.

`centre.key` signs answers and rights, `rules.key` signs bundles and may be kept away from the
servers, `cards.key` makes the chain's card hashes and must never change.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from central.errors import ConfigurationError
from central.system import System
from sync.signing import SigningKey

KEY_BYTES = 32
FOLDER = "keys"


@dataclass(frozen=True, slots=True)
class CentreKeys:
    """Keys of a running centre; the private rule key is not among them.

    Attributes:
        app_token: of the service behind the customers' app, which vouches for its customers;
            empty lets nobody in.
    """

    centre: SigningKey
    rule_public: tuple[bytes, ...]
    card_key: bytes
    office_token: str
    app_token: str = ""


def load_keys(data: Path, system: System) -> CentreKeys:
    """Read the keys, making those that are missing.

    Raises:
        ConfigurationError: a key file is damaged or cannot be read.
    """
    folder = data / FOLDER
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    public = folder / "rules.pub"
    if not public.exists():
        rules = SigningKey(read_or_make_key(folder / "rules.key", system))
        public.write_text(rules.public.hex() + "\n", encoding="ascii")
    return CentreKeys(
        centre=SigningKey(read_or_make_key(folder / "centre.key", system)),
        rule_public=read_keys(public),
        card_key=read_or_make_key(folder / "cards.key", system),
        office_token=read_or_make_key(folder / "office.token", system).hex(),
        app_token=read_or_make_key(folder / "app.token", system).hex(),
    )


def load_rule_key(path: Path) -> SigningKey:
    """Read the private rule key, wherever it is kept.

    Raises:
        ConfigurationError: the file is missing or damaged.
    """
    if not path.exists():
        raise ConfigurationError(f"no rule key at {path}; give its file with --key")
    return SigningKey(_read(path))


def read_or_make_key(path: Path, system: System) -> bytes:
    """Read a key file, making it with a new key where it is missing.

    Raises:
        ConfigurationError: it is damaged or cannot be read.
    """
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(system.random_bytes(KEY_BYTES).hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
    return _read(path)


def _read(path: Path) -> bytes:
    return read_keys(path)[0]


def read_keys(path: Path) -> tuple[bytes, ...]:
    """Read a file of one or more keys, one a line.

    Raises:
        ConfigurationError: it is damaged or cannot be read.
    """
    try:
        keys = tuple(map(bytes.fromhex, path.read_text(encoding="ascii").split()))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"key file {path.name} cannot be read: {error}") from error
    sizes = [len(key) for key in keys] or [0]
    if any(size != KEY_BYTES for size in sizes):
        raise ConfigurationError(
            f"key file {path.name} is damaged: a key of {min(sizes)} bytes, not {KEY_BYTES}"
        )
    return keys
