"""What is said in English."""

from typing import Final

from loyalty.wording.catalogue import Catalogue, Noun, Texts

REASONS: Final[Texts] = {
    "applied": (
        "{title}: {discount_minor} off.",
        "{title}: plus {points}.",
        "{title}: hand out {what}, {gift_quantity}.",
        "{title}: coupon {coupon} for a later purchase.",
        "{title}: plus {partner_points} at {what}.",
        "{title}: plus {qualifying_points} towards the tier.",
        "{title}: applied.",
    ),
    "lost_to": (
        '{title}: not given, "{to_title}" counts instead.',
        "{title}: not given, offer {to} counts instead.",
        "{title}: another offer counts instead.",
    ),
    "not_identified": ("{title}: ask for the customer's card.",),
    "not_in_tier": (
        "{title}: not for tier {tier}.",
        "{title}: not for this customer's tier.",
    ),
    "not_in_segment": ("{title}: this customer is not among those invited.",),
    "not_birthday": ("{title}: only around the customer's birthday.",),
    "not_personal": ("{title}: not among this customer's personal offers.",),
    "not_this_purchase": (
        "{title}: not on purchase number {number}.",
        "{title}: not on this purchase.",
    ),
    "limit_used": (
        "{title}: used up: {used} of {limit} {period}, last {last}.",
        "{title}: used up: {used} of {limit} {period}.",
        "{title}: used up.",
    ),
    "no_allowance": (
        "{title}: no use is left for this till ({limit} {period} for {scope}).",
        "{title}: no money is left for this till ({limit_minor} {period} for {scope}).",
        "{title}: no points are left for this till ({limit_points} {period} for {scope}).",
        "{title}: coupon {coupon} is not set aside for this till.",
        "{title}: nothing is left for this till.",
    ),
    "not_today": ("{title}: not on {weekday}.", "{title}: not today."),
    "not_this_hour": (
        "{title}: only {hours}, it is {now} now.",
        "{title}: only from {from} until {until}.",
        "{title}: only from {from}.",
        "{title}: only until {until}.",
        "{title}: not at this hour.",
    ),
    "code_missing": ("{title}: a coupon is needed.",),
    "code_used": (
        "{title}: coupon {coupon} is used up, last {last}.",
        "{title}: coupon {coupon} is used up.",
        "{title}: this coupon is used up.",
    ),
    "tender_missing": (
        "{title}: only when paid by {tender}.",
        "{title}: not with this kind of payment.",
    ),
    "quantity_missing": (
        "{title}: {missing} more and it counts.",
        "{title}: more of these goods and it counts.",
    ),
    "amount_missing": (
        "{title}: goods for {missing} more and it counts.",
        "{title}: the sum is too small.",
    ),
    "distinct_missing": (
        "{title}: {missing} more and it counts.",
        "{title}: other goods of the offer and it counts.",
    ),
    "part_missing": (
        "{title}: {missing} of {part} more and it counts.",
        "{title}: a part of the set is missing.",
    ),
    "stamps_missing": (
        "{title}: {stamps} so far, {missing} more and it counts.",
        "{title}: stamps are missing.",
    ),
    "condition_not_met": ("{title}: does not go with what is in this basket.",),
    "lines_excluded": (
        "{title}: the goods in this basket take no part (lines: {lines}, reduced: {reduced}).",
        "{title}: the goods in this basket take no part (lines: {lines}).",
        "{title}: the goods in this basket take no part.",
    ),
    "lines_discounted": ("{title}: only for goods with no discount.",),
    "receipt_limit": (
        "{title}: this receipt already has the largest discount allowed, {limit_minor}.",
        "{title}: this receipt already has the largest discount allowed.",
    ),
    "price_floor": (
        "{title}: the goods already cost the least they may, {left_minor}.",
        "{title}: the goods already cost the least they may.",
    ),
    "nothing_to_give": ("{title}: gives nothing on this receipt.",),
}

