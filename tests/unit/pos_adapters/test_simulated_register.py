"""What a register does in each case; whatever befalls loyalty, the customer gets a receipt."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID, uuid5

import pytest

from pos_adapters.errors import DeviceBusyError, TillUnreachableError
from pos_adapters.ports import (
    GoodsBack,
    LinesReturned,
    PrintedReceipt,
    PrintedReturn,
    Receipt,
    Redeem,
    ScannedLine,
    TillAnswer,
)
from pos_adapters.simulated_register.printers import MemoryPrinter
from pos_adapters.simulated_register.register import SimulatedRegister
from pos_adapters.simulated_register.reports import CallMade, Ending, SessionReport, Settlement
from pos_adapters.simulated_register.sessions import (
    BackToSale,
    CancelSale,
    Complete,
    GoToPayment,
    PresentCard,
    PresentCode,
    ReturnLines,
    Scan,
    Step,
    VoidLine,
)
from tests.unit.pos_adapters.fake_till import (
    AGENT_FAILED,
    DISK_FULL,
    FORGET,
    JOURNAL_DAMAGED,
    LOSE_CALL,
    LOSE_REPLY,
    RAISE_PRICES,
    REFUSED_BY_TOKEN,
    FakeTill,
)

FIRST = "01950000-0000-7000-8000-000000000001"
SECOND = "01950000-0000-7000-8000-000000000002"
RETURN = "01950000-0000-7000-8000-00000000000a"
NOON = "2025-03-05T12:00:00"
CARD = PresentCard("2900000000001")


def scan(line_id: str, gross_minor: int = 1_000, *, pieces: int = 1) -> Scan:
    return Scan(
        ScannedLine(
            line_id=line_id,
            sku=f"sku-{line_id}",
            quantity=pieces * 1_000,
            gross_minor=gross_minor,
        )
    )


TWO_LINES: Sequence[Step] = (CARD, scan("1"), scan("2", 500), GoToPayment(), Complete())


class Shop:
    """A register at a fake till."""

    def __init__(self, till: FakeTill | None = None) -> None:
        self.till = till or FakeTill()
        self.printer = MemoryPrinter()
        self.waits: list[int] = []
        self.register = SimulatedRegister("1-1", self.till, self.printer, wait=self.waits.append)

    def play(self, *steps: Step, receipt_id: str = FIRST, training: bool = False) -> SessionReport:
        return self.register.play(receipt_id, steps, moment=NOON, training=training)

    @property
    def only_receipt(self) -> PrintedReceipt:
        (document,) = self.printer.documents
        assert isinstance(document, PrintedReceipt)
        return document


@pytest.fixture
def shop() -> Shop:
    return Shop()


def names(report: SessionReport) -> list[str]:
    return [call.name for call in report.calls]


def outcomes(report: SessionReport) -> list[str]:
    return [call.outcome for call in report.calls]


# -- a sale on a good day ------------------------------------------------------------------------


def test_every_change_is_one_update_with_the_whole_receipt_under_the_next_version(
    shop: Shop,
) -> None:
    report = shop.play(
        scan("1"), CARD, PresentCode("C10"), scan("2"), VoidLine("2"), GoToPayment(), Complete()
    )
    assert names(report) == [*["update"] * 6, "complete"]
    seen = shop.till.receipts_seen
    assert [receipt.version for receipt in seen] == [1, 2, 3, 4, 5, 5, 5]
    assert [len(receipt.lines) for receipt in seen] == [1, 1, 1, 2, 1, 1, 1]
    assert [receipt.card for receipt in seen] == ["", *[CARD.card_number] * 6]
    assert seen[-1].codes == ("C10",)
    assert {receipt.moment for receipt in seen} == {NOON}


def test_recorded_receipt_is_printed_as_the_till_recorded_it(shop: Shop) -> None:
    report = shop.play(*TWO_LINES)
    assert (report.ending, report.faults) == (Ending.RECORDED, ())
    assert shop.only_receipt == PrintedReceipt(
        kind="sale",
        receipt_id=FIRST,
        till="1-1",
        version=3,
        moment=NOON,
        gross_minor=1_500,
        discount_minor=150,
        paid_minor=1_350,
        earned_points=13,
        link="up",
    )
    assert report.printed == shop.only_receipt
    assert shop.till.recorded[FIRST].paid_minor == 1_350


@pytest.mark.parametrize(("redeem", "points"), [(200, 200), ("max", 900)])
def test_payment_with_points_reserves_them(shop: Shop, redeem: Redeem, points: int) -> None:
    report = shop.play(CARD, scan("1"), GoToPayment(redeem), Complete())
    assert names(report)[-2:] == ["reserve", "complete"]
    printed = shop.only_receipt
    assert (printed.redeemed_points, printed.paid_minor) == (points, 900 - points)
    assert shop.till.reserved == {}


def test_back_from_payment_for_a_bag_is_the_next_version_of_the_same_receipt(shop: Shop) -> None:
    report = shop.play(
        CARD, scan("1"), GoToPayment(100), BackToSale(), scan("2", 10), GoToPayment(100), Complete()
    )
    assert names(report) == ["update", "update", "reserve", "update", "reserve", "complete"]
    assert [receipt.version for receipt in shop.till.receipts_seen] == [1, 2, 2, 3, 3, 3]
    assert (shop.only_receipt.version, shop.only_receipt.redeemed_points) == (3, 100)


def test_points_given_up_after_all_are_given_back_before_completing(shop: Shop) -> None:
    shop.play(CARD, scan("1"), GoToPayment(100), BackToSale(), GoToPayment(0), Complete())
    assert (shop.only_receipt.redeemed_points, shop.only_receipt.paid_minor) == (0, 900)


def test_redeeming_without_a_card_goes_on_without_points(shop: Shop) -> None:
    report = shop.play(scan("1"), GoToPayment("max"), Complete())
    assert outcomes(report) == ["calculated", "not_identified", "recorded"]
    assert shop.only_receipt.paid_minor == 1_000


def test_customer_sees_every_new_total_once(shop: Shop) -> None:
    report = shop.play(scan("1"), scan("2", 500), CARD, GoToPayment(100), Complete())
    assert report.totals_shown_minor == (1_000, 1_500, 1_350, 1_250)


def test_training_receipt_is_calculated_and_neither_recorded_nor_printed(shop: Shop) -> None:
    report = shop.play(CARD, scan("1"), GoToPayment(100), Complete(), training=True)
    assert report.ending == Ending.TRAINING
    assert names(report) == ["update", "update", "update", "complete"]
    assert all(receipt.training for receipt in shop.till.receipts_seen)
    assert (shop.till.recorded, shop.till.reserved, shop.printer.documents) == ({}, {}, [])


def test_cancelled_sale_frees_its_points_and_prints_nothing(shop: Shop) -> None:
    report = shop.play(CARD, scan("1"), GoToPayment(100), CancelSale())
    assert (report.ending, report.faults) == (Ending.CANCELLED, ())
    assert shop.till.cancelled == {FIRST}
    assert (shop.till.reserved, shop.printer.documents) == ({}, [])


def test_sale_whose_steps_end_early_is_left_open(shop: Shop) -> None:
    assert shop.play(scan("1")).ending == Ending.LEFT_OPEN
    assert shop.printer.documents == []


# -- answers that ask for another try ------------------------------------------------------------


def test_new_total_is_shown_and_completed_with(shop: Shop) -> None:
    shop.till.trouble("complete", RAISE_PRICES)
    report = shop.play(CARD, scan("1"), GoToPayment(), Complete())
    assert outcomes(report)[-2:] == ["stale_calculation", "recorded"]
    assert report.totals_shown_minor == (0, 900, 1_000)
    assert shop.only_receipt.paid_minor == 1_000


class RestlessTill(FakeTill):
    """Finds another total at every completion."""

    def complete(self, receipt_id: str, receipt: Receipt, *, paid_minor: int) -> TillAnswer:
        self.discount_percent += 1
        return super().complete(receipt_id, receipt, paid_minor=paid_minor)


def test_total_that_never_settles_ends_without_loyalty() -> None:
    shop = Shop(RestlessTill())
    report = shop.play(CARD, scan("1"), GoToPayment(), Complete())
    assert outcomes(report)[2:] == ["calculated", *["stale_calculation"] * 3]
    assert report.ending == Ending.WITHOUT_LOYALTY
    assert shop.only_receipt.paid_minor == 1_000


def test_version_the_till_knows_otherwise_is_sent_as_the_next_one(shop: Shop) -> None:
    shop.play(scan("1", 700), scan("2", 700))  # left open; then the register forgot it
    report = Shop(shop.till).play(scan("1"), GoToPayment(), Complete())
    assert outcomes(report) == ["stale_version", "calculated", "calculated", "recorded"]
    assert (shop.till.recorded[FIRST].receipt.version, report.faults) == (3, ())


def test_receipt_id_used_before_is_sold_without_loyalty_and_left_alone(shop: Shop) -> None:
    shop.play(*TWO_LINES)
    report = shop.play(scan("1", 70), Complete())
    assert report.ending == Ending.WITHOUT_LOYALTY
    assert "receipt_closed" in report.faults[0]
    assert shop.register.settle() == 0
    assert (shop.till.cancelled, shop.till.returned) == (set(), {})


# -- no answer -----------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["update", "reserve", "complete"])
@pytest.mark.parametrize("loss", [LOSE_CALL, LOSE_REPLY])
def test_very_same_call_is_repeated_until_it_is_answered(shop: Shop, call: str, loss: str) -> None:
    shop.till.trouble(call, loss, loss)
    report = shop.play(CARD, scan("1"), GoToPayment(100), Complete())
    assert (report.ending, report.faults) == (Ending.RECORDED, ())
    assert next(made for made in report.calls if made.name == call).tries == 3
    assert shop.waits == [1, 2]
    assert (shop.only_receipt.paid_minor, shop.only_receipt.version) == (800, 2)
    assert [receipt.version for receipt in shop.till.receipts_seen] == sorted(
        receipt.version for receipt in shop.till.receipts_seen
    )


def test_agent_killed_between_two_calls_is_waited_for(shop: Shop) -> None:
    happened: list[str] = []

    def kill(name: str) -> None:
        if name == "complete":
            shop.till.trouble("complete", LOSE_CALL, FORGET)
            happened.append("killed")

    register = SimulatedRegister(
        "1-1",
        shop.till,
        shop.printer,
        wait=lambda tries: happened.append(f"waited {tries}"),
        before_call=kill,
    )
    report = register.play(FIRST, TWO_LINES, moment=NOON)
    assert happened == ["killed", "waited 1"]
    assert report.calls[-1] == CallMade("complete", "recorded", tries=2)
    assert shop.only_receipt.paid_minor == 1_350


@pytest.mark.parametrize("failure", [JOURNAL_DAMAGED, REFUSED_BY_TOKEN, DISK_FULL])
def test_till_that_cannot_record_is_not_asked_twice(shop: Shop, failure: str | Exception) -> None:
    shop.till.trouble("complete", failure)
    report = shop.play(*TWO_LINES)
    assert report.ending == Ending.WITHOUT_LOYALTY
    assert report.calls[-1].tries == 1
    assert bool(report.faults) == (failure is REFUSED_BY_TOKEN)
    assert shop.only_receipt == PrintedReceipt(
        kind="without_loyalty",
        receipt_id=FIRST,
        till="1-1",
        version=3,
        moment=NOON,
        gross_minor=1_500,
        paid_minor=1_500,
    )


def test_agent_that_failed_on_a_call_is_asked_again(shop: Shop) -> None:
    shop.till.trouble("complete", AGENT_FAILED)
    report = shop.play(*TWO_LINES)
    assert report.ending == Ending.RECORDED
    assert "internal_error" in report.faults[0]


def test_dead_till_costs_one_series_of_tries_and_the_sale_goes_on(shop: Shop) -> None:
    shop.till.trouble("update", *[LOSE_CALL] * 100)
    report = shop.play(CARD, scan("1"), scan("2", 500), GoToPayment(100), Complete())
    # The scans after the first are not sent; going to payment finds the till again.
    assert report.calls == (
        CallMade("update", "unreachable", tries=3),
        CallMade("reserve", "reserved", tries=1),
        CallMade("complete", "recorded", tries=1),
    )
    shop.till.trouble("reserve", LOSE_CALL, LOSE_CALL, LOSE_CALL)
    report = shop.play(CARD, scan("1"), scan("2"), GoToPayment(100), Complete(), receipt_id=SECOND)
    assert [call.tries for call in report.calls] == [3, 1, 1]
    assert report.ending == Ending.WITHOUT_LOYALTY
    last = shop.printer.documents[-1]
    assert isinstance(last, PrintedReceipt)
    assert (last.kind, last.gross_minor, last.paid_minor) == ("without_loyalty", 2_000, 2_000)


def test_till_that_comes_back_in_the_middle_of_a_sale_catches_up(shop: Shop) -> None:
    shop.till.trouble("update", *[LOSE_CALL] * 3)
    report = shop.play(CARD, scan("1"), scan("2", 500), GoToPayment(), Complete())
    assert outcomes(report) == ["unreachable", "calculated", "recorded"]
    assert shop.only_receipt.paid_minor == 1_350


# -- settling later ------------------------------------------------------------------------------


def test_points_of_a_sale_without_loyalty_are_freed_when_the_till_is_back(shop: Shop) -> None:
    shop.till.trouble("complete", *[LOSE_CALL] * 3)
    report = shop.play(CARD, scan("1"), GoToPayment(100), Complete())
    assert report.ending == Ending.WITHOUT_LOYALTY
    assert shop.till.reserved == {FIRST: 100}
    assert shop.play(*TWO_LINES, receipt_id=SECOND).ending == Ending.RECORDED
    assert (shop.till.reserved, shop.till.cancelled) == ({}, {FIRST})
    assert shop.register.settlements == [Settlement(subject_id=FIRST, outcome="released")]


def test_receipt_recorded_behind_the_registers_back_is_taken_back_whole(shop: Shop) -> None:
    shop.till.trouble("complete", *[LOSE_REPLY] * 3)
    report = shop.play(CARD, scan("1"), GoToPayment(100), Complete())
    assert report.ending == Ending.WITHOUT_LOYALTY
    assert FIRST in shop.till.recorded
    shop.till.trouble("return_confirm", LOSE_REPLY)
    assert shop.register.settle() == 1
    assert shop.register.settle() == 0
    assert shop.register.settlements == [Settlement(subject_id=FIRST, outcome="reversed")]
    reversal_id = str(uuid5(UUID(FIRST), "reversal"))
    assert list(shop.till.returned) == [reversal_id]
    assert shop.printer.documents[1:] == [
        PrintedReturn(
            kind="reversal",
            return_id=reversal_id,
            original_receipt_id=FIRST,
            till="1-1",
            moment=NOON,
            lines=(GoodsBack("1", 1_000),),
            points_back=100,
            points_taken_back=8,
        )
    ]


def test_settling_waits_while_the_till_is_dead_or_cannot_write(shop: Shop) -> None:
    shop.till.trouble("complete", DISK_FULL)
    shop.play(*TWO_LINES)
    shop.till.trouble("cancel", DISK_FULL, LOSE_CALL, JOURNAL_DAMAGED)
    assert [shop.register.settle() for _ in range(4)] == [1, 1, 1, 0]


def test_cancel_without_an_answer_is_settled_later(shop: Shop) -> None:
    shop.till.trouble("cancel", *[LOSE_CALL] * 3)
    assert shop.play(CARD, scan("1"), GoToPayment(5), CancelSale()).ending == Ending.CANCELLED
    assert shop.till.reserved == {FIRST: 5}
    assert shop.register.settle() == 0
    assert shop.till.reserved == {}


# -- returns -------------------------------------------------------------------------------------


def goods(*lines: str) -> tuple[GoodsBack, ...]:
    return tuple(map(GoodsBack, lines))


@pytest.fixture
def sold() -> Shop:
    """A shop that has sold two lines, partly for points."""
    shop = Shop()
    shop.play(CARD, scan("1"), scan("2", 500), GoToPayment(100), Complete())
    shop.printer.documents.clear()
    return shop


def test_return_is_shown_then_recorded_then_printed(sold: Shop) -> None:
    report = sold.play(ReturnLines(FIRST, goods("1")), receipt_id=RETURN)
    assert report.calls == (
        CallMade("return_preview", "previewed", 1),
        CallMade("return_confirm", "recorded", 1),
    )
    assert (report.ending, report.faults) == (Ending.RETURNED, ())
    assert sold.printer.documents == [
        PrintedReturn(
            kind="return",
            return_id=RETURN,
            original_receipt_id=FIRST,
            till="1-1",
            moment=NOON,
            lines=(GoodsBack("1", 1_000),),
            money_back_minor=800,
            points_back=100,
            points_taken_back=8,
        )
    ]


def test_return_that_posts_other_figures_than_it_showed_is_a_fault() -> None:
    class ForgetfulTill(FakeTill):
        def return_lines(
            self,
            return_id: str,
            lines: LinesReturned,
            *,
            confirm: bool,
            money_back_minor: int | None = None,
        ) -> TillAnswer:
            answer = super().return_lines(
                return_id, lines, confirm=confirm, money_back_minor=money_back_minor
            )
            assert answer.calculation is not None
            wrong = dict(answer.calculation) | {"money_back_minor": 1}
            return replace(answer, calculation=wrong) if confirm else answer

    shop = Shop(ForgetfulTill())
    shop.play(*TWO_LINES)
    report = shop.play(ReturnLines(FIRST, goods("1")), receipt_id=RETURN)
    assert report.ending == Ending.RETURNED
    assert report.faults == ("the return was recorded with other figures than were shown",)


def test_pieces_of_a_line_come_back_one_after_the_other() -> None:
    shop = Shop()
    shop.play(CARD, scan("1", 3_000, pieces=3), Complete())
    shop.printer.documents.clear()
    for number, pieces in enumerate((1_000, 2_000), start=1):
        return_id = f"{RETURN[:-1]}{number + 7}"
        report = shop.play(ReturnLines(FIRST, (GoodsBack("1", pieces),)), receipt_id=return_id)
        assert (report.ending, report.faults) == (Ending.RETURNED, ())
    money = [paper.money_back_minor for paper in shop.printer.documents]  # type: ignore[union-attr]
    assert money == [900, 1_800]
    report = shop.play(ReturnLines(FIRST, (GoodsBack("1", 1_000),)), receipt_id=SECOND)
    assert report.ending == Ending.RETURN_REFUSED


def test_return_whose_figures_changed_since_it_was_shown_is_shown_again_and_made() -> None:
    class TillThatLearns(FakeTill):
        """Hears of another till's return of the same goods between preview and confirmation."""

        def return_lines(
            self,
            return_id: str,
            lines: LinesReturned,
            *,
            confirm: bool,
            money_back_minor: int | None = None,
        ) -> TillAnswer:
            answer = super().return_lines(
                return_id, lines, confirm=confirm, money_back_minor=money_back_minor
            )
            if not confirm:
                self.returned_quantities[FIRST, "1"] += 1_000
            return answer

    shop = Shop(TillThatLearns())
    shop.play(CARD, scan("1", 3_000, pieces=3), Complete())
    report = shop.play(ReturnLines(FIRST, goods("1")), receipt_id=RETURN)
    assert outcomes(report) == ["previewed", "stale_calculation", "recorded"]
    assert (report.ending, report.faults) == (Ending.RETURNED, ())
    printed = shop.printer.documents[-1]
    assert isinstance(printed, PrintedReturn)
    assert (printed.money_back_minor, printed.lines) == (1_800, (GoodsBack("1", 2_000),))


