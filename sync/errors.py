"""Errors of the protocol, named by what to do next.

SyncError
├─ MalformedMessageError   the bytes are not a message; final, keep them and report
│  └─ QrTextError          the text of a QR code is not one of ours, or was misread
├─ SignatureError          the sender is not who it says; final
├─ LinkError               no answer; try again by the schedule
│  └─ BusyError            the centre asks to wait; carries the delay
│     └─ CrowdedError      it has no place for the request, and did nothing for it
├─ RestartsError           the till's stream began anew too often; carries the delay
└─ RefusedError            the centre answered with a named refusal; carries its code
"""


class SyncError(Exception):
    """Till and centre did not understand each other."""


class MalformedMessageError(SyncError):
    """The bytes are not a message of this protocol."""


class QrTextError(MalformedMessageError):
    """The text of a QR code is not a document of this protocol."""


class SignatureError(SyncError):
    """A signature does not match its bytes and key."""


class LinkError(SyncError):
    """The other side did not answer."""


class BusyError(LinkError):
    """The centre asks to come back later."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"the centre asks to wait {retry_after_s:g} s")
        self.retry_after_s = retry_after_s


class CrowdedError(BusyError):
    """The centre has no place for the request now and did nothing for it: nothing is in doubt."""


class RestartsError(SyncError):
    """The till's stream began anew too often to say so at once."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__("this till's stream began anew too often: does another machine run as it?")
        self.retry_after_s = retry_after_s


class RefusedError(SyncError):
    """The centre refused the request by name."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
