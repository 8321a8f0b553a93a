"""Sets points aside for a receipt: own rights, an authorisation, the store's vault, then risk.

Every step is durable before the next is asked for; a receipt that was finished meanwhile, or a
stream begun anew, ends the asking: its record settles what was given (design: sync 4.6).
"""

from collections.abc import Generator
from dataclasses import dataclass

from agent.journal.receipts import ReceiptRow
from agent.neighbours.asking import ask_holders
from agent.neighbours.heads import ask_for_head
from agent.neighbours.patience import Patience
from agent.till_service.case import Case
from agent.till_service.till import Till
from sync.cycle import PATH_AUTHORISE, Ask
from sync.errors import SignatureError
from sync.messages import AuthoriseAnswer, AuthoriseRequest, Message
from sync.neighbours import AskSibling
from sync.points import PATH_POINTS, PointsAnswer, lengthened_rights, points_request
from sync.short_grants import Holder
from sync.signing import check_message


@dataclass(frozen=True, slots=True)
class SetAside:
    """What could be had.

    Attributes:
        held_elsewhere_points: points the centre says are set aside for another till.
    """

    points: int
    held_elsewhere_points: int = 0


class Reserving:
    """The reservations of one till."""

    def __init__(self, till: Till) -> None:
        self._till = till

    def set_aside(
        self, case: Case, wanted: int
    ) -> Generator[Ask | AskSibling, Message | None, SetAside | None]:
        """Set up to `wanted` points aside, durably; None when the receipt was closed meanwhile.

        Raises:
            JournalUnavailableError: the disk refuses.
        """
        held_elsewhere = 0
        patience = Patience(self._till.system)
        yield from ask_for_head(self._till, patience)
        row = self._till.journal.receipt(case.receipt_id)
        if row is not None and row.state != "reserved":
            return None
        missing = self._first(case, wanted)
        if missing and self._may_ask(case):
            held_elsewhere = yield from self._authorise(case, missing)
            if not self._is_reserved(case):
                return None
        yield from self._ask_the_vault(case, wanted, patience)
        if not self._is_reserved(case):
            return None
        return SetAside(self._last(case, wanted), held_elsewhere)

    def _is_reserved(self, case: Case) -> bool:
        row = self._till.journal.receipt(case.receipt_id)
        return row is not None and row.state == "reserved"

    def _may_ask(self, case: Case) -> bool:
        may_get = self._till.link_up and not self._till.quarantined
        return may_get and bool(case.person.account.account_id) and not case.person.blocked

    def _first(self, case: Case, wanted: int) -> int:
        """Give back what another customer took; note durably that an authorisation is asked for.

        Returns how many points own rights cannot give.
        """
        till = self._till
        account_id = case.person.account.account_id
        with till.journal.transaction():
            if case.row is not None and case.row.account_id != account_id:
                # Another customer's: this one may neither spend it nor be counted as having it.
                till.journal.rights.unreserve(case.receipt_id)
            missing = self._missing(case, wanted)
            asks = bool(missing and self._may_ask(case)) or (
                case.row is not None and case.row.authorisation_asked
            )
            self._put_row(case, asked=asks)
        return missing

    def _reserved_rights(self, case: Case) -> int:
        held = self._till.journal.rights.reserved(case.receipt_id)
        return sum(r.points for r in held if r.purpose != "risk")

    def _authorise(self, case: Case, missing: int) -> Generator[Ask, Message | None, int]:
        """Ask the centre for what is missing; returns points it says are held elsewhere."""
        till = self._till
        already = sum(
            r.points
            for r in till.journal.rights.reserved(case.receipt_id)
            if r.purpose == "authorisation"
        )
        incarnation = till.journal.stream.head().incarnation
        account_id = case.person.account.account_id
        request = AuthoriseRequest(
            key=case.receipt_id,
            account_id=account_id,
            points=missing + already,
            incarnation=incarnation,
        )
        answer = yield from _asked(till, request)
        if answer is None:
            return 0
        if not self._is_reserved(case) or incarnation != till.journal.stream.head().incarnation:
            # Finished or begun anew while the answer was on its way;
            # the record of the receipt settles it.
            return 0
        with till.journal.transaction():
            for grant in answer.authorisations:
                try:
                    check_message(grant, till.identity.centre_key)
                except SignatureError:
                    continue
                mine = grant.till_id == till.identity.till_id and grant.incarnation == incarnation
                if mine and grant.sale_key == case.receipt_id and grant.account_id == account_id:
                    till.journal.rights.receive(grant)
        return answer.held_elsewhere_points

    def _missing(self, case: Case, wanted: int) -> int:
        """Return how many points the rights held here cannot give."""
        left = self._till.journal.rights.points_left(
            case.person.account.account_id, case.receipt_id, self._till.clock.now_ms()
        )
        return max(0, wanted - left - self._reserved_rights(case))

    def _ask_the_vault(
        self, case: Case, wanted: int, patience: Patience
    ) -> Generator[AskSibling, Message | None, None]:
        """Have a sibling give what is missing of the customer's points; needs no line."""
        account_id = case.person.account.account_id
        missing = self._missing(case, wanted)
        if missing and account_id and not case.person.blocked and self._till.gets_rights:
            yield from ask_holders(
                self._till,
                patience,
                receipt_id=case.receipt_id,
                account_id=account_id,
                points=missing,
            )

    def _last(self, case: Case, wanted: int) -> int:
        till, rights = self._till, self._till.journal.rights
        now_ms = till.clock.now_ms()
        account_id = case.person.account.account_id
        with till.journal.transaction():
            rights.unreserve(case.receipt_id)
            # The risk budget stands in for an authorisation that could not be had: for points the
            # customer has and nobody holds. What another till holds may be spent there.
            here = rights.points_left(account_id, case.receipt_id, now_ms)
            uncovered = min(case.person.available_points, case.person.points - here)
            taken = rights.reserve(
                case.receipt_id,
                account_id,
                0 if case.person.blocked else wanted,
                risk_points_max=min(till.settings.risk_points_per_receipt_max, max(0, uncovered)),
                now_ms=now_ms,
            )
            row = till.journal.receipt(case.receipt_id)
            self._put_row(case, asked=row is not None and row.authorisation_asked)
        return taken

    def _put_row(self, case: Case, *, asked: bool) -> None:
        self._till.journal.receipts.put(
            ReceiptRow(
                receipt_id=case.receipt_id,
                state="reserved",
                version=case.request.version,
                account_id=case.person.account.account_id,
                authorisation_asked=asked,
                request=case.content,
                answer=b"",
                calculation=b"",
                updated_at_ms=self._till.clock.now_ms(),
            )
        )


def _asked(
    till: Till, request: AuthoriseRequest
) -> Generator[Ask, Message | None, AuthoriseAnswer | None]:
    """Ask the centre for an authorisation; in few bytes where it takes it so."""
    brief = points_request(request) if till.takes_moulds else None
    if brief is None:
        answer = yield Ask(PATH_AUTHORISE, request, AuthoriseAnswer)
        return answer if isinstance(answer, AuthoriseAnswer) else None
    holder = Holder(till.identity.till_id, request.incarnation, till.session)
    short = yield Ask(PATH_POINTS, brief, PointsAnswer)
    if not isinstance(short, PointsAnswer):
        return None
    return lengthened_rights(short, request.key, holder)
