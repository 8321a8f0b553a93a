"""The one list of errors: refused when rules are published, and when a till compiles them.

Its cost grows with the offers and what they name: nothing here looks at the catalogue or compares
offers in pairs, so that every compilation can afford it.
"""

from loyalty.bundle import Bundle
from loyalty.checking.alone import errors_alone
from loyalty.checking.finding import Finding
from loyalty.checking.shared import Shared
from loyalty.checking.structure import structural_errors


def errors_of(bundle: Bundle) -> tuple[Finding, ...]:
    """Return all errors of a bundle; one without any fails at no till and ignores no setting."""
    found = list(structural_errors(bundle))
    shared = Shared()
    for offer in bundle.offers:
        found += errors_alone(offer, bundle.groups)
        found += shared.add(offer)
    found += shared.at_last()
    return tuple(found)
