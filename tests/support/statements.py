"""Every SQL statement of the centre, which parts run it, and what it needs of each table.

What a statement needs is asked of PostgreSQL: it plans each one as a role that may nothing, which
is given more until it is content.
"""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from pathlib import Path
from typing import Final

import asyncpg

from central.database.named_sql import load_queries
from central.database.parts import PARTS, PRIVILEGES, Part
from central.database.pool import Connection

ROOT: Final = Path(__file__).parents[2]
OWNER: Final = ("central/database/backups.py", "central/database/migrations.py",
                "central/database/parts.py",
                "central/database/spreading.py")  # fmt: skip
"""Modules whose statements only the schema's owner runs."""

FRONT: Final[tuple[Part, ...]] = ("front",)
APP: Final[tuple[Part, ...]] = ("app",)
OFFICE: Final[tuple[Part, ...]] = ("office",)
PERSONAL: Final[tuple[Part, ...]] = ("personal",)
PROCESSING: Final[tuple[Part, ...]] = ("processing",)
OUTREACH: Final[tuple[Part, ...]] = ("outreach",)
NOBODY: Final[tuple[Part, ...]] = ()
"""Commands alone, which work as the schema's owner."""

RUN_BY: Final[dict[str, tuple[Part, ...]]] = {
    "access/clients.py": APP,
    "access/codes.py": APP,
    "access/customers.py": APP,
    "access/partner_statement.py": APP,
    "access/partners.py": APP,
    "access/personal_offers.py": APP,
    "access/sessions.py": APP,
    "alerts/": OUTREACH,
    "api/office_routes.py": OFFICE,
    "api/open_routes.py": FRONT,
    "availability/counting.py": PROCESSING,
    "availability/report.py": OFFICE + PROCESSING + OUTREACH,
    "backtest/archiving.py": NOBODY,
    "console/status_page.py": PROCESSING,
    "ledger/account_books.py": PROCESSING,
    "ledger/adjustments.py": OFFICE,
    "ledger/books.py": APP + OFFICE + PROCESSING,
    "ledger/card_moves.py": OFFICE,
    "ledger/liability.py": OFFICE,
    "ledger/merging.py": OFFICE,
    "ledger/moving.py": OFFICE,
    "ledger/places.py": OFFICE + PROCESSING,
    "ledger/sealing.py": OFFICE + PROCESSING,  # what proves and what seals read entries alike
    "ledger/verify.py": OFFICE,
    "observability/figures.py": PROCESSING + OUTREACH,
    "outreach/": OUTREACH,
    "people/birthdays.py": PROCESSING,
    "people/loading.py": NOBODY,
    "people/tiers.py": PROCESSING,
    "privacy/customers.py": PERSONAL,
    "privacy/erasing.py": PROCESSING,
    "privacy/exporting.py": PERSONAL,
    "privacy/telling.py": FRONT,
    "programmes/registry.py": OFFICE,
    "programmes/wallets.py": OFFICE,
    "rights/allowance.py": OFFICE,
    "rights/blocking.py": PROCESSING,
    "rights/budgets.py": FRONT + PROCESSING,
    "rights/code_checks.py": NOBODY,
    "rights/counters.py": FRONT,
    "rights/courier.py": FRONT + APP,
    "rights/exposure.py": OFFICE + PROCESSING + OUTREACH,
    "rights/giving_up.py": NOBODY,
    "rights/grants.py": FRONT + APP + PROCESSING,
    "rights/home_books.py": PROCESSING,
    "rights/issuing.py": FRONT,
    "rights/planner.py": PROCESSING,
    "rights/right_books.py": PROCESSING,
    "rights/shared_books.py": PROCESSING,
    "rights/suspicion.py": FRONT + PROCESSING,
    "rights/tending.py": PROCESSING,
    "rights/waking.py": FRONT + APP + OFFICE + PROCESSING,
    "rights/write_offs.py": PROCESSING,
    "rules/deltas.py": OFFICE,
    "rules/directory.py": FRONT,
    "rules/drafts.py": OFFICE,
    "rules/due.py": PROCESSING,
    "rules/exporting.py": OFFICE,
    "rules/guarding.py": PROCESSING,
    "rules/left_behind.py": OFFICE + PROCESSING + OUTREACH,
    "rules/library.py": FRONT + OFFICE + PROCESSING,
    "rules/pinning.py": OFFICE,
    "rules/publishing.py": OFFICE,
    "rules/releases.py": OFFICE,
    "rules/reports.py": FRONT,
    "rules/roots.py": FRONT + OFFICE,
    "rules/shown_rules.py": APP + PROCESSING,
    "rules/unable.py": OFFICE,
    "rules/ways.py": FRONT + OFFICE + PROCESSING + OUTREACH,
    "staff/audit.py": OFFICE + PERSONAL + PROCESSING,
    "staff/persons.py": OFFICE,
    "streams/apply.py": PROCESSING,
    "streams/batch.py": PROCESSING,
    "streams/business_date.py": FRONT,
    "streams/counters.py": PROCESSING,
    "streams/deliveries.py": FRONT,
    "streams/durable.py": NOBODY,
    "streams/ingest.py": FRONT,
    "streams/lines.py": FRONT,
    "streams/parked.py": OFFICE + PROCESSING,
    "streams/parked_queue.py": OFFICE,
    "streams/partner_points.py": PROCESSING,
    "streams/refunds.py": PROCESSING,
    "streams/sharing.py": PROCESSING,
    "streams/staleness.py": PROCESSING,
    "streams/transfers.py": PROCESSING,
    "streams/unequal.py": OFFICE,
    "streams/used_codes.py": PROCESSING,
    "tills/account_rows.py": FRONT + OFFICE,
    "tills/blocked_cards.py": FRONT,
    "tills/desk.py": FRONT,
    "tills/enrolment.py": FRONT,
    "tills/feed.py": PROCESSING,
    "tills/front.py": FRONT,
    "tills/roster.py": FRONT,
    "tills/snapshots.py": FRONT,
    "tills/telling.py": FRONT,
    "tills/told_accounts.py": FRONT,
}
"""By module, or by folder; `NARROWED` says where a statement of it is of fewer parts."""

