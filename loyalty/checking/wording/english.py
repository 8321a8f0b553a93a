"""What findings say in English."""

from collections.abc import Mapping
from typing import Final

from loyalty.checking.finding import Code
from loyalty.checking.wording.told import Catalogue, Told

ERRORS: Final[Mapping[Code, Told]] = {
    Code.OFFER_ID_TWICE: Told(
        ("offer {offer} stands in the bundle twice",), ("give each offer its own id",)
    ),
    Code.PRODUCT_GROUP_UNKNOWN: Told(
        (
            "offer {offer} names product group '{group}', which the bundle lacks",
            "offer {offer} names a product group which the bundle lacks",
        ),
        ("add it to groups, or correct the name",),
    ),
    Code.OFFER_UNKNOWN: Told(
        (
            "offer {offer} names offer '{named}', which the bundle lacks",
            "offer {offer} names an offer which the bundle lacks",
        ),
        ("correct the id, or take it out",),
    ),
    Code.ENDS_BEFORE_START: Told(
        ("offer {offer} ends before it starts",), ("swap when.starts and when.until",)
    ),
    Code.GROUP_MODES: Told(
        (
            "offers {offer} and {other} give group '{group}' two modes",
            "two members give a group two modes",
        ),
        ("choose one",),
    ),
    Code.GROUP_MIXED: Told(
        (
            "group '{group}' mixes money off, points or qualifying points: {offer} and {other}",
            "a group mixes money off, points or qualifying points",
        ),
        ("give one of the two a group of its own",),
    ),
    Code.GROUP_HAND_OUT: Told(
        (
            "offer {offer} hands something out and stands in group '{group}'",
            "offer {offer} hands something out and stands in a group",
        ),
        ("take combines.group out: hand-outs exclude nothing",),
    ),
    Code.PER_LINE_ORDER: Told(
        (
            (
                "offers {other} and {offer} of group '{group}' choose line by line"
                " and differ in combines.{setting}: {value} and {other_value}"
            ),
            "members of a group that chooses line by line differ in combines.order or .base",
        ),
        ("give all members the same",),
    ),
    Code.PER_LINE_REWARD: Told(
        (
            (
                "group '{group}' chooses line by line, and offer {offer} gives {reward},"
                " which is not for single lines"
            ),
            "offer {offer} gives what is not for single lines in a group that chooses line by line",
        ),
        (
            (
                "give card_price, percent of all units, amount or price per line or unit,"
                " points per money or item; or use mode best"
            ),
        ),
    ),
    Code.PER_LINE_SETTING: Told(
        (
            (
                "group '{group}' chooses line by line, and {path} of offer {offer}"
                " looks at the whole receipt"
            ),
            (
                "{path} of offer {offer} looks at the whole receipt"
                " in a group that chooses line by line"
            ),
        ),
        ("take it out, or use mode best",),
    ),
    Code.PER_LINE_EXCLUDED: Told(
        (
            "offer {offer} excludes {other}, whose group chooses line by line",
            "offer {offer} excludes an offer whose group chooses line by line",
        ),
        ("take it out of combines.not_with, or use mode best in that group",),
    ),
    Code.MULTIPLIER_CYCLE: Told(
        ("points are multiplied in a circle: {offers}",),
        ("name in gives.of offers that give points by themselves",),
    ),
    Code.MULTIPLIER_OF_MULTIPLIER: Told(
        (
            "offer {offer} multiplies {other}, which is a multiplier itself",
            "offer {offer} multiplies a multiplier",
        ),
        ("name in gives.of the offers whose points both multiply",),
    ),
    Code.MULTIPLIER_OF_NO_POINTS: Told(
        (
            "offer {offer} multiplies {other}, which gives no points to spend",
            "offer {offer} multiplies an offer which gives no points to spend",
        ),
        ("name in gives.of offers that give points to spend",),
    ),
    Code.RUNNING_NEED_NESTED: Told(
        ("offer {offer} asks for a running amount inside an any or a not ({path})",),
        ("put it into needs or into an all there, or take basis running out",),
    ),
    Code.NOT_WITH_ITSELF: Told(
        ("offer {offer} may not act with itself",), ("take its own id out of combines.not_with",)
    ),
    Code.STAMPS_DIFFER: Told(
        (
            (
                "offers {offer} and {other} fill one stamp card '{counter}' and give at"
                " different counts, every {every} and every {other_every}"
            ),
            "two offers fill one stamp card and give at different counts",
        ),
        ("give both the same every, or each a counter of its own",),
    ),
    Code.SHARED_LIMIT_DIFFERS: Told(
        (
            (
                "offers {offer} and {other} draw on one limit '{name}' and say different things"
                " of it: {setting} is {value} and {other_value}"
            ),
            "two offers draw on one limit and say different things of it",
        ),
        ("give both the same, or each a limit of its own name",),
    ),
    Code.CODE_USES_NESTED: Told(
        ("offer {offer} counts uses of a code inside an any or a not ({path})",),
        ("put the code into needs or into an all there, or make an offer for each code",),
    ),
    Code.CODE_USES_DIFFER: Told(
        (
            (
                "offers {offer} and {other} let codes {codes} be used {uses} and {other_uses}"
                " times in all"
            ),
            "two offers let the same codes be used a different number of times",
        ),
        ("give both the same uses_max",),
    ),
    Code.NEEDS_NEVER_HOLD: Told(
        (
            "offer {offer} needs {need} different products, and there are only {most} ({path})",
            "what offer {offer} needs can never be there ({path})",
        ),
        ("change or take out the part that contradicts the others",),
    ),
    Code.LINES_NEVER_MATCH: Told(
        ("no line can ever be among the lines of offer {offer} ({path})",),
        ("its parts contradict each other; change or take out one of them",),
    ),
    Code.NEVER_OPEN: Told(
        ("offer {offer} acts at no moment: its window, weekdays and hours do not meet",),
        ("widen when.weekdays, when.hours or the window",),
    ),
    Code.NOBODY: Told(
        (
            "nobody can get offer {offer}: no number in who.purchases is a multiple of {every}",
            "nobody can get offer {offer}",
        ),
        ("change who.purchases or who.every_purchases",),
    ),
    Code.CODE_NOT_NEEDED: Told(
        ("offer {offer} counts once per code and does not need one",),
        ("put a code into needs or into an all there, or take limits.once_per_code out",),
    ),
    Code.LIMIT_NOT_APPLICABLE: Told(
        (
            "limits.{limit} of offer {offer} limits nothing: it gives {reward}",
            "a limit of offer {offer} limits nothing",
        ),
        ("take it out; it goes with {goes_with}", "take it out"),
    ),
    Code.NOT_FOR_REWARD: Told(
        (
            "{path} of offer {offer} would be ignored: it works for {goes_with} only",
            "{path} of offer {offer} would be ignored",
        ),
        ("take it out",),
    ),
}