REASONS_FOR_CUSTOMER: Final[Texts] = {
    "applied": (
        "{title}: you save {discount_minor}.",
        "{title}: you get {points}.",
        "{title}: you get {what}, {gift_quantity}.",
        "{title}: you get the coupon {coupon} for a later purchase.",
        "{title}: you get {partner_points} at {what}.",
        "{title}: you get {qualifying_points} towards your tier.",
        "{title}: applied.",
    ),
    "lost_to": (
        '{title}: "{to_title}" counts instead.',
        "{title}: another offer counts instead.",
    ),
    "not_identified": ("{title}: show your card.",),
    "not_in_tier": ("{title}: not for your tier.",),
    "not_in_segment": ("{title}: for invited customers.",),
    "not_birthday": ("{title}: around your birthday.",),
    "not_personal": ("{title}: not among your personal offers.",),
    "not_this_purchase": (
        "{title}: not on your purchase number {number}.",
        "{title}: not on this purchase.",
    ),
    "limit_used": (
        "{title}: you have used it: {used} of {limit} {period}, last {last}.",
        "{title}: you have used it: {used} of {limit} {period}.",
        "{title}: you have used it.",
    ),
    "no_allowance": (
        "{title}: coupon {coupon} cannot be used here now.",
        "{title}: nothing is left of it here.",
    ),
    "code_missing": ("{title}: show your coupon.",),
    "code_used": (
        "{title}: your coupon {coupon} is used up, last {last}.",
        "{title}: your coupon {coupon} is used up.",
        "{title}: your coupon is used up.",
    ),
    "quantity_missing": (
        "{missing} more and you get: {title}.",
        "More of these goods and you get: {title}.",
    ),
    "amount_missing": (
        "Goods for {missing} more and you get: {title}.",
        "Some more goods and you get: {title}.",
    ),
    "distinct_missing": (
        "{missing} more and you get: {title}.",
        "Other goods of the offer and you get: {title}.",
    ),
    "part_missing": (
        "{missing} of {part} more and you get: {title}.",
        "The rest of the set and you get: {title}.",
    ),
    "stamps_missing": (
        "You have {stamps}; {missing} more and you get: {title}.",
        "Some more stamps and you get: {title}.",
    ),
    "lines_excluded": ("{title}: the goods in this basket take no part.",),
    "receipt_limit": (
        "{title}: you already have the largest discount for one receipt, {limit_minor}.",
        "{title}: you already have the largest discount for one receipt.",
    ),
    "price_floor": ("{title}: the price can go no lower.",),
    "nothing_to_give": ("{title}: nothing to add on this receipt.",),
}

OUTCOMES: Final[Texts] = {
    "calculated": (
        "Calculated: {discount_minor} off, {paid_minor} to pay.",
        "Calculated.",
    ),
    "reserved": ("Set aside: {points}.", "The points are set aside."),
    "recorded": ("The receipt is recorded.",),
    "already_recorded": ("This receipt was recorded before; nothing has changed.",),
    "cancelled": ("Cancelled; points set aside for this receipt are free again.",),
    "previewed": (
        "Money back: {money_back_minor}; given {given_back_points}, taken {taken_back_points}.",
        "The return can be made; nothing is recorded yet.",
    ),
    "already_recorded_differently": (
        "This receipt is recorded already, with other content ({field}). What was recorded stays.",
        "This receipt is recorded already, with other content. What was recorded stays.",
    ),
    "stale_version": ("The register sent an older basket than before; calculate again.",),
    "stale_calculation": ("The basket has changed since; calculate again before the payment.",),
    "receipt_unknown": ("This receipt is not known; check its number.",),
    "receipt_closed": ("This receipt is closed; open a new one.",),
    "line_unknown": (
        "The receipt has no line {line}; choose one of its lines.",
        "The receipt has no such line; choose one of its lines.",
    ),
    "line_already_returned": (
        "Line {line} has been returned already.",
        "The line has been returned already.",
    ),
    "not_whole_pieces": ("These goods come back in whole pieces.",),
    "quantity_not_left": (
        "Not so much is left of line {line}: less was sold, or some came back before.",
        "Not so much is left of the line: less was sold, or some came back before.",
    ),
    "not_identified": ("No customer yet: ask for the card or the phone number.",),
    "points_insufficient": (
        "Not enough points: {asked_points} wanted, {available_points} there.",
        "Not enough points; redeem fewer.",
    ),
    "points_held_elsewhere": (
        "Set aside here: {points}, at another till: {held_points}. Try again later for more.",
        "Set aside for store {store} until it reports: {held_points}. Try again later.",
        "Set aside at another till: {held_points}. Try again later.",
        "The points are set aside at another till. Try again later.",
    ),
    "rights_exhausted": (
        "Set aside: {points}. No more can be redeemed here now. The sale goes on.",
        "No more than {available_points} can be redeemed here now. The sale goes on.",
        "No points can be redeemed here now. The sale goes on, points are earned.",
    ),
    "courier_asked": (
        "Let the customer scan the code with the app, then scan the code the app shows.",
    ),
    "grant_taken": (
        "{points} can be redeemed on this receipt now.",
        "The points can be redeemed now.",
    ),
    "grant_not_awaited": (
        "This code was used before, or is for another till or receipt. Show a new code.",
    ),
    "code_wrong": ("This code is not genuine or was misread. Scan it again.",),
    "customer_code_used": ("This code was shown before. Ask the customer for the next one.",),
    "customer_code_over": ("This code is too old. Ask the customer for the next one.",),
    "rules_missing": ("This till has no offers yet. Sell without loyalty and call support.",),
    "journal_unavailable": (
        "This till cannot record. Sell without loyalty and call support at once.",
    ),
    "accepted": ("Accepted as printed.",),
    "accepted_stale": (
        "Accepted as printed; the till used older offers, at our cost: {variance_minor}.",
        "Accepted as printed; the till used older offers, at our cost.",
    ),
    "adjusted": (
        "Accepted with a change of {delta_points}: {reason}.",
        "Accepted with a change of {delta_points}.",
        "Accepted with a change.",
    ),
    "parked": (
        "Waiting for {waits_for}; nothing is posted yet.",
        "Waiting for what it refers to; nothing is posted yet.",
    ),
    "rejected_kept": (
        "Not posted, kept for review: {reason}.",
        "Not posted, kept for review.",
    ),
}

