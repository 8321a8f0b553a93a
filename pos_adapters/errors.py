"""Errors of devices, and of calls to the till's agent; whatever they say, the sale goes on.

DeviceError                the sale goes on without the device
├─ DeviceMissingError      it or its driver is not there; somebody must plug it in or set it up
├─ DeviceBusyError         somebody else has it, or it has not finished; try again
├─ DeviceFaultError        it is there and cannot do what was asked (paper, cover, disk)
└─ BadReplyError           what it says is not in its protocol
TillCallError              the sale goes on without loyalty
├─ TillUnreachableError    no answer came; the call may have been done, so repeat the very same one
└─ TillRefusedError        the agent answered that it will not; it says why
"""


class DeviceError(Exception):
    """A device did not do what was asked."""


class DeviceMissingError(DeviceError):
    """The device is not there."""


class DeviceBusyError(DeviceError):
    """The device is not free now."""


class DeviceFaultError(DeviceError):
    """The device cannot do what was asked."""


class BadReplyError(DeviceError):
    """The device said something that is not in its protocol."""


class TillCallError(Exception):
    """A call to the till's agent brought no answer about the receipt."""


class TillUnreachableError(TillCallError):
    """The agent did not answer."""


class TillRefusedError(TillCallError):
    """The agent answered, but not about the receipt.

    Attributes:
        status: of HTTP.
        code: stable, see `docs/pos-api.md`.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message

    @property
    def is_transient(self) -> bool:
        """The very same call may be answered a moment later."""
        return self.code in _TRANSIENT


_TRANSIENT = frozenset({"internal_error", "request_too_slow", "too_many_connections"})
