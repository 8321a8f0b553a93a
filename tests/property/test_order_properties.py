"""The same final state gives the same bytes, whatever happened on the way to it (receipt 2).

First for the engine alone; then for a whole till, which a register takes through a sale by detours:
lines scanned and voided, another card, coupons in between, payment and back to add a bag.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import event, given, settings
from hypothesis import strategies as st

from agent.till_service.messages import ReceiptAnswer, ReceiptRequest
from loyalty.account import AccountSnapshot
from loyalty.basket import Basket, BasketLine, Place
from loyalty.bundle import Bundle
from loyalty.canonical import canonical_bytes
from loyalty.compilation import compile_bundle
from loyalty.fiscal import FiscalLine as CalculatedFiscalLine
from pos_adapters.ports import FiscalLine, Redeem, ScannedLine, TillAnswer, TillHealth
from pos_adapters.ports import Receipt as SaleAsItStands
from pos_adapters.simulated_register.printers import MemoryPrinter
from pos_adapters.simulated_register.register import SimulatedRegister
from pos_adapters.simulated_register.reports import Ending
from pos_adapters.simulated_register.sessions import (
    BackToSale,
    Complete,
    GoToPayment,
    PresentCard,
    PresentCode,
    Scan,
    Step,
    VoidLine,
)
from sync.records import SaleRecord
from tests.support.builders import A_WEDNESDAY, lot
from tests.support.effort import examples
from tests.support.offer_strategies import CODES, GROUPS, one_of, some
from tests.support.receipt_strategies import Receipt, accounts, basket_lines, bundles, receipts
from tests.support.till import (
    CARD,
    IDENTITY,
    OTHER_CARD,
    RECEIPT,
    FakeCentre,
    JoinedTill,
    SetSystem,
    customer,
)

# The engine alone


@settings(max_examples=examples(100))
@given(receipts, st.data())
def test_the_order_of_scanning_changes_no_byte(receipt: Receipt, data: st.DataObject) -> None:
    scanned = Basket(
        lines=tuple(data.draw(st.permutations(receipt.basket.lines))),
        codes=tuple(data.draw(st.permutations(receipt.basket.codes))),
        tender=receipt.basket.tender,
    )
    again = replace(receipt, basket=scanned)
    assert canonical_bytes(again.calculate()) == canonical_bytes(receipt.calculate())


@settings(max_examples=examples(100))
@given(receipts, st.data())
def test_the_order_of_offers_and_lots_and_lists_changes_no_byte(
    receipt: Receipt, data: st.DataObject
) -> None:
    def shuffled(values: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(data.draw(st.permutations(values)))

    groups = {name: shuffled(skus) for name, skus in reversed(GROUPS.items())}
    account = replace(
        receipt.account,
        personal_offers=shuffled(receipt.account.personal_offers),
        counters=dict(reversed(list(receipt.account.counters.items()))),
    )
    again = replace(
        receipt,
        bundle=replace(receipt.bundle, offers=shuffled(receipt.bundle.offers), groups=groups),
        right=replace(receipt.right, lots=shuffled(receipt.right.lots)),
        account=account,
    )
    assert canonical_bytes(again.calculate()) == canonical_bytes(receipt.calculate())


@settings(max_examples=examples(100))
@given(receipts)
def test_a_code_presented_twice_counts_once(receipt: Receipt) -> None:
    twice = replace(receipt.basket, codes=receipt.basket.codes * 2)
    again = replace(receipt, basket=twice)
    assert canonical_bytes(again.calculate()) == canonical_bytes(receipt.calculate())


@settings(max_examples=examples(40))
@given(receipts, st.lists(receipts, min_size=1, max_size=2))
def test_what_was_calculated_before_under_the_same_rules_changes_no_byte(
    receipt: Receipt, earlier: list[Receipt]
) -> None:
    rules = compile_bundle(receipt.bundle, "00")
    for one in earlier:
        one.calculate(rules)
    assert canonical_bytes(receipt.calculate(rules)) == canonical_bytes(receipt.calculate())


# A whole till


@dataclass
class DirectClient:
    """A register's calls, made to a till in this process; calls a register makes of a sale only."""

    till: JoinedTill
    answers: list[ReceiptAnswer] = field(default_factory=list)

    def update(self, receipt_id: str, receipt: SaleAsItStands) -> TillAnswer:
        """Calculate."""
        return self._heard(self.till.update(_request(receipt), receipt_id))

    def reserve(self, receipt_id: str, receipt: SaleAsItStands, *, redeem: Redeem) -> TillAnswer:
        """Set points aside."""
        points = None if redeem == "max" else redeem
        return self._heard(self.till.reserve(_request(receipt), points, receipt_id))

    def complete(self, receipt_id: str, receipt: SaleAsItStands, *, paid_minor: int) -> TillAnswer:
        """Record."""
        return self._heard(self.till.complete(_request(receipt), paid_minor, receipt_id))

    def cancel(self, receipt_id: str) -> TillAnswer:
        """Give up."""
        return self._heard(self.till.cancel(receipt_id))

    def return_lines(self, *_: object, **__: object) -> TillAnswer:
        """Never called: nobody returns anything here."""
        raise NotImplementedError

    def health(self) -> TillHealth:
        """Never called."""
        raise NotImplementedError

    def _heard(self, answer: ReceiptAnswer) -> TillAnswer:
        self.answers.append(answer)
        return TillAnswer(
            status=200,
            outcome=answer.outcome,
            subject_id=answer.receipt_id,
            version=answer.version,
            link=answer.link,
            calculation=msgspec.json.decode(answer.calculation) if answer.calculation else None,
            fiscal_lines=tuple(FiscalLine(**_values(one)) for one in answer.fiscal_lines),
            paid_by_points_minor=answer.paid_by_points_minor,
            reserved_points=answer.reserved_points,
        )


