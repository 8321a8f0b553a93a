"""Random rules as they would be published."""

from dataclasses import replace

from loyalty.bundle import Bundle
from loyalty.checking import errors_of


def publishable(rules: Bundle) -> Bundle:
    """Return the bundle without the offers that the checks refuse."""
    while errors := errors_of(rules):
        refused = {offer_id for error in errors for offer_id in error.offers[:1]}
        rules = replace(
            rules, offers=tuple(one for one in rules.offers if one.offer_id not in refused)
        )
    return rules
