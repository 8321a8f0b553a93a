"""What holds for every back-test: leaving a receipt out changes nothing, columns lose nothing."""

from dataclasses import replace

from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from central.backtest.batch import Terms, _sorted_out, backtest_batch
from central.backtest.figures import Figures
from central.backtest.outcomes import floor_minor, outcome_of, printed_outcomes
from central.backtest.pairs import make_pair
from central.backtest.reading import inputs_of
from loyalty.calculate import calculate
from loyalty.candidates import set_scene
from loyalty.canonical import canonical_bytes
from loyalty.checking import errors_of
from loyalty.compilation import compile_bundle
from loyalty.opening import days
from tests.support.archived import HASH, batch_of, changes, pairs_of, posted_of
from tests.support.effort import examples
from tests.support.receipt_strategies import Receipt, receipts

RECALCULATE = Terms(recalculate=True)


@settings(max_examples=examples(120))
@given(receipts, st.data())
def test_a_receipt_that_is_left_out_comes_out_the_same_to_the_byte(
    receipt: Receipt, data: st.DataObject
) -> None:
    change = data.draw(changes(receipt.bundle), "change")
    assume(not errors_of(change.made_to(receipt.bundle)))
    pair = make_pair(receipt.bundle, HASH, change)
    batch = batch_of([posted_of(receipt, pair.without)])
    untouched, touched = _sorted_out(batch, pairs_of(receipt.bundle, change), Figures())
    assert len(untouched) + sum(map(len, touched.values())) == 1
    one, other = receipt.calculate(pair.without), receipt.calculate(pair.with_change)
    is_same = canonical_bytes(one) == canonical_bytes(other)
    event(f"{'left out' if untouched else 'calculated'}, {'same' if is_same else 'changed'}")
    if untouched:
        assert is_same


@given(receipts)
def test_columns_give_back_everything_a_calculation_reads(receipt: Receipt) -> None:
    rules = compile_bundle(receipt.bundle, HASH)
    posted = posted_of(receipt, rules)
    (inputs,) = inputs_of(batch_of([posted]))
    again = calculate(
        inputs.basket,
        rules,
        moment=inputs.moment,
        place=inputs.place,
        account=inputs.account,
        request=inputs.request,
        right=inputs.right,
        allowance=inputs.allowance,
    )
    assert canonical_bytes(again) == canonical_bytes(posted.printed)


@given(receipts)
def test_what_was_printed_is_read_as_if_it_were_calculated(receipt: Receipt) -> None:
    rules = compile_bundle(receipt.bundle, HASH)
    posted = posted_of(receipt, rules)
    (printed,) = printed_outcomes(batch_of([posted]), receipt.bundle)
    assert printed == outcome_of(posted.printed, receipt.bundle)


@given(receipts)
def test_the_floor_of_a_line_is_the_engine_s(receipt: Receipt) -> None:
    rules = compile_bundle(receipt.bundle, HASH)
    index = rules.on(receipt.place, *days(receipt.moment))
    scene, _ = set_scene(receipt.basket, index, receipt.bundle.programme.receipt)
    for line, floor in zip(scene.lines, scene.floor_minor, strict=True):
        source = line.source
        found = floor_minor(source.sku, source.quantity, source.gross_minor, receipt.bundle)
        assert found == floor


@settings(max_examples=examples(60))
@given(st.lists(receipts, min_size=1, max_size=4), st.data())
def test_partial_sums_add_up_however_the_receipts_are_split(
    drawn: list[Receipt], data: st.DataObject
) -> None:
    bundle = drawn[0].bundle
    change = data.draw(changes(bundle), "change")
    assume(not errors_of(change.made_to(bundle)))
    rules = compile_bundle(bundle, HASH)
    batch = batch_of(
        [
            posted_of(replace(each, bundle=bundle), rules, key=f"s{number}")
            for number, each in enumerate(drawn)
        ]
    )
    pairs = pairs_of(bundle, change)
    at = data.draw(st.integers(0, len(drawn)), "split")
    added = backtest_batch(batch.slice(at), pairs, terms=RECALCULATE)
    added.add(backtest_batch(batch.slice(0, at), pairs, terms=RECALCULATE))
    assert added == backtest_batch(batch, pairs, terms=RECALCULATE)


@settings(max_examples=examples(60))
@given(receipts, st.data())
def test_what_the_centre_confirmed_need_not_be_calculated_again(
    receipt: Receipt, data: st.DataObject
) -> None:
    change = data.draw(changes(receipt.bundle), "change")
    assume(not errors_of(change.made_to(receipt.bundle)))
    batch = batch_of([posted_of(receipt, compile_bundle(receipt.bundle, HASH))])
    pairs = pairs_of(receipt.bundle, change)
    known = backtest_batch(batch, pairs).total()
    again = backtest_batch(batch, pairs, terms=RECALCULATE).total()
    for figures in (known, again):
        figures.without.calculated = figures.checked = 0
    assert known == again