WARNINGS: Final[Mapping[Code, Told]] = {
    Code.TOGETHER_FREE: Told(
        (
            (
                "offers {offers} can act on one line together and take off {off_ppm} of its price,"
                " for example of {sku}"
            ),
            "offers {offers} can act on one line together and take off {off_ppm} of its price",
            "offers {offers} can act on one line together and take off all of its price",
        ),
        (
            (
                "put them into one group, name one in combines.not_with of the other,"
                " or let them act on the running price"
            ),
        ),
    ),
    Code.TOGETHER_DEEP: Told(
        (
            (
                "offers {offers} can act on one line together and take off {off_ppm} of its price,"
                " for example of {sku}"
            ),
            "offers {offers} can act on one line together and take off {off_ppm} of its price",
            "offers {offers} can act on one line together and take off nearly all of its price",
        ),
        (
            (
                "if this is not meant, put them into one group"
                " or name one in combines.not_with of the other"
            ),
        ),
    ),
    Code.FREE_FOR_ALL: Told(
        ("offer {offer} makes everything it reaches free and asks for nothing",),
        ("lower the rate, or ask for a code, a customer or a purchase",),
    ),
    Code.AMOUNT_COVERS_NEED: Told(
        (
            (
                "offer {offer} takes {amount_minor} off from {need_minor} on:"
                " a receipt just above it is free"
            ),
            "offer {offer} takes off as much as it asks for",
        ),
        ("ask for more than is taken off ({path})",),
    ),
    Code.POINTS_WORTH_ALL: Told(
        (
            (
                "offers {offers} together give points worth {worth_ppm} of what is spent,"
                " for example on {sku}"
            ),
            "offers {offers} together give points worth {worth_ppm} of what is spent",
            "offers {offers} together give points worth all that is spent",
        ),
        ("give fewer points, ask for more money each, or put the offers into one group",),
    ),
    Code.STEP_GIVES_LESS: Told(
        ("a step of offer {offer} gives no more than the one before it ({path})",),
        ("let the steps rise, or take the step out",),
    ),
    Code.FLOOR_CUTS: Told(
        (
            (
                "offers on all goods reach products with a regulated minimum price"
                " ({products}, for example {skus}), which cuts what they say; such offers: {count}"
            ),
            (
                "offer {offer} reaches products with a regulated minimum price"
                " ({products}, for example {skus}), which cuts what it says"
            ),
            "products with a regulated minimum price are among the lines of an offer",
        ),
        ("leave them out, or do not promise the whole of it for them",),
    ),
    Code.PRICE_BELOW_FLOOR: Told(
        (
            (
                "offer {offer} promises {price_minor} for {sku}, and its regulated minimum"
                " is {floor_minor}; such products: {products}"
            ),
            "offer {offer} promises prices below a regulated minimum",
        ),
        ("raise the price to the minimum, or leave the products out",),
    ),
    Code.RETURN_KEEPS_FREE: Told(
        ("who returns the paid units of offer {offer} keeps the cheaper ones for nothing",),
        (
            (
                "set {path} to 'set', or programme.returns.broken_condition to 'charge_back'"
                " for all offers"
            ),
        ),
    ),
    Code.NEED_COUNTS_BARRED: Told(
        (
            (
                "goods that get no discount count for the amount that must be bought"
                " ({products}, for example {skus}); such offers: {count}"
            ),
            "goods that get no discount count for the amount that must be bought",
        ),
        ("if this is not meant, leave them out in needs.match",),
    ),
    Code.WINDOW_OVER: Told(
        ("offer {offer} has no day left from {today} on", "offer {offer} is over"),
        ("take it out, or move when.until",),
    ),
    Code.NO_PRODUCT: Told(
        ("no product of the catalogue is among the lines of offer {offer} ({path})",),
        ("correct the values, or take the offer out",),
    ),
    Code.ALL_BARRED: Told(
        (
            "every product that offer {offer} reaches is barred from '{barred}'",
            "every product that offer {offer} reaches is barred",
        ),
        ("take the offer out, or take the bar off the products",),
    ),
    Code.HIDDEN: Told(
        (
            (
                "offer {offer} never acts: wherever it could, offer {other} of group '{group}'"
                " comes before it with priority {priority}"
            ),
            "offer {offer} never acts: wherever it could, offer {other} of its group gives more",
        ),
        (
            "give it a priority above {priority}, narrow {other}, or take it out",
            "narrow {other}, or take it out",
        ),
    ),
    Code.SKU_UNKNOWN: Told(
        (
            (
                "product group '{group}' names SKUs that the catalogue lacks"
                " ({products}, for example {skus})"
            ),
            (
                "offer {offer} names SKUs that the catalogue lacks"
                " ({products}, for example {skus}; {path})"
            ),
            "SKUs are named that the catalogue lacks",
        ),
        ("correct them, or add the products to the catalogue",),
    ),
    Code.LOT_UNSPENDABLE: Told(
        (
            (
                "points of offer {offer} may pay for product group '{group}' alone,"
                " and points may pay for none of its products"
            ),
            "points of offer {offer} may pay for nothing",
        ),
        ("choose another restriction, or take the bar on redeeming off the products",),
    ),
    Code.POINTS_UNSPENDABLE: Told(
        ("offers give points, and the programme lets nobody redeem any",),
        ("raise {path}, or take the offers of points out",),
    ),
    Code.SETTING_UNUSED: Told(
        (
            "{path} of offer {offer} changes nothing: it goes with {goes_with}",
            "{path} of offer {offer} changes nothing",
        ),
        ("take it out, or add what it goes with",),
    ),
    Code.GROUP_OF_ONE: Told(
        (
            "offer {offer} is alone in group '{group}', and there is a group '{alike}'",
            "offer {offer} is alone in its group",
        ),
        ("correct the group's name, or take combines.group out",),
    ),
    Code.FIRST_EXCLUDED: Told(
        (
            (
                "offer {other} may exclude offer {offer}, the first one of group '{group}':"
                " then nobody of the group acts"
            ),
            "offer {other} may exclude the first one of a group: then nobody of the group acts",
        ),
        ("put {other} into the group, or use mode best there",),
    ),
    Code.SAME_PRIORITY: Told(
        (
            (
                "offers {offer} and {other} of group '{group}' can meet with the same priority"
                " {priority}: their ids decide which one acts"
            ),
            (
                "offers {offer} and {other} can meet with the same priority in a group"
                " that takes the first"
            ),
        ),
        ("give them different priorities",),
    ),
    Code.ORDER_BY_ID: Told(
        (
            (
                "offers {offer} and {other} can act on one line with the same order and priority:"
                " their ids decide which one acts first, and the sum depends on it"
            ),
        ),
        ("give one of them another combines.order",),
    ),
    Code.TWINS: Told(
        (
            (
                "offers {offer} and {other} of group '{group}' say the same:"
                " one of them changes nothing"
            ),
            "offers {offer} and {other} say the same: both act",
        ),
        ("take one of them out",),
    ),
    Code.TITLE_MISSING: Told(
        ("offer {offer} has no title: people are shown its id",), ("add a title",)
    ),
    Code.TITLE_LANGUAGE: Told(
        (
            "{path} of offer {offer} is missing in {languages}, which others are written in",
            "a text of offer {offer} is missing in a language which others are written in",
        ),
        ("add it",),
    ),
    Code.PAIRS_UNCHECKED: Told(
        (
            "only {compared} pairs of offers that could meet were compared",
            "not all pairs of offers that could meet were compared",
        ),
        ("put alternatives into groups, or check the rules of one store or season at a time",),
    ),
    Code.MORE_FOUND: Told(
        ("{count} more findings are like these: {kind}", "more findings are like these"),
        ("repair these first and check again",),
    ),
}

ENGLISH: Final = Catalogue({**ERRORS, **WARNINGS}, "'{}'")
