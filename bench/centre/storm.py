"""A storm of the app's class: telephones of customers who are signed in, asking without a pause."""

import asyncio
import base64
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from bench.centre.stage import Stage
from bench.centre.wire import Line
from bench.demo.rig import RigError
from central.access.clients import add_client
from central.system import System

LINES: Final = 128
"""More than may be at work and wait (`central.api.traffic.APP`), so that some are turned away."""
PATHS: Final = ("/v1/app/account", "/v1/app/receipts")
_PROGRAM: Final = "bench-app"
_BEGINS: Final = "begins\n"
_SIGN_IN_S_MAX: Final = 60.0


async def sign_in(stage: Stage, count: int = LINES) -> list[str]:
    """Add an app and sign customers in through the front; returns their access tokens.

    Raises:
        RigError: one is not signed in.
    """
    pool = await stage.open()
    async with pool.acquire() as connection:
        secret = await add_client(connection, _PROGRAM, "app", by="bench", system=System())
    await pool.close()
    line = await Line.open("127.0.0.1", stage.port)
    tokens = [await _token(line, secret, account_id) for account_id in range(1, count + 1)]
    line.close()
    return tokens


async def _token(line: Line, secret: str, account_id: int) -> str:
    """Sign in the customer of a card; the stage's cards have the numbers of their accounts."""
    proof = base64.b64encode(f"{_PROGRAM}:{secret}".encode()).decode()
    body = f"grant_type=client_credentials&card={account_id}"
    request = (
        "POST /v1/oauth/token HTTP/1.1\r\nhost: centre\r\ncontent-type: "
        f"application/x-www-form-urlencoded\r\nauthorization: Basic {proof}\r\n"
        f"content-length: {len(body)}\r\n\r\n{body}"
    )
    loop = asyncio.get_running_loop()
    end_s = loop.time() + _SIGN_IN_S_MAX
    while True:
        status, _, answer = await line.send(request.encode())
        if status == HTTPStatus.OK:
            token: str = json.loads(answer)["access_token"]
            return token
        if status != HTTPStatus.SERVICE_UNAVAILABLE or loop.time() > end_s:
            raise RigError(f"customer {account_id} is not signed in: {status} {answer.decode()}")
        await asyncio.sleep(1)


def request_of(path: str, token: str) -> bytes:
    """Return a customer's call."""
    return (
        f"GET {path} HTTP/1.1\r\nhost: centre\r\nauthorization: Bearer {token}\r\n\r\n"
    ).encode()


async def hammer(port: int, seconds: float, tokens: Sequence[str]) -> Counter[int]:
    """Let every customer ask one call after the other, each as soon as the last is answered.

    Returns:
        How many answers had each status.
    """
    loop = asyncio.get_running_loop()
    end_s, statuses = loop.time() + seconds, Counter[int]()

    async def ask(number: int, token: str) -> None:
        requests = [request_of(path, token) for path in PATHS]
        line = await Line.open("127.0.0.1", port)
        while loop.time() < end_s:
            status, _, _ = await line.send(requests[number % len(requests)])
            statuses[status] += 1
            number += 1
        line.close()

    await asyncio.gather(*(ask(number, token) for number, token in enumerate(tokens)))
    return statuses


def start_storm(stage: Stage, seconds: float, tokens: Sequence[str]) -> "subprocess.Popen[str]":
    """Start a storm in a process of its own; returns when it is about to begin.

    What a process takes to start is no customer's doing, and the tills would wait for it.

    Raises:
        RigError: it did not begin.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.centre.storm", str(stage.port), str(seconds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(list(tokens)))
    process.stdin.close()
    process.stdin = None
    assert process.stdout is not None
    if process.stdout.readline() != _BEGINS:
        raise RigError("the storm of the app did not begin; what it said stands above")
    return process


def end_storm(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """Wait for a storm's end; returns what it was answered.

    Raises:
        RigError: it broke off.
    """
    said, _ = process.communicate()
    if process.returncode:
        raise RigError("the storm of the app broke off; what it said stands above")
    return figures({int(status): count for status, count in json.loads(said).items()})


def figures(statuses: Mapping[int, int]) -> dict[str, Any]:
    """Return how many calls were answered, told to come again, and answered otherwise."""
    usual = (HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE)
    return {
        "answered_200": statuses.get(HTTPStatus.OK, 0),
        "come_again_503": statuses.get(HTTPStatus.SERVICE_UNAVAILABLE, 0),
        "others": {str(status): count for status, count in statuses.items() if status not in usual},
    }


def flaws(storm: Mapping[str, Any]) -> list[str]:
    """Return why a storm shows nothing about the tills; nothing where it was one."""
    found = []
    if not storm["answered_200"]:
        found.append("no call of the app was answered: the app did no work beside the tills")
    if not storm["come_again_503"]:
        found.append("no call of the app was told to come again: its class was not overloaded")
    if storm["others"]:
        found.append(f"calls of the app were answered otherwise: {storm['others']}")
    return [f"till_p99_shift_under_app_storm shows nothing: {each}" for each in found]


if __name__ == "__main__":
    tokens_of_customers = json.load(sys.stdin)
    print(_BEGINS, end="", flush=True)
    told = asyncio.run(hammer(int(sys.argv[1]), float(sys.argv[2]), tokens_of_customers))
    print(json.dumps(told))
