"""How a till's rules stand, told between two HELLOs in the session there is.

Guards count what tills say of a release. A HELLO says it, too, and ends the session until it is
answered: a release for all tills would have them all without one while a front hears so many.
"""

from typing import Annotated, Final

from msgspec import Meta

from sync.limits import COUNT_MAX
from sync.messages import Message
from sync.rule_messages import RulesReport

PATH_REPORT: Final = "/v1/till/report"


class Report(Message, frozen=True, kw_only=True):
    """What is in force at a till, in place of what it said before.

    Attributes:
        number: rises with each report of a session; one that comes late or twice says nothing.
        bundle: hash of the active bundle, hexadecimal; empty if none.
    """

    number: Annotated[int, Meta(ge=1, le=COUNT_MAX)]
    bundle: Annotated[str, Meta(max_length=64)]
    rules: RulesReport


class ReportAnswer(Message, frozen=True, kw_only=True):
    """It is kept."""
