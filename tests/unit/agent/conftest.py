"""Tills of a test, closed when it ends."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.till import FakeCentre, JoinedTill, SetSystem

OpenTill = Callable[..., JoinedTill]


@pytest.fixture
def system() -> SetSystem:
    return SetSystem()


@pytest.fixture
def centre(system: SetSystem) -> FakeCentre:
    return FakeCentre(system=system)


@pytest.fixture
def alone(tmp_path: Path, system: SetSystem) -> Iterator[JoinedTill]:
    """A till that has never heard from any centre."""
    till = JoinedTill(tmp_path / "alone", system=system)
    yield till
    till.close()


@pytest.fixture
def joined(tmp_path: Path, system: SetSystem, centre: FakeCentre) -> Iterator[JoinedTill]:
    """A till and its centre, which have not talked yet."""
    till = JoinedTill(tmp_path / "till", centre=centre, system=system)
    yield till
    till.close()
