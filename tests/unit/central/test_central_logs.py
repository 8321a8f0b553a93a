"""Log lines: JSON with a traceback where something broke, and no values of variables."""

import io
import json
from collections.abc import Iterator
from contextlib import redirect_stderr

import pytest
import structlog

from central.logs import set_up_logs


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    yield
    structlog.reset_defaults()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def logged(stream: io.StringIO) -> str:
    card_number = "4000 0001"
    with redirect_stderr(stream):
        set_up_logs()
        try:
            {0: card_number}[len(card_number)]
        except LookupError:
            structlog.get_logger().exception("record_quarantined", seq=7)
    return stream.getvalue()


def test_machines_get_json_with_the_traceback() -> None:
    line = json.loads(logged(io.StringIO()))
    assert (line["event"], line["level"], line["seq"]) == ("record_quarantined", "error", 7)
    assert "KeyError: 9" in line["exception"]
    assert line["timestamp"].endswith("Z")


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_no_line_shows_the_values_of_variables(stream: type[io.StringIO]) -> None:
    text = logged(stream())
    assert "KeyError" in text
    assert "4000 0001" not in text


def test_details_below_info_are_left_out() -> None:
    stream = io.StringIO()
    with redirect_stderr(stream):
        set_up_logs()
        structlog.get_logger().debug("noise")
    assert stream.getvalue() == ""
