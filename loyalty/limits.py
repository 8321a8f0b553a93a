"""Every bound in one place, unit in the name."""

from typing import Final

AMOUNT_MINOR_MAX: Final = 10**12
POINTS_MAX: Final = 10**12
LOT_DAYS_MAX: Final = 36_500
QUANTITY_THOUSANDTHS_MAX: Final = 10**9
MOMENT_YEAR_MAX: Final = 9_000
"""Leaves room in the calendar for the end of every lot earned."""

UNCERTAINTY_S_MAX: Final = 86_400
"""A clock that may be off by more is set right by other means: the register's own business day."""

BASKET_LINES_MAX: Final = 2_000
BASKET_CODES_MAX: Final = 100
LINE_ATTRIBUTES_MAX: Final = 32
TEXT_CHARACTERS_MAX: Final = 200

BUNDLE_OFFERS_MAX: Final = 200_000
BUNDLE_PRODUCTS_MAX: Final = 5_000_000
CONDITION_DEPTH_MAX: Final = 20

SET_UNITS_MAX: Final = 100
"""Units of one set of a multi-buy."""

SETS_WALKED_MAX: Final = 1_000
"""Sets of goods to buy and to get that are tried where each line may give some units only."""

SPENDING_WORK_MAX: Final = 200_000
"""What is looked at, in classes of lines, to find the way to spend lots that redeems most."""

ALTERNATIVES_MAX: Final = 50
"""Ways to meet an `any` of needs that are kept for returns; what is beyond them is not asked."""

COMBINATION_NODES_MAX: Final = 12_000
"""The budget of the search is counted in steps, never in time: both sides compute the same."""

CHOICES_SEARCHED_MAX: Final = 200
"""Beyond so many choices only a good guess is made."""

MEMBERS_TRIED_MAX: Final = 100
"""Members of choices that are tried in place of others when the budget has ended."""

PACKING_ROUNDS_FIRST: Final = 80
PACKING_ROUNDS_LATER: Final = 3
"""How often prices of contested units are bettered, at first and after each division."""

PACKING_DIVISIONS_TRIED: Final = 24
MIXED_DIVISIONS_TRIED: Final = 400
"""So few divisions of contested units are simply all tried; more where other offers act too."""

RIVALS_WEIGHED_MAX: Final = 8
"""Points offers excluding each other up to which every way to choose among them is weighed."""

PPM: Final = 1_000_000
UNIT_THOUSANDTHS: Final = 1_000
