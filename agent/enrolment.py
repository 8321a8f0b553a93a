"""First start: a one-time code becomes a till with a key of its own."""

import platform
import uuid
from pathlib import Path

import msgspec

from agent.bootstrap import IDENTITY_FILE
from agent.errors import EnrolmentError
from agent.identity import Identity, identity_of, save_identity
from agent.link.central_client import enrol
from agent.system import System
from sync.enrolling import EnrolRequest
from sync.errors import SyncError
from sync.signing import SigningKey, enrol_content

PENDING_KEY_FILE = "pending-key"
_SEED_BYTES = 32


async def enrol_till(
    data: Path, *, centre_url: str, code: str, system: System, timeout_s: float = 20.0
) -> Identity:
    """Enrol this till; the key is made here and never leaves.

    The key is kept before the code is sent, so that repeating after a lost answer gives the same
    till.

    Raises:
        EnrolmentError: it is enrolled already, the centre cannot be reached, or refuses the code.
    """
    data.mkdir(mode=0o700, parents=True, exist_ok=True)  # noqa: ASYNC240 - a command; nothing else waits
    target = data / IDENTITY_FILE
    if target.exists():
        raise EnrolmentError(
            f"this till is enrolled already; to enrol it anew, move {IDENTITY_FILE} away first"
        )
    seed = _pending_seed(data / PENDING_KEY_FILE, system)
    key = SigningKey(seed)
    request = EnrolRequest(
        code=code.strip().upper(),
        public_key=key.public,
        hardware=f"{platform.system()} {platform.machine()} {uuid.getnode():012x}",
        nonce=system.random_bytes(16),
        signature=b"",
    )
    request = msgspec.structs.replace(request, signature=key.sign(enrol_content(request)))
    try:
        answer = await enrol(centre_url, request, timeout_s=timeout_s)
    except SyncError as error:
        raise EnrolmentError(
            f"the centre at {centre_url} did not enrol this till: {error}"
        ) from error
    identity = identity_of(
        answer, centre_url=centre_url, key_seed=seed, pos_token=system.random_bytes(24).hex()
    )
    save_identity(target, identity)
    (data / PENDING_KEY_FILE).unlink()
    return identity


def _pending_seed(path: Path, system: System) -> bytes:
    if not path.exists():
        path.touch(mode=0o600)
        path.write_bytes(system.random_bytes(_SEED_BYTES))
    seed = path.read_bytes()
    if len(seed) != _SEED_BYTES:
        raise EnrolmentError(f"{path.name} is not a key; delete it and enrol again")
    return seed
