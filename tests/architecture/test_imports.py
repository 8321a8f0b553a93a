"""Who may import whom; who alone may read the clock, draw lots and open a second SQLite."""

import ast
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from tests.architecture.source_tree import (
    ROOT,
    SHIPPED,
    imports,
    module_files,
    module_name,
    parse,
    relative,
)

# The part of the standard library that computes and does nothing else.
# fmt: off
PURE_MODULES = {
    "__future__", "abc", "base64", "binascii", "bisect", "collections", "copy", "dataclasses",
    "datetime", "decimal", "enum", "fractions", "functools", "graphlib", "hashlib", "heapq",
    "hmac", "itertools", "json", "math", "operator", "re", "string", "struct", "textwrap",
    "types", "typing", "unicodedata", "zlib",
}
# fmt: on
SYSTEM_MODULES = {"agent.system", "central.system"}
# Whole modules, or single names: the same function of one module may be asked of a given time.
CLOCKS_AND_CHANCE = {
    "random",
    "secrets",
    "datetime.date.today",
    "datetime.datetime.now",
    "datetime.datetime.today",
    "datetime.datetime.utcnow",
    "os.getrandom",
    "os.urandom",
    "time.clock_gettime",
    "time.clock_gettime_ns",
    "time.monotonic",
    "time.monotonic_ns",
    "time.perf_counter",
    "time.perf_counter_ns",
    "time.process_time",
    "time.process_time_ns",
    "time.thread_time",
    "time.thread_time_ns",
    "time.time",
    "time.time_ns",
    "uuid.uuid1",
    "uuid.uuid4",
    "uuid.uuid6",
    "uuid.uuid7",
}
SECOND_SQLITES = {"pysqlite3", "sqlite3", "sqlite_utils"}
# The rooms of pos_adapters that all adapters share; every other folder there is an adapter.
SHARED_ROOMS = {"transports"}


def dotted(node: ast.AST) -> str | None:
    """Return `a.b.c` for an attribute chain or a name, None for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (start := dotted(node.value)):
        return f"{start}.{node.attr}"
    return None


def names_used(tree: ast.AST) -> set[tuple[str, int]]:
    """Return the full names of what is imported or reached through an import, with their lines."""
    known = {found.alias: found.target for found in imports(tree)}
    used = {(found.target, found.line) for found in imports(tree)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and (name := dotted(node)):
            first, _, rest = name.partition(".")
            if first in known:
                used.add((f"{known[first]}.{rest}", node.lineno))
    return used


def is_within(name: str, banned: set[str]) -> bool:
    """Return whether the name is a banned one or something inside it."""
    parts = name.split(".")
    return any(".".join(parts[:count]) in banned for count in range(1, len(parts) + 1))


def test_import_contracts_hold() -> None:
    linter = shutil.which("lint-imports", path=sysconfig.get_path("scripts"))
    assert linter, "import-linter is not installed beside this Python"
    command = [linter, "--no-cache", "--no-logo"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("path", module_files("loyalty"), ids=relative)
def test_rules_import_only_what_computes(path: Path) -> None:
    roots = {found.target.split(".")[0] for found in imports(parse(path))}
    assert roots <= PURE_MODULES | {"loyalty"}


@pytest.mark.parametrize("path", module_files(*SHIPPED), ids=relative)
def test_only_system_modules_read_clock_chance_and_ids(path: Path) -> None:
    if module_name(path) in SYSTEM_MODULES:
        return
    found = {
        (name, line) for name, line in names_used(parse(path)) if is_within(name, CLOCKS_AND_CHANCE)
    }
    assert not found, "take it from agent.system or central.system"


@pytest.mark.parametrize("name", sorted(SYSTEM_MODULES))
def test_system_modules_read_the_clock_themselves(name: str) -> None:
    tree = parse(ROOT / f"{name.replace('.', '/')}.py")
    assert {used for used, _ in names_used(tree) if is_within(used, CLOCKS_AND_CHANCE)}


@pytest.mark.parametrize("path", module_files("agent", "pos_adapters"), ids=relative)
def test_only_maintenance_opens_a_second_sqlite(path: Path) -> None:
    if is_within(module_name(path), {"agent.maintenance"}):
        return
    found = {
        (name, line) for name, line in names_used(parse(path)) if is_within(name, SECOND_SQLITES)
    }
    assert not found, "two SQLite libraries in one process lose committed rows"


@pytest.mark.parametrize("path", module_files("pos_adapters"), ids=relative)
def test_one_adapter_knows_nothing_of_another(path: Path) -> None:
    rooms = {folder.name for folder in (ROOT / "pos_adapters").iterdir() if folder.is_dir()}
    adapters = rooms - SHARED_ROOMS
    own = module_name(path).split(".")[1:2]
    if not own or own[0] not in adapters:
        return
    imported = {
        parts[1]
        for found in imports(parse(path))
        if (parts := found.target.split("."))[0] == "pos_adapters" and len(parts) > 1
    }
    assert not (imported & adapters) - set(own)


@pytest.mark.parametrize("path", module_files(*SHIPPED), ids=relative)
def test_nothing_shipped_imports_relatively(path: Path) -> None:
    relative_imports = [
        node.lineno
        for node in ast.walk(parse(path))
        if isinstance(node, ast.ImportFrom) and node.level > 0
    ]
    assert not relative_imports
