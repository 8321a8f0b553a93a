"""What is known of a customer as a person: written, read, found by telephone or mail, agreed to.

Every call of a person leaves a row in the audit, readings too; none of what is read is in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from central.database.named_sql import load_queries
from central.database.pool import Connection, Pool
from central.errors import BadRequestError, ConfigurationError, NotFoundError
from central.privacy.personal_keys import ContactKind, PersonalKeys, Sealed, normal
from central.staff.audit import note
from central.system import System

_SQL = load_queries("central.privacy", "customers.sql")

PRIVACY: Final = "privacy"
"""Role of who exports and erases a customer's data."""

_PERSONAL_KEY: Final = "personal"
_CONTACTS_KEY: Final = "contacts"
"""Which keys are in use: the newest one's name, and what the other one makes of a fixed text."""

_REWRAPPED_AT_ONCE: Final = 500
_CONTACT_CHARACTERS_MIN: Final = 4

_Line = Annotated[str, Meta(max_length=200)]
_Contact = Annotated[str, Meta(min_length=_CONTACT_CHARACTERS_MIN, max_length=200)]
Purpose = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]


class CustomerData(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A customer as a person.

    Attributes:
        language: of messages, such as `ru`; empty = not known.
    """

    name: _Line = ""
    phones: Annotated[tuple[_Contact, ...], Meta(max_length=10)] = ()
    mails: Annotated[tuple[_Contact, ...], Meta(max_length=10)] = ()
    address: Annotated[str, Meta(max_length=500)] = ""
    language: Annotated[str, Meta(max_length=20)] = ""


class Consent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The newest word of a customer on a purpose.

    Attributes:
        source: where it was said, such as `app` or the number of a form; no personal data.
    """

    purpose: Purpose
    given: bool
    source: Annotated[str, Meta(max_length=100)] = ""
    at_ms: int = 0


class CustomerView(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody who may is shown.

    Attributes:
        account_id: the account that counts; another one than was asked for, where that was merged.
        data: None where nothing is known of the person.
    """

    account_id: int
    data: CustomerData | None
    consents: tuple[Consent, ...]


@dataclass(frozen=True, slots=True)
class CustomerDesk:
    """Reads and writes people's data.

    Attributes:
        pool: of the role that may, and no other.
    """

    pool: Pool
    keys: PersonalKeys
    system: System

    async def keep_keys(self) -> None:
        """Note which keys people's data are written with; whoever serves them calls it first.

        A second machine, or a folder put back without them, would make keys of its own: what one
        writes the other could not read.

        Raises:
            ConfigurationError: people are known, and were written with keys that are not here.
        """
        newest, contacts = self.keys.newest(), self.keys.contacts_check()
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute(_SQL["hold_erasures"])
            if not await connection.fetchval(_SQL["is_nobody_known"]):
                rows = await connection.fetch(_SQL["keys_used"])
                used: dict[str, bytes] = {row["name"]: row["value"] for row in rows}
                name = used.get(_PERSONAL_KEY, newest.encode()).decode()
                if name not in self.keys.names():
                    raise ConfigurationError(
                        f"people's data are sealed with the personal key {name}, which is not here:"
                        " copy personal.key from the machine that writes them"
                    )
                if used.get(_CONTACTS_KEY, contacts) != contacts:
                    raise ConfigurationError(
                        "contacts.key is not the one people are found by:"
                        " copy it from the machine that writes people's data"
                    )
            await connection.execute(_SQL["use_key"], _PERSONAL_KEY, newest.encode())
            await connection.execute(_SQL["use_key"], _CONTACTS_KEY, contacts)

    async def put(self, account_id: int, data: CustomerData, *, person: str) -> None:
        """Keep what is known of a customer, in place of what was.

        Raises:
            NotFoundError: there is no such account, or it was erased.
            BadRequestError: something is no telephone number or no mail address.
        """
        hashes = sorted(set(self._hashes(data)))
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute(_SQL["hold_erasures"])
            account_id = await find_living(connection, account_id)
            sealed = self.keys.seal(account_id, msgspec.json.encode(data), self.system)
            now_ms = self.system.now_ms()
            await connection.execute(
                _SQL["put"], account_id, sealed.key_name, sealed.wrapped_key, sealed.content, now_ms
            )
            await connection.execute(_SQL["drop_contacts"], account_id)
            await connection.execute(_SQL["put_contacts"], account_id, hashes)
            known = [name for name in data.__struct_fields__ if getattr(data, name)]
            await self._note(
                connection, person, "customer.put", account_id, {"fields": known}, now_ms
            )

    def _hashes(self, data: CustomerData) -> list[bytes]:
        for place, mail in enumerate(data.mails):
            if "@" not in mail:
                raise BadRequestError(f"$.mails[{place}]", "is no mail address")
        for place, phone in enumerate(data.phones):
            if len(normal("phone", phone)) < _CONTACT_CHARACTERS_MIN:
                raise BadRequestError(f"$.phones[{place}]", "is no telephone number")
        hashes = [self.keys.contact_hash("phone", each) for each in data.phones]
        return hashes + [self.keys.contact_hash("mail", each) for each in data.mails]

    async def view(self, account_id: int, *, person: str) -> CustomerView:
        """Return what is known of a customer.

        Raises:
            NotFoundError: there is no such account, or it was erased.
            ConfigurationError: the key it was sealed with is not here.
        """
        async with self.pool.acquire() as connection, connection.transaction():
            account_id = await find_living(connection, account_id)
            found = await self.read(connection, account_id)
            await self._note(
                connection, person, "customer.view", account_id, {}, self.system.now_ms()
            )
        return found

    async def read(self, connection: Connection, account_id: int) -> CustomerView:
        """Return what is known of a customer; the caller notes who looks."""
        known = await self.read_all(connection, account_id)
        rows = await connection.fetch(_SQL["consents"], account_id)
        return CustomerView(
            account_id=account_id,
            data=next(iter(known.values()), None),
            consents=tuple(Consent(**row) for row in rows),
        )

    async def read_all(self, connection: Connection, account_id: int) -> dict[int, CustomerData]:
        """Return what is known by account, of this one and those merged into it."""
        found = {}
        for row in await connection.fetch(_SQL["sealed"], account_id):
            sealed = Sealed(row["key_name"], row["wrapped_key"], row["sealed"])
            content = self.keys.open(row["account_id"], sealed)
            found[row["account_id"]] = msgspec.json.decode(content, type=CustomerData)
        return found

    async def find(self, kind: ContactKind, text: str, *, person: str) -> tuple[int, ...]:
        """Return the accounts of whom a telephone number or a mail address is known."""
        async with self.pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(_SQL["with_contact"], self.keys.contact_hash(kind, text))
            found = tuple(row["account_id"] for row in rows)
            now_ms = self.system.now_ms()
            detail: dict[str, object] = {"by": kind}
            for account_id in found:
                await self._note(connection, person, "customer.find", account_id, detail, now_ms)
            if not found:  # whoever tries numbers is seen, too
                await note(
                    connection, person=person, action="customer.find", subject="customers",
                    detail=detail | {"found": 0}, now_ms=now_ms,
                )  # fmt: skip
        return found

    async def say(self, account_id: int, consent: Consent, *, person: str) -> None:
        """Write down what a customer agrees to or takes back.

        Raises:
            NotFoundError: there is no such account, or it was erased.
        """
        now_ms = self.system.now_ms()
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute(_SQL["hold_erasures"])
            account_id = await find_living(connection, account_id)
            await connection.execute(
                _SQL["put_consent"], account_id, consent.purpose, consent.given, consent.source,
                person, now_ms,
            )  # fmt: skip
            detail = {"purpose": consent.purpose, "given": consent.given, "source": consent.source}
            await self._note(connection, person, "customer.consent", account_id, detail, now_ms)

    async def rewrap_all(self, *, person: str) -> int:
        """Seal every customer's own key with the newest personal key; returns how many were not.

        Raises:
            ConfigurationError: a key that some are sealed with is not here; those before are done.
        """
        newest, after, done = self.keys.newest(), -(2**63), 0
        while True:
            async with self.pool.acquire() as connection, connection.transaction():
                rows = await connection.fetch(
                    _SQL["not_wrapped_with"], after, newest, _REWRAPPED_AT_ONCE
                )
                for row in rows:
                    after = row["account_id"]
                    sealed = Sealed(row["key_name"], row["wrapped_key"], row["sealed"])
                    again = self.keys.rewrap(after, sealed, self.system)
                    await connection.execute(
                        _SQL["rewrap"], after, again.key_name, again.wrapped_key
                    )
                done += len(rows)
                if not rows:
                    await note(
                        connection, person=person, action="customer.rewrap", subject="customers",
                        detail={"key": newest, "customers": done}, now_ms=self.system.now_ms(),
                    )  # fmt: skip
                    return done

    async def _note(
        self, connection: Connection, person: str, action: str, account_id: int,
        detail: Mapping[str, object], now_ms: int,
    ) -> None:  # fmt: skip
        subject = f"account:{account_id}"
        await note(
            connection, person=person, action=action, subject=subject, detail=detail, now_ms=now_ms
        )


async def find_living(connection: Connection, account_id: int) -> int:
    """Return the account a number stands for.

    Raises:
        NotFoundError: there is none, or its customer was erased or is to be.
    """
    row = await connection.fetchrow(_SQL["account"], account_id)
    if row is None:
        raise NotFoundError(f"there is no account {account_id}")
    if row["erased"]:
        raise NotFoundError(f"the customer of account {account_id} was erased")
    found: int = row["account_id"]
    return found
