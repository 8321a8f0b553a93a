"""Errors to HTTP: status and stable code in one table."""

from central.errors import (
    AuthenticationError,
    BadRequestError,
    CentralError,
    DatabaseUnavailableError,
    EnrolmentError,
    ForbiddenError,
    NotFoundError,
    OverloadedError,
    TillRevokedError,
)
from central.streams.ingest import StreamUnknownError
from central.tills.desk import SessionUnknownError
from sync.errors import MalformedMessageError, SignatureError
from sync.messages import Problem

_TABLE: tuple[tuple[type[Exception], int, str], ...] = (
    (SessionUnknownError, 409, "session_unknown"),
    (StreamUnknownError, 409, "stream_unknown"),
    (TillRevokedError, 410, "till_revoked"),
    (AuthenticationError, 401, "not_authenticated"),
    (SignatureError, 401, "signature_wrong"),
    (ForbiddenError, 403, "not_allowed"),
    (EnrolmentError, 403, "enrolment_refused"),
    (MalformedMessageError, 400, "message_malformed"),
    (BadRequestError, 422, "request_invalid"),
    (NotFoundError, 404, "not_found"),
    (DatabaseUnavailableError, 503, "database_unavailable"),
    (OverloadedError, 503, "overloaded"),
)

NAMED = (CentralError, MalformedMessageError, SignatureError)
"""Errors that have an answer; everything else is our bug and answers 500 without detail."""


def problem_of(error: Exception) -> tuple[int, Problem]:
    """Return status and body for a named error."""
    for kind, status, code in _TABLE:
        if isinstance(error, kind):
            return status, Problem(error=code, message=str(error))
    return 500, Problem(
        error="internal_error", message="the centre failed on this request and logged it"
    )
