"""A copy is made, tried and gone on with while real tills sell: nothing is lost, nothing twice."""

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from bench.demo.rig import CentreProcess
from tests.crash.town import Town, running_town
from tests.support.postgres import folder_for_postgres

SOLD_BESIDE = 30


@pytest.fixture
def town() -> Iterator[Town]:
    with folder_for_postgres() as folder, running_town(folder) as town:
        yield town


def go_on_with(town: Town, file: str) -> None:
    """Stop the centre, and let another one go on with a copy, under the same keys and address."""
    port = town.port
    town._end_centre()  # noqa: SLF001 - the town's own way
    folder = town.folder / "centre-2"
    folder.mkdir()
    folder.chmod(0o711)
    shutil.copytree(town.centre.folder / "keys", folder / "keys")
    town.centre = CentreProcess(folder, town.folder / "centre-2.log")
    restored = json.loads(town.centre.run("backup", "restore", file, "--json"))
    assert restored["good"], restored
    town.centre.start(port)


def test_tills_sell_on_while_a_copy_is_tried_and_send_again_what_it_lacks(town: Town) -> None:
    till = town.vault()
    assert till.sell(1, redeem=50) == 50
    town.settle(till)
    copies = town.folder / "copies"
    made = json.loads(town.centre.run("backup", "make", copies, "--json"))
    assert made["totals"]["receipts"] == 1

    # The drill runs beside the centre; the till sells and redeems meanwhile, with a line.
    with ThreadPoolExecutor(1) as beside:
        drill = beside.submit(town.centre.run, "backup", "drill", made["file"], "--json")
        number = 1
        while number < SOLD_BESIDE and (not drill.done() or number < 4):
            number += 1
            till.sell(number, redeem=10)
        report = json.loads(drill.result())
    assert report["good"], report
    assert report["totals"]["receipts"] == 1
    town.settle(till)
    town.prove(till)

    # The copy is all that is left: the till goes back to where it stands and sends the rest again.
    go_on_with(town, made["file"])
    till.await_figure("link", lambda link: link == "up")
    town.settle(till)
    town.prove(till)
    assert town.figure("select count(*) from receipt") == number
    assert till.sell(number + 1) == 0
    town.settle(till)
    town.prove(till)
