"""Folder names are import names: ours never hide a library's, and no library hides ours."""

import importlib.metadata
import importlib.util
import tomllib
from pathlib import Path

import pytest

from tests.architecture.source_tree import PACKAGES, ROOT, SHIPPED


def test_packaging_folder_is_not_a_python_package() -> None:
    found = list((ROOT / "packaging").rglob("__init__.py"))
    assert not found, "it would hide the library `packaging`: scripts there are run by their path"


def test_import_packaging_finds_the_library() -> None:
    spec = importlib.util.find_spec("packaging.version")
    assert spec is not None
    assert spec.origin is not None
    assert ROOT / "packaging" not in Path(spec.origin).parents


def test_tests_folders_are_not_python_packages() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py")), "pytest names tests by their path"


@pytest.mark.parametrize("package", PACKAGES)
def test_import_finds_our_package(package: str) -> None:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin == str(ROOT / package / "__init__.py")


def test_no_installed_distribution_ships_a_folder_of_our_name() -> None:
    # An editable install names no top-level folder of its own here; a wheel would name tillside.
    owners = importlib.metadata.packages_distributions()
    names = (*PACKAGES, "tests")
    foreign = {name: set(owners.get(name, ())) - {"tillside"} for name in names}
    assert not {name: found for name, found in foreign.items() if found}


def test_wheel_ships_the_five_packages_and_nothing_else() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = settings["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["packages"] == list(SHIPPED)
