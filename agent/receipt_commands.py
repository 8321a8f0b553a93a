"""`receipt verify` and `receipt print`: what a code says, whether it is genuine, how it looks."""

import argparse
import json
import re
import sys
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.errors import AgentError, ConfigurationError

if TYPE_CHECKING:
    from agent.identity import Identity
    from sync.qr import Document

EXIT_GENUINE, EXIT_WRONG, EXIT_KEY_UNKNOWN = 0, 1, 3
_CODE_BYTES_MAX = 4096
_KEY_BYTES = 32
_CALL_S: Final = 5
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def add_receipt(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", *, data_default: str
) -> None:
    """Declare the commands."""
    receipt = commands.add_parser(
        "receipt",
        help="look at the codes on receipts and telephones, and draw them",
        description="Look at the codes on receipts and telephones, and draw them.",
        epilog="Example: tillside-agent receipt verify TSR1:...",
    )
    actions = receipt.add_subparsers(dest="action", required=True, metavar="ACTION")
    verify = actions.add_parser(
        "verify",
        help="say what a code says, whether it is genuine, and whether it still counts",
        description="Say what a code says, of a receipt (TSR1:), an ask (TSA1:), a grant (TSG1:) or"
        " a customer (TSC1:), whether who it names has signed it, and whether it still counts."
        " Exits with 0 genuine, 1 not genuine, 3 the key it is signed with is not known here.",
        epilog="Example: tillside-agent receipt verify TSR1:... ; or: ... | tillside-agent receipt"
        " verify -",
    )
    verify.add_argument("code", help="the code's text, a file that holds it, or - for input")
    verify.add_argument(
        "--key",
        default="",
        help="public key of the till, or of the centre for a grant or a customer's code,"
        " hexadecimal; this till's own and its centre's are known",
    )
    verify.set_defaults(does=_verify)
    printing = actions.add_parser(
        "print",
        help="print a code as text and as a QR picture",
        description="Print a code as text and as a QR picture: that of a receipt recorded here,"
        " which the running service is asked for, or any that is given.",
        epilog="Example: tillside-agent receipt print 01957e3c-9a40-7c11-8d22-3e4f5a6b7c8d"
        " --picture receipt.svg",
    )
    printing.add_argument(
        "code", metavar="WHAT", help="a receipt's id, a code's text, a file that holds it, or -"
    )
    printing.add_argument(
        "--picture",
        type=Path,
        metavar="FILE",
        help="draw it into this file, .svg or .png, and not into the terminal",
    )
    printing.set_defaults(does=_print)
    for each in (verify, printing):
        each.add_argument("--json", action="store_true", help="print JSON")
        each.add_argument(
            "--data",
            type=Path,
            default=Path(data_default),
            help=f"the till's data folder (default {data_default})",
        )


# Verifying


def _verify(options: argparse.Namespace) -> int:
    from sync import qr
    from sync.code_text import code_document, code_text
    from sync.errors import QrTextError, SignatureError

    try:
        code = qr.read_any(_text(options.code))
    except QrTextError as error:
        return _said(options, EXIT_WRONG, f"not genuine: {error}", {})
    identity = _identity(options)
    public, signer = _key(options, code, identity)
    told, text = code_document(code), code_text(code)
    if public is None:
        words = f"not known: {signer} has to have signed it; give its key, or ask the centre"
        return _said(options, EXIT_KEY_UNKNOWN, f"{words}\n{text}", told)
    try:
        qr.check_seal(code, public)
    except SignatureError:
        words = f"not genuine: {signer} has not signed it"
        return _said(options, EXIT_WRONG, f"{words}\n{text}", told)
    counts, still = _still(code, identity)
    words = f"genuine: signed by {signer}, key {public.hex()[:16]}"
    return _said(
        options, EXIT_GENUINE, "\n".join(filter(None, (words, text, still))), told | counts
    )


def _still(code: "Document", identity: "Identity | None") -> tuple[dict[str, object], str]:
    """Return whether a genuine code still counts, as far as this machine can tell, and in words."""
    from agent.system import System
    from sync.code_text import good_until_ms, moment_text
    from sync.customer_code import CustomerCode
    from sync.qr import CourierAsk, CourierGrant

    match code:
        case CourierGrant():
            until_ms = code.not_after_ms
        case CustomerCode():
            until_ms = good_until_ms(code)
        case CourierAsk():
            return {}, "the centre says whether a grant can be had for it, or was given"
        case _:
            return {}, ""
    is_over = System().now_ms() >= until_ms
    words = f"over since {moment_text(until_ms)}" if is_over else "not over yet, by this clock"
    if isinstance(code, CourierGrant) and not is_over:
        here = identity is not None and identity.till_id == code.till_id
        words += "; this till takes it once" if here else f"; till {code.till_id} alone takes it"
    return {"over": is_over}, words


