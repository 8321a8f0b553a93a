"""Pictures of codes: the same modules in the terminal and in files, with the border they need."""

import io
import re
import struct
import zlib

import pytest

from sync.qr_picture import QUIET_MODULES, picture_for, printed, terminal_picture
from tests.golden.codes.examples import CODES

VERSIONS = {"ask": 7, "customer": 8, "grant": 8, "receipt": 8}
"""As `docs/courier.md` says; 17 modules and 4 a version on each side."""
PNG_SCALE = 8

Modules = list[list[bool]]
"""Rows of modules, the border too; True is dark."""


def of_terminal(picture: str) -> Modules:
    """Read a picture of half blocks, in which what is drawn is light."""
    rows: Modules = []
    for line in picture.splitlines():
        rows.append([mark not in "█▀" for mark in line])
        rows.append([mark not in "█▄" for mark in line])
    return rows


def of_png(content: bytes) -> Modules:
    """Read a grey picture of one bit a pixel, as the file's own form has it (ISO/IEC 15948)."""
    position, pixels = 8, b""
    width = height = 0
    while position < len(content):
        size, name = struct.unpack_from(">I4s", content, position)
        body = content[position + 8 : position + 8 + size]
        if name == b"IHDR":
            width, height, depth, colour = struct.unpack_from(">IIBB", body)
            assert (depth, colour) == (1, 0)
        elif name == b"IDAT":
            pixels += body
        position += size + 12
    raw = zlib.decompress(pixels)
    stride = (width + 7) // 8 + 1
    rows = []
    for top in range(0, height, PNG_SCALE):
        line = raw[top * stride + 1 : (top + 1) * stride]
        assert raw[top * stride] == 0  # no filter
        rows.append([not line[x // 8] >> (7 - x % 8) & 1 for x in range(0, width, PNG_SCALE)])
    return rows


@pytest.mark.parametrize("kind", sorted(CODES))
def test_terminal_and_file_show_the_same_modules(kind: str) -> None:
    modules = of_png(picture_for("code.png", CODES[kind]))
    side = 17 + 4 * VERSIONS[kind] + 2 * QUIET_MODULES
    assert {len(modules), *map(len, modules)} == {side}
    shown = of_terminal(terminal_picture(CODES[kind], in_colours=False))
    assert shown[:side] == modules
    border = [row[:QUIET_MODULES] + row[-QUIET_MODULES:] for row in modules]
    assert not any(map(any, [*border, *modules[:QUIET_MODULES], *modules[-QUIET_MODULES:]]))


def test_a_vector_picture_has_its_own_light_ground() -> None:
    text = picture_for("Code.SVG", CODES["receipt"]).decode()
    assert re.search(r'<path[^>]*fill="#fff"', text)
    assert re.search(r'<path[^>]*stroke="#000"', text)


@pytest.mark.parametrize("name", ["code.gif", "code", "svg", ".png.txt"])
def test_another_kind_of_file_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match=rf"\.svg or \.png, not '{name}'"):
        picture_for(name, CODES["receipt"])


def test_colours_are_said_to_a_terminal_and_to_nothing_else() -> None:
    plain = terminal_picture(CODES["ask"], in_colours=False)
    coloured = terminal_picture(CODES["ask"], in_colours=True).splitlines()
    assert "\x1b" not in plain
    assert coloured == [f"\x1b[97;40m{line}\x1b[0m" for line in plain.splitlines()]


def test_a_terminal_without_half_blocks_is_told_of_files() -> None:
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    assert "--picture" in printed(CODES["ask"], narrow)
    wide = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    assert printed(CODES["ask"], wide) == terminal_picture(CODES["ask"], in_colours=False)
