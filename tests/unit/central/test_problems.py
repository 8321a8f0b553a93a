"""What went wrong is told by name, and whether the call may be made again."""

import asyncpg
import msgspec
import pytest

from central.api.problems import BUSY, NAMED, problem_response

GONE = (
    asyncpg.AdminShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.PostgresConnectionError,
)


@pytest.mark.parametrize("kind", BUSY)
def test_a_database_that_is_busy_asks_to_come_again_and_tells_no_rows(
    kind: type[Exception],
) -> None:
    error = kind("Key (card)=(4000) is locked")
    assert isinstance(error, NAMED)
    answer = problem_response(error)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert b"4000" not in bytes(answer.body)
    # A till compares streams with a database that may be another one (docs/wire-protocol.md).
    is_gone = issubclass(kind, GONE)
    said = msgspec.json.decode(bytes(answer.body))["error"]
    assert said == ("database_unavailable" if is_gone else "overloaded")


@pytest.mark.parametrize(
    "kind", [asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError]
)
def test_a_text_that_no_database_keeps_is_malformed(kind: type[Exception]) -> None:
    error = kind("invalid byte sequence of Anna")
    assert isinstance(error, NAMED)
    answer = problem_response(error)
    assert answer.status_code == 400
    assert b"Anna" not in bytes(answer.body)


def test_what_is_wrong_with_a_row_stays_our_bug() -> None:
    error = asyncpg.CheckViolationError("Failing row contains (4000)")
    assert not isinstance(error, NAMED)
    assert problem_response(error).status_code == 500
