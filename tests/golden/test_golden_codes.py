"""Codes have fixed characters, and a code that was ever printed can still be read.

`codes/NAME.txt` holds the text of a QR code and a line end.
"""

from pathlib import Path

import pytest

from sync import qr
from tests.golden.codes import examples

FOLDER = Path(__file__).parent / "codes"
ALPHANUMERIC = set("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:")
# ISO/IEC 18004, table 7: characters of alphanumeric mode by version at level M, from version 6.
CHARACTERS_OF_VERSION = {6: 154, 7: 178, 8: 221, 9: 262}
SIZES = {
    "ask": (113, 175, 7),
    "customer": (132, 203, 8),
    "grant": (132, 203, 8),
    "receipt": (120, 185, 8),
}
"""Bytes, characters, QR version."""


@pytest.fixture(scope="module", autouse=True)
def _written_anew(*, update_golden: bool) -> None:
    if update_golden:
        for name, text in examples.CODES.items():
            (FOLDER / f"{name}.txt").write_text(text + "\n", encoding="ascii")


@pytest.mark.parametrize("name", examples.DOCUMENTS)
def test_characters_are_the_golden_ones(name: str) -> None:
    assert (FOLDER / f"{name}.txt").read_text(encoding="ascii") == examples.CODES[name] + "\n"


@pytest.mark.parametrize("name", examples.DOCUMENTS)
def test_golden_characters_are_read_and_their_seal_holds(name: str) -> None:
    document = examples.DOCUMENTS[name]
    text = (FOLDER / f"{name}.txt").read_text(encoding="ascii")
    found = qr.read(type(document), text)
    assert found == document
    qr.check_seal(found, examples.SIGNERS[name])


@pytest.mark.parametrize("name", examples.DOCUMENTS)
def test_code_fits_the_small_alphabet_and_size(name: str) -> None:
    code = examples.CODES[name]
    assert set(code) <= ALPHANUMERIC - set(" $%+")
    characters = len(code) - len("TSx1:")
    size_bytes = characters // 3 * 2 + bool(characters % 3)
    version = min(v for v, most in CHARACTERS_OF_VERSION.items() if len(code) <= most)
    assert (size_bytes, len(code), version) == SIZES[name]
