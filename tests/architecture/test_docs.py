"""The docs are complete: every command stands in them, and every link to a file finds one."""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

import agent.cli
import central.cli
from tests.architecture.source_tree import ROOT, relative

COMMANDS_PAGE = ROOT / "docs" / "commands.md"
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "packaging").rglob("*.md")]
)
LINK = re.compile(
    r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)|^\[[^\]]+\]:\s+(\S+)", re.MULTILINE
)
CODE = re.compile(r"^(```|~~~).*?^\1|`[^`\n]+`", re.MULTILINE | re.DOTALL)
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def subcommands(parser: argparse.ArgumentParser, program: str) -> Iterator[str]:
    """Yield every full command of a parser, such as `tillside-central rules publish`."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no public way to ask for these
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for name, child in action.choices.items():
                command = f"{program} {name}"
                yield command
                yield from subcommands(child, command)


COMMANDS = [
    *subcommands(agent.cli.build_parser(), "tillside-agent"),
    *subcommands(central.cli.build_parser(), "tillside-central"),
]


def headings(page: Path) -> set[str]:
    """Return the anchors a page's headings can be linked by."""
    text = CODE.sub(
        lambda code: code.group() if "\n" not in code.group() else "", page.read_text("utf-8")
    )
    titles = re.findall(r"^#{1,6}\s+(.+?)\s*#*$", text, re.MULTILINE)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title) for title in titles)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in plain}


def broken_link(page: Path, target: str) -> str | None:
    """Return what is wrong with a link on a page, None when it leads somewhere."""
    if ELSEWHERE.match(target):
        return None
    name, _, anchor = unquote(target).partition("#")
    file = (page.parent / name).resolve() if name else page
    if not file.exists() or not file.is_relative_to(ROOT):
        return f"{target}: no such file in the repository"
    if anchor and file.suffix == ".md" and anchor not in headings(file):
        return f"{target}: no such heading"
    return None


@pytest.mark.parametrize("program", ["tillside-agent", "tillside-central"])
def test_both_programs_have_commands(program: str) -> None:
    assert any(command.startswith(f"{program} ") for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_command_is_documented(command: str) -> None:
    page = COMMANDS_PAGE.read_text(encoding="utf-8")
    assert re.search(rf"{re.escape(command)}(?![\w-])", page), f"not in {relative(COMMANDS_PAGE)}"


@pytest.mark.parametrize("name", ["README.md", "docs/commands.md", "docs/glossary.md"])
def test_page_exists(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert re.search(r"^# \S", text, re.MULTILINE), "a page begins with its title"


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_links_lead_somewhere(page: Path) -> None:
    text = CODE.sub("", page.read_text(encoding="utf-8"))
    targets = [first or second for first, second in LINK.findall(text)]
    assert not [wrong for target in targets if (wrong := broken_link(page, target))]