NARROWED: Final[dict[str, dict[tuple[Part, ...], str]]] = {
    "alerts/incidents.py": {OFFICE: "incidents"},
    "availability/counting.py": {OFFICE + PROCESSING + OUTREACH: "served stores"},
    "ledger/books.py": {PROCESSING: "redemption_lots give_back note_given_back pool_recovers"},
    "ledger/sealing.py": {
        PROCESSING: "hold_writers last_entry one_sealer last_seal insert_seal",
        OFFICE: "newest_seals entries_of_subject seal_of_entry seals blocks",
    },
    "ledger/places.py": {OFFICE: "put_account_cards keys_of_rights move_places"},
    "outreach/outbox.py": {
        OFFICE + PROCESSING + APP: "write",
        NOBODY: "state dead resend drop_dead",
    },
    "people/tiers.py": {
        OFFICE: "put_terms overview",
        OFFICE + PROCESSING: "reached terms terms_of_all",
    },
    "privacy/erasing.py": {
        PERSONAL: "open_of_account aliases forget forget_consents ask",
        PERSONAL + PROCESSING: "lock_erasures",
        OFFICE: "erasures tills_missing ahead tills_of points_left",
    },
    "rights/courier.py": {FRONT + APP + PROCESSING: "forget_posted hear_receipt key_of_till"},
    "rights/counters.py": {
        PROCESSING: "take_home take_back sweep_grants sweep_counters",
        OFFICE: "states",
        NOBODY: "held_by release",
    },
    "rights/grants.py": {PROCESSING: "take_exposure free_exposure reserve_exposure write_off"},
    "rights/planner.py": {
        FRONT + APP + OFFICE + PROCESSING: "vaults",
        FRONT: "move_wishes wish_for_share",
        APP + OFFICE + PROCESSING: "recall_elsewhere drop_wishes_elsewhere wish",
    },
    "rights/waking.py": {PROCESSING + OFFICE: "stores_keeping"},
    "rules/due.py": {OFFICE: "stale_by_release"},
    "rules/releases.py": {OFFICE + PROCESSING: "change_state rings bundle releases"},
    "rules/roots.py": {OFFICE: "lock_releases insert_root"},
    "streams/parked.py": {PROCESSING: "waited_for unpark_given_up unpark"},
    "streams/refunds.py": {
        FRONT + PROCESSING: "returns_of_receipt returnable_points account_of_receipt"
    },
    "streams/transfers.py": {
        FRONT: "recalled_transfers stranded still_stranded strand left_with_others",
        FRONT + PROCESSING: "tell_stores till_of_store",
    },
    "streams/used_codes.py": {NOBODY: "twice"},
    "tills/account_rows.py": {FRONT: "applied_streams accounts_asked"},
    "tills/enrolment.py": {NOBODY: "insert_code"},
    "tills/feed.py": {
        FRONT: "feed_epoch feed_now feed_goes_on accounts_held rows_of_buckets",
        NOBODY: "begin_epoch",
    },
}
"""Statements of a module that are of other parts than the rest of it."""