def test_return_of_an_unknown_receipt_is_recorded_for_the_centre(shop: Shop) -> None:
    report = shop.play(ReturnLines(SECOND, goods("1")), receipt_id=RETURN)
    assert outcomes(report) == ["receipt_unknown", "recorded"]
    (printed,) = shop.printer.documents
    assert isinstance(printed, PrintedReturn)
    assert printed.pending


def test_line_returned_before_is_refused_and_nothing_is_printed(sold: Shop) -> None:
    sold.play(ReturnLines(FIRST, goods("1")), receipt_id=RETURN)
    report = sold.play(ReturnLines(FIRST, goods("1", "2")), receipt_id=SECOND)
    assert (report.ending, outcomes(report)) == (
        Ending.RETURN_REFUSED,
        ["line_already_returned"],
    )
    assert len(sold.printer.documents) == 1


@pytest.mark.parametrize("call", ["return_preview", "return_confirm"])
def test_return_whose_answer_is_lost_is_repeated(sold: Shop, call: str) -> None:
    sold.till.trouble(call, LOSE_REPLY)
    report = sold.play(ReturnLines(FIRST, goods("2")), receipt_id=RETURN)
    assert (report.ending, report.faults) == (Ending.RETURNED, ())
    assert len(sold.till.returned) == 1


