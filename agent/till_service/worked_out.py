"""A calculation and the forms it is answered and recorded in, made once for the same inputs."""

from dataclasses import dataclass, field

from agent.till_service.printed_form import calculation_bytes
from loyalty.calculation import Calculation
from loyalty.fiscal import FiscalLine, fiscal_lines, paid_by_points_minor
from sync.records import CalculationInputs


@dataclass(frozen=True, slots=True)
class WorkedOut:
    """What a receipt came to.

    Attributes:
        key: stands for `inputs`, and is compared sooner.
        printed: canonical bytes of the calculation, as answered and as recorded.
        fiscal: the lines as a fiscal printer wants them.
    """

    key: tuple[object, ...]
    inputs: CalculationInputs
    calculation: Calculation
    printed: bytes = field(init=False)
    fiscal: tuple[FiscalLine, ...] = field(init=False)
    paid_by_points_minor: int = field(init=False)

    def __post_init__(self) -> None:
        found, mode = self.calculation, self.calculation.terms.mode
        object.__setattr__(self, "printed", calculation_bytes(found))
        object.__setattr__(self, "fiscal", fiscal_lines(found, mode))
        object.__setattr__(self, "paid_by_points_minor", paid_by_points_minor(found.lines, mode))