_VERB = re.compile(r"(select|insert|update|delete|with)\s", re.IGNORECASE)
_DENIED = re.compile(r"permission denied for (?:table|view|materialized view) (\S+)")


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement and where it stands."""

    module: str
    name: str
    sql: str
    parts: tuple[Part, ...]


def every_statement() -> list[Statement]:
    """Return all of them, those of `OWNER` left out."""
    found = []
    for path in sorted((ROOT / "central").rglob("*.py")):
        relative = path.relative_to(ROOT).as_posix()
        if relative not in OWNER:
            found += list(_statements(relative, ast.parse(path.read_text(encoding="utf-8"))))
    return found


def _statements(module: str, tree: ast.Module) -> Iterator[Statement]:
    files = dict(_files_of(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
            if _VERB.match(text) and re.search(r"\b(from|into|set)\b", text):
                yield _statement(module, " ".join(text.split())[:40], text)
        elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
            queries = files.get(node.value.id, {})
            pattern = _pattern(node.slice, tree) if queries else None
            for name in queries:
                if pattern is not None and pattern.fullmatch(name):
                    yield _statement(module, name, queries[name])


def _files_of(tree: ast.Module) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yield the query files a module has loaded, by the variable's name."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Call):
            continue
        call, target = node.value, node.targets[0]
        if isinstance(call.func, ast.Name) and call.func.id == "load_queries":
            package, file = (each.value for each in call.args if isinstance(each, ast.Constant))
            assert isinstance(target, ast.Name)
            yield target.id, load_queries(str(package), str(file))


def _pattern(index: ast.expr, tree: ast.Module) -> re.Pattern[str]:
    """Return what the name in an index may be; of a variable any word the module says."""
    if isinstance(index, ast.Constant):
        return re.compile(re.escape(str(index.value)))
    if isinstance(index, ast.Name):
        words = {
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        return re.compile("|".join(re.escape(word) for word in sorted(words) if word))
    assert isinstance(index, ast.JoinedStr), ast.unparse(index)
    return re.compile(
        "".join(
            re.escape(str(each.value)) if isinstance(each, ast.Constant) else ".*"
            for each in index.values
        )
    )


def _statement(module: str, name: str, sql: str) -> Statement:
    short = module.removeprefix("central/")
    parts = RUN_BY.get(short) or RUN_BY.get(short.rpartition("/")[0] + "/")
    assert parts is not None or short in RUN_BY, f"say in RUN_BY which parts run {module}: {name}"
    parts = parts or NOBODY
    for narrowed, names in NARROWED.get(short, {}).items():
        if name in names.split():
            parts = narrowed
    return Statement(module, name, sql, parts)


_LETTERS: Final = tuple(
    "".join(each) for each in chain.from_iterable(combinations("rawd", n) for n in (1, 2, 3, 4))
)


async def needs(connection: Connection, sql: str, role: str) -> dict[str, str]:
    """Return the fewest privileges a statement needs, letters by table.

    Args:
        connection: of one that may grant to `role`, which may nothing with any table.
    """
    if not _VERB.match(_bare(sql)):
        return {}
    found: dict[str, str] = {}
    while (table := await _denied(connection, sql, role, found)) is not None:
        for letters in _LETTERS:
            tried = {**found, table: letters}
            if await _denied(connection, sql, role, tried) != table:
                found = tried
                break
        else:
            raise AssertionError(f"{table} is denied whatever is granted: {sql}")
    return found


async def _denied(
    connection: Connection, sql: str, role: str, granted: dict[str, str]
) -> str | None:
    transaction = connection.transaction()
    await transaction.start()
    try:
        for table, letters in granted.items():
            names = ", ".join(PRIVILEGES[letter] for letter in letters)
            schema = "personal." if table in _PERSONAL_TABLES else ""
            await connection.execute(f"grant {names} on {schema}{table} to {role}")
        await connection.execute(f"set local role {role}")
        await connection.execute(f"explain (generic_plan) {sql}")
    except asyncpg.InsufficientPrivilegeError as error:
        if "for function" in str(error):
            return None  # those that do something by themselves are granted by name
        if (found := _DENIED.match(str(error))) is None:
            raise
        return found[1]
    finally:
        await transaction.rollback()
    return None


NOT_TO_BE_READ: Final = frozenset(
    {
        "setting", "migration", "enrolment_code", "store_bus_key", "person", "api_client",
        "api_secret", "app_session", "card", "account_card", "erased_card", "blocked_card",
        "account_birthday", "inbox",
    }
)  # fmt: skip
"""What reports have no business with: secrets, and what leads to a person."""


async def derive(connection: Connection) -> dict[str, dict[Part, str]]:
    """Return what each part needs of each table, as letters in the order of `PRIVILEGES`.

    Args:
        connection: of a superuser, on a migrated database.
    """
    role = "tillside_probe"
    if not await connection.fetchval("select to_regrole($1) is not null", role):
        await connection.execute(f"create role {role} nologin")
    await connection.execute(f"grant usage on schema personal to {role}")
    known: dict[str, dict[str, str]] = {}
    found: dict[str, dict[Part, set[str]]] = {}
    for statement in every_statement():
        if statement.sql not in known:
            known[statement.sql] = await needs(connection, statement.sql, role)
        for table, letters in known[statement.sql].items():
            name = f"personal.{table}" if table in _PERSONAL_TABLES else table
            for part in statement.parts:
                found.setdefault(name, {}).setdefault(part, set()).update(letters)
    rows = await connection.fetch(
        "select relname from pg_class where relnamespace = current_schema()::regnamespace"
        " and relkind in ('r', 'p', 'v') and not relispartition"
    )
    for (table,) in rows:
        if table not in NOT_TO_BE_READ:
            found.setdefault(table, {})["reader"] = {"r"}
    # Whoever is bound to a part sees whether the schema fits.
    found["migration"] = {part: {"r"} for part in PARTS if part != "reader"}
    return {
        table: {
            part: "".join(each for each in PRIVILEGES if each in letters)
            for part, letters in parts.items()
        }
        for table, parts in found.items()
    }


def as_text(derived: dict[str, dict[Part, str]]) -> str:
    """Return grants as the file has them."""
    heading = "# " + "table".ljust(26) + "".join(part.ljust(12) for part in PARTS)
    lines = [
        table.ljust(28) + "".join(parts.get(part, "-").ljust(12) for part in PARTS)
        for table, parts in sorted(derived.items())
    ]
    return _BEGINNING + "\n".join(line.rstrip() for line in (heading, *lines)) + "\n"


_BEGINNING: Final = """\
# What each part of the centre may do with each table, derived from the statements it runs:
# r select, a insert, w update (and lock), d delete; - nothing.
# pytest tests/unit/central/test_parts.py --update-golden writes it anew.
"""
_PERSONAL_TABLES: Final = ("customer", "contact", "consent", "key_in_use")


def _bare(sql: str) -> str:
    """Return a statement without the comments before it."""
    lines: Sequence[str] = [
        line for line in sql.strip().splitlines() if not line.strip().startswith("--")
    ]
    return "\n".join(lines).lstrip()
