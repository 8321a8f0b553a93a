"""A month of trade without a line, and the first minute with one again."""

import hashlib
import re
import time
from typing import Any

from bench.demo.books import Books
from bench.demo.rig import RigError
from bench.till.progress import Bar
from bench.till.shop import Shop
from bench.till.stage import Stage, TillCore, to_pay

_DAY_MS = 86_400_000
_KEY = re.compile(rb'"key":"([0-9a-f-]{36})"')
_PAGE = 5_000
_RECORDS = """
select arrival, seq, body, hash from inbox
where till_id = $1 and incarnation = $2 and not branch and seq > $3 order by seq limit $4
"""


def trade(core: TillCore, shop: Shop, *, days: int, receipts_a_day: int) -> dict[str, Any]:
    """Sell for so many days without a line.

    Returns:
        Ids of what was printed, under `printed`, and figures.
    """
    count = days * receipts_a_day
    bar = Bar(f"{days} days without a line", count)
    printed: set[str] = set()
    redeemed = 0
    began_s = time.monotonic()
    for receipt_id, sale in shop.receipts(count, series=3):
        answer = core.update(receipt_id, sale)
        if sale.redeem is not None:
            answer = core.reserve(receipt_id, sale)
        done = core.complete(receipt_id, sale, paid_minor=to_pay(answer))
        if done.outcome != "recorded":
            raise RigError(f"{receipt_id} was not recorded: {done.outcome}")
        redeemed += answer.reserved_points > 0
        printed.add(receipt_id)
        core.system.moved_ms += _DAY_MS / receipts_a_day
        core.till.journal.tidy()
        bar.step()
    bar.end()
    return {
        "printed": printed,
        "redeemed_offline": redeemed,
        "receipts_per_s": round(count / (time.monotonic() - began_s)),
    }


def catch_up(
    stage: Stage, core: TillCore, printed: set[str], *, apply_s_max: float
) -> dict[str, Any]:
    """Open the line, wait until everything is acknowledged, then see whether it is there.

    Args:
        apply_s_max: how long to wait for the ledger.
    """
    head = core.till.journal.stream.head()
    waiting = head.seq - head.acked_seq
    stage.proxy.set("pass")
    before = stage.proxy.status()
    acked_s = core.talk()
    after = stage.proxy.status()
    with Books(stage.folder / "centre") as books:
        applied_s, left = _applied(books, acked_s, apply_s_max)
        found, chain_is_whole = _kept(books, core)
    lost = len(printed - found)
    return {
        "records": waiting,
        "lost": lost,
        "chain_is_whole": chain_is_whole,
        "invented": len(found - printed),
        "catch_up_s": round(acked_s, 1),
        "bytes_up": after.bytes_up - before.bytes_up,
        "applied_s": None if left else round(applied_s, 1),
        "not_applied_yet": left,
        "applied_per_s": round((waiting - left) / applied_s) if applied_s else 0,
    }


def _applied(books: Books, acked_s: float, apply_s_max: float) -> tuple[float, int]:
    bar = Bar("the centre posts to its ledger", 1)
    began_s = time.monotonic()
    while True:
        left = int(
            books.value("select count(*) from inbox where not applied and parked_for is null")
        )
        took_s = time.monotonic() - began_s
        if not left or took_s > apply_s_max:
            bar.end()
            return acked_s + took_s, left
        time.sleep(0.5)


def _kept(books: Books, core: TillCore) -> tuple[set[str], bool]:
    """Return the sales the centre keeps bytes of, and whether they hash to the till's own head."""
    head = core.till.journal.stream.head()
    till_id = core.till.identity.till_id
    link = hashlib.sha256(
        b"tillside-stream/1" + till_id.to_bytes(8, "big") + head.incarnation
    ).digest()
    seq, found = 0, set[str]()
    while rows := books.rows(_RECORDS, till_id, head.incarnation, seq, _PAGE):
        for row in rows:
            link = hashlib.sha256(link + row["body"]).digest()
            seq = row["seq"]
            if match := _KEY.search(row["body"], 0, 200):
                found.add(match[1].decode())
    return found, (seq, link) == (head.seq, head.head)
