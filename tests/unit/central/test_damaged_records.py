"""Records damaged at random: each gets one outcome, stops nothing, and the ledger stays sound."""

import json
import random
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import msgspec

from sync.records import Record, encode_record
from tests.support.builders import line
from tests.support.centre import JoinedCentre
from tests.support.till_probe import TillProbe, risk, take

RECORDS = 60
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1, 7, 2**31, 2**63, -(2**63), 2**80, 1.5, 1e300, "", "x", "1", "nul \x00",
    "é", "2025-03-05", "9999-12-31", "s1", "risk", [], {}, [1], {"lot_id": 1, "points": 5}, [[[]]],
)  # fmt: skip


def places(value: object) -> Iterator[tuple[Any, Any]]:
    """Give every container of a JSON value with each of its keys."""
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from places(value[key])


def damaged(body: bytes, draw: random.Random) -> bytes:
    """Return a record with some of its values replaced, removed or doubled, or its bytes cut."""
    if draw.random() < 0.05:
        return body[: draw.randrange(len(body))]
    document = json.loads(body)
    for _ in range(draw.randint(1, 3)):
        container, key = draw.choice(list(places(document)) or [({"": 0}, "")])
        match draw.randrange(6):
            case 0:
                del container[key]
            case 1 if isinstance(container, list):
                container.append(deepcopy(container[key]))
            case 2 if isinstance(container[key], int):
                container[key] += draw.choice((-1, 1, -100, 100))
            case _:
                # Mostly of the same type, so that it is taken for a record.
                alike = [value for value in VALUES if type(value) is type(container[key])]
                choice = alike if alike and draw.random() < 0.8 else VALUES
                container[key] = deepcopy(draw.choice(choice))
    return json.dumps(document, separators=(",", ":")).encode()


async def some_records(centre: JoinedCentre, till: TillProbe) -> list[bytes]:
    (grant,) = (await till.pull()).grants
    records: list[Record] = [
        till.sale("s1", account=7, sources=[take(grant, 50)]),
        till.sale("s2", line("1"), line("2"), account=8, sources=[risk(20)]),
        till.sale("s3", card="4000"),
        till.refund("r1", "s1"),
        till.refund("r2", "s2", "2"),
        till.void("s4"),
        till.give_back(grant, 20),
    ]
    await centre.post(till, *records[:2])
    return [encode_record(record) for record in records]


async def test_damaged_records_stop_nothing_and_break_nothing(
    centre: JoinedCentre, seed: int
) -> None:
    draw = random.Random(seed)
    await centre.fund(10**13)
    till = await centre.till(is_vault=True)
    await centre.customer(7, 300, home="store-1", card="4000")
    await centre.customer(8, 20)
    bodies = await some_records(centre, till)
    for number in range(RECORDS):
        # Mostly under keys of their own, so that each has a chance to be the first of its key.
        body = draw.choice(bodies)
        if draw.random() < 0.7:
            body = body.replace(b'"key":"', f'"key":"{number}-'.encode())
        till.append(damaged(body, draw))
    last = till.append(till.sale("the last", account=8))
    while till.acked < last:
        await till.push(None, till.acked + 500)
    await centre.apply()
    outcomes = await centre.outcomes(till)
    assert sorted(outcomes) == list(range(1, last + 1))
    assert outcomes[last] == ("accepted", "", 0)
    # Of a calculation that was tampered with the proof tells; nothing else may be broken.
    broken = {check.name for check in (await centre.proof()).checks if check.broken}
    centre.broken_checks = broken & {"equal"}


async def test_points_that_do_not_add_up_are_not_followed(centre: JoinedCentre) -> None:
    till = await centre.till()
    await centre.customer(7, 300)
    (right,) = (await till.authorise("s1", 7, 200)).authorisations
    await centre.post(till, till.sale("s1", account=7, sources=[take(right)]))
    honest = till.sale("s2", account=7)
    lies = (
        (b'"redeemed_points":0}', b'"redeemed_points":-100}'),
        (b'"earned_points":100,', b'"earned_points":100000,'),
        (b'"points":100}', b'"points":-100}'),
        (b'"points":100,', b'"points":5000,'),
    )
    before = await centre.totals(7)
    for number, (true, false) in enumerate(lies):
        printed = bytes(honest.calculation).replace(true, false)
        assert printed != bytes(honest.calculation), (true, bytes(honest.calculation))
        lying = msgspec.structs.replace(
            honest, key=f"lie {number}", calculation=msgspec.Raw(printed)
        )
        ((outcome, reason, _),) = await centre.post(till, lying)
        assert (outcome, reason) == ("rejected_kept", "its points do not add up")
    assert await centre.totals(7) == before
