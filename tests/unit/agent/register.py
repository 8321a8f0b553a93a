"""A register's program over real HTTP; holds every answer against the published document."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import msgspec

from agent.bootstrap import RunningAgent, running_agent
from agent.config import AgentConfig
from agent.pos_api.openapi import openapi_document
from tests.support.builders import A_WEDNESDAY
from tests.support.till import IDENTITY, RECEIPT, TOKEN, enrolled_folder

Body = dict[str, Any]
MILK: Body = {"line_id": "1", "sku": "milk", "quantity": 1_000, "gross_minor": 1_000}
SALE: Body = {"version": 1, "moment": A_WEDNESDAY, "lines": [MILK]}
PAID: Body = {**SALE, "paid_minor": 1_000}
UPDATE = f"/v1/receipts/{RECEIPT}"
DOCUMENT = openapi_document()


def schema_validator(schema: Body) -> jsonschema.Draft202012Validator:
    """Return the validator of a schema that may point into the document."""
    return jsonschema.Draft202012Validator({**schema, "components": DOCUMENT["components"]})


def operation_of(method: str, path: str) -> Body | None:
    for template, operations in DOCUMENT["paths"].items():
        pattern = re.sub(r"\{[a-z_]+\}", "[0-9a-f-]{36}", template)
        if re.fullmatch(pattern, path) and method.lower() in operations:
            operation: Body = operations[method.lower()]
            return operation
    return None


@dataclass(frozen=True)
class Register:
    """A register's program; holds every answer against the published document."""

    http: httpx.AsyncClient
    agent: RunningAgent

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        content: bytes | None = None,
        token: str = TOKEN,
    ) -> tuple[int, Body]:
        """Call and return status and answer."""
        response = await self.http.request(
            method,
            path,
            content=json.dumps(body).encode() if content is None and body is not None else content,
            headers={"Authorization": f"Bearer {token}"} if token else {},
        )
        answer = response.json()
        assert response.headers["content-type"] == "application/json"
        self._check(method, path, response.status_code, answer)
        return response.status_code, answer

    @staticmethod
    def _check(method: str, path: str, status: int, answer: Body) -> None:
        operation = operation_of(method, path)
        schema: Body = {"$ref": "#/components/schemas/Problem"}
        if operation is not None:
            responses = operation["responses"]
            documented = responses.get(str(status), responses["default"])
            schema = documented["content"]["application/json"]["schema"]
        schema_validator(schema).validate(answer)
        if set(answer) == {"error", "message"}:
            assert len(answer["message"]) > 20
            assert re.fullmatch("[a-z_]+", answer["error"])

    async def update(self, body: object, path: str = UPDATE) -> tuple[int, Body]:
        return await self.call("PUT", path, body)


@asynccontextmanager
async def register_of(folder: Path, centre_url: str) -> AsyncIterator[Register]:
    identity = msgspec.structs.replace(IDENTITY, centre_url=centre_url)
    data = enrolled_folder(folder, identity)
    async with (
        running_agent(data, AgentConfig(pos_port=0)) as agent,
        register_calling(agent) as register,
    ):
        yield register


@asynccontextmanager
async def register_calling(agent: RunningAgent) -> AsyncIterator[Register]:
    """Give the register of an agent that runs."""
    url = f"http://127.0.0.1:{agent.server.port}"
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as http:
        yield Register(http, agent)
