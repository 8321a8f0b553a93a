"""`receipt verify` and `receipt print`: who signed a code, what became of it, how it looks."""

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from central.commands.command import (
    Commands,
    add_centre_command,
    add_group,
    add_json_option,
    report,
)
from central.errors import BadRequestError

if TYPE_CHECKING:
    from central.config import CentralConfig

_CODE_BYTES_MAX = 4096
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def add_receipt(commands: Commands) -> None:
    """Declare the commands."""
    actions = add_group(
        commands,
        "receipt",
        "look at the codes on receipts and telephones, and draw them",
        example="receipt verify TSR1:...",
        at_centre=False,
    )
    verify = add_centre_command(
        actions,
        "verify",
        "say what a code says - of a receipt (TSR1:), an ask (TSA1:), a grant (TSG1:) or a"
        " customer (TSC1:) -, who signed it, and whether it still counts",
        _verify,
        example="receipt verify TSR1:...",
    )
    verify.add_argument("code", help="the code's text, a file that holds it, or - for input")
    printing = add_centre_command(
        actions,
        "print",
        "print a code as text and as a QR picture",
        _print,
        example="receipt print 01957e00-0000-7abc-8def-001122334455 --picture grant.png",
    )
    printing.add_argument(
        "code",
        metavar="WHAT",
        help="the id of a grant by courier, or of a receipt whose code was heard of and whose"
        " record has not come; a code's text, a file that holds it, or -",
    )
    printing.add_argument(
        "--picture",
        type=Path,
        metavar="FILE",
        help="draw it into this file, .svg or .png, and not into the terminal",
    )
    for each in (verify, printing):
        add_json_option(each)


async def _verify(options: argparse.Namespace, config: "CentralConfig") -> int:
    from central.bootstrap import opened_database
    from central.keys import load_keys
    from central.rights.code_checks import check_code
    from central.system import System
    from sync import qr
    from sync.code_text import code_document, code_text
    from sync.errors import QrTextError

    try:
        code = qr.read_any(_text(options.code))
    except QrTextError as error:
        report(options, {"verdict": "wrong"}, f"not genuine: {error}")
        return 1
    system = System()
    centre_key = load_keys(config.folder, system).centre.public
    async with opened_database(config, system) as pool, pool.acquire() as connection:
        checked = await check_code(connection, code, centre_key, now_ms=system.now_ms())
    told, text = code_document(code), code_text(code)
    if not checked.is_genuine:
        words = f"not genuine: {checked.signer} has not signed it"
        report(options, {"verdict": "wrong", **told}, f"{words}\n{text}")
        return 1
    found = {"verdict": "genuine", "state": checked.state, "counts": checked.counts}
    if told["kind"] == "receipt":
        found["receipt"] = checked.state
    words = f"genuine: signed by {checked.signer}; {checked.words}"
    report(options, {**told, **found}, f"{words}\n{text}")
    return 0


async def _print(options: argparse.Namespace, config: "CentralConfig") -> int:
    from sync import qr
    from sync.code_text import code_document, code_text
    from sync.errors import QrTextError
    from sync.qr_picture import picture_for, printed

    given = _text(options.code).strip()
    text = await _code_of(given, config) if _UUID.fullmatch(given) else given
    try:
        code = qr.read_any(text)
    except QrTextError as error:
        raise BadRequestError("code", f"it is neither a code nor an id: {error}") from error
    found: dict[str, object] = {"code": text, **code_document(code)}
    if options.picture is not None:
        try:
            content = picture_for(options.picture.name, text)
        except ValueError as error:
            raise BadRequestError("--picture", str(error)) from error
        options.picture.write_bytes(content)
        found["picture"] = str(options.picture)
        last = f"drawn into {options.picture}"
    else:
        last = "" if options.json else printed(text, sys.stdout)
    report(options, found, f"{text}\n{code_text(code)}\n{last}")
    return 0


async def _code_of(name: str, config: "CentralConfig") -> str:
    """Return the code of what the centre has a record of."""
    from central.bootstrap import opened_database
    from central.keys import load_keys
    from central.rights.code_checks import code_of
    from central.system import System

    system = System()
    key = load_keys(config.folder, system).centre
    async with opened_database(config, system) as pool, pool.acquire() as connection:
        return await code_of(connection, name, key)


def _text(code: str) -> str:
    from sync.qr import is_code

    if code == "-":
        return sys.stdin.read(_CODE_BYTES_MAX)
    if is_code(code) or not Path(code).is_file():
        return code
    with Path(code).open(encoding="utf-8", errors="replace") as file:
        return file.read(_CODE_BYTES_MAX)
