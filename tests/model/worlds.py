"""Worlds small enough to try every story of them, and larger ones."""

from tests.model.protocol import Size

SOUND = {
    "plain": Size(),
    "three points": Size(balance=3),
    "transfers": Size(transfers=1),
    "unknown outcome": Size(unknown=1),
    "expiry and clawback": Size(expiries=1, clawbacks=1),
    "restore": Size(restores=1),
    "write-off": Size(write_offs=1, pool=2),
    "risk budget": Size(risk=1, grants=1, goods=3),
    "risk budget, restore": Size(
        risk=2, grants=0, online=0, tills=1, pool=3, restores=2, write_offs=2, goods=4
    ),
    "risk budgets of two tills, restore": Size(
        risk=1, grants=0, online=0, pool=2, restores=1, write_offs=1, goods=4
    ),
    "risk budget, unnoticed restore": Size(
        risk=1, grants=0, online=0, tills=1, pool=2, restores=1, unnoticed=True, goods=3
    ),
    "unnoticed restore": Size(restores=1, unnoticed=True, grants=1, online=1),
    "a transfer and an unnoticed restore": Size(
        transfers=1, restores=1, unnoticed=True, grants=1, grant_points=(1,)
    ),
    "one grant, everything at once": Size(
        grants=1,
        transfers=1,
        restores=1,
        write_offs=1,
        unknown=1,
        expiries=1,
        clawbacks=1,
        pool=2,
    ),
    "by courier": Size(asks=1, online=1, tills=1),
    "by courier, restore": Size(asks=1, grants=1, restores=1, tills=1),
    "by courier, unnoticed restore": Size(asks=1, grants=1, restores=1, unnoticed=True, tills=1),
    "by courier, everything": Size(
        asks=1, grants=1, restores=1, write_offs=1, pool=1, grant_points=(1,), online=1
    ),
    "transfers and restore": Size(grants=1, transfers=2, restores=1, online=0, grant_points=(1,)),
}
"""Of these every test run tries everything."""

LARGER = {
    "three tills, a transfer": Size(tills=3, transfers=1),
    "three points, a transfer": Size(balance=3, transfers=1),
    "two transfers": Size(transfers=2),
    "a transfer and a restore": Size(transfers=1, restores=1),
    "three tills, transfers, a restore": Size(
        tills=3, transfers=2, restores=1, grants=1, online=0, grant_points=(1,)
    ),
    "everything but couriers": Size(
        transfers=1, restores=1, write_offs=1, unknown=1, expiries=1, clawbacks=1, pool=2
    ),
    "everything but couriers, unnoticed restore": Size(
        transfers=1, restores=1, unnoticed=True, write_offs=1, unknown=1, clawbacks=1, pool=2
    ),
    "by courier, two tills, a restore": Size(asks=1, restores=1),
    "two asks by courier, a write-off": Size(asks=2, restores=1, write_offs=1, pool=2),
    "risk budgets and grants, a restore": Size(risk=1, pool=2, restores=1, write_offs=1, goods=4),
    "risk budgets, a transfer, a courier": Size(
        risk=1, pool=2, transfers=1, asks=1, write_offs=1, goods=4
    ),
    "two restores": Size(restores=2, transfers=1, write_offs=1, pool=2),
}
"""Of these `python -m bench.model` tries as many of the shortest stories as it is told."""

NAIVE_WORLDS = {
    "N3": Size(write_offs=1, naive=frozenset({"N3"})),
    "N5": Size(transfers=1, naive=frozenset({"N5"})),
    "N6": Size(transfers=1, naive=frozenset({"N6"})),
    "N9": Size(transfers=1, grants=1, naive=frozenset({"N9"})),
    "N11": Size(unknown=1, naive=frozenset({"N11"})),
    "N12": Size(restores=1, naive=frozenset({"N12"})),
    "N13": Size(restores=1, naive=frozenset({"N13"})),
    "N14": Size(restores=1, naive=frozenset({"N14"})),
    "N15": Size(grants=1, transfers=1, restores=1, naive=frozenset({"N15"})),
    "N18": Size(expiries=1, naive=frozenset({"N18"})),
    "N19": Size(clawbacks=1, naive=frozenset({"N19"})),
    "N20": Size(grants=1, restores=1, unnoticed=True, naive=frozenset({"N20"})),
    "C1": Size(asks=1, grants=1, tills=1, naive=frozenset({"C1"})),
    "C2": Size(asks=1, grants=1, restores=1, tills=1, naive=frozenset({"C2"})),
    "C3": Size(asks=1, grants=1, tills=1, naive=frozenset({"C3"})),
    "R1": Size(risk=1, tills=1, grants=0, pool=1, restores=1, naive=frozenset({"R1"})),
    "R2": Size(
        risk=1, tills=1, grants=0, pool=0, restores=1, write_offs=1, naive=frozenset({"R2"})
    ),
    "S4": Size(grants=1, restores=1, unnoticed=True, naive=frozenset({"S4"})),
}
"""The smallest world in which a naive variant can go wrong; the plain one where none is named."""
