"""What can go wrong in the centre.

CentralError
 · ConfigurationError           the process cannot run as configured; it ends with exit code 78
 · DatabaseUnavailableError     no PostgreSQL that fits answers; it ends with exit code 69
 · MigrationError               the schema cannot be brought up to date
 · AuthenticationError          the caller did not prove who it is
   · TillRevokedError           it did, and may not come in any more
 · ForbiddenError               the caller is known and may not do this
   · LimitReachedError          it may not do so much of it
 · OverloadedError              too much waits; the caller is to come again
 · SlowSenderError              what the caller sends does not come in time
 · TakesTooLongError            a call may not take so long; a command may
 · TooManyRequestsError         this caller comes too often
 · EnrolmentError               a till cannot be enrolled with this code
 · BadRequestError              a request cannot be read; says where and why
 · NotFoundError                there is no such thing
 · ConflictError                another thing stands there already

A class's docstring is its message when none is given. What a till is told about its records is not
here: outcomes are values.
"""

from typing import ClassVar


class CentralError(Exception):
    """The centre cannot do what was asked."""

    exit_code: ClassVar[int] = 1
    """What a command that fails with this error returns to the shell (BSD's sysexits)."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or type(self).__doc__ or type(self).__name__)


class ConfigurationError(CentralError):
    """The configuration cannot be used: correct it and start again."""

    exit_code = 78


class DatabaseUnavailableError(CentralError):
    """PostgreSQL does not answer: check that it runs and that the address is right."""

    exit_code = 69


class MigrationError(CentralError):
    """The database's schema cannot be brought up to date; nothing of the failed step was kept."""


class AuthenticationError(CentralError):
    """The request is not signed by a known key: enrol the till or sign in again."""


class TillRevokedError(AuthenticationError):
    """This till was revoked: enrol it anew if it is to work again."""


class ForbiddenError(CentralError):
    """This may be done by others: ask for the role that is needed."""


class LimitReachedError(ForbiddenError):
    """This is more than the caller may do: ask for less, or for another limit."""


class OverloadedError(CentralError):
    """More waits here than can be done soon: come again in a moment."""


class SlowSenderError(CentralError):
    """The request has not come in time: send it at once, or over a better line."""


class TakesTooLongError(CentralError):
    """This takes longer than a call may: run the command that takes its time."""

    def __init__(self, longest_s: float, command: str) -> None:
        """Say what to do instead.

        Args:
            longest_s: how long a call may take.
            command: of the centre, which does the same.
        """
        super().__init__(
            f"this takes longer than the {longest_s:g} s a call may: run {command} on the centre's"
            " machine"
        )


class TooManyRequestsError(CentralError):
    """This caller comes too often: come again later."""

    def __init__(self, retry_after_s: float) -> None:
        """Say when.

        Args:
            retry_after_s: from now on.
        """
        super().__init__()
        self.retry_after_s = retry_after_s


class EnrolmentError(CentralError):
    """The enrolment code is unknown, used or too old: ask for a new one in the console."""


class BadRequestError(CentralError):
    """The request cannot be read."""

    def __init__(self, path: str, reason: str) -> None:
        """Say where and why.

        Args:
            path: the place in the request, such as `$.lines[3].quantity`.
            reason: what is wrong there, without repeating what the caller sent.
        """
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class NotFoundError(CentralError):
    """There is no such thing here."""


class ConflictError(CentralError):
    """Something else is known by this name already."""
