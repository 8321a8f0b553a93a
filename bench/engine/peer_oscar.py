"""django-oscar's offer applicator on the same offers and baskets; run by the peers' own Python.

Reads one JSON object from standard input and writes one to standard output (see `peers`). Products,
ranges, conditions, benefits, offers and baskets are rows of an in-memory SQLite, made once. Ways:

- `prepared`: every offer is held in memory with its condition and benefit as the classes that act,
  and its range answers from a set of product ids, through oscar's own hook for ranges (`proxy`). No
  query is made while offers are applied: the fast way. Offers are exclusive, oscar's default: a
  unit takes part in one offer.
- `stacking`: the same, but the offers are not exclusive, so that they stack as they do here.
- `delivered`: what `Applicator.get_offers` reads, held in memory; ranges are asked by query.
"""

import json
import sys
import time
from decimal import Decimal
from importlib.metadata import version
from statistics import median
from typing import Any

import django  # type: ignore[import-not-found]
from django.conf import settings  # type: ignore[import-not-found]
from django.core.management import call_command  # type: ignore[import-not-found]

Job = dict[str, Any]


def main() -> int:
    """Set up, apply the offers to every basket, write what came out and how long it took."""
    job = json.load(sys.stdin)
    before = time.perf_counter()
    _start_django()
    shop = _Shop(job)
    offers = shop.offers(prepared=job["way"] != "delivered", stacking=job["way"] == "stacking")
    baskets = [shop.basket(number, lines) for number, lines in enumerate(job["baskets"])]
    applicator = _class("offer.applicator", "Applicator")()
    applicator.apply_offers(baskets[0], offers)
    setup_s = time.perf_counter() - before
    took_us, off = [], []
    for basket in baskets:
        list(basket.all_lines())
        times = []
        for _ in range(job["repeats"]):
            basket.reset_offer_applications()
            begun = time.perf_counter()
            applicator.apply_offers(basket, offers)
            times.append((time.perf_counter() - begun) * 1e6)
        took_us.append(median(times))
        applied = basket.offer_applications.applications.values()
        off.append({one["name"]: int(100 * one["discount"]) for one in applied})
    json.dump(
        {"version": version("django-oscar"), "setup_s": setup_s, "took_us": took_us, "off": off},
        sys.stdout,
    )
    return 0


class _NoMigrations(dict[str, None]):
    """Makes the tables from the models, not through the history of their changes."""

    def __contains__(self, app: object) -> bool:
        return True

    def __missing__(self, app: str) -> None:
        return None

    def get(self, app: str, default: object = None) -> None:
        """Return that the app has no migrations."""


