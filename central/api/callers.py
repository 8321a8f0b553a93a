"""Who calls, and what a call brought: the same at every door of the office, of persons and others.

The office's token reads; what changes something is a person's (design: centre 9).
"""

import hmac
from typing import Final, TypeVar

import msgspec
from starlette.requests import Request

from central.api.till_routes import read_body
from central.database.pool import Connection, Pool
from central.errors import AuthenticationError, BadRequestError, ForbiddenError, NotFoundError
from central.keys import CentreKeys
from central.staff.persons import Person, find_person
from sync.limits import COUNT_MAX

T = TypeVar("T")

_PATH_CHARACTERS_MAX: Final = 200


def bearer(request: Request) -> str:
    """Return the token of a call.

    Raises:
        AuthenticationError: there is none.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise AuthenticationError("send the header Authorization: Bearer TOKEN")
    return token.strip()


def require_office(request: Request, keys: CentreKeys) -> None:
    """Refuse whoever has not the office's token.

    Raises:
        AuthenticationError: another token, or none.
    """
    if not _is_office(bearer(request), keys):
        raise AuthenticationError(
            "send the header Authorization: Bearer TOKEN with the office token"
        )


async def office_or_person(
    request: Request, keys: CentreKeys, database: Connection | Pool
) -> Person | None:
    """Return the person who calls; None for the office's token, which reads alone.

    Raises:
        AuthenticationError: neither's token.
        ForbiddenError: the office's token for a write.
    """
    token = bearer(request)
    if not _is_office(token, keys):
        return await find_person(database, token)
    if request.method != "GET":
        raise ForbiddenError("a person does this: send that person's token")
    return None


async def person_of(request: Request, pool: Pool) -> Person:
    """Return the person who calls.

    Raises:
        AuthenticationError: nobody's token.
    """
    return await find_person(pool, bearer(request))


def _is_office(token: str, keys: CentreKeys) -> bool:
    return hmac.compare_digest(token.encode(), keys.office_token.encode())


async def read_json(request: Request, kind: type[T]) -> T:
    """Return a body as what a call wants; no body is an empty object.

    Raises:
        BadRequestError: it is something else. The decoder names the field, never what was in it.
    """
    try:
        return msgspec.json.decode(await read_body(request) or b"{}", type=kind)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise BadRequestError("$", str(error)) from error


def named(request: Request, name: str) -> str:
    """Return a part of the path.

    Raises:
        BadRequestError: it can be no name.
    """
    text: str = request.path_params[name]
    if "\0" in text or len(text) > _PATH_CHARACTERS_MAX:
        raise BadRequestError(name, "can be no name")
    return text


def numbered(request: Request, name: str) -> int:
    """Return a part of the path that is a number.

    Raises:
        NotFoundError: it is none.
    """
    text = request.path_params[name]
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(COUNT_MAX))
    if not is_number or int(text) > COUNT_MAX:
        raise NotFoundError(f"{name} is named by a number")
    return int(text)
