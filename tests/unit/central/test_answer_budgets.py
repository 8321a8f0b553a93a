"""No class of news takes another's bytes of an answer, and none is kept from a till by a lesser."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.link.till_side import Whole
from central.observability.meters import REGISTRY
from central.tills.budgets import ANSWER_BYTES_MAX, SHARES_PERCENT, AnswerBudget, ByteClass
from central.tills.telling import in_turn, size_of
from sync import cycle
from sync.codec import encode
from sync.fingerprints import fingerprint
from sync.limits import PULL_BYTES_DEFAULT
from sync.listening import PATH_LISTEN, Listen, ListenAnswer, lengthened
from sync.messages import AccountRow, Compare, CompareAnswer, Cursor, PullAnswer
from sync.packing import pack_to_send
from tests.support import builders
from tests.support.centre import JoinedCentre
from tests.support.till_on_centre import TillOnCentre
from tests.support.till_probe import TillProbe

Load = dict[ByteClass, list[int]]
loads = st.fixed_dictionaries(
    {kind: st.lists(st.integers(1, 3_000), max_size=60) for kind in ByteClass}
)


def spent(load: Load, *, bytes_max: int) -> dict[ByteClass, list[int]]:
    """Return the sizes that are told of each class, asked for in their order."""
    budget = AnswerBudget(bytes_max)
    return {kind: load[kind][: budget.take(kind, load[kind])] for kind in ByteClass}


def share_bytes(kind: ByteClass, bytes_max: int) -> int:
    return bytes_max * SHARES_PERCENT[kind] // 100


def is_within(told: Sequence[int], room_bytes: int) -> bool:
    return sum(told) <= room_bytes or len(told) == 1


def test_the_shares_are_a_whole_answer() -> None:
    assert set(SHARES_PERCENT) == set(ByteClass)
    assert sum(SHARES_PERCENT.values()) == 100


@given(loads, st.integers(1_024, 60_000))
def test_no_class_but_the_last_takes_more_than_its_share(load: Load, bytes_max: int) -> None:
    told = spent(load, bytes_max=bytes_max)
    for kind in set(ByteClass) - {ByteClass.ACCOUNTS}:
        assert is_within(told[kind], share_bytes(kind, bytes_max))


@given(loads, st.integers(1_024, 60_000))
def test_the_last_class_takes_what_the_others_leave_and_no_more(load: Load, bytes_max: int) -> None:
    told = spent(load, bytes_max=bytes_max)
    others = sum(sum(told[kind]) for kind in told if kind is not ByteClass.ACCOUNTS)
    room_bytes = max(share_bytes(ByteClass.ACCOUNTS, bytes_max), bytes_max - others)
    assert is_within(told[ByteClass.ACCOUNTS], room_bytes)


@given(loads, loads, st.integers(1_024, 60_000), st.sampled_from(list(ByteClass)))
def test_what_is_told_of_a_class_does_not_depend_on_lesser_ones(
    load: Load, other: Load, bytes_max: int, kind: ByteClass
) -> None:
    with_others = {each: load[each] if each <= kind else other[each] for each in ByteClass}
    assert spent(load, bytes_max=bytes_max)[kind] == spent(with_others, bytes_max=bytes_max)[kind]


@given(loads, st.integers(1_024, 60_000), st.sampled_from(list(ByteClass)))
def test_every_class_has_its_share_whatever_the_others_take(
    load: Load, bytes_max: int, kind: ByteClass
) -> None:
    told = spent(load, bytes_max=bytes_max)[kind]
    left = load[kind][len(told) :]
    # What is not told would not have fitted into the class's own share.
    assert not left or sum(told) + left[0] > share_bytes(kind, bytes_max)


@given(loads, st.integers(1_024, 60_000))
def test_all_there_is_is_told_after_some_answers(load: Load, bytes_max: int) -> None:
    answers = 0
    while any(load.values()):
        told = spent(load, bytes_max=bytes_max)
        load = {kind: load[kind][len(told[kind]) :] for kind in ByteClass}
        answers += 1
        assert answers <= 300


def test_an_answer_has_its_bounds_whatever_a_till_asks_for() -> None:
    budget = AnswerBudget(2**62)
    assert sum(budget.room_bytes(kind) for kind in ByteClass) <= 2 * ANSWER_BYTES_MAX
    assert budget.room_bytes(ByteClass.ACCOUNTS) == ANSWER_BYTES_MAX


def test_where_not_all_fits_others_have_their_turn() -> None:
    names = tuple(f"grant {number:04}" for number in range(100))
    seen: set[str] = set()
    for moment_ms in range(0, 100, 10):
        told = in_turn(AnswerBudget(1_024), ByteClass.RECALLS, names, moment_ms)
        assert 0 < size_of(*told) <= share_bytes(ByteClass.RECALLS, 1_024)
        seen.update(told)
    assert seen == set(names)


# At the centre


async def busy_centre(centre: JoinedCentre) -> TillProbe:
    """Return a till with more of everything to hear of than one answer holds."""
    vault = await centre.till(is_vault=True)
    for account_id in range(1, 61):
        await centre.customer(account_id, 20, home="store-1", card=f"card {account_id}")
    await vault.pull()
    await vault.push()
    await centre.apply()
    await vault.pull()
    for account_id in range(61, 121):
        await centre.customer(account_id, 20, home="store-1", card=f"card {account_id}")
    await centre.pool.execute("update right_grant set recalled = true where outstanding > 0")
    await centre.pool.execute("update account set blocked = true where account_id <= 60")
    cards = "select card from card where account_id <= 60"
    noted = "select note_blocked_card(card, '', true) from unnest($1::bytea[]) as c (card)"
    await centre.pool.execute(noted, [card for (card,) in await centre.pool.fetch(cards)])
    await centre.publish(builders.bundle(version=2))
    await centre.pool.execute(
        "insert into feed (scope, account_id)"
        " select 'store:store-1', n % 60 + 1 from generate_series(1, 400) n"
    )
    return vault


async def asked(till: TillProbe, *, bytes_max: int) -> PullAnswer:
    message = till.pull_message(bytes_max=bytes_max)
    return await till.ask(cycle.PATH_PULL, message, PullAnswer)


@pytest.mark.parametrize("bytes_max", [4_096, 16_384, PULL_BYTES_DEFAULT])
async def test_changed_accounts_keep_nothing_from_a_till_that_matters_more(
    centre: JoinedCentre, bytes_max: int
) -> None:
    vault = await busy_centre(centre)
    vault.blocked = (0, 0)
    answer = await asked(vault, bytes_max=bytes_max)
    assert answer.manifest is not None
    assert answer.recalls
    assert answer.grants
    assert answer.accounts
    assert answer.blocked is not None
    assert answer.blocked.blocked
    budget = {
        ByteClass.BLOCKED: len(answer.blocked.blocked),
        ByteClass.RECALLS: size_of(*answer.recalls),
        ByteClass.GRANTS: size_of(*answer.grants),
    }
    for kind, told_bytes in budget.items():
        assert told_bytes <= share_bytes(kind, bytes_max)
    assert len(pack_to_send(encode(answer))) <= bytes_max


async def test_small_answers_tell_everything_in_the_end(centre: JoinedCentre) -> None:
    vault = await busy_centre(centre)
    accounts: set[int] = set()
    for _ in range(200):
        answer = await vault.pull(bytes_max=4_096)
        accounts.update(row.snapshot.account_id for row in answer.accounts)
        for grant_id in answer.recalls:
            vault.append(vault.give_back(vault.grants[grant_id]))
        if len(vault.bodies) > vault.acked:
            await vault.push()
            await centre.apply()
        elif not answer.more:
            break
    assert accounts == set(range(1, 121))
    assert len(vault.grants) == 120
    assert await centre.pool.fetchval("select count(*) from right_grant where recalled") == 60
    open_recalls = "select count(*) from right_grant where recalled and outstanding > 0"
    assert await centre.pool.fetchval(open_recalls) == 0


async def test_what_is_told_is_counted_by_class(centre: JoinedCentre) -> None:
    vault = await busy_centre(centre)
    before = {kind: _counted(kind) for kind in ByteClass}
    vault.blocked = (0, 0)
    answer = await asked(vault, bytes_max=PULL_BYTES_DEFAULT)
    assert _counted(ByteClass.RECALLS) - before[ByteClass.RECALLS] == size_of(*answer.recalls)
    for kind in ByteClass:
        assert _counted(kind) > before[kind]


def _counted(kind: ByteClass) -> float:
    found = REGISTRY.get_sample_value("tillside_pull_bytes_total", {"news": kind.name.lower()})
    return found or 0


# Accounts that are wide


async def wide_customers(centre: JoinedCentre, count: int) -> None:
    """Add customers of some 85 kB each."""
    for account_id in range(1, count + 1):
        await centre.customer(account_id, home="store-1", card=f"card {account_id}")
    await centre.pool.execute(
        "insert into account_counter select account_id, 'uses:' || repeat('x', 190) || n, n, '',"
        " '2025-03-05T12:00:00', 'store-1' from account, generate_series(1, 200) n"
    )


async def test_accounts_asked_for_whole_are_told_as_they_fit_and_the_others_named(
    centre: JoinedCentre,
) -> None:
    till = await centre.till()
    await wide_customers(centre, 10)
    left = tuple(range(1, 11))
    told: list[int] = []
    answers = 0
    while left:
        listen = Listen(epoch=1, transaction=2**40, row=0, seq=0, wait_s=0, whole=left)
        answer = await till.ask(PATH_LISTEN, listen, ListenAnswer)
        meant = lengthened(answer, epoch=1, incarnation=till.incarnation)
        told += [row.snapshot.account_id for row in meant.accounts]
        assert not set(told) & set(meant.whole_left)
        left = meant.whole_left
        answers += 1
    assert sorted(told) == list(range(1, 11))
    assert answers == 4


async def test_a_till_goes_on_asking_for_accounts_that_did_not_fit(
    centre: JoinedCentre, tmp_path: Path
) -> None:
    till = await TillOnCentre.enrolled(centre, tmp_path / "till")
    side, cache = till.joined.side, till.joined.till.cache
    cache.put_value("whole", Whole((3, 7, 12)))
    rest = PullAnswer(cursor=Cursor(), applied_through=0, more=False, whole_left=(7,))
    ask = side.listen(0)
    side.pull_answered(
        side.listened(
            ask.message, ListenAnswer(transaction=1, row=0, rest=pack_to_send(encode(rest)))
        )
    )
    assert cache.value("whole", Whole) == Whole((7,))
    till.close()


async def test_comparing_wide_accounts_stays_within_its_bytes(centre: JoinedCentre) -> None:
    till = await centre.till()
    await wide_customers(centre, 30)
    known: dict[bytes, AccountRow] = {}
    more = True
    while more:
        sums = fingerprint(
            (card, row.snapshot.account_id, row.snapshot.version) for card, row in known.items()
        )
        compare = Compare(sums=sums, bytes_max=2**40)
        answer = await till.ask(cycle.PATH_COMPARE, compare, CompareAnswer)
        assert len(answer.buckets) == 1 or len(encode(answer)) <= 1.2 * ANSWER_BYTES_MAX
        known.update({row.card: row for row in answer.accounts})
        more = answer.more
    assert len(known) == 30