@pytest.mark.parametrize(
    "troubles", [[LOSE_REPLY] * 3, [LOSE_CALL] * 3, [DISK_FULL]], ids=["done", "lost", "disk full"]
)
def test_return_not_confirmed_is_recorded_and_printed_later(
    sold: Shop, troubles: list[str]
) -> None:
    sold.till.trouble("return_confirm", *troubles)
    report = sold.play(ReturnLines(FIRST, goods("2")), receipt_id=RETURN)
    assert (report.ending, sold.printer.documents) == (Ending.RETURN_POSTPONED, [])
    assert sold.register.settle() == 0
    assert sold.register.settlements == [Settlement(subject_id=RETURN, outcome="returned")]
    (printed,) = sold.printer.documents
    assert isinstance(printed, PrintedReturn)
    assert (printed.kind, printed.money_back_minor) == ("return", 450)


def test_return_the_till_never_showed_is_not_made(sold: Shop) -> None:
    sold.till.trouble("return_preview", *[LOSE_CALL] * 3)
    report = sold.play(ReturnLines(FIRST, goods("2")), receipt_id=RETURN)
    assert report.ending == Ending.RETURN_POSTPONED
    assert (sold.register.settle(), sold.till.returned) == (0, {})


def test_fiscal_lines_that_do_not_make_the_total_are_a_fault() -> None:
    class TillThatCannotDivide(FakeTill):
        def complete(self, receipt_id: str, receipt: Receipt, *, paid_minor: int) -> TillAnswer:
            answer = super().complete(receipt_id, receipt, paid_minor=paid_minor)
            (line,) = answer.fiscal_lines
            return replace(answer, fiscal_lines=(replace(line, amount_minor=899),))

    report = Shop(TillThatCannotDivide()).play(CARD, scan("1"), Complete())
    assert report.ending == Ending.RECORDED
    assert report.faults == (
        "fiscal line 1: unit price x pieces is not 899",
        "fiscal lines are 899, to pay is 900",
    )


