"""A store of three tills: a vault that holds points of one customer, and two that hold none."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from loyalty.bundle import Bundle, Product
from loyalty.offers import PointsPerMoney
from tests.support import builders
from tests.support.builders import offer
from tests.support.store_lan import SECOND, THIRD, VAULT, StoreLan, StoreTill, roster_of, store_till
from tests.support.till import SetSystem, customer

HALF = builders.bundle(offer("points", PointsPerMoney(points=1, per_minor=100)))
POINTS = offer("points", PointsPerMoney(points=2, per_minor=100))


def large_bundle(articles: int = 30_000) -> Bundle:
    """Return rules whose catalogue does not pack well: some hundred KB however packed."""
    names = (hashlib.sha256(str(number).encode()).hexdigest()[:16] for number in range(articles))
    product = Product(department="dairy")
    return builders.bundle(POINTS, catalogue=dict.fromkeys(names, product), version=2)


@dataclass(slots=True)
class Store:
    """One store."""

    lan: StoreLan
    system: SetSystem
    vault: StoreTill
    second: StoreTill
    third: StoreTill

    def cut_line(self) -> None:
        """Take the whole store's line down, and let everybody hear everybody once."""
        for till in (self.vault, self.second, self.third):
            till.cut_off()
        self.lan.beat()


@pytest.fixture
def store(tmp_path: Path, system: SetSystem) -> Iterator[Store]:
    """Give a store whose vault holds 100 points of account 7, with the line down."""
    lan, roster = StoreLan(), roster_of(VAULT, SECOND, THIRD)
    tills: list[StoreTill] = []
    for till_id in (VAULT, SECOND, THIRD):
        till = store_till(tmp_path / str(till_id), till_id, lan, system, roster)
        assert till.centre is not None
        till.centre.knows(customer(points=0, held_points=100))
        if till_id == VAULT:
            till.centre.grants(100)
        till.take_rules(HALF)
        till.talk()
        till.talk()
        tills.append(till)
    vault, second, third = tills
    store = Store(lan, system, vault, second, third)
    for till in tills:
        till.background()  # the first seconds are over
    store.cut_line()
    yield store
    for till in (store.vault, store.second, store.third):
        till.close()
