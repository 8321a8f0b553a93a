"""When a release stops by itself: what its receipts and tills show, beside those without it.

Shares are compared with the control group: tills outside the release's rings in the same hours, or
where there are too few of them the receipts before the ring began. A function of figures, no I/O.
"""

from typing import Final

import msgspec

from central.errors import BadRequestError

GUARD: Final = "guard"
"""Who halts, in the audit."""
_PPM: Final = 1_000_000


class GuardSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a release may show; shares in millionths, `over` is above the control group's.

    Attributes:
        unequal_ppm_max: of receipts the centre calculates otherwise, or could not post; counts from
            the first receipt on.
        discount_over_ppm: of money taken off, up or down.
        debt_over_ppm: of receipts whose account owes points.
        slow_over_ppm: of calculations that took longer than `sync.rule_messages.SLOW_MS`.
        dropped_over_ppm: of totals that were shown and then given up by the cashier.
        refused_ppm_max: of tills that were given the release and refuse it after their self-test.
        receipts_min: fewer say nothing about a share.
    """

    unequal_ppm_max: int = 10
    discount_over_ppm: int = 30_000
    debt_over_ppm: int = 5_000
    slow_over_ppm: int = 20_000
    dropped_over_ppm: int = 30_000
    refused_ppm_max: int = 10_000
    receipts_min: int = 100

    def __post_init__(self) -> None:
        if min(msgspec.structs.astuple(self)) < 0 or self.receipts_min < 1:
            raise ValueError("shares must not be negative, receipts_min at least 1")


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What some tills show.

    Attributes:
        receipts: posted; `gross_minor`, `discount_minor`, `unequal`, `in_debt` are of them.
        calculated: by tills, as they tell; `slow`, `dropped` are of them.
        tills: that have it or refuse it; `refused` are of them.
    """

    receipts: int = 0
    gross_minor: int = 0
    discount_minor: int = 0
    unequal: int = 0
    in_debt: int = 0
    calculated: int = 0
    slow: int = 0
    dropped: int = 0
    tills: int = 0
    refused: int = 0


def read_guards(text: bytes | str) -> GuardSettings:
    """Read settings from JSON.

    Raises:
        BadRequestError: a field is unknown or wrong.
    """
    try:
        return msgspec.json.decode(text, type=GuardSettings)
    except (msgspec.DecodeError, ValueError) as error:
        raise BadRequestError("guards", str(error)) from error


def judge(settings: GuardSettings, release: Figures, control: Figures) -> str:
    """Return why a release has to stop; empty where nothing speaks against it."""
    if release.unequal * _PPM > settings.unequal_ppm_max * max(1, release.receipts):
        return f"{release.unequal} of {release.receipts} receipts are calculated otherwise here"
    if release.refused * _PPM > settings.refused_ppm_max * max(1, release.tills):
        return f"{release.refused} of {release.tills} tills refuse it"
    if min(release.receipts, control.receipts) >= settings.receipts_min and (
        why := _judge_receipts(settings, release, control)
    ):
        return why
    if release.calculated >= settings.receipts_min:
        return _judge_tills(settings, release, control)
    return ""


def _judge_receipts(settings: GuardSettings, release: Figures, control: Figures) -> str:
    ours = _share(release.discount_minor, release.gross_minor)
    theirs = _share(control.discount_minor, control.gross_minor)
    if abs(ours - theirs) > settings.discount_over_ppm:
        return f"it takes {_percent(ours)} off, others {_percent(theirs)}"
    ours = _share(release.in_debt, release.receipts)
    theirs = _share(control.in_debt, control.receipts)
    if ours > theirs + settings.debt_over_ppm:
        return f"{_percent(ours)} of its receipts leave a debt, {_percent(theirs)} of others"
    return ""


def _judge_tills(settings: GuardSettings, release: Figures, control: Figures) -> str:
    """Judge what tills tell; where too few others tell anything, nothing is normal for them."""
    few = control.calculated < settings.receipts_min
    ours = _share(release.slow, release.calculated)
    theirs = 0 if few else _share(control.slow, control.calculated)
    if ours > theirs + settings.slow_over_ppm:
        return f"{_percent(ours)} of its calculations are slow, {_percent(theirs)} of others"
    ours = _share(release.dropped, release.calculated)
    theirs = 0 if few else _share(control.dropped, control.calculated)
    if not few and ours > theirs + settings.dropped_over_ppm:
        return f"cashiers give up {_percent(ours)} of its totals, {_percent(theirs)} of others"
    return ""


def _share(part: int, whole: int) -> int:
    """Return a share in millionths."""
    return part * _PPM // whole if whole > 0 else 0


def _percent(ppm: int) -> str:
    return f"{ppm / 10_000:.2f} %"
