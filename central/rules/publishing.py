"""From a rule document to a signed bundle that tills may fetch.

What contradicts itself is refused here, never at a till; what only looks wrong is told. `publish`
is the short way for a trial: one document, signed on the spot, for every till. Where people are
known by name, releases are made of approved drafts (`central.rules.releases`).
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
from central.errors import BadRequestError, ForbiddenError
from central.outreach import outbox
from central.outreach.events import RULES_KEY, Event, RulesReleased
from central.programmes.registry import DEFAULT, programme_of_rules
from central.rules.deltas import insert_deltas, make_deltas
from central.rules.rings import EVERYWHERE
from central.staff.audit import note
from central.staff.persons import COMMAND_LINE, are_there_people
from central.system import System
from loyalty.bundle import Bundle
from loyalty.canonical import canonical_bytes
from loyalty.checking import Finding, check_bundle
from loyalty.documents import decode, encode
from loyalty.errors import DocumentError
from sync.base_rules import base_bytes
from sync.blobs import chunk_hashes
from sync.messages import Manifest
from sync.signing import SigningKey, sign_message

_SQL = load_queries("central.rules", "queries.sql")


_SHOWN_MAX: Final = 20
_LEVEL: Final = 9


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


@dataclass(frozen=True, slots=True)
class Packed:
    """A bundle's bytes as tills fetch them, and the manifest that names them, not signed."""

    content: bytes
    manifest: Manifest


def read_document(content: bytes, *, check: bool = True) -> Bundle:
    """Read and check a rule document.

    Args:
        check: refuse contradictions too, not only what cannot be read.

    Raises:
        BadRequestError: it is not JSON, a field is wrong, or the offers contradict each other;
            the text says where.
    """
    bundle = _read(content)
    if check:
        check_rules(bundle, "")
    return bundle


def _read(content: bytes) -> Bundle:
    try:
        return decode(Bundle, msgspec.json.decode(content))
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRequestError("$", f"not JSON: {error}") from error
    except DocumentError as error:
        raise BadRequestError(error.path, error.problem) from error


def check_rules(bundle: Bundle, today: str) -> tuple[Finding, ...]:
    """Return the warnings about rules.

    Args:
        today: local day, `YYYY-MM-DD`; empty = offers that are over are not looked for.

    Raises:
        RefusedRulesError: they contradict themselves.
    """
    findings = check_bundle(bundle, today=today)
    if errors := [finding for finding in findings if finding.severity == "error"]:
        raise RefusedRulesError(errors)
    return findings


def day_of(now_ms: int) -> str:
    """Return the day in UTC, `YYYY-MM-DD`."""
    return datetime.fromtimestamp(now_ms / 1000, tz=UTC).date().isoformat()


def pack_bundle(bundle: Bundle, *, version: int, activate_at: str = "") -> Packed:
    """Return a bundle as it travels.

    Args:
        version: of the manifest.
    """
    canonical = canonical_bytes(encode(bundle))
    packed = zstandard.compress(canonical, _LEVEL)
    manifest = Manifest(
        bundle=hashlib.sha256(canonical).hexdigest(),
        version=version,
        size_bytes=len(canonical),
        activate_at=activate_at,
        chunks=chunk_hashes(packed),
    )
    return Packed(packed, manifest)


def base_hash(bundle: Bundle) -> str:
    """Return the hash of the base rules that tills derive from a bundle."""
    return hashlib.sha256(base_bytes(bundle)).hexdigest()


async def publish(
    connection: Connection, content: bytes, key: SigningKey, system: System
) -> Published:
    """Check, name, sign and store a bundle for every till of its programme.

    Tills hear of it at their next pull.

    Raises:
        BadRequestError: the document is refused, or its version is not above every published one.
        ForbiddenError: people are known by name here: one drafts and another approves.
    """
    if await are_there_people(connection):
        raise ForbiddenError(
            "people are known by name here: rules draft, rules approve, rules publish DRAFT"
        )
    now_ms = system.now_ms()
    bundle = _read(content)
    warnings = check_rules(bundle, day_of(now_ms))
    packed = pack_bundle(bundle, version=bundle.version)
    manifest = sign_message(packed.manifest, key)
    done = Published(manifest, len(bundle.offers), len(bundle.catalogue), warnings)
    programme = await programme_of_rules(connection, bundle.programme.programme_id)
    newest = await connection.fetchrow(_SQL["newest"], programme)
    if newest is not None and newest["hash"] == manifest.bundle:
        return done
    deltas = await make_deltas(connection, packed.content, manifest.bundle, programme)
    async with connection.transaction():
        await connection.execute(_SQL["lock_releases"])
        used = await connection.fetchval(_SQL["version_used"])
        if used >= bundle.version:
            raise BadRequestError("$.version", f"must be above {used}, the version published last")
        await connection.execute(
            _SQL["insert_bundle"], manifest.bundle, manifest.version,
            msgspec.msgpack.encode(manifest), packed.content, len(bundle.offers), now_ms,
            base_hash(bundle), programme,
        )  # fmt: skip
        await connection.execute(
            _SQL["insert_release"], manifest.version, manifest.bundle, "trial", None, None, "",
            "{}", COMMAND_LINE, now_ms,
        )  # fmt: skip
        await connection.execute(
            _SQL["insert_manifest"], 0, manifest.version, manifest.bundle, manifest.version,
            msgspec.msgpack.encode(manifest),
        )  # fmt: skip
        await connection.execute(
            _SQL["insert_ring"], manifest.version, EVERYWHERE.kind, [], 0, COMMAND_LINE, now_ms
        )
        await insert_deltas(connection, manifest.bundle, deltas)
        event = RulesReleased(
            release=manifest.version, bundle=manifest.bundle, kind="trial", draft="", activate_at=""
        )
        await outbox.write(connection, [Event(RULES_KEY, event)], now_ms=now_ms)
        await note(
            connection, person=COMMAND_LINE, action="rules.publish",
            subject=f"release:{manifest.version}",
            detail={"bundle": manifest.bundle, "kind": "trial"}, now_ms=now_ms,
        )  # fmt: skip
    return done


async def newest_manifest(connection: Connection, programme: str = DEFAULT) -> Manifest | None:
    """Return the manifest of what went to all tills of a programme last."""
    newest = await connection.fetchrow(_SQL["newest"], programme)
    if newest is None:
        return None
    manifest = await connection.fetchval(_SQL["manifest_of_bundle"], newest["hash"])
    return msgspec.msgpack.decode(manifest, type=Manifest)


async def bundle_content(connection: Connection, bundle_hash: str) -> bytes | None:
    """Return a bundle's bytes, zstd-compressed, as tills fetch them."""
    content: bytes | None = await connection.fetchval(_SQL["content"], bundle_hash)
    return content