def _start_django() -> None:
    import oscar  # type: ignore[import-not-found] # noqa: PLC0415 - its apps
    from oscar import defaults  # noqa: PLC0415

    values = {name: getattr(defaults, name) for name in dir(defaults) if name.isupper()}
    values |= {
        "DATABASES": {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        "INSTALLED_APPS": oscar.INSTALLED_APPS,
        "MIGRATION_MODULES": _NoMigrations(),
        "HAYSTACK_CONNECTIONS": {
            "default": {"ENGINE": "haystack.backends.simple_backend.SimpleEngine"}
        },
        "HAYSTACK_SIGNAL_PROCESSOR": "haystack.signals.BaseSignalProcessor",
        "SECRET_KEY": "only for measuring",
        "SITE_ID": 1,
        "USE_TZ": True,
        "ROOT_URLCONF": "none",
        "DEFAULT_AUTO_FIELD": "django.db.models.AutoField",
        "DEBUG": False,
    }
    settings.configure(**values)
    django.setup()
    call_command("migrate", run_syncdb=True, verbosity=0)


def _class(module: str, name: str) -> Any:  # noqa: ANN401 - oscar has no types
    from oscar.core.loading import get_class  # type: ignore[import-not-found] # noqa: PLC0415

    return get_class(module, name)


def _model(app: str, name: str) -> Any:  # noqa: ANN401 - oscar has no types
    from oscar.core.loading import get_model  # noqa: PLC0415

    return get_model(app, name)


class _RangeInMemory:
    """Stands in for a range through its `proxy`."""

    def __init__(self, product_ids: frozenset[int] | None) -> None:
        """None = every product."""
        self._product_ids = product_ids

    def contains_product(self, product: Any) -> bool:  # noqa: ANN401 - oscar has no types
        return self._product_ids is None or product.id in self._product_ids


class _Shop:
    """Products, categories (a brand is one, too) and ranges of a job."""

    def __init__(self, job: Job) -> None:
        self._job = job
        lines = {line["sku"]: line for basket in job["baskets"] for line in basket}
        listed = (sku for offer in job["offers"] if offer["by"] == "sku" for sku in offer["values"])
        self._ids = self._make_products([*dict.fromkeys([*lines, *listed])])
        self._stock = self._make_stock(lines)
        self._categories: dict[tuple[str, str], Any] = {}
        self._members: dict[tuple[str, str], set[int]] = {}
        self._fill_categories(lines)

    def _make_products(self, skus: list[str]) -> dict[str, int]:
        product, kind = _model("catalogue", "Product"), _model("catalogue", "ProductClass")
        kind_made = kind.objects.create(name="goods", track_stock=False)
        product.objects.bulk_create(
            product(upc=sku, title=sku, slug=sku, product_class=kind_made) for sku in skus
        )
        return dict(product.objects.values_list("upc", "id"))

    def _make_stock(self, lines: dict[str, Any]) -> dict[str, Any]:
        partner = _model("partner", "Partner").objects.create(name="the shop")
        record = _model("partner", "StockRecord")
        record.objects.bulk_create(
            record(
                product_id=self._ids[sku],
                partner=partner,
                partner_sku=sku,
                price=Decimal(line["unit_minor"]) / 100,
            )
            for sku, line in lines.items()
        )
        return {made.partner_sku: made for made in record.objects.all()}

    def _fill_categories(self, lines: dict[str, Any]) -> None:
        category = _model("catalogue", "Category")
        member = _model("catalogue", "ProductCategory")
        for offer in self._job["offers"]:
            if offer["by"] in ("category", "brand"):
                key = (offer["by"], offer["values"][0])
                if key not in self._categories:
                    self._categories[key] = category.objects.add_root({"name": " ".join(key)})
        rows = []
        for sku, line in lines.items():
            for by in ("category", "brand"):
                key = (by, line[by])
                if key in self._categories:
                    self._members.setdefault(key, set()).add(self._ids[sku])
                    rows.append(member(product_id=self._ids[sku], category=self._categories[key]))
        member.objects.bulk_create(rows)

    def offers(self, *, prepared: bool, stacking: bool) -> list[Any]:
        """Make the offers; return them as the applicator is to take them."""
        for plain in self._job["offers"]:
            self._make_offer(plain, self._make_range(plain), exclusive=not stacking)
        offers: list[Any] = _class("offer.applicator", "Applicator")().get_offers(
            _model("basket", "Basket")(), None
        )
        if prepared:
            plain_offers = {plain["offer_id"]: plain for plain in self._job["offers"]}
            for offer in offers:
                self._hold_in_memory(offer, plain_offers[offer.name])
        return offers

    def _make_range(self, plain: Job) -> Any:  # noqa: ANN401 - oscar has no types
        made = _model("offer", "Range").objects.create(
            name=plain["offer_id"], includes_all_products=plain["by"] == "all"
        )
        if plain["by"] == "sku":
            row = _model("offer", "RangeProduct")
            row.objects.bulk_create(
                row(range=made, product_id=self._ids[sku]) for sku in plain["values"]
            )
        elif plain["by"] != "all":
            made.included_categories.add(self._categories[plain["by"], plain["values"][0]])
        return made

    def _make_offer(self, plain: Job, of_range: Any, *, exclusive: bool) -> None:  # noqa: ANN401
        condition, benefit = _model("offer", "Condition"), _model("offer", "Benefit")
        if plain["kind"] == "n_for_m":
            # Oscar knows one unit free in a set; what is free beyond it is left out.
            needs = condition(type=condition.COUNT, value=plain["units"], range=of_range)
            gives = benefit(type=benefit.MULTIBUY, range=of_range)
        else:
            percent = Decimal(plain["rate_ppm"]) / 10_000
            gives = benefit(type=benefit.PERCENTAGE, value=percent, range=of_range)
            needs = condition(type=condition.COUNT, value=1, range=of_range)
            if plain["kind"] == "threshold":
                spend = Decimal(plain["spend_minor_min"]) / 100
                needs = condition(type=condition.VALUE, value=spend, range=of_range)
        needs.save()
        gives.save()
        _model("offer", "ConditionalOffer").objects.create(
            name=plain["offer_id"], condition=needs, benefit=gives, exclusive=exclusive
        )

    def _hold_in_memory(self, offer: Any, plain: Job) -> None:  # noqa: ANN401 - oscar has no types
        offer.condition, offer.benefit = offer.condition.proxy(), offer.benefit.proxy()
        of_range = offer.condition.range
        of_range.proxy = _RangeInMemory(self._members_of(plain))
        offer.condition.range = offer.benefit.range = of_range

    def _members_of(self, plain: Job) -> frozenset[int] | None:
        if plain["by"] == "all":
            return None
        if plain["by"] == "sku":
            return frozenset(self._ids[sku] for sku in plain["values"])
        return frozenset(self._members.get((plain["by"], plain["values"][0]), ()))

    def basket(self, number: int, lines: list[Job]) -> Any:  # noqa: ANN401 - oscar has no types
        """Make a basket with its lines."""
        basket = _model("basket", "Basket").objects.create()
        basket.strategy = _class("partner.strategy", "Selector")().strategy()
        line_model = _model("basket", "Line")
        line_model.objects.bulk_create(
            line_model(
                basket=basket,
                line_reference=f"{number}-{place}",
                product_id=self._ids[line["sku"]],
                stockrecord=self._stock[line["sku"]],
                quantity=line["units"],
            )
            for place, line in enumerate(lines)
        )
        return basket


if __name__ == "__main__":
    sys.exit(main())
