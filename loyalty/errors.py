"""Errors of the rules.

LoyaltyError
├─ DocumentError     a document (offer, bundle, basket) does not say what it must; carries the path
├─ RuleSetError      documents are readable but contradict each other; refused when published
└─ AmountError       an amount is outside the bounds of `limits`
"""


class LoyaltyError(Exception):
    """The rules were given something they cannot work with."""


class DocumentError(LoyaltyError):
    """A document does not say what it must."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


class RuleSetError(LoyaltyError):
    """The rule set contradicts itself."""


class AmountError(LoyaltyError, ValueError):
    """An amount is outside its bounds."""
