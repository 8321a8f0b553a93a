"""House rules that no linter knows: sizes, a docstring on top, names that say something."""

import ast
import re
import sys
from pathlib import Path

import pytest

from tests.architecture.source_tree import PACKAGES, module_files, parse, relative

FUNCTION_LINES_MAX = 60
MODULE_LINES_MAX = 500
# Drawers that everything falls into.
EMPTY_NAMES = {"base", "common", "core", "helper", "helpers", "manager", "misc", "util", "utils"}
EMPTY_ENDINGS = ("_helper", "_helpers", "_misc", "_util", "_utils")
FILES = module_files(*PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_is_looked_at(package: str) -> None:
    assert f"{package}/__init__.py" in {relative(path) for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_module_is_short_and_says_what_it_is_for(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= MODULE_LINES_MAX, f"{lines} lines; {MODULE_LINES_MAX} at most"
    docstring = ast.get_docstring(parse(path))
    assert docstring, "a module's first line says in one sentence what it is for"
    assert re.search(r"[.:!?]$", docstring.split("\n\n", maxsplit=1)[0]), "the sentence has an end"


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_functions_are_short(path: Path) -> None:
    too_long = []
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            lines = (node.end_lineno or node.lineno) - first + 1
            if lines > FUNCTION_LINES_MAX:
                too_long.append(f"{node.name}, line {first}: {lines} lines")
    assert not too_long, f"{FUNCTION_LINES_MAX} lines at most"


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_module_is_named_after_a_thing_of_the_trade(path: Path) -> None:
    name = path.parent.name if path.stem == "__init__" else path.stem
    assert name not in EMPTY_NAMES
    assert not name.endswith(EMPTY_ENDINGS)
    if name != "__main__":
        assert name not in sys.stdlib_module_names, "hides a module of the standard library"
