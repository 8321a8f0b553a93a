"""What a check finds: a code, offers, the place, figures; the words for it are in `wording`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal

Severity = Literal["error", "warning"]


class Code(StrEnum):
    """What can be found; names stand in reports and documents, never renamed."""

    # Errors: these, and no others, are in `ERRORS`
    OFFER_ID_TWICE = "offer_id_twice"
    PRODUCT_GROUP_UNKNOWN = "product_group_unknown"
    OFFER_UNKNOWN = "offer_unknown"
    ENDS_BEFORE_START = "ends_before_start"
    GROUP_MODES = "group_modes"
    GROUP_MIXED = "group_mixed"
    GROUP_HAND_OUT = "group_hand_out"
    PER_LINE_ORDER = "per_line_order"
    PER_LINE_REWARD = "per_line_reward"
    PER_LINE_SETTING = "per_line_setting"
    PER_LINE_EXCLUDED = "per_line_excluded"
    MULTIPLIER_CYCLE = "multiplier_cycle"
    MULTIPLIER_OF_MULTIPLIER = "multiplier_of_multiplier"
    MULTIPLIER_OF_NO_POINTS = "multiplier_of_no_points"
    RUNNING_NEED_NESTED = "running_need_nested"
    NOT_WITH_ITSELF = "not_with_itself"
    STAMPS_DIFFER = "stamps_differ"
    SHARED_LIMIT_DIFFERS = "shared_limit_differs"
    CODE_USES_NESTED = "code_uses_nested"
    CODE_USES_DIFFER = "code_uses_differ"
    NEEDS_NEVER_HOLD = "needs_never_hold"
    LINES_NEVER_MATCH = "lines_never_match"
    NEVER_OPEN = "never_open"
    NOBODY = "nobody"
    CODE_NOT_NEEDED = "code_not_needed"
    LIMIT_NOT_APPLICABLE = "limit_not_applicable"
    NOT_FOR_REWARD = "not_for_reward"

    # Warnings of too much
    TOGETHER_FREE = "together_free"
    TOGETHER_DEEP = "together_deep"
    FREE_FOR_ALL = "free_for_all"
    AMOUNT_COVERS_NEED = "amount_covers_need"
    POINTS_WORTH_ALL = "points_worth_all"
    STEP_GIVES_LESS = "step_gives_less"
    FLOOR_CUTS = "floor_cuts"
    PRICE_BELOW_FLOOR = "price_below_floor"
    RETURN_KEEPS_FREE = "return_keeps_free"
    NEED_COUNTS_BARRED = "need_counts_barred"

    # Warnings of offers that do nothing
    WINDOW_OVER = "window_over"
    NO_PRODUCT = "no_product"
    ALL_BARRED = "all_barred"
    HIDDEN = "hidden"
    SKU_UNKNOWN = "sku_unknown"
    LOT_UNSPENDABLE = "lot_unspendable"
    POINTS_UNSPENDABLE = "points_unspendable"
    SETTING_UNUSED = "setting_unused"
    GROUP_OF_ONE = "group_of_one"
    FIRST_EXCLUDED = "first_excluded"

    # Warnings of what is left open
    SAME_PRIORITY = "same_priority"
    ORDER_BY_ID = "order_by_id"
    TWINS = "twins"
    TITLE_MISSING = "title_missing"
    TITLE_LANGUAGE = "title_language"

    # About the check itself
    PAIRS_UNCHECKED = "pairs_unchecked"
    MORE_FOUND = "more_found"


ERRORS: Final = frozenset(
    {
        Code.OFFER_ID_TWICE,
        Code.PRODUCT_GROUP_UNKNOWN,
        Code.OFFER_UNKNOWN,
        Code.ENDS_BEFORE_START,
        Code.GROUP_MODES,
        Code.GROUP_MIXED,
        Code.GROUP_HAND_OUT,
        Code.PER_LINE_ORDER,
        Code.PER_LINE_REWARD,
        Code.PER_LINE_SETTING,
        Code.PER_LINE_EXCLUDED,
        Code.MULTIPLIER_CYCLE,
        Code.MULTIPLIER_OF_MULTIPLIER,
        Code.MULTIPLIER_OF_NO_POINTS,
        Code.RUNNING_NEED_NESTED,
        Code.NOT_WITH_ITSELF,
        Code.STAMPS_DIFFER,
        Code.SHARED_LIMIT_DIFFERS,
        Code.CODE_USES_NESTED,
        Code.CODE_USES_DIFFER,
        Code.NEEDS_NEVER_HOLD,
        Code.LINES_NEVER_MATCH,
        Code.NEVER_OPEN,
        Code.NOBODY,
        Code.CODE_NOT_NEEDED,
        Code.LIMIT_NOT_APPLICABLE,
        Code.NOT_FOR_REWARD,
    }
)
"""What is refused, when rules are published and when a till compiles them (`errors.errors_of`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing to change, or to look at.

    Attributes:
        offers: ids of the offers it is about, the one to change first; none = the bundle itself.
        path: place in the first offer's document, `needs.of[1].match`; without offers, in the
            bundle's. Empty where it is about the whole.
        figures: numbers and names the words need; `_ppm` are shares in millionths.
    """

    code: Code
    offers: tuple[str, ...] = ()
    path: str = ""
    figures: Mapping[str, int | str] = field(default_factory=dict)

    @property
    def severity(self) -> Severity:
        """`error` is refused, `warning` is told and let pass."""
        return "error" if self.code in ERRORS else "warning"

    def __str__(self) -> str:
        """Return what is wrong and what to change, in English."""
        # The words know findings; only here do findings need words.
        from loyalty.checking.wording import say_finding  # noqa: PLC0415

        said = say_finding(self, "en")
        return f"{said.problem}; {said.remedy}"
