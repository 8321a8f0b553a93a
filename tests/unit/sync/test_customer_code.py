"""Digits of customers' codes: made and read alike, and nobody else's are taken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.customer_code import (
    NAME_BYTES_MAX,
    are_code_digits,
    digits_of,
    fitting,
    plain_digits,
    read_digits,
    step_of,
)
from sync.errors import QrTextError

KEY = bytes(range(32))
STEP = step_of(1_741_176_000_000)
NEAR = range(STEP - 10, STEP + 3)
accounts = st.integers(1, 10**10 - 1)


def test_digits_are_twenty_of_a_fixed_form() -> None:
    assert digits_of(KEY, "green", 1_234_567, STEP) == "90001234567513008174"


@given(accounts, st.sampled_from(NEAR), st.sampled_from(["", "green", "зелёный"]))
def test_digits_are_read_as_they_were_made(account_id: int, step: int, programme: str) -> None:
    digits = digits_of(KEY, programme, account_id, step)
    typed = f" {digits[:4]} {digits[4:8]}-{digits[8:]} "
    assert are_code_digits(typed)
    assert plain_digits(typed) == digits
    assert read_digits(KEY, programme, typed, NEAR) == (account_id, step)


@given(accounts, st.integers(0, 19), st.integers(1, 9))
def test_a_mistyped_digit_is_noticed(account_id: int, at: int, by: int) -> None:
    digits = digits_of(KEY, "green", account_id, STEP)
    wrong = digits[:at] + str((int(digits[at]) + by) % 10) + digits[at + 1 :]
    with pytest.raises(QrTextError):
        read_digits(KEY, "green", wrong, NEAR)


def test_another_key_programme_or_time_makes_other_digits() -> None:
    digits = digits_of(KEY, "green", 7, STEP)
    for key, programme, steps in (
        (bytes(32), "green", NEAR), (KEY, "red", NEAR), (KEY, "green", range(STEP + 1, STEP + 99)),
    ):  # fmt: skip
        with pytest.raises(QrTextError, match="their time is over"):
            read_digits(key, programme, digits, steps)


@pytest.mark.parametrize(
    "text", ["", "2990000000000017", "9" * 19, "9" * 21, "8" + "0" * 19, "٩" * 20, "TSC1:9"]
)
def test_what_is_no_code_is_left_to_cards(text: str) -> None:
    assert not are_code_digits(text)


@pytest.mark.parametrize("account_id", [0, 10**10])
def test_an_account_without_room_has_no_digits(account_id: int) -> None:
    assert digits_of(KEY, "green", account_id, STEP) == ""
    with pytest.raises(QrTextError):
        read_digits(KEY, "green", "9" + "0" * 19, NEAR)


def test_names_that_have_no_room_are_left_out() -> None:
    long = "n" * (NAME_BYTES_MAX + 1)
    assert fitting(["aa", long, "ж" * 20, "b", "cc"], 43) == (("aa", "ж" * 20, "b"), 0)
    assert fitting(["a"] * 20, 99) == (("a",) * 16, 83)
