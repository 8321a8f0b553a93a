"""All checks of a bundle before it is published (design: centre 3, market 2: 14, 18)."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from loyalty.bundle import Bundle
from loyalty.checking.alone import warnings_alone
from loyalty.checking.errors import errors_of
from loyalty.checking.finding import ERRORS, Code, Finding
from loyalty.checking.goods import check_goods
from loyalty.checking.kinds import POINTS
from loyalty.checking.meeting import Meetings, actors_of
from loyalty.checking.reach import Assortment
from loyalty.checking.rivals import check_rivals
from loyalty.checking.together import money_taken_together, points_given_together
from loyalty.checking.windows import window_of
from loyalty.offers import BuyGet, EveryNth, Message, NForM, Offer, only_qualifies

WARNINGS_OF_A_KIND_MAX: Final = 200
"""More of one kind are counted; who has so many changes something they share."""


def check_bundle(bundle: Bundle, *, today: str = "") -> tuple[Finding, ...]:
    """Look for everything that is wrong with a bundle.

    Nothing here raises, whatever the bundle says. What refers to something the bundle lacks is an
    error, and other checks go on as if it were not there.

    Args:
        today: local day of publishing, `YYYY-MM-DD`; empty = offers that are over are not looked
            for.

    Returns:
        Errors before warnings, by offer in the bundle's order; equal bundles give equal findings.
    """
    found = [*errors_of(bundle), *_alone(bundle.offers), *_returns(bundle)]
    if today:
        found += _over(bundle.offers, today)
    found += _texts(bundle.offers)
    found += _points(bundle)
    assortment = Assortment(bundle)
    actors = actors_of(bundle.offers, assortment)
    found += check_goods(bundle, actors, assortment)
    meetings = Meetings(bundle.groups)
    known = bundle.catalogue.keys()
    prices = [actor for actor in actors if not isinstance(actor.offer.gives, POINTS)]
    points = [
        actor
        for actor in actors
        if isinstance(actor.offer.gives, POINTS) and not only_qualifies(actor.offer.gives)
    ]
    found += money_taken_together(prices, known, meetings)
    found += points_given_together(points, bundle.programme, known, meetings)
    found += check_rivals(actors, meetings)
    if meetings.cut_short:
        found.append(Finding(code=Code.PAIRS_UNCHECKED, figures={"compared": meetings.compared}))
    places = {offer.offer_id: number for number, offer in enumerate(bundle.offers)}
    return tuple(_shortened(sorted(found, key=lambda finding: _place(finding, places))))


def _place(finding: Finding, places: Mapping[str, int]) -> tuple[bool, int, str, str]:
    number = places.get(finding.offers[0], -1) if finding.offers else -1
    return (finding.code not in ERRORS, number, finding.code, finding.path)


def _shortened(findings: Sequence[Finding]) -> Iterator[Finding]:
    """Yield all errors and the first warnings of each kind, and how many more there are."""
    counts: Counter[Code] = Counter()
    for finding in findings:
        counts[finding.code] += 1
        if finding.code in ERRORS or counts[finding.code] <= WARNINGS_OF_A_KIND_MAX:
            yield finding
    for code, count in counts.items():
        if code not in ERRORS and count > WARNINGS_OF_A_KIND_MAX:
            figures = {"count": count - WARNINGS_OF_A_KIND_MAX, "kind": code.value}
            yield Finding(code=Code.MORE_FOUND, figures=figures)


def _alone(offers: Iterable[Offer]) -> Iterator[Finding]:
    for offer in offers:
        yield from warnings_alone(offer)


def _returns(bundle: Bundle) -> Iterator[Finding]:
    """Yield offers whose free units stay with who returns the paid ones."""
    if bundle.programme.returns.broken_condition != "keep":
        return
    for offer in bundle.offers:
        gives = offer.gives
        if isinstance(gives, NForM | EveryNth | BuyGet) and gives.spread == "rewarded":
            yield Finding(
                code=Code.RETURN_KEEPS_FREE, offers=(offer.offer_id,), path="gives.spread"
            )


def _over(offers: Iterable[Offer], today: str) -> Iterator[Finding]:
    for offer in offers:
        window = window_of(offer.when)
        if not window.is_empty and window.since(today).is_empty:
            yield Finding(
                code=Code.WINDOW_OVER,
                offers=(offer.offer_id,),
                path="when",
                figures={"today": today},
            )


def _points(bundle: Bundle) -> Iterator[Finding]:
    if not bundle.programme.redemption.receipt_share_max_ppm and any(
        isinstance(offer.gives, POINTS) and not only_qualifies(offer.gives)
        for offer in bundle.offers
    ):
        path = "programme.redemption.receipt_share_max_ppm"
        yield Finding(code=Code.POINTS_UNSPENDABLE, path=path)


# Texts for people


def _texts(offers: Sequence[Offer]) -> Iterator[Finding]:
    titled = [offer.title for offer in offers if any(offer.title.values())]
    counts = Counter(language for title in titled for language, text in title.items() if text)
    # A language that half of the titles have is one the programme speaks.
    spoken = {language for language, count in counts.items() if 2 * count >= len(titled)}
    for offer in offers:
        if any(offer.title.values()):
            yield from _languages_missing(offer, "title", offer.title, spoken)
        else:
            yield Finding(code=Code.TITLE_MISSING, offers=(offer.offer_id,), path="title")
        if isinstance(offer.gives, Message):
            yield from _languages_missing(offer, "gives.text", offer.gives.text, spoken)


def _languages_missing(
    offer: Offer, path: str, text: Mapping[str, str], spoken: Iterable[str]
) -> Iterator[Finding]:
    if missing := sorted(language for language in spoken if not text.get(language)):
        yield Finding(
            code=Code.TITLE_LANGUAGE,
            offers=(offer.offer_id,),
            path=path,
            figures={"languages": ", ".join(missing)},
        )
