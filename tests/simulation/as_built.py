"""The product as it is, and the places where a planted bug can be put into a world."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext

from agent.journal.anchor import Anchor
from agent.journal.database import Database
from agent.journal.journal import Journal
from agent.link.till_side import JournalTillSide
from agent.till_service.till import Till
from central.database.named_sql import Queries
from central.streams.apply import Applier
from tests.simulation.centre import Request, Response, SimulatedCentre
from tests.simulation.faults import Faults, Size

SOFTWARE = "simulated"
SEEDS_MAX = 8
"""In so many worlds a planted bug has to be found."""


class AsBuilt:
    """The product as it is.

    Attributes:
        journal_pragmas: of the journal's file; none = the product's.
        faults: the world in which a bug shows soonest; none = the world as asked for.
        size: of the worlds it has to be found in.
        first_seed: the search begins here: where it is found soon, for CI's sake.
    """

    name = "as built"
    journal_pragmas: tuple[str, ...] = ()
    faults: Faults | None = None
    size = Size(days=2)
    first_seed = 1

    @classmethod
    def seeds(cls) -> range:
        """Return the seeds in which it has to be found."""
        return range(cls.first_seed, cls.first_seed + SEEDS_MAX)

    def planted(self) -> AbstractContextManager[object]:
        """Return what is exchanged in the product while a world runs."""
        return nullcontext()

    def journal(self, database: Database, till_id: int, anchor: Anchor) -> Journal:
        """Return a till's journal."""
        return Journal(database, till_id, anchor)

    def till_side(self, till: Till) -> JournalTillSide:
        """Return a till's side of the conversation."""
        return JournalTillSide(till, software=SOFTWARE)

    def applier(self, centre: SimulatedCentre) -> Applier:
        """Return what makes ledger of records."""
        return centre.applier

    def housekeeping(self, centre: SimulatedCentre) -> Callable[[], Awaitable[None]] | None:
        """Return what the centre does from time to time besides."""
        return None

    def after_request(
        self, centre: SimulatedCentre
    ) -> Callable[[Request, Response], Awaitable[None]] | None:
        """Return what the centre does after each request besides."""
        return None


class Instead(dict[str, str]):
    """Statements by name, some of them naive."""

    def __init__(self, right: Queries, **naive: str) -> None:
        super().__init__(naive)
        self._right = right

    def __missing__(self, name: str) -> str:
        return self._right[name]