def _request(receipt: SaleAsItStands) -> ReceiptRequest:
    values = {name: getattr(receipt, name) for name in ReceiptRequest.__struct_fields__}
    values["lines"] = tuple(BasketLine(**_values(line)) for line in receipt.lines)
    return ReceiptRequest(**values)


def _values(of: BasketLine | ScannedLine | CalculatedFiscalLine) -> dict[str, Any]:
    return {each.name: getattr(of, each.name) for each in fields(of)}


@dataclass(frozen=True)
class Sale:
    """What a customer has in the end, and what happened on the way there."""

    bundle: Bundle
    account: AccountSnapshot
    lots: tuple[int, ...]
    lines: tuple[BasketLine, ...]
    codes: tuple[str, ...]
    has_card: bool
    redeem: Redeem
    detour: tuple[Step, ...]

    def straight(self) -> tuple[Step, ...]:
        """Return the shortest way: goods, coupons, card, payment."""
        return (
            *(Scan(_scanned(line)) for line in self.lines),
            *(PresentCode(code) for code in self.codes),
            *((PresentCard(CARD),) if self.has_card else ()),
        )


def _scanned(line: BasketLine) -> ScannedLine:
    return ScannedLine(**_values(line))


redeems: st.SearchStrategy[Redeem] = st.sampled_from(["max", "max", 50, 5, 0])


@st.composite
def sales(draw: st.DrawFn) -> Sale:
    """Draw a sale and a detour to it."""
    lines = tuple(draw(basket_lines(str(n))) for n in range(draw(st.integers(1, 4))))
    voided = tuple(draw(basket_lines(f"v{n}")) for n in range(draw(st.integers(0, 2))))
    codes = tuple(dict.fromkeys(draw(some(one_of(*CODES), 2))))
    has_card = draw(st.integers(0, 3)) > 0
    changes: list[list[Step]] = [[Scan(_scanned(line))] for line in lines]
    changes += [[Scan(_scanned(line)), VoidLine(line.line_id)] for line in voided]
    changes += [[PresentCode(code)] for code in codes]
    if has_card:
        changes.append([PresentCard(card) for card in draw(one_of((CARD,), (OTHER_CARD, CARD)))])
    payments = draw(some(redeems, 2))
    changes += [[GoToPayment(redeem), BackToSale()] for redeem in payments]
    waiting = [iter(steps) for steps in changes]
    turns = draw(st.permutations([n for n, steps in enumerate(changes) for _ in steps]))
    return Sale(
        bundle=draw(bundles()),
        account=replace(draw(accounts), identified=True, account_id=7),
        lots=draw(some(st.integers(10, 500), 3, 1)),
        lines=lines,
        codes=codes,
        has_card=has_card,
        redeem=draw(redeems),
        detour=tuple(next(waiting[turn]) for turn in turns),
    )


@contextmanager
def open_till(sale: Sale) -> Iterator[JoinedTill]:
    """Open a till that knows the customer, his lots and the rules, and hears nobody any more."""
    system = SetSystem()
    centre = FakeCentre(system=system)
    identity = msgspec.structs.replace(IDENTITY, place=Place(store="s1"))
    with tempfile.TemporaryDirectory() as folder:
        till = JoinedTill(Path(folder) / "till", centre=centre, system=system, identity=identity)
        try:
            row = customer(points=sum(sale.lots))
            centre.knows(msgspec.structs.replace(row, snapshot=sale.account))
            till.talk()
            for number, points in enumerate(sale.lots):
                restriction = ("", *GROUPS)[number % 4]
                centre.to_grant.append((7, (lot(500 + number, points, restriction=restriction),)))
            till.talk()
            till.cut_off()
            till.take_rules(sale.bundle)
            yield till
        finally:
            till.close()


def sold(sale: Sale, steps: Sequence[Step]) -> tuple[SaleRecord, DirectClient]:
    """Play a sale to its end at a till of its own; return what it recorded."""
    with open_till(sale) as till:
        client = DirectClient(till)
        register = SimulatedRegister("1", client, MemoryPrinter())
        whole = (*steps, GoToPayment(sale.redeem), Complete())
        report = register.play(RECEIPT, whole, moment=A_WEDNESDAY)
        assert (report.ending, report.faults) == (Ending.RECORDED, ()), report
        records = [record for record in till.own_records() if isinstance(record, SaleRecord)]
        assert len(records) == 1
        return records[0], client


@settings(max_examples=examples(40))
@given(sales())
def test_no_detour_of_the_cashier_changes_a_byte(sale: Sale) -> None:
    straight, _ = sold(sale, sale.straight())
    detoured, client = sold(sale, sale.detour)
    event(f"calls on the detour: {len(client.answers)}")
    event("redeemed" if straight.sources else "not redeemed")
    assert bytes(detoured.calculation) == bytes(straight.calculation)
    assert detoured.sources == straight.sources
    assert detoured.card == straight.card