OUTCOMES_FOR_CUSTOMER: Final[Texts] = {
    "calculated": ("To pay: {paid_minor}. You save {discount_minor}.", "Calculated."),
    "recorded": ("Thank you for your purchase.",),
    "already_recorded": ("Thank you for your purchase.",),
    "already_recorded_differently": ("One moment, please.",),
    "stale_version": ("One moment, please.",),
    "stale_calculation": ("One moment, please.",),
    "not_identified": ("Show your card or say your phone number.",),
    "points_insufficient": (
        "You have {available_points}.",
        "You have fewer points than that.",
    ),
    "points_held_elsewhere": (
        "You spend {points}; set aside at another till: {held_points}.",
        "Part of your points is set aside for store {store}: {held_points}.",
        "Part of your points is set aside at another till: {held_points}.",
        "Part of your points is set aside at another till.",
    ),
    "rights_exhausted": (
        "You spend {points}; no more can be spent here now.",
        "You can spend up to {available_points} here now.",
        "Points cannot be spent here now. You will still earn them.",
    ),
    "courier_asked": ("Scan this code with the app and show the cashier the code it gives you.",),
    "grant_taken": ("{points} can be spent now.", "Your points can be spent now."),
    "customer_code_used": ("This code was shown before. Show the next one.",),
    "customer_code_over": ("This code is too old. Show the next one.",),
    "rules_missing": ("Loyalty is not available at this till now.",),
    "journal_unavailable": ("Loyalty is not available at this till now.",),
    "accepted": ("Your points are posted.",),
    "accepted_stale": ("Your points are posted as printed.",),
    "adjusted": (
        "Your points were changed by {delta_points}: {reason}.",
        "Your points were changed by {delta_points}.",
        "Your points were changed.",
    ),
    "parked": ("Your points will be posted later.",),
    "rejected_kept": ("This receipt is being checked.",),
}

NOUNS: Final[dict[Noun, tuple[str, ...]]] = {
    "piece": ("piece", "pieces"),
    "product": ("different product", "different products"),
    "point": ("point", "points"),
    "stamp": ("stamp", "stamps"),
}


def noun_form(number: int) -> int:
    """Return 0 behind one, 1 behind everything else."""
    return 0 if number == 1 else 1


ENGLISH: Final = Catalogue(
    reasons=REASONS,
    reasons_for_customer=REASONS_FOR_CUSTOMER,
    outcomes=OUTCOMES,
    outcomes_for_customer=OUTCOMES_FOR_CUSTOMER,
    nouns=NOUNS,
    weekdays=(
        "Mondays",
        "Tuesdays",
        "Wednesdays",
        "Thursdays",
        "Fridays",
        "Saturdays",
        "Sundays",
    ),
    periods={
        "ever": "in all",
        "year": "this year",
        "month": "this month",
        "week": "this week",
        "day": "today",
    },
    scopes={"campaign": "all stores", "store": "this store", "account": "each customer"},
    store_form="store {store}",
    kilogram="kg",
    decimal_mark=".",
    day_form="{year}-{month}-{day}",
    noun_form=noun_form,
)
