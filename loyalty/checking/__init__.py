"""Looks for what is wrong with a set of rules before it is published, and says what to change.

`errors_of` is what is refused, here and by every till; `check_bundle` is all there is to find.
"""

from loyalty.checking.checks import check_bundle
from loyalty.checking.errors import errors_of
from loyalty.checking.finding import ERRORS, Code, Finding, Severity

__all__ = [
    "ERRORS",
    "Code",
    "Finding",
    "Severity",
    "check_bundle",
    "errors_of",
]
