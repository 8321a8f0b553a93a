"""Errors to HTTP: status and stable code in one table, and the one form of a refusal in JSON."""

from http import HTTPStatus
from math import ceil
from typing import Any, Final

import asyncpg
import msgspec
import structlog
from starlette.responses import Response

from central.errors import (
    AuthenticationError,
    BadRequestError,
    CentralError,
    ConflictError,
    DatabaseUnavailableError,
    EnrolmentError,
    ForbiddenError,
    LimitReachedError,
    NotFoundError,
    OverloadedError,
    SlowSenderError,
    TakesTooLongError,
    TillRevokedError,
    TooManyRequestsError,
)
from central.observability.meters import PROBLEMS
from central.streams.ingest import StreamUnknownError
from central.tills.caller import SessionUnknownError
from sync.errors import MalformedMessageError, SignatureError
from sync.messages import Problem

log = structlog.get_logger()

_TABLE: tuple[tuple[type[Exception], int, str], ...] = (
    (SessionUnknownError, 409, "session_unknown"),
    (StreamUnknownError, 409, "stream_unknown"),
    (TillRevokedError, 410, "till_revoked"),
    (AuthenticationError, 401, "not_authenticated"),
    (SignatureError, 401, "signature_wrong"),
    (LimitReachedError, 403, "limit_reached"),
    (ForbiddenError, 403, "not_allowed"),
    (EnrolmentError, 403, "enrolment_refused"),
    (MalformedMessageError, 400, "message_malformed"),
    (BadRequestError, 422, "request_invalid"),
    (NotFoundError, 404, "not_found"),
    (ConflictError, 409, "conflict"),
    (DatabaseUnavailableError, 503, "database_unavailable"),
    (OverloadedError, 503, "overloaded"),
    (TakesTooLongError, 503, "takes_too_long"),
    (TooManyRequestsError, 429, "too_many_requests"),
    (SlowSenderError, 408, "request_timeout"),
)

_GONE = (
    asyncpg.AdminShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.PostgresConnectionError,
)
"""What answers next may be another database, without what this one did last."""

BUSY = (
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
    asyncpg.SerializationError,
    asyncpg.QueryCanceledError,
    asyncpg.TooManyConnectionsError,
    *_GONE,
)
"""What the database cannot do now and may do in a moment: the request may be made again."""

_NO_TEXT = (asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError)
"""Characters that no database keeps, NUL above all."""

NAMED = (CentralError, MalformedMessageError, SignatureError, *BUSY, *_NO_TEXT)
"""Errors that have an answer; everything else is our bug and answers 500 without detail."""


def problem_of(error: Exception) -> tuple[int, Problem]:
    """Return status and body for a named error."""
    if isinstance(error, BUSY):
        log.warning("database_busy", why=type(error).__name__)
        if isinstance(error, _GONE):
            error = DatabaseUnavailableError("the database does not answer: come again")
        else:
            error = OverloadedError("the database is busy with the same rows: come again")
    if isinstance(error, _NO_TEXT):
        error = MalformedMessageError("a text has a character that cannot be kept, like NUL")
    for kind, status, code in _TABLE:
        if isinstance(error, kind):
            PROBLEMS.labels(code).inc()
            return status, Problem(error=code, message=str(error))
    PROBLEMS.labels("internal_error").inc()
    return 500, Problem(
        error="internal_error", message="the centre failed on this request and logged it"
    )


PROBLEM_JSON: Final = "application/problem+json"
"""RFC 9457."""
COME_AGAIN_S: Final = 1


class ProblemDetails(msgspec.Struct, frozen=True, kw_only=True):
    """A refusal in JSON (RFC 9457).

    Attributes:
        title: the status in words.
        detail: the message, where programs that know nothing of this API look for it.
        error: stable, for programs.
        message: for people; says what to do where something can be done.
    """

    title: str
    status: int
    detail: str
    error: str
    message: str


def problem_json(status: int, error: str, message: str) -> Response:
    """Return a refusal by name, in JSON."""
    title = HTTPStatus(status).phrase
    body = ProblemDetails(title=title, status=status, detail=message, error=error, message=message)
    headers = {}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["retry-after"] = str(COME_AGAIN_S)
    if status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    if status == HTTPStatus.REQUEST_TIMEOUT:
        headers["connection"] = "close"  # what is still to come of the body is waited for no more
    return Response(msgspec.json.encode(body), status, headers, PROBLEM_JSON)


def problem_response(error: Exception) -> Response:
    """Return the answer for a named error, in JSON."""
    status, problem = problem_of(error)
    answer = problem_json(status, problem.error, problem.message)
    if isinstance(error, TooManyRequestsError):
        answer.headers["retry-after"] = str(ceil(error.retry_after_s))
    return answer


def problem_content() -> dict[str, Any]:
    """Return the content of a refusal for the OpenAPI document."""
    reference = {"$ref": f"#/components/schemas/{ProblemDetails.__name__}"}
    return {PROBLEM_JSON: {"schema": reference}}
