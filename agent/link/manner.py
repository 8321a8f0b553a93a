"""Whether requests carry the short header: while the centre reads it and nothing between minds.

The answer to HELLO offers it. An answer to a short request that is not the centre's ends it until
the next HELLO, which is then said in full; a way that has refused it again and again after a HELLO
that came through is not tried any more.
"""

from typing import Final

_FAILED_MAX: Final = 3


class Manner:
    """How one till speaks to its centre; in full at first.

    Attributes:
        is_short: the next request carries the short header.
    """

    def __init__(self) -> None:
        self.is_short = False
        self._failed = 0

    def greeted(self, *, short: bool) -> None:
        """The centre has answered HELLO and said whether it reads the short header."""
        self.is_short = short and self._failed < _FAILED_MAX

    def answered(self, *, shortly: bool) -> None:
        """The centre itself has answered a request."""
        if shortly:
            self._failed = 0

    def failed(self, *, shortly: bool) -> None:
        """Something else than the centre has answered a request."""
        if shortly:
            self.is_short = False
            self._failed += 1
