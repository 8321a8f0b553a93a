"""From a rule document to a signed bundle that tills may fetch.

What does not compile is refused here, never at a till.
"""

import hashlib
from dataclasses import dataclass

import msgspec
import zstandard

from central.database.named_sql import load_queries
from central.database.pool import Connection
from central.errors import BadRequestError
from central.system import System
from loyalty.bundle import Bundle
from loyalty.canonical import canonical_bytes
from loyalty.compilation import compile_bundle
from loyalty.documents import decode, encode
from loyalty.errors import DocumentError, RuleSetError
from sync.messages import Manifest
from sync.signing import SigningKey, sign_message

_SQL = load_queries("central.rules", "queries.sql")


@dataclass(frozen=True, slots=True)
class Published:
    """A published bundle."""

    manifest: Manifest
    offers: int
    products: int


def read_document(content: bytes) -> Bundle:
    """Read and check a rule document.

    Raises:
        BadRequestError: it is not JSON, a field is wrong, or the offers contradict each other;
            the text says where.
    """
    try:
        bundle = decode(Bundle, msgspec.json.decode(content))
        compile_bundle(bundle, "draft")
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRequestError("$", f"not JSON: {error}") from error
    except DocumentError as error:
        raise BadRequestError(error.path, error.problem) from error
    except RuleSetError as error:
        raise BadRequestError("offers", str(error)) from error
    return bundle


async def publish(
    connection: Connection, content: bytes, key: SigningKey, system: System
) -> Published:
    """Check, name, sign and store a bundle; tills hear of it at their next pull.

    Raises:
        BadRequestError: the document is refused, or its version is not above every published one.
    """
    bundle = read_document(content)
    canonical = canonical_bytes(encode(bundle))
    bundle_hash = hashlib.sha256(canonical).hexdigest()
    newest = await connection.fetchrow(_SQL["newest"])
    if newest is not None and newest["hash"] != bundle_hash and newest["version"] >= bundle.version:
        raise BadRequestError(
            "$.version", f"must be above {newest['version']}, the version published last"
        )
    manifest = sign_message(
        Manifest(bundle=bundle_hash, version=bundle.version, size_bytes=len(canonical)), key
    )
    await connection.execute(
        _SQL["insert"], bundle_hash, bundle.version, msgspec.msgpack.encode(manifest),
        zstandard.compress(canonical, 9), len(bundle.offers), system.now_ms(),
    )  # fmt: skip
    return Published(manifest, len(bundle.offers), len(bundle.catalogue))


async def newest_manifest(connection: Connection) -> Manifest | None:
    """Return the manifest published last."""
    row = await connection.fetchrow(_SQL["newest"])
    return msgspec.msgpack.decode(row["manifest"], type=Manifest) if row else None


async def bundle_content(connection: Connection, bundle_hash: str) -> bytes | None:
    """Return a bundle's bytes, zstd-compressed, as tills fetch them."""
    content: bytes | None = await connection.fetchval(_SQL["content"], bundle_hash)
    return content
