"""A real agent killed with -9 in the middle of a sale: what it answered is there, byte for byte."""

import http.client
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.bootstrap import ADDRESS_FILE
from sync.records import SaleRecord
from tests.architecture.source_tree import ROOT
from tests.support.builders import A_WEDNESDAY
from tests.support.till import CARD, TOKEN, JoinedTill, enrolled_folder

LIVES = 2
HEADERS = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}


def sale(number: int) -> tuple[str, bytes]:
    """Return where a sale is completed, and its body."""
    line = {"line_id": "1", "sku": "milk", "quantity": 1_000, "gross_minor": 1_000 + number}
    body = {
        "version": 1,
        "moment": A_WEDNESDAY,
        "card": CARD,
        "lines": [line],
        "paid_minor": 1_000 + number,
    }
    return f"/v1/receipts/{key(number)}/complete", json.dumps(body).encode()


def key(number: int) -> str:
    return f"01957e3c-9a40-7c11-8d22-{number:012d}"


@dataclass(frozen=True)
class LiveAgent:
    process: subprocess.Popen[bytes]
    connection: http.client.HTTPConnection

    def complete(self, number: int) -> bytes:
        """Complete a sale and return the answer's bytes."""
        path, body = sale(number)
        self.connection.request("POST", path, body, HEADERS)
        answer = self.connection.getresponse()
        content = answer.read()
        assert answer.status == 200, content
        return content

    def kill_during(self, number: int, *, spins: int) -> None:
        """Begin to complete a sale and kill the agent somewhere on the way."""
        path, body = sale(number)
        self.connection.request("POST", path, body, HEADERS)
        for _ in range(spins):
            pass
        self.process.kill()


@contextmanager
def living_agent(data: Path) -> Iterator[LiveAgent]:
    """Run the agent as an installer does, until it is stopped or killed."""
    (data / ADDRESS_FILE).unlink(missing_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "agent", "run", "--no-migrate", "--data", str(data)],
        cwd=ROOT,
        env={**os.environ, "TILLSIDE_POS_PORT": "0"},
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while not (data / ADDRESS_FILE).exists():
            assert process.poll() is None, "the agent did not start"
            assert time.monotonic() < deadline, "the agent did not come up"
            time.sleep(0.01)
        url = json.loads((data / ADDRESS_FILE).read_text())["url"]
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
        yield LiveAgent(process, connection)
        connection.close()
        process.send_signal(signal.SIGTERM)
    finally:
        if sys.exc_info()[0] is not None:
            process.kill()
        process.wait(60)


def test_a_killed_agent_has_everything_it_answered(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    data = enrolled_folder(tmp_path / "data")
    answers: dict[int, bytes] = {}
    begun: list[int] = []
    for _ in range(LIVES):
        with living_agent(data) as agent:
            for number, answer in answers.items():
                assert agent.complete(number) == answer
            # Answered or not, recorded or not: the sale that was under way can be finished.
            answers |= {number: agent.complete(number) for number in begun}
            begun.clear()
            for _ in range(chance.randrange(1, 6)):
                number = len(answers)
                answers[number] = agent.complete(number)
            begun.append(len(answers))
            agent.kill_during(begun[0], spins=chance.randrange(400_000))
    with living_agent(data) as agent:
        answers |= {number: agent.complete(number) for number in begun}
    assert agent.process.returncode == 0
    till = JoinedTill(data)
    recorded = [record.key for record in till.own_records() if isinstance(record, SaleRecord)]
    assert recorded == [key(number) for number in answers]
    assert till.till.journal.stream.is_sound()
    till.close()
    assert not list(data.glob("*.damaged-*"))
