"""Our own sources as the architecture tests see them: files, names, syntax trees, imports."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHIPPED = ("loyalty", "sync", "pos_adapters", "agent", "central")
PACKAGES = (*SHIPPED, "bench")


@dataclass(frozen=True, slots=True)
class Import:
    """One imported name: `from datetime import date as day` is datetime.date, known as `day`."""

    target: str
    alias: str
    line: int


def module_files(*packages: str) -> list[Path]:
    """Return the Python files of the given packages, in a fixed order."""
    return sorted(path for package in packages for path in (ROOT / package).rglob("*.py"))


def relative(path: Path) -> str:
    """Return the path as people write it, from the repository's root."""
    return path.relative_to(ROOT).as_posix()


def module_name(path: Path) -> str:
    """Return the name under which Python imports the file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def parse(path: Path) -> ast.Module:
    """Return the file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=relative(path))


def imports(tree: ast.AST) -> Iterator[Import]:
    """Yield every import in the tree, those inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                # `import os.path` makes `os` known; only `as` makes the whole path known.
                known = name.asname or name.name.split(".", maxsplit=1)[0]
                target = name.name if name.asname else known
                yield Import(target=target, alias=known, line=node.lineno)
                if target != name.name:
                    yield Import(target=name.name, alias=name.name, line=node.lineno)
        elif isinstance(node, ast.ImportFrom):
            for name in node.names:
                target = f"{node.module}.{name.name}"
                yield Import(target=target, alias=name.asname or name.name, line=node.lineno)
