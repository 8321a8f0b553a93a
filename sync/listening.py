"""What tills ask most, in few bytes: the pull that waits, and whether an account is still the same.

Both travel as arrays and leave out what both sides know: the session says whose stream it is, eight
bytes of a name tell one bundle from another, and an account the till has is told by what changes
with a receipt. `part` says what the rest of these accounts was when that was told; a till that has
another rest asks for them whole.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import accumulate, pairwise
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from loyalty.account import AccountSnapshot
from sync.codec import decode, encode
from sync.errors import MalformedMessageError
from sync.fields import Count
from sync.limits import MESSAGE_BYTES_MAX
from sync.messages import (
    AccountRow,
    Applied,
    Cursor,
    Message,
    OutcomeRow,
    PullAnswer,
    SnapshotAnswer,
)
from sync.packing import pack_to_send, unpack_sent
from sync.short_grants import Holder, ShortGrant, long_grants, short_grants
from sync.varints import pack_numbers, unpack_numbers

PATH_LISTEN: Final = "/v1/till/listen"
PATH_FRESH: Final = "/v1/till/fresh"
NAME_BYTES: Final = 8
WHOLE_MAX: Final = 200
"""Accounts asked for whole at once."""
_PART_BYTES: Final = 4
_OUTCOMES_MAX: Final = 10_000
_GRANTS_MAX: Final = 10_000
_NUMBERS: Final = 5
"""Of a change that is told in numbers alone."""

Name = Annotated[bytes, Meta(max_length=NAME_BYTES)]


class AccountChange(msgspec.Struct, frozen=True, array_like=True):
    """What a receipt changes of an account.

    Attributes:
        step: how far its number is beyond that of the one before, or beyond 0.
    """

    step: Count
    version: Count
    points: Count
    held_points: Count
    purchases: Count
    counters: dict[str, int] = {}
    last_used: dict[str, str] = {}


class Listen(Message, frozen=True, kw_only=True, array_like=True):
    """A pull in few bytes; the fields are a pull's.

    Attributes:
        bundle, roster: beginnings of their names; empty for none.
        whole: accounts to be told whole.
        blocked: version of the list of blocked cards it has, of the cursor's epoch.
    """

    epoch: Count
    transaction: Count
    row: Count
    seq: Count
    wait_s: Count
    bundle: Name = b""
    roster: Name = b""
    rules: tuple[Count, Count] | None = None
    whole: Annotated[tuple[Count, ...], Meta(max_length=WHOLE_MAX)] = ()
    blocked: Count | None = None


class ListenAnswer(Message, frozen=True, kw_only=True, array_like=True):
    """The answer to it.

    Attributes:
        transaction, row: the cursor, of the epoch asked in.
        changed: accounts the till has, by number.
        part: beginning of the hash of all else it was told of them.
        grants: those of the session's till, incarnation and session.
        moved: accounts that have no counters: of each step, version, points, held points and
            purchases (`sync.varints`). It and `grants` are told to who asks with `blocked`.
        accepted: records of the stream of which there is no more to say than a note, by note:
            first, how many, first, how many, ...
        through, waiting: as `Applied` of the stream; told where accounts are.
        rest: a packed PullAnswer with all else, if there is any.
        again: the centre does not know what a name stands for: pull.
    """

    transaction: Count
    row: Count
    changed: tuple[AccountChange, ...] = ()
    accepted: dict[str, tuple[Count, ...]] = msgspec.field(default_factory=dict)
    through: Count = 0
    waiting: tuple[Count, ...] = ()
    rest: bytes = b""
    again: bool = False
    part: Annotated[bytes, Meta(max_length=_PART_BYTES)] = b""
    grants: Annotated[tuple[ShortGrant, ...], Meta(max_length=_GRANTS_MAX)] = ()
    moved: bytes = b""


class Fresh(Message, frozen=True, kw_only=True, array_like=True):
    """Asks for an account, unless it is as the till was told.

    Attributes:
        known: `stamp_of` what it was told; empty where it was told nothing.
    """

    card: bytes
    known: Annotated[bytes, Meta(max_length=_PART_BYTES)] = b""


class FreshAnswer(Message, frozen=True, kw_only=True, array_like=True):
    """The packed SnapshotAnswer; empty where the account is still the same."""

    snapshot: bytes = b""


def stamp_of(row: AccountRow) -> bytes:
    """Return the hash of which account, in which version and with which points, a card stands for.

    Points are over by the day alone, without a new version.
    """
    told = (row.snapshot.account_id, row.snapshot.version, row.points)
    return blake2b(msgspec.msgpack.encode(told), digest_size=_PART_BYTES).digest()


def snapshot_of(answer: FreshAnswer) -> SnapshotAnswer | None:
    """Return the account told; None where it cannot be read."""
    try:
        plain = unpack_sent(answer.snapshot, bytes_max=MESSAGE_BYTES_MAX)
        return decode(SnapshotAnswer, plain)
    except MalformedMessageError:
        return None


def part_of(rows: Iterable[AccountRow]) -> bytes:
    """Return the hash of what changes do not tell of accounts, from their rows of all cards."""
    told = []
    for row in sorted(rows, key=lambda row: row.card):
        known = row.snapshot
        told.append((
            row.card, known.account_id, known.tier, known.segments, known.in_birthday_window,
            known.personal_offers, row.blocked, row.masked_name,
        ))  # fmt: skip
    return blake2b(msgspec.msgpack.encode(told), digest_size=_PART_BYTES).digest()


def changes_of(rows: Iterable[AccountRow]) -> tuple[AccountChange, ...]:
    """Return accounts, with all their cards each, as changes."""
    by_id = {row.snapshot.account_id: row for row in rows}
    numbers = sorted(by_id)
    return tuple(
        AccountChange(
            number - before,
            by_id[number].snapshot.version,
            by_id[number].points,
            by_id[number].held_points,
            by_id[number].snapshot.purchases,
            dict(by_id[number].snapshot.counters),
            dict(by_id[number].snapshot.last_used),
        )
        for before, number in pairwise([0, *numbers])
    )


def _packed(changes: Iterable[AccountChange]) -> bytes:
    return pack_numbers(
        number
        for each in changes
        for number in (each.step, each.version, each.points, each.held_points, each.purchases)
    )


def _unpacked(packed: bytes) -> tuple[AccountChange, ...]:
    numbers = unpack_numbers(packed)
    if len(numbers) % _NUMBERS:
        raise MalformedMessageError("changed accounts are told in five numbers each")
    columns = (numbers[column::_NUMBERS] for column in range(_NUMBERS))
    return tuple(
        AccountChange(step, version, points, held_points, purchases)
        for step, version, points, held_points, purchases in zip(*columns, strict=True)
    )


def _changes_in(answer: ListenAnswer) -> dict[int, AccountChange]:
    changes: dict[int, AccountChange] = {}
    for told in (answer.changed, _unpacked(answer.moved)):
        numbers = accumulate(change.step for change in told)
        changes.update(zip(numbers, told, strict=True))
    return changes


def changed_accounts(answer: ListenAnswer) -> tuple[int, ...]:
    """Return the accounts an answer tells changes of.

    Raises:
        MalformedMessageError: they cannot be read.
    """
    return tuple(sorted(_changes_in(answer)))


def changed_rows(answer: ListenAnswer, rows: Sequence[AccountRow]) -> tuple[AccountRow, ...] | None:
    """Return the rows of changed accounts as they are now; None: they have to be told whole.

    Args:
        rows: what the till was told of these accounts, of all their cards.
    """
    if part_of(rows) != answer.part:
        return None
    changes = _changes_in(answer)
    return tuple(
        msgspec.structs.replace(
            row,
            snapshot=_changed(row.snapshot, change),
            points=change.points,
            held_points=change.held_points,
        )
        for row in rows
        if (change := changes.get(row.snapshot.account_id))
    )


def _changed(known: AccountSnapshot, change: AccountChange) -> AccountSnapshot:
    return AccountSnapshot(
        identified=known.identified,
        account_id=known.account_id,
        tier=known.tier,
        segments=known.segments,
        points=change.points,
        in_birthday_window=known.in_birthday_window,
        personal_offers=known.personal_offers,
        purchases=change.purchases,
        counters=change.counters,
        last_used=change.last_used,
        version=change.version,
    )


def shortened(
    answer: PullAnswer,
    *,
    incarnation: bytes,
    whole: Sequence[AccountRow] = (),
    holder: Holder | None = None,
) -> ListenAnswer:
    """Return the answer to a pull in few bytes.

    Args:
        incarnation: of the session.
        whole: accounts the till does not have as they were.
        holder: the session's, where the till reads grants in few bytes.
    """
    short, plain_grants = short_grants(answer.grants, holder) if holder else ((), answer.grants)
    named = {row.snapshot.account_id for row in whole}
    told = [row for row in answer.accounts if row.snapshot.account_id not in named]
    plain = [row for row in answer.outcomes if _is_plain(row, incarnation)]
    applied = {each.incarnation: each for each in answer.applied}
    own = applied.pop(incarnation, None)
    has_accounts = bool(told or whole)
    rest = msgspec.structs.replace(
        answer,
        cursor=Cursor(),
        applied_through=0,
        accounts=tuple(whole),
        grants=plain_grants,
        outcomes=tuple(row for row in answer.outcomes if row not in plain),
        applied=tuple(applied.values()) if has_accounts else (),
    )
    nothing = PullAnswer(cursor=Cursor(), applied_through=0, more=False)
    counted = [row for row in told if not holder or _is_counted(row)]
    moved = [row for row in told if holder and not _is_counted(row)]
    return ListenAnswer(
        transaction=answer.cursor.transaction,
        row=answer.cursor.row,
        changed=changes_of(counted),
        part=part_of(told) if told else b"",
        accepted={
            note: _runs(sorted(row.seq for row in plain if row.reason == note))
            for note in sorted({row.reason for row in plain})
        },
        through=own.through if own and has_accounts else 0,
        waiting=own.waiting if own and has_accounts else (),
        rest=b"" if rest == nothing else pack_to_send(encode(rest)),
        grants=short,
        moved=_packed(changes_of(moved)),
    )


def lengthened(
    answer: ListenAnswer, *, epoch: int, incarnation: bytes, holder: Holder | None = None
) -> PullAnswer:
    """Undo `shortened`, but for the accounts in `changed`, which the till has to find.

    Args:
        holder: the till in its session; without one grants in few bytes are left out.

    Raises:
        MalformedMessageError: it cannot be read.
    """
    rest = PullAnswer(cursor=Cursor(), applied_through=0, more=answer.again)
    if answer.rest:
        rest = decode(PullAnswer, unpack_sent(answer.rest, bytes_max=MESSAGE_BYTES_MAX))
    own = Applied(incarnation=incarnation, through=answer.through, waiting=answer.waiting)
    accepted = tuple(
        OutcomeRow(seq=seq, incarnation=incarnation, outcome="accepted", reason=note)
        for note, runs in answer.accepted.items()
        for first, count in zip(runs[::2], runs[1::2], strict=False)
        for seq in range(first, first + min(count, _OUTCOMES_MAX))
    )
    return msgspec.structs.replace(
        rest,
        cursor=Cursor(epoch=epoch, transaction=answer.transaction, row=answer.row),
        applied=(own, *rest.applied),
        outcomes=(*rest.outcomes, *accepted),
        grants=(*rest.grants, *(long_grants(answer.grants, holder) if holder else ())),
    )


def _is_counted(row: AccountRow) -> bool:
    return bool(row.snapshot.counters or row.snapshot.last_used)


def _is_plain(row: OutcomeRow, incarnation: bytes) -> bool:
    return (row.incarnation, row.outcome, row.points) == (incarnation, "accepted", 0)


def _runs(seqs: Sequence[int]) -> tuple[int, ...]:
    runs: list[int] = []
    for seq in seqs:
        if runs and seq == runs[-2] + runs[-1]:
            runs[-1] += 1
        else:
            runs += [seq, 1]
    return tuple(runs)
