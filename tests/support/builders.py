"""A valid thing of each kind, so that a test names only what it is about."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Literal

from loyalty.account import AccountSnapshot, LotPart, SpendRight
from loyalty.basket import Basket, BasketLine, Moment, Place
from loyalty.bundle import Bundle, Product, Programme, RedemptionTerms
from loyalty.canonical import canonical_bytes
from loyalty.compilation import Rules, compile_bundle
from loyalty.offers import (
    Attribute,
    Combines,
    EveryLine,
    Limits,
    LineMatch,
    Need,
    NeedsAll,
    Offer,
    Percent,
    Reward,
    When,
    Where,
    Who,
)
from loyalty.returns import ReturnItem

A_WEDNESDAY = "2025-03-05T12:00:00"
PIECE = 1_000
NOTHING: Mapping[str, str] = {}


def line(
    line_id: str = "1",
    sku: str = "milk",
    *,
    gross_minor: int = 1_000,
    pieces: int = 1,
    quantity: int | None = None,
    by_weight: bool = False,
    pos_reduced: bool = False,
    gtin: str = "",
    department: str = "",
    category: str = "",
    brand: str = "",
    attributes: Mapping[str, str] = NOTHING,
) -> BasketLine:
    """Return a line of one piece for 10.00; `quantity` in thousandths goes before `pieces`."""
    return BasketLine(
        line_id=line_id,
        sku=sku,
        quantity=pieces * PIECE if quantity is None else quantity,
        gross_minor=gross_minor,
        by_weight=by_weight,
        pos_reduced=pos_reduced,
        gtin=gtin,
        department=department,
        category=category,
        brand=brand,
        attributes=attributes,
    )


def basket(*lines: BasketLine, codes: Iterable[str] = (), tender: str = "") -> Basket:
    """Return a basket of these lines; of one default line when none is given."""
    return Basket(lines=lines or (line(),), codes=tuple(codes), tender=tender)


def moment(local: str = A_WEDNESDAY, uncertainty_s: int = 0) -> Moment:
    """Return noon of a Wednesday."""
    return Moment(local=local, uncertainty_s=uncertainty_s)


def place(
    store: str = "store-1",
    *,
    region: str = "north",
    banner: str = "green",
    till: str = "till-1",
    channel: str = "till",
) -> Place:
    """Return a till of a store."""
    return Place(store=store, region=region, banner=banner, till=till, channel=channel)


def account(
    account_id: int = 7,
    *,
    identified: bool = True,
    tier: str = "",
    segments: Iterable[str] = (),
    points: int = 0,
    in_birthday_window: bool = False,
    counters: Mapping[str, int] | None = None,
    version: int = 1,
) -> AccountSnapshot:
    """Return a customer whose card was presented."""
    return AccountSnapshot(
        identified=identified,
        account_id=account_id,
        tier=tier,
        segments=tuple(segments),
        points=points,
        in_birthday_window=in_birthday_window,
        counters=counters or {},
        version=version,
    )


def right(points: int | None = None, *lots: LotPart) -> SpendRight:
    """Return a right over these lots; `points` beyond them have no lot, none means no more."""
    return SpendRight(
        points=sum(lot.points for lot in lots) if points is None else points, lots=lots
    )


def lot(
    lot_id: int = 1, points: int = 100, *, expires_on: str = "", restriction: str = ""
) -> LotPart:
    """Return a lot of a hundred points that never end."""
    return LotPart(lot_id=lot_id, points=points, expires_on=expires_on, restriction=restriction)


def items(*lines: str | ReturnItem) -> tuple[ReturnItem, ...]:
    """Return what comes back: a line's id stands for all that is left of it."""
    return tuple(ReturnItem(line_id=each) if isinstance(each, str) else each for each in lines)


def pieces(line_id: str, count: int) -> ReturnItem:
    """Return so many pieces of a line that come back."""
    return ReturnItem(line_id=line_id, quantity=count * PIECE)


def percent(share: int) -> Percent:
    """Return a reward of whole percents."""
    return Percent(rate_ppm=share * 10_000)


def having(name: str, *values: str, prefix: str = "") -> Attribute:
    """Return the lines whose attribute is one of these values or begins with the prefix."""
    return Attribute(name=name, one_of=values, prefix=prefix)


def combines(
    group: str = "",
    *,
    mode: Literal["best", "first"] = "best",
    order: int = 100,
    base: Literal["running", "initial"] = "running",
    on_reduced: bool = True,
) -> Combines:
    """Return how an offer stands beside others; alone in no group by default."""
    return Combines(group=group, mode=mode, order=order, base=base, on_reduced=on_reduced)


def offer(
    offer_id: str = "offer",
    gives: Reward | None = None,
    *,
    title: Mapping[str, str] | None = None,
    priority: int = 0,
    when: When | None = None,
    where: Where | None = None,
    who: Who | None = None,
    lines: LineMatch | None = None,
    needs: Need | None = None,
    combines: Combines | None = None,
    discount_minor_max: int = 0,
    points_max: int = 0,
    limits: Limits | None = None,
) -> Offer:
    """Return ten percent off every line, for everybody, everywhere and always."""
    return Offer(
        offer_id=offer_id,
        gives=gives or percent(10),
        title=title or {},
        priority=priority,
        when=when or When(),
        where=where or Where(),
        who=who or Who(),
        lines=lines or EveryLine(),
        needs=needs or NeedsAll(),
        combines=combines or Combines(),
        limits=limits or Limits(discount_minor_max=discount_minor_max, points_max=points_max),
    )


def programme(
    *,
    point_value_minor: int = 1,
    point_value_points: int = 1,
    redemption: RedemptionTerms | None = None,
) -> Programme:
    """Return a programme whose point is worth one minor unit and may pay half of a receipt."""
    return Programme(
        programme_id="green",
        currency="EUR",
        point_value_minor=point_value_minor,
        point_value_points=point_value_points,
        redemption=redemption or RedemptionTerms(),
    )


def bundle(
    *offers: Offer,
    of: Programme | None = None,
    catalogue: Mapping[str, Product] | None = None,
    groups: Mapping[str, tuple[str, ...]] | None = None,
    version: int = 1,
) -> Bundle:
    """Return a bundle of these offers; of none when none is given."""
    return Bundle(
        version=version,
        programme=of or programme(),
        offers=offers,
        catalogue=catalogue or {},
        groups=groups or {},
    )


def rules(
    *offers: Offer,
    of: Programme | None = None,
    catalogue: Mapping[str, Product] | None = None,
    groups: Mapping[str, tuple[str, ...]] | None = None,
    version: int = 1,
) -> Rules:
    """Return the compiled bundle of these offers, named by the hash of its canonical bytes."""
    made = bundle(*offers, of=of, catalogue=catalogue, groups=groups, version=version)
    return compile_bundle(made, hashlib.sha256(canonical_bytes(made)).hexdigest())
