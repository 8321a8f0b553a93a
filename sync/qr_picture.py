"""A code as a QR picture: in a terminal, or in a file."""

import io
from typing import Final, TextIO

import segno

QUIET_MODULES: Final = 4
"""The light border a scanner needs (ISO/IEC 18004)."""
_SVG_SCALE: Final = 4
_PNG_SCALE: Final = 8
_WHITE_ON_BLACK: Final = "\x1b[97;40m"
_AS_BEFORE: Final = "\x1b[0m"
_BLOCKS: Final = "█▀▄"
"""What a terminal's picture consists of, beside spaces."""


def printed(text: str, where: TextIO) -> str:
    """Return what a command prints as a code's picture: it, or why it cannot be shown there."""
    try:
        _BLOCKS.encode(where.encoding or "utf-8")
    except UnicodeEncodeError:
        return "this terminal has no half blocks to draw it: give --picture FILE.svg or FILE.png"
    return terminal_picture(text, in_colours=where.isatty())


def terminal_picture(text: str, *, in_colours: bool) -> str:
    """Return a picture of half blocks, light ones drawn: two rows of modules a line.

    Args:
        in_colours: say the colours to the terminal; else they are right where it is dark.
    """
    drawn = io.StringIO()
    _draw(text).terminal(out=drawn, border=QUIET_MODULES, compact=True)
    lines = drawn.getvalue().splitlines()
    if in_colours:
        lines = [f"{_WHITE_ON_BLACK}{line}{_AS_BEFORE}" for line in lines]
    return "\n".join(lines)


def picture_for(file_name: str, text: str) -> bytes:
    """Return a picture as the content of a file, of the form its name says: `.svg` or `.png`.

    Raises:
        ValueError: the name says another one.
    """
    kind = file_name.lower().rpartition(".")[2]
    scale = {"svg": _SVG_SCALE, "png": _PNG_SCALE}.get(kind)
    if scale is None or not file_name.lower().endswith(f".{kind}"):
        raise ValueError(f"a picture is a file that ends in .svg or .png, not {file_name!r}")
    drawn = io.BytesIO()
    # Without its own light ground an SVG cannot be read on a dark page.
    _draw(text).save(drawn, kind=kind, scale=scale, border=QUIET_MODULES, dark="#000", light="#fff")
    return drawn.getvalue()


def _draw(text: str) -> segno.QRCode:
    # Level M, as registers are told to draw it (docs/courier.md).
    return segno.make_qr(text.strip(), error="m", mode="alphanumeric", boost_error=False)
