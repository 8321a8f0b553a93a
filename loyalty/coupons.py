"""Codes whose uses are limited: which of those presented count, and which are used (receipt 3).

Uses by all customers are a shared counter of the code, of which the till needs an allowance; uses
by one customer are a counter of the account (design: sync 1.2, "a coupon is a grant of 1").
"""

from collections.abc import Iterable, Iterator

from loyalty import counters
from loyalty.account import AccountSnapshot, Allowance
from loyalty.calculation import Counted
from loyalty.offers import Need, NeedsAll, NeedsCode
from loyalty.reasons import ReasonCode

Found = tuple[ReasonCode, dict[str, int | str]]


def missing(
    need: NeedsCode, codes: Iterable[str], account: AccountSnapshot, allowance: Allowance
) -> Found | None:
    """Return why none of the codes counts, or None when one does."""
    why: Found | None = None
    for code in sorted(set(codes)):
        if need.accepts(code):
            found = _refused(need, code, account, allowance)
            if found is None:
                return None
            why = why or found
    return why or (ReasonCode.CODE_MISSING, {})


def usable(
    needs: Iterable[NeedsCode],
    codes: Iterable[str],
    account: AccountSnapshot,
    allowance: Allowance,
) -> tuple[str, ...]:
    """Return the codes some need accepts and that are not used up, sorted, each once."""
    wanted = list(needs)
    return tuple(
        code
        for code in sorted(set(codes))
        if any(n.accepts(code) and not _refused(n, code, account, allowance) for n in wanted)
    )


def _refused(
    need: NeedsCode, code: str, account: AccountSnapshot, allowance: Allowance
) -> Found | None:
    if need.uses_per_account_max:
        if not account.identified:
            return ReasonCode.NOT_IDENTIFIED, {}
        name = counters.code_uses_of_account(code)
        if account.counters.get(name, 0) >= need.uses_per_account_max:
            return ReasonCode.CODE_USED, _when(code, account.last_used.get(name, ""))
    if need.uses_max:
        if code in allowance.used_codes:
            return ReasonCode.CODE_USED, _when(code, allowance.used_codes[code])
        if allowance.left.get(counters.code_uses(code), 0) < 1:
            return ReasonCode.NO_ALLOWANCE, {"coupon": code, "limit": need.uses_max}
    return None


def _when(code: str, last: str) -> dict[str, int | str]:
    return {"coupon": code, "last": last} if last else {"coupon": code}


# What was used


def counted_needs(need: Need) -> Iterator[NeedsCode]:
    """Yield the needs of codes whose uses are counted: in `needs` or in an `all` there."""
    if isinstance(need, NeedsCode):
        if need.is_counted:
            yield need
    elif isinstance(need, NeedsAll):
        for part in need.of:
            yield from counted_needs(part)


def used(need: Need, presented: tuple[str, ...], count: int) -> Iterator[Counted]:
    """Yield what the codes count that an offer used: one for each need, or the first `count`.

    Args:
        presented: the usable codes, sorted.
        count: how many served a unit or a set each; 0 = one served the whole receipt.
    """
    for each in counted_needs(need):
        codes = [code for code in presented if each.accepts(code)]
        for code in codes[: max(1, count)]:
            if each.uses_max:
                yield Counted(counter=counters.code_uses(code), plus=1)
            if each.uses_per_account_max:
                yield Counted(counter=counters.code_uses_of_account(code), plus=1)
