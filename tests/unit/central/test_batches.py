"""Records posted together leave the tables as records posted one by one; a bad one stands alone."""

import random

from central.database.pool import open_pool
from central.streams.apply import Applier
from tests.support.centre import JoinedCentre, joined_centre
from tests.support.postgres import ScratchDatabases
from tests.support.varied_stream import VariedStream, tables


async def posted(dsn: str, seed: int, sizes: random.Random | None) -> dict[str, object]:
    """Play a seed on a fresh centre; in batches of drawn sizes, or one by one."""
    pool = await open_pool(dsn)
    try:
        async with joined_centre(pool) as centre:

            async def apply() -> None:
                parts = centre.parts
                ended = 1
                while ended:
                    size = sizes.choice((2, 3, 7, 50, 200)) if sizes else 1
                    applier = Applier(
                        centre.pool, parts.applier.library, centre.system, together_max=size
                    )
                    ended = await applier.apply_pending()

            stream = VariedStream(centre, random.Random(seed), apply)
            await stream.play()
            found = await tables(pool)
            assert "accepted" in {row["outcome"] for row in found["outcome"]}
            centre.broken_checks = {
                check.name for check in (await centre.proof()).checks if check.broken
            } & {"equal", "pool"}
            return {**found, "broken": sorted(centre.broken_checks)}
    finally:
        await pool.close()


async def test_batches_of_any_size_leave_what_single_records_leave(
    scratch_databases: ScratchDatabases, seed: int
) -> None:
    together, single = scratch_databases.create(), scratch_databases.create()
    by_batches = await posted(together, seed, random.Random(seed))
    one_by_one = await posted(single, seed, None)
    for table, rows in one_by_one.items():
        assert by_batches[table] == rows, table
    for dsn in (together, single):
        scratch_databases.drop(dsn)


async def test_what_is_compared_has_every_outcome_of_a_sale(
    scratch_databases: ScratchDatabases,
) -> None:
    seen: set[str] = set()
    for seed in range(4):
        dsn = scratch_databases.create()
        found = await posted(dsn, seed, random.Random(seed))
        scratch_databases.drop(dsn)
        rows = found["outcome"]
        assert isinstance(rows, list)
        seen |= {row["outcome"] for row in rows}
    assert seen >= {"accepted", "adjusted", "rejected_kept"}


async def test_a_record_that_cannot_be_posted_stands_alone(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7)
    good = [till.sale(f"s{number}", account=7) for number in range(20)]
    # The store is not one of this centre: nothing can be counted as a visit to it.
    bad = till.sale("bad", account=7)
    unknown = till.identity.place.__class__(store="nowhere", region="", banner="")
    inputs = bad.inputs.__class__(
        **{name: getattr(bad.inputs, name) for name in bad.inputs.__struct_fields__}
        | {"place": unknown}
    )
    bad = bad.__class__(
        **{name: getattr(bad, name) for name in bad.__struct_fields__} | {"inputs": inputs}
    )
    outcomes = await centre.post(till, *good[:13], bad, *good[13:])
    assert outcomes[13] == (
        "rejected_kept", "could not be applied: ForeignKeyViolationError", 0
    )  # fmt: skip
    assert {outcome.outcome for outcome in (*outcomes[:13], *outcomes[14:])} == {"accepted"}
    assert (await centre.totals(7)).posted == 2_000
