"""The customers of a world and what the centre knows of them."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tests.simulation.centre import BEGINNING_MS
from tests.simulation.kernel import DAY_MS


@dataclass(frozen=True, slots=True)
class Customer:
    """Somebody with cards; `is_late` when the centre hears of him only during the run.

    Attributes:
        half_expires_on: last day before which one half of the opening points counts.
    """

    account_id: int
    cards: tuple[str, ...]
    home_store: str
    opening_points: int
    half_expires_on: str
    is_late: bool


def make_customers(draws: random.Random, count: int, stores: list[str]) -> list[Customer]:
    """Return customers of the stores."""
    return [
        Customer(
            account_id=number,
            cards=tuple(f"card-{number}-{n}" for n in range(1 + (draws.random() < 0.25))),
            home_store=draws.choice(stores),
            opening_points=draws.randint(20, 400),
            half_expires_on=_day(draws.randint(0, 30)) if draws.random() < 0.6 else "2025-12-31",
            is_late=number % 10 == 0,
        )
        for number in range(1, count + 1)
    ]


def _day(number: int) -> str:
    at = datetime.fromtimestamp((BEGINNING_MS + number * DAY_MS) / 1000, UTC)
    return at.date().isoformat()


def account_line(customer: Customer) -> dict[str, Any]:
    """Return a customer as the centre's loader takes him, his points in two lots."""
    half = customer.opening_points // 2
    lots = [
        {"points": half, "active_from": "2025-01-01", "expires_on": ""},
        {
            "points": customer.opening_points - half,
            "active_from": "2025-01-01",
            "expires_on": customer.half_expires_on,
        },
    ]
    return {
        "kind": "account",
        "account_id": customer.account_id,
        "home_store": customer.home_store,
        "cards": customer.cards,
        "lots": [lot for lot in lots if lot["points"]],
    }
