"""Looks for what is wrong with a set of rules before it is published, and says what to change.

`structural_errors` is what every compilation looks for, `check_bundle` all there is to find.
"""

from loyalty.checking.checks import check_bundle
from loyalty.checking.finding import ERRORS, STRUCTURAL, Code, Finding, Severity
from loyalty.checking.structure import structural_errors

__all__ = [
    "ERRORS",
    "STRUCTURAL",
    "Code",
    "Finding",
    "Severity",
    "check_bundle",
    "structural_errors",
]
