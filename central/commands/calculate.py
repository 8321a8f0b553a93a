"""`calculate`: pours cases through the engine, a JSON document a line in and a line out."""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import msgspec

from central.commands.command import Commands, add_command
from central.commands.receipt_text import receipt_text, said
from loyalty.calculation import Calculation
from loyalty.canonical import canonical_bytes
from loyalty.cases import read_case
from loyalty.errors import DocumentError, LoyaltyError

if TYPE_CHECKING:
    from loyalty.compilation import Rules


def add_calculate(commands: Commands) -> None:
    """Declare the command."""
    calculate = add_command(
        commands,
        "calculate",
        "calculate receipts from JSON lines, with neither centre nor network",
        _calculate,
        example="calculate --rules rules.json --input cases.jsonl > calculations.jsonl",
    )
    calculate.add_argument(
        "--rules",
        type=Path,
        required=True,
        nargs="+",
        metavar="FILE_OR_FOLDER",
        help="a rule document, parts of one, offers, or folders of such files (*.json);"
        " where none has a programme, a point is worth 0.01 and may pay half of a receipt",
    )
    calculate.add_argument(
        "--input",
        type=Path,
        metavar="FILE",
        help="cases, one JSON object a line (default: standard input);"
        " `tillside-central schema case` says what is in them",
    )
    calculate.add_argument(
        "--language", choices=("en", "ru"), help="add reasons and hints in words, as `texts`"
    )
    calculate.add_argument(
        "--pretty", action="store_true", help="print receipts for people instead of JSON"
    )


def _calculate(options: argparse.Namespace) -> int:
    from central.rules.documents import read_rules

    rules = read_rules(*options.rules).compiled()
    language: str = options.language or "en"
    titles = {offer.offer_id: offer.title.get(language, "") for offer in rules.bundle.offers}
    failed = False
    for answer in _answers(_lines(options.input), rules):
        if options.pretty:
            text = _for_people(answer, titles, language)
        else:
            text = _for_programs(answer, titles, options.language)
        # A program that writes case by case reads answer by answer.
        print(text, flush=options.input is None)
        failed = failed or isinstance(answer.found, DocumentError)
    return 1 if failed else 0


# Lines of cases


def _lines(file: Path | None) -> Iterator[bytes]:
    """Yield the lines of a file, else of standard input."""
    if file is None:
        if sys.stdin.isatty():
            print("one case a line, as JSON; Ctrl-D ends", file=sys.stderr)
        yield from sys.stdin.buffer
        return
    with file.open("rb") as lines:
        # Drawn only where nothing else is: on a terminal that shows no answers.
        if sys.stderr.isatty() and not sys.stdout.isatty():
            yield from with_progress(lines, file.stat().st_size, sys.stderr)
        else:
            yield from lines


def with_progress(lines: Iterable[bytes], size_bytes: int, terminal: TextIO) -> Iterator[bytes]:
    """Yield the lines, and draw on the terminal how much of them is done."""
    done_bytes, shown = 0, -1
    for number, line in enumerate(lines, start=1):
        yield line
        done_bytes += len(line)
        # What is no plain file has no size.
        percent = 100 * done_bytes // max(size_bytes, done_bytes)
        if percent > shown:
            terminal.write(f"\r{percent:3} %, {number} lines")
            terminal.flush()
            shown = percent
    terminal.write("\n")


# From a line to an answer


@dataclass(frozen=True, slots=True)
class _Answer:
    """What became of a line.

    Attributes:
        case_id: as the case names itself, else the number of its line; None where that cannot be
            read.
        line: its number, from 1.
        found: the calculation, or what is wrong with the case.
    """

    case_id: str | int | None
    line: int
    found: Calculation | DocumentError


def _answers(lines: Iterable[bytes], rules: "Rules") -> Iterator[_Answer]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _answer(line, number, rules)


def _answer(line: bytes, number: int, rules: "Rules") -> _Answer:
    from loyalty.calculate import calculate

    case_id: str | int | None = None
    try:
        document = msgspec.json.decode(line)
        case_id = _name(document, number)
        case = read_case(document)
        calculation = calculate(
            case.basket,
            rules,
            moment=case.moment,
            place=case.place,
            account=case.account,
            request=case.request,
            right=case.right,
            allowance=case.allowance,
        )
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _Answer(case_id, number, DocumentError("$", f"not JSON: {error}"))
    except DocumentError as error:
        return _Answer(case_id, number, error)
    except LoyaltyError as error:
        return _Answer(case_id, number, DocumentError("$", str(error)))
    return _Answer(case_id, number, calculation)


def _name(document: object, number: int) -> str | int | None:
    named = document.get("id", "") if isinstance(document, dict) else None
    if type(named) is int or isinstance(named, str):
        return number if named == "" else named
    return None


def _for_programs(answer: _Answer, titles: dict[str, str], language: str | None) -> str:
    named = f'"id":{json.dumps(answer.case_id)}'
    found = answer.found
    if isinstance(found, DocumentError):
        error = {"line": answer.line, "path": found.path, "problem": found.problem}
        return f'{{{named},"error":{json.dumps(error, separators=(",", ":"))}}}'
    # The very bytes a till records of this receipt.
    calculation = f'"calculation":{canonical_bytes(found).decode("ascii")}'
    if language is None:
        return f"{{{named},{calculation}}}"
    reasons, hints = said(found, titles, language)
    texts = {"reasons": reasons, "hints": hints}
    said_so = json.dumps(texts, ensure_ascii=False, separators=(",", ":"))
    return f'{{{named},{calculation},"texts":{said_so}}}'


def _for_people(answer: _Answer, titles: dict[str, str], language: str) -> str:
    if isinstance(answer.found, DocumentError):
        named = "" if answer.case_id is None else f", case {answer.case_id}"
        return f"line {answer.line}{named}: {answer.found}\n"
    return receipt_text(answer.case_id, answer.found, titles, language)
