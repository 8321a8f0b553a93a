"""Programs from outside and customers who are signed in, for tests of the calls made by them."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

import httpx

from central.access.clients import Kind, add_client
from central.api.oauth_routes import FORM, PATH_TOKEN
from tests.support.centre import JoinedCentre

FORM_HEADERS = {"content-type": FORM}


@dataclass(frozen=True, slots=True)
class Program:
    """A program and its secret."""

    centre: JoinedCentre
    client_id: str
    secret: str

    async def ask(self, path: str = PATH_TOKEN, **fields: str) -> httpx.Response:
        """Send a form by this program."""
        return await self.centre.http.post(
            path,
            content=urlencode(fields),
            headers=FORM_HEADERS,
            auth=(self.client_id, self.secret),
        )

    async def token(self, **fields: str) -> Mapping[str, str]:
        """Return what the token end point gives for client credentials."""
        response = await self.ask(grant_type="client_credentials", **fields)
        assert response.status_code == 200, response.text
        found: Mapping[str, str] = response.json()
        return found

    async def headers(self, **fields: str) -> dict[str, str]:
        """Return the headers of calls with a fresh token."""
        given = await self.token(**fields)
        return {"authorization": f"Bearer {given['access_token']}"}


async def program(
    centre: JoinedCentre, client_id: str, kind: Kind, *scopes: str, title: str = ""
) -> Program:
    """Add a program."""
    async with centre.pool.acquire() as connection:
        secret = await add_client(
            connection, client_id, kind, title=title, scopes=scopes, by="root",
            system=centre.system,
        )  # fmt: skip
    return Program(centre, client_id, secret)
