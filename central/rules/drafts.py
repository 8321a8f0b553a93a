"""Drafts: whole rule documents on their way, in versions that never change, each by its author.

A draft is named `summer`, its versions `summer@1`, `summer@2`, ...; the name alone is the newest.
"""

import asyncio
import hashlib
import re
from dataclasses import dataclass, replace
from typing import Final

import asyncpg
import msgspec
import zstandard

from central.database.named_sql import load_queries
from central.database.pool import Connection
from central.errors import BadRequestError, ForbiddenError, NotFoundError
from central.programmes.registry import programme_of_rules
from central.rules.publishing import read_document
from central.staff.audit import note
from central.staff.persons import APPROVER, AUTHOR, Person
from central.system import System
from loyalty.bundle import Bundle
from loyalty.canonical import canonical_bytes
from loyalty.documents import decode, encode

_SQL = load_queries("central.rules", "queries.sql")

_NAME = re.compile(r"([a-z0-9][a-z0-9._-]{0,63})(?:@([1-9][0-9]{0,8}))?")
_NO_VERSION: Final = 1
"""A draft's document has this version; a release gives it its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftRow:
    """A version of a draft, without its document.

    Attributes:
        base_hash: of the bundle it was made from; empty for none.
        hash: of the document.
        approver: who approved it; empty while nobody has.
        releases: versions of the releases made of it.
    """

    name: str
    version: int
    author: str
    base_hash: str
    hash: str
    offers: int
    note: str
    made_at_ms: int
    approver: str = ""
    releases: tuple[int, ...] = ()

    @property
    def title(self) -> str:
        """How it is named on command lines."""
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft(DraftRow):
    """A version of a draft.

    Attributes:
        bundle: the whole rule document; its `version` says nothing.
    """

    bundle: Bundle


def read_title(text: str) -> tuple[str, int]:
    """Return name and version of a draft; version 0 stands for the newest.

    Raises:
        BadRequestError: the text names no draft.
    """
    found = _NAME.fullmatch(text)
    if found is None:
        raise BadRequestError("draft", "a draft is named summer, or summer@2 for one version of it")
    return found[1], int(found[2] or 0)


def document_of(bundle: Bundle) -> bytes:
    """Return the bytes a draft or release is approved by: the document without its version."""
    return canonical_bytes(encode(replace(bundle, version=_NO_VERSION)))


def hash_of(document: bytes) -> str:
    """Return the name of a document's bytes."""
    return hashlib.sha256(document).hexdigest()


@dataclass(frozen=True, slots=True)
class _Read:
    """A document that came, as it is kept."""

    bundle: Bundle
    hash: str
    packed: bytes


def _read(content: bytes) -> _Read:
    bundle = read_document(content, check=False)
    document = document_of(bundle)
    return _Read(bundle, hash_of(document), zstandard.compress(document, 9))


def _unpacked(content: bytes) -> Bundle:
    return decode(Bundle, msgspec.json.decode(zstandard.decompress(content)))


async def save_draft(
    connection: Connection,
    name: str,
    content: bytes,
    *,
    author: Person,
    note_text: str,
    system: System,
) -> DraftRow:
    """Keep a rule document as the next version of a draft; read and packed in a thread.

    Contradictions are found by `rules check` and refused by `rules approve`; only what cannot be
    read at all is refused here.

    Raises:
        ForbiddenError: the person is no author.
        BadRequestError: the name is no draft's, the document cannot be read, or there is no such
            programme.
    """
    author.require(AUTHOR)
    if "@" in name or _NAME.fullmatch(name) is None:
        raise BadRequestError("name", "a draft's name is lower case letters, digits and . _ -")
    read = await asyncio.to_thread(_read, content)
    now_ms = system.now_ms()
    programme = await programme_of_rules(connection, read.bundle.programme.programme_id)
    async with connection.transaction():
        # Two that save at once wait for each other here: versions have no gap.
        await connection.execute(_SQL["lock_drafts"], name)
        version = await connection.fetchval(
            _SQL["insert_draft"], name, author.person_id, read.hash, len(read.bundle.offers),
            read.packed, note_text, now_ms, programme,
        )  # fmt: skip
        await note(
            connection, person=author.name, action="rules.draft",
            subject=f"draft:{name}@{version}", detail={"hash": read.hash}, now_ms=now_ms,
        )  # fmt: skip
    return await find_draft(connection, f"{name}@{version}")


async def find_draft(connection: Connection, title: str) -> DraftRow:
    """Return a version of a draft without its document.

    Raises:
        BadRequestError: the title names no draft.
        NotFoundError: there is none.
    """
    return _row(await _find(connection, title))


async def load_draft(connection: Connection, title: str) -> Draft:
    """Return a version of a draft with its document, read in a thread.

    Raises:
        BadRequestError: the title names no draft.
        NotFoundError: there is none.
    """
    row = await _find(connection, title)
    bundle = await asyncio.to_thread(_unpacked, row["content_zstd"])
    known = _row(row)
    names = known.__dataclass_fields__
    return Draft(**{each: getattr(known, each) for each in names}, bundle=bundle)


async def list_drafts(connection: Connection) -> tuple[DraftRow, ...]:
    """Return every version of every draft, by name, the newest first."""
    return tuple(map(_row, await connection.fetch(_SQL["drafts"])))


async def approve_draft(
    connection: Connection, title: str, *, approver: Person, system: System
) -> DraftRow:
    """Approve a version of a draft; done twice by the same person it is done once.

    Raises:
        ForbiddenError: the person is no approver, or wrote it.
        BadRequestError: the rules contradict themselves, or somebody else has approved them.
        NotFoundError: there is no such draft.
    """
    approver.require(APPROVER)
    draft = await load_draft(connection, title)
    if draft.author == approver.name:
        raise ForbiddenError("nobody approves what he wrote: a second person has to")
    # Seconds for ten thousand offers: in a thread, where a server goes on serving beside it.
    await asyncio.to_thread(_check, draft)
    now_ms = system.now_ms()
    async with connection.transaction():
        row = await connection.fetchrow(
            _SQL["insert_approval"], draft.name, draft.version, approver.person_id, now_ms
        )
        if row is not None:
            await note(
                connection, person=approver.name, action="rules.approve",
                subject=f"draft:{draft.title}", detail={"hash": draft.hash}, now_ms=now_ms,
            )  # fmt: skip
    found = await find_draft(connection, draft.title)
    if found.approver != approver.name:
        raise BadRequestError("draft", f"{found.approver} has approved it already")
    return found


def _check(draft: Draft) -> None:
    read_document(document_of(draft.bundle))


async def _find(connection: Connection, title: str) -> asyncpg.Record:
    name, version = read_title(title)
    row = await connection.fetchrow(_SQL["draft"], name, version)
    if row is None:
        raise NotFoundError(f"there is no draft {title!r}; tillside-central rules list shows them")
    return row


def _row(row: asyncpg.Record) -> DraftRow:
    return DraftRow(
        name=row["name"],
        version=row["version"],
        author=row["author"],
        base_hash=row["base"],
        hash=row["hash"],
        offers=row["offers"],
        note=row["note"],
        made_at_ms=row["made_at_ms"],
        approver=row["approver"] or "",
        releases=tuple(row["releases"]),
    )
