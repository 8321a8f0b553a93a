"""The chain's products as the bundle's catalogue and product groups."""

from collections.abc import Collection

from bench.grocery.data import CouponIssue, Selection
from bench.grocery.measures import RealProduct
from loyalty.bundle import Product

_BARRED_DEPARTMENTS = frozenset({"FUEL", "SPIRITS", "COUPON", "POSTAL CENTER", "PROD-WHS SALES"})
_BARRED_CATEGORIES = frozenset(
    {"CIGARETTES", "CIGARS", "TOBACCO OTHER", "LIQUOR", "COUPONS/STORE & MFG"}
)
_BARRED_TYPES = ("GASOLINE", "GIFT CARD", "LOTTERY", "MONEY ORDER")


def catalogue(selection: Selection, *, all_products: bool = False) -> dict[str, Product]:
    """Return the products by SKU, sorted.

    Args:
        all_products: the whole chain's, not only those sold in the selection.
    """
    skus = {line.sku for basket in selection.baskets for line in basket.lines}
    if all_products:
        skus |= selection.products.keys()
    return {sku: _product(selection.product(sku)) for sku in sorted(skus)}


def coupon_groups(
    selection: Selection, issues: Collection[CouponIssue], skus: Collection[str]
) -> dict[str, tuple[str, ...]]:
    """Return one product group a coupon and campaign; empty groups are left out.

    Args:
        skus: the catalogue's; a group holds no others.
    """
    groups = {}
    for issue in sorted(issues, key=lambda i: (i.upc, i.campaign_id)):
        if members := sorted(selection.coupons[issue] & set(skus)):
            groups[group_name(issue)] = tuple(members)
    return groups


def group_name(issue: CouponIssue) -> str:
    """Return the name of a coupon's product group; also the id of its offer."""
    return f"coupon-{issue.upc}-{issue.campaign_id}"


def _product(real: RealProduct) -> Product:
    return Product(
        department=real.department,
        category=real.category,
        brand=real.brand,
        # Law or contract keeps these out of most programmes; their card prices stay.
        barred=("redeem", "earn") if _is_barred(real) else (),
    )


def _is_barred(real: RealProduct) -> bool:
    return (
        real.department in _BARRED_DEPARTMENTS
        or real.category in _BARRED_CATEGORIES
        or any(kind in real.product_type for kind in _BARRED_TYPES)
    )