def _said(options: argparse.Namespace, status: int, text: str, told: dict[str, object]) -> int:
    verdict = {EXIT_GENUINE: "genuine", EXIT_WRONG: "wrong", EXIT_KEY_UNKNOWN: "unknown"}[status]
    print(json.dumps({"verdict": verdict, **told}) if options.json else text)
    return status


def _text(code: str) -> str:
    from sync.qr import is_code

    if code == "-":
        return sys.stdin.read(_CODE_BYTES_MAX)
    if is_code(code) or not Path(code).is_file():
        return code
    with Path(code).open(encoding="utf-8", errors="replace") as file:
        return file.read(_CODE_BYTES_MAX)


def _identity(options: argparse.Namespace) -> "Identity | None":
    from agent.bootstrap import IDENTITY_FILE
    from agent.identity import load_identity

    path = options.data / IDENTITY_FILE
    return load_identity(path) if path.exists() else None


def _key(
    options: argparse.Namespace, code: "Document", identity: "Identity | None"
) -> tuple[bytes | None, str]:
    """Return the public key a code has to be signed with, None where it is not known; and whose."""
    from sync.qr import CourierAsk, ReceiptProof
    from sync.signing import SigningKey

    by_till = isinstance(code, CourierAsk | ReceiptProof)
    signer = f"till {code.till_id}" if isinstance(code, CourierAsk | ReceiptProof) else "the centre"
    if options.key:
        try:
            public = bytes.fromhex(options.key)
        except ValueError:
            public = b""
        if len(public) != _KEY_BYTES:
            raise ConfigurationError(f"--key is {2 * _KEY_BYTES} hexadecimal digits")
        return public, signer
    if identity is None:
        return None, signer
    if not by_till:
        return identity.centre_key, signer
    own = signer == f"till {identity.till_id}"
    return (SigningKey(identity.key_seed).public if own else None), signer


# Printing


def _print(options: argparse.Namespace) -> int:
    from sync import qr
    from sync.code_text import code_document, code_text
    from sync.errors import QrTextError
    from sync.qr_picture import picture_for, printed

    given = _text(options.code).strip()
    text = _code_of_receipt(options, given) if _UUID.fullmatch(given) else given
    try:
        code = qr.read_any(text)
    except QrTextError as error:
        raise AgentError(f"this is no code and no receipt's id: {error}") from error
    found: dict[str, object] = {"code": text, **code_document(code)}
    if options.picture is not None:
        try:
            content = picture_for(options.picture.name, text)
        except ValueError as error:
            raise ConfigurationError(f"--picture: {error}") from error
        options.picture.write_bytes(content)
        found["picture"] = str(options.picture)
    picture = "" if options.json or options.picture else printed(text, sys.stdout)
    lines = [text, code_text(code), picture]
    if options.picture is not None:
        lines[-1] = f"drawn into {options.picture}"
    print(json.dumps(found) if options.json else "\n".join(filter(None, lines)))
    return EXIT_GENUINE


def _code_of_receipt(options: argparse.Namespace, receipt_id: str) -> str:
    """Return the code of a receipt that is recorded here; the running service is asked.

    Raises:
        EnrolmentError: this is no till.
        AgentError: the service does not answer, or has no code of the receipt.
    """
    from agent.bootstrap import ADDRESS_FILE, IDENTITY_FILE
    from agent.identity import load_identity

    identity = load_identity(options.data / IDENTITY_FILE)
    try:
        url = json.loads((options.data / ADDRESS_FILE).read_text(encoding="utf-8"))["url"]
        request = urllib.request.Request(  # noqa: S310 - loopback, written by the service
            f"{url}/v1/receipts/{receipt_id}/code",
            headers={"Authorization": f"Bearer {identity.pos_token}"},
        )
        # No proxy the environment names: the way and the token stay on this machine.
        directly = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with directly.open(request, timeout=_CALL_S) as answer:
            return str(json.load(answer)["receipt_code"])
    except urllib.error.HTTPError as error:
        said = json.load(error).get("message", "")
        raise AgentError(f"receipt {receipt_id}: {said or error}") from error
    except (OSError, HTTPException, ValueError, KeyError) as error:
        raise AgentError(
            f"the service does not answer: {error}; start it with tillside-agent run"
        ) from error