# -- the register's own trouble ------------------------------------------------------------------


def test_printer_that_fails_is_reported_and_the_receipt_stays_recorded() -> None:
    class BusyPrinter:
        def print_document(self, document: PrintedReceipt | PrintedReturn) -> None:
            raise DeviceBusyError(f"no paper for {document.kind}")

    till = FakeTill()
    report = SimulatedRegister("1-1", till, BusyPrinter()).play(FIRST, TWO_LINES, moment=NOON)
    assert (report.ending, report.printed) == (Ending.RECORDED, None)
    assert report.faults == ("not printed: no paper for sale",)
    assert FIRST in till.recorded


def test_session_that_fails_is_reported_settled_and_followed_by_the_next(shop: Shop) -> None:
    report = shop.play(CARD, scan("1"), GoToPayment(50), VoidLine("9"), Complete())
    assert (report.ending, report.faults) == (Ending.FAILED, ("KeyError: '9'",))
    assert shop.play(*TWO_LINES, receipt_id=SECOND).ending == Ending.RECORDED
    assert shop.register.settlements == [Settlement(subject_id=FIRST, outcome="released")]
    assert shop.till.reserved == {}


def test_drill_that_raises_is_a_failed_session(shop: Shop) -> None:
    def out_of_order(name: str) -> None:
        raise TillUnreachableError(f"drill at {name}")

    register = SimulatedRegister("1-1", shop.till, shop.printer, before_call=out_of_order)
    report = register.play(FIRST, TWO_LINES, moment=NOON)
    assert report.faults == ("TillUnreachableError: drill at update",)
