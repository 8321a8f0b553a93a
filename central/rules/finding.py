"""The rule document that a name stands for: a draft's, a release's, or what all tills have."""

from typing import Final

from central.database.pool import Connection
from central.errors import BadRequestError
from central.rules.drafts import load_draft
from central.rules.library import load_bundle, newest_bundle
from central.rules.releases import find_release
from loyalty.bundle import Bundle

LIVE: Final = "live"
"""Names what all tills have."""

_DIGITS_MAX: Final = 18


def is_version(text: str) -> bool:
    """Say whether a text is a release's version."""
    return text.isascii() and text.isdecimal() and len(text) <= _DIGITS_MAX


async def find_rules(connection: Connection, name: str) -> Bundle:
    """Return the rule document of a draft (`summer@2`), of a release (`12`), or of `live`.

    Raises:
        BadRequestError: the text names nothing, or the content cannot be read any more.
        NotFoundError: there is no such draft or release.
    """
    if name != LIVE and not is_version(name):
        return (await load_draft(connection, name)).bundle
    try:
        if name == LIVE:
            return await newest_bundle(connection)
        return await load_bundle(connection, (await find_release(connection, int(name))).bundle)
    except LookupError as error:
        raise BadRequestError("release", f"cannot be read any more: {error}") from error
