"""`receipt verify`: whether the code on a receipt is genuine, as far as this till can tell."""

import argparse
import json
import sys
from pathlib import Path

from agent.errors import ConfigurationError

EXIT_GENUINE, EXIT_WRONG, EXIT_KEY_UNKNOWN = 0, 1, 3
_CODE_BYTES_MAX = 4096
_KEY_BYTES = 32


def add_receipt(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", *, data_default: str
) -> None:
    """Declare the commands."""
    receipt = commands.add_parser(
        "receipt",
        help="look at the code on a receipt",
        description="Look at the code on a receipt.",
        epilog="Example: tillside-agent receipt verify TSR1:...",
    )
    actions = receipt.add_subparsers(dest="action", required=True, metavar="ACTION")
    verify = actions.add_parser(
        "verify",
        help="say what the code on a receipt says and whether its till has signed it",
        description="Say what the code on a receipt says and whether its till has signed it."
        " Exits with 0 genuine, 1 not genuine, 3 the key of its till is not known here.",
        epilog="Example: tillside-agent receipt verify TSR1:... ; or: ... | tillside-agent receipt"
        " verify -",
    )
    verify.add_argument("code", help="the code's text, a file that holds it, or - for input")
    verify.add_argument(
        "--key", default="", help="public key of the receipt's till, hexadecimal; its own is known"
    )
    verify.add_argument("--json", action="store_true", help="print JSON")
    verify.add_argument(
        "--data",
        type=Path,
        default=Path(data_default),
        help=f"the till's data folder (default {data_default})",
    )
    verify.set_defaults(does=_verify)


def _verify(options: argparse.Namespace) -> int:
    from sync import qr
    from sync.errors import QrTextError, SignatureError
    from sync.proof_text import proof_document, proof_text
    from sync.qr import ReceiptProof

    try:
        proof = qr.read(ReceiptProof, _text(options.code))
    except QrTextError as error:
        return _said(options, EXIT_WRONG, f"not genuine: {error}", {})
    public = _key(options, proof.till_id)
    told, text = proof_document(proof), proof_text(proof)
    if public is None:
        words = f"not known: till {proof.till_id} is another one; give its key, or ask the centre"
        return _said(options, EXIT_KEY_UNKNOWN, f"{words}\n{text}", told)
    try:
        qr.check_seal(proof, public)
    except SignatureError:
        words = f"not genuine: till {proof.till_id} has not signed it"
        return _said(options, EXIT_WRONG, f"{words}\n{text}", told)
    words = f"genuine: signed by till {proof.till_id}, key {public.hex()[:16]}"
    return _said(options, EXIT_GENUINE, f"{words}\n{text}", told)


def _said(options: argparse.Namespace, status: int, text: str, told: dict[str, object]) -> int:
    verdict = {EXIT_GENUINE: "genuine", EXIT_WRONG: "wrong", EXIT_KEY_UNKNOWN: "unknown"}[status]
    print(json.dumps({"verdict": verdict, **told}) if options.json else text)
    return status


def _text(code: str) -> str:
    from sync.qr import is_receipt_code

    if code == "-":
        return sys.stdin.read(_CODE_BYTES_MAX)
    if is_receipt_code(code) or not Path(code).is_file():
        return code
    with Path(code).open(encoding="utf-8", errors="replace") as file:
        return file.read(_CODE_BYTES_MAX)


def _key(options: argparse.Namespace, till_id: int) -> bytes | None:
    from agent.bootstrap import IDENTITY_FILE
    from agent.identity import load_identity
    from sync.signing import SigningKey

    if options.key:
        try:
            public = bytes.fromhex(options.key)
        except ValueError:
            public = b""
        if len(public) != _KEY_BYTES:
            raise ConfigurationError(f"--key is {2 * _KEY_BYTES} hexadecimal digits")
        return public
    path = options.data / IDENTITY_FILE
    if not path.exists():
        return None
    identity = load_identity(path)
    return SigningKey(identity.key_seed).public if identity.till_id == till_id else None
