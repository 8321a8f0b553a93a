"""From a rule document to a signed bundle that tills may fetch.

What contradicts itself is refused here, never at a till; what only looks wrong is told.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import msgspec
import zstandard

from central.database.named_sql import load_queries
from central.database.pool import Connection
from central.errors import BadRequestError
from central.system import System
from loyalty.bundle import Bundle
from loyalty.canonical import canonical_bytes
from loyalty.checking import Finding, check_bundle
from loyalty.documents import decode, encode
from loyalty.errors import DocumentError
from sync.blobs import chunk_hashes
from sync.messages import Manifest
from sync.signing import SigningKey, sign_message

_SQL = load_queries("central.rules", "queries.sql")


_SHOWN_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class Published:
    """A published bundle.

    Attributes:
        warnings: what the checks found; none of it is an error.
    """

    manifest: Manifest
    offers: int
    products: int
    warnings: tuple[Finding, ...] = ()


class RefusedRulesError(BadRequestError):
    """Rules that contradict themselves; holds every error found."""

    def __init__(self, errors: Iterable[Finding]) -> None:
        """Name the first errors, one a line."""
        self.errors = tuple(errors)
        lines = [str(error) for error in self.errors]
        if len(lines) > _SHOWN_MAX:
            lines[_SHOWN_MAX:] = [f"... and {len(lines) - _SHOWN_MAX} errors more"]
        super().__init__("offers", "\n".join(lines))


def read_document(content: bytes) -> Bundle:
    """Read and check a rule document.

    Raises:
        BadRequestError: it is not JSON, a field is wrong, or the offers contradict each other;
            the text says where.
    """
    bundle, _ = _read_checked(content, "")
    return bundle


def _read_checked(content: bytes, today: str) -> tuple[Bundle, tuple[Finding, ...]]:
    """Return a rule document and the warnings about it."""
    try:
        bundle = decode(Bundle, msgspec.json.decode(content))
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRequestError("$", f"not JSON: {error}") from error
    except DocumentError as error:
        raise BadRequestError(error.path, error.problem) from error
    findings = check_bundle(bundle, today=today)
    if errors := [finding for finding in findings if finding.severity == "error"]:
        raise RefusedRulesError(errors)
    return bundle, findings


async def publish(
    connection: Connection, content: bytes, key: SigningKey, system: System
) -> Published:
    """Check, name, sign and store a bundle; tills hear of it at their next pull.

    Raises:
        BadRequestError: the document is refused, or its version is not above every published one.
    """
    today = datetime.fromtimestamp(system.now_ms() / 1000, tz=UTC).date().isoformat()
    bundle, warnings = _read_checked(content, today)
    canonical = canonical_bytes(encode(bundle))
    bundle_hash = hashlib.sha256(canonical).hexdigest()
    newest = await connection.fetchrow(_SQL["newest"])
    if newest is not None and newest["hash"] != bundle_hash and newest["version"] >= bundle.version:
        raise BadRequestError(
            "$.version", f"must be above {newest['version']}, the version published last"
        )
    packed = zstandard.compress(canonical, 9)
    bare = Manifest(
        bundle=bundle_hash,
        version=bundle.version,
        size_bytes=len(canonical),
        chunks=chunk_hashes(packed),
    )
    manifest = sign_message(bare, key)
    await connection.execute(
        _SQL["insert"], bundle_hash, bundle.version, msgspec.msgpack.encode(manifest),
        packed, len(bundle.offers), system.now_ms(),
    )  # fmt: skip
    return Published(manifest, len(bundle.offers), len(bundle.catalogue), warnings)


async def newest_manifest(connection: Connection) -> Manifest | None:
    """Return the manifest published last."""
    row = await connection.fetchrow(_SQL["newest"])
    return msgspec.msgpack.decode(row["manifest"], type=Manifest) if row else None


async def bundle_content(connection: Connection, bundle_hash: str) -> bytes | None:
    """Return a bundle's bytes, zstd-compressed, as tills fetch them."""
    content: bytes | None = await connection.fetchval(_SQL["content"], bundle_hash)
    return content
