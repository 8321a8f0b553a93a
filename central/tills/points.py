"""Authorisations for tills that ask and hear in few bytes (`sync.points`)."""

from central.tills.caller import TillCaller
from central.tills.desk import TillDesk
from sync.points import PointsAnswer, PointsRequest, request_of, shortened_rights
from sync.short_grants import Holder


async def give_points(desk: TillDesk, caller: TillCaller, asked: PointsRequest) -> PointsAnswer:
    """Set points aside for one receipt."""
    request = request_of(asked, caller.incarnation)
    answer = await desk.authorise(caller, request)
    holder = Holder(caller.till_id, caller.incarnation, caller.session)
    return shortened_rights(answer, request.key, holder)
