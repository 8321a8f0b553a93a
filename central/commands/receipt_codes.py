"""`receipt verify`: who signed the code on a receipt, and what became of the receipt."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from central.commands.command import Commands, add_centre_command, add_json_option, report

if TYPE_CHECKING:
    from central.config import CentralConfig

_CODE_BYTES_MAX = 4096


def add_receipt(commands: Commands) -> None:
    """Declare the commands."""
    receipt = commands.add_parser(
        "receipt",
        help="look at the code on a receipt",
        description="Look at the code on a receipt.",
        epilog="Example: tillside-central receipt verify TSR1:...",
    )
    actions = receipt.add_subparsers(dest="action", required=True, metavar="ACTION")
    verify = add_centre_command(
        actions,
        "verify",
        "say what the code on a receipt says, which till signed it, and whether it has come",
        _verify,
        example="receipt verify TSR1:...",
    )
    verify.add_argument("code", help="the code's text, a file that holds it, or - for input")
    add_json_option(verify)


async def _verify(options: argparse.Namespace, config: "CentralConfig") -> int:
    from central.bootstrap import opened_database
    from central.rights.courier import fate, prove
    from central.system import System
    from sync import qr
    from sync.errors import QrTextError
    from sync.proof_text import proof_document, proof_text
    from sync.qr import ReceiptProof

    try:
        claimed = qr.read(ReceiptProof, code := _text(options.code))
    except QrTextError as error:
        report(options, {"verdict": "wrong"}, f"not genuine: {error}")
        return 1
    async with opened_database(config, System()) as pool, pool.acquire() as connection:
        proof = await prove(connection, code)
        became = await fate(connection, claimed)
    told, text = proof_document(claimed), proof_text(claimed)
    if proof is None:
        words = f"not genuine: no till {claimed.till_id} of this chain has signed it"
        report(options, {"verdict": "wrong", **told}, f"{words}\n{text}")
        return 1
    words = f"genuine: signed by till {proof.till_id}"
    says = {
        "posted": "it is posted as printed",
        "posted_differently": "A RECEIPT OF THIS KEY IS POSTED WITH OTHER FIGURES",
        "heard": "its record has not come yet; its code was heard of before",
        "unknown": "its record has not come yet",
    }[became]
    report(
        options,
        {"verdict": "genuine", "receipt": became, **told},
        f"{words}; {says}\n{text}",
    )
    return 0


def _text(code: str) -> str:
    from sync.qr import is_receipt_code

    if code == "-":
        return sys.stdin.read(_CODE_BYTES_MAX)
    if is_receipt_code(code) or not Path(code).is_file():
        return code
    with Path(code).open(encoding="utf-8", errors="replace") as file:
        return file.read(_CODE_BYTES_MAX)
