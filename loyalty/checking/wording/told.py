"""The form of a language's catalogue of findings.

Where a finding has several texts the first one is taken whose figures are all known;
the last one needs no figures.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from loyalty.checking.finding import Code


@dataclass(frozen=True, slots=True)
class Told:
    """What is said of one code.

    Attributes:
        problems: what is wrong, in a clause that begins small and has no full stop.
        remedies: what to change, in the same way.
    """

    problems: tuple[str, ...]
    remedies: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All texts of a language.

    Attributes:
        quotes: how an offer's id stands in a text.
    """

    texts: Mapping[Code, Told]
    quotes: str
