"""Mutation testing of the rules: `python -m bench.mutation --sample 300 --seed 1`.

Small mistakes are put into a copy of the tree, one at a time, and the tests must notice each. The
copy lies in a temporary folder; the tree itself is never written to. Which mistakes are tried is
drawn from the seed. Nothing else is random: the judges that draw receipts get a fixed seed too.

A mutant is killed by a failing test, by a crash or by running out of time or memory. What survives
is printed as a difference, to be looked at one by one: a missing test, or no mistake at all.
"""

import argparse
import ast
import contextlib
import copy
import difflib
import importlib
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("loyalty", "sync", "tests", "docs", "bench", "pyproject.toml")
NOT_MUTATED = {"__init__", "errors", "limits", "outcomes", "reasons", "schema_facts", "schemas"}
"""Modules of names and bounds alone, and the schemas, which are data."""

UNIT_TESTS = "tests/unit/loyalty"
TOO_FAR = {"checking", "test_returns_doc.py", "test_schemas.py", "test_wording.py"}
"""Tests of what is not mutated."""

JUDGES = ("tests/oracle/test_redemption_oracle.py", "tests/oracle/test_best_basket_oracle.py")
JUDGES_SEED = 1
LOADED_ONCE = ("asyncio", "pytest_asyncio", "hypothesis", "jsonschema", "msgspec", "structlog")
"""Libraries the tests need; each mutant's process inherits them."""

CPU_MAX_S = 30
WALL_MAX_S = 240
MEMORY_MAX_BYTES = 3 << 30
SAID_EVERY_S = 20.0


@dataclass(frozen=True, slots=True)
class Mutant:
    """One small mistake.

    Attributes:
        start: offset of the text it replaces, in bytes of the file; `end` the same.
    """

    path: str
    line: int
    kind: str
    start: int
    end: int
    text: str

    def applied(self, source: bytes) -> bytes:
        """Return the file with the mistake."""
        return source[: self.start] + self.text.encode() + source[self.end :]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a mutant: `killed`, `timeout` or `survived`, and by which test."""

    mutant: Mutant
    status: str
    by: str = ""


# Which mistakes there are

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
_SWAPPED_CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}
_EMPTY = {"int": "0", "str": "''", "dict": "{}", "list": "[]", "set": "set()", "Wish": "_NOTHING"}


def mutants_of(path: Path, source: bytes) -> list[Mutant]:
    """Return every mistake that can be put into a file, in the order of its text."""
    tree = ast.parse(source)
    starts = [0]
    for row in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(row))
    name = path.as_posix()
    found = []
    for node, kind, text in _Finder().all_in(tree):
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
        if source[start:end].decode() != text:
            found.append(Mutant(name, node.lineno, kind, start, end, text))
    return found


Change = tuple[ast.stmt | ast.expr, str, str]


class _Finder:
    """Walks a module; what only types, prints or explains is left alone."""

    def all_in(self, node: ast.AST, returns: str = "") -> Iterator[Change]:
        """Yield (what is replaced, kind of mistake, new text)."""
        if isinstance(node, ast.JoinedStr | ast.Assert):
            return
        if isinstance(node, ast.Raise):
            yield node, "statement removed", "pass"
        elif isinstance(node, ast.AnnAssign):
            if node.value:
                yield from self.all_in(node.value, returns)
        elif isinstance(node, ast.FunctionDef):
            yield from self._function(node)
        elif isinstance(node, ast.ClassDef):
            for part in node.body:
                yield from self.all_in(part)
        else:
            yield from self._inside(node, returns)

    def _inside(self, node: ast.AST, returns: str) -> Iterator[Change]:
        if isinstance(node, ast.expr):
            yield from _changed_expression(node)
        elif isinstance(node, ast.stmt):
            yield from self._statement(node, returns)
        for child in ast.iter_child_nodes(node):
            if not (isinstance(child, ast.keyword) and child.arg == "strict"):
                yield from self.all_in(child, returns)

    def _function(self, node: ast.FunctionDef) -> Iterator[Change]:
        returns = ast.unparse(node.returns) if node.returns else ""
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if default:
                yield from self.all_in(default)
        for part in node.body:
            yield from self.all_in(part, returns)

    def _statement(self, node: ast.stmt, returns: str) -> Iterator[Change]:
        if isinstance(node, ast.If | ast.While):
            yield node.test, "condition negated", f"not ({_plain(node.test)})"
        if isinstance(node, ast.Return) and node.value is not None:
            empty = _empty_of(returns, node.value)
            if empty:
                yield node.value, "result emptied", empty
        called = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call | ast.YieldFrom)
        stored = isinstance(node, ast.Assign) and not isinstance(node.targets[0], ast.Name)
        if called or (stored and not _unpacks(node)) or isinstance(node, ast.AugAssign):
            yield node, "statement removed", "pass"
        if isinstance(node, ast.Break | ast.Continue):
            yield node, "statement removed", "pass"
        if isinstance(node, ast.AugAssign) and type(node.op) in _ARITHMETIC:
            changed = copy.deepcopy(node)
            changed.op = _ARITHMETIC[type(node.op)]()
            yield node, "arithmetic", ast.unparse(changed)


def _changed_expression(node: ast.expr) -> Iterator[Change]:
    changed = copy.copy(node)
    if isinstance(node, ast.Compare) and isinstance(changed, ast.Compare):
        for at, op in enumerate(node.ops):
            changed.ops = [*node.ops[:at], _COMPARISONS[type(op)](), *node.ops[at + 1 :]]
            yield node, "comparison", f"({_plain(changed)})"
    elif isinstance(node, ast.BinOp) and isinstance(changed, ast.BinOp):
        if type(node.op) in _ARITHMETIC:
            changed.op = _ARITHMETIC[type(node.op)]()
            yield node, "arithmetic", f"({_plain(changed)})"
    elif isinstance(node, ast.BoolOp) and isinstance(changed, ast.BoolOp):
        changed.op = ast.And() if isinstance(node.op, ast.Or) else ast.Or()
        yield node, "and/or", f"({_plain(changed)})"
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield node, "not/minus removed", f"({_plain(node.operand)})"
    elif isinstance(node, ast.IfExp):
        yield node.test, "condition negated", f"(not ({_plain(node.test)}))"
    else:
        yield from _changed_leaf(node)


def _changed_leaf(node: ast.expr) -> Iterator[Change]:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        if node.func.id in _SWAPPED_CALLS:
            yield node.func, "min/max, any/all", _SWAPPED_CALLS[node.func.id]
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield node, "constant", str(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int):
        yield node, "constant", str(node.value + 1)
        yield node, "constant", f"({node.value - 1})"


def _plain(node: ast.expr) -> str:
    return ast.unparse(node)


def _unpacks(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple)


def _empty_of(returns: str, value: ast.expr) -> str:
    if isinstance(value, ast.Constant):
        return ""
    if returns == "bool":
        return f"not ({_plain(value)})"
    if "| None" in returns:
        return "None"
    name = returns.partition("[")[0]
    if name in {"tuple", "Units", "Sequence"} and ("..." in returns or name != "tuple"):
        return "()"
    return _EMPTY.get(name, "")


# The copy and the tests


class Laboratory:
    """A copy of the tree in which mutants live, one at a time."""

    def __init__(self, folder: Path, root: Path, deselected: Sequence[str]) -> None:
        self._folder = folder
        self._deselected = deselected
        ignored = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
        for name in COPIED:
            source = root / name
            if source.is_dir():
                shutil.copytree(source, folder / name, ignore=ignored)
            elif source.exists():
                shutil.copy2(source, folder / name)

    def sources(self) -> dict[str, bytes]:
        """Return the files that are mutated, by path."""
        paths = [
            *sorted((self._folder / "loyalty").glob("*.py")),
            *sorted((self._folder / "loyalty/offers").glob("*.py")),
        ]
        return {
            path.relative_to(self._folder).as_posix(): path.read_bytes()
            for path in paths
            if path.stem not in NOT_MUTATED
        }

    def baseline(self) -> tuple[str, str]:
        """Run every test on the copy as it is; the bytecode it leaves behind saves time later."""
        return self._run([self._all_tests()], bytecode=True)

    def judge(self, mutant: Mutant, source: bytes) -> Verdict:
        """Put the mistake in, run the tests nearest to it, then all others, and take it out."""
        path = self._folder / mutant.path
        before = path.stat()
        for stale in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
            stale.unlink()
        path.write_bytes(mutant.applied(source))
        try:
            nearest = self._nearest(mutant.path)
            others = [test for test in self._all_tests() if test not in nearest]
            return Verdict(mutant, *self._run([nearest, others] if nearest else [others]))
        finally:
            path.write_bytes(source)
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    def _all_tests(self) -> list[str]:
        unit = sorted((self._folder / UNIT_TESTS).glob("test_*.py"))
        names = [path.relative_to(self._folder).as_posix() for path in unit]
        return [*(name for name in names if Path(name).name not in TOO_FAR), *JUDGES]

    def _nearest(self, path: str) -> list[str]:
        stem = "offers" if "/offers/" in path else Path(path).stem
        tests = sorted((self._folder / UNIT_TESTS).glob(f"test_{stem}*.py"))
        names = [test.relative_to(self._folder).as_posix() for test in tests]
        return [name for name in names if Path(name).name not in TOO_FAR]

    def _run(self, stages: Sequence[Sequence[str]], *, bytecode: bool = False) -> tuple[str, str]:
        """Run the stages in a process of their own; return what came of it and the failed test."""
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.close(reading)
            self._in_child(stages, writing, bytecode=bytecode)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            failed = pipe.read()
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            late = os.WTERMSIG(status) in {signal.SIGXCPU, signal.SIGALRM, signal.SIGKILL}
            return ("timeout" if late else "killed"), failed or "a crash"
        return ("killed" if os.WEXITSTATUS(status) else "survived"), failed

    def _in_child(self, stages: Sequence[Sequence[str]], writing: int, *, bytecode: bool) -> None:
        code = 1
        with contextlib.suppress(BaseException):
            os.chdir(self._folder)
            sys.path.insert(0, str(self._folder))
            sys.dont_write_bytecode = not bytecode
            resource.setrlimit(resource.RLIMIT_CPU, (CPU_MAX_S, CPU_MAX_S))
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX_BYTES, MEMORY_MAX_BYTES))
            signal.alarm(WALL_MAX_S)
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, 1)
            os.dup2(nothing, 2)
            watch = _Watch(writing)
            options = ["-x", "-q", "-p", "no:cacheprovider", f"--seed={JUDGES_SEED}", "--tb=no"]
            options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # of LOADED_ONCE
            options += [f"--deselect={name}" for name in self._deselected]
            passed = all(not pytest.main([*options, *stage], plugins=[watch]) for stage in stages)
            if str(sys.modules["loyalty"].__file__).startswith(str(self._folder)):
                code = 0 if passed else 1
            else:
                watch.say("the tests ran on another tree than the copy")
        os._exit(code)


class _Watch:
    """Tells the name of the first test that fails."""

    def __init__(self, writing: int) -> None:
        self._writing = writing

    def say(self, text: str) -> None:
        """Tell the parent process."""
        os.write(self._writing, text.encode())

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.say(report.nodeid.replace("\n", " ")[:300])

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.say(f"cannot collect {report.nodeid}"[:300])


# The command


def drawn(
    sources: dict[str, bytes], *, modules: Sequence[str], count: int, seed: int
) -> tuple[list[Mutant], int]:
    """Return the mutants to try, in the order they were drawn, and how many there are in all."""
    chosen = [path for path in sorted(sources) if not modules or Path(path).stem in modules]
    everything = [one for path in chosen for one in mutants_of(Path(path), sources[path])]
    count = min(count or len(everything), len(everything))
    # Stopped early, what was tried is a sample all the same.
    return random.Random(seed).sample(everything, count), len(everything)


def difference(mutant: Mutant, source: bytes) -> str:
    """Return what the mistake changes."""
    lines = difflib.unified_diff(
        source.decode().splitlines(),
        mutant.applied(source).decode().splitlines(),
        n=1,
        lineterm="",
    )
    shown = "\n".join(f"    {line}" for line in list(lines)[2:])
    return f"{mutant.path}:{mutant.line} ({mutant.kind})\n{shown}"


class _Progress:
    """A bar on a terminal, a line now and then elsewhere."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._began = self._said = time.monotonic()

    def say(self, done: int, survived: int) -> None:
        now = time.monotonic()
        drawn_in_place = sys.stderr.isatty()
        if not drawn_in_place and now - self._said < SAID_EVERY_S and done < self._count:
            return
        self._said = now
        full = 30 * done // self._count
        bar = "#" * full + "." * (30 - full)
        rest = (now - self._began) / done * (self._count - done)
        text = f"[{bar}] {done}/{self._count}, {survived} survived, {rest:.0f} s to go"
        print(f"\r{text}" if drawn_in_place else text, end="", file=sys.stderr)
        print(end="" if drawn_in_place and done < self._count else "\n", file=sys.stderr)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.mutation", description=__doc__)
    parser.add_argument("--sample", type=int, default=300, help="mutants to try; 0 = all")
    parser.add_argument("--seed", type=int, default=1, help="which ones")
    parser.add_argument("--minutes", type=float, default=0.0, help="stop then; 0 = never")
    parser.add_argument("--modules", default="", help="only these, by name: packing,search")
    parser.add_argument("--json", type=Path, help="write every verdict to this file")
    parser.add_argument("--again", type=Path, help="try the survivors of such a file once more")
    parser.add_argument("--deselect", action="append", default=[], help="a test to leave out")
    parser.add_argument("--root", type=Path, default=ROOT, help="the tree to copy")
    return parser.parse_args(arguments)


def _again(path: Path, sources: dict[str, bytes]) -> list[Mutant]:
    kept = [Mutant(**each) for each in json.loads(path.read_text())["survivors"]]
    return [one for one in kept if one in mutants_of(Path(one.path), sources[one.path])]


def _report(verdicts: Sequence[Verdict], total: int) -> dict[str, object]:
    survivors = [verdict.mutant for verdict in verdicts if verdict.status == "survived"]
    tried = Counter(verdict.mutant.path for verdict in verdicts)
    lost = Counter(mutant.path for mutant in survivors)
    width = max(map(len, tried))
    for path in sorted(tried):
        print(f"{path:{width}}  {tried[path] - lost[path]:4} of {tried[path]:4} noticed")
    statuses = Counter(verdict.status for verdict in verdicts)
    noticed = len(verdicts) - len(survivors)
    share = 100 * noticed / len(verdicts)
    print(
        f"\n{noticed} of {len(verdicts)} mutants noticed ({share:.1f} %), {len(survivors)}"
        f" survived; {statuses['timeout']} noticed by running out of time; {total} mutants in all"
    )
    return {
        "noticed": noticed,
        "tried": len(verdicts),
        "timeouts": statuses["timeout"],
        "in_all": total,
        "survivors": [asdict(mutant) for mutant in survivors],
        "verdicts": [asdict(verdict) for verdict in verdicts],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 even where mutants survive, 1 where the tests fail without any."""
    options = _options(arguments)
    with tempfile.TemporaryDirectory(prefix="tillside-mutation-") as folder:
        laboratory = Laboratory(Path(folder).resolve(), options.root, options.deselect)
        for name in LOADED_ONCE:
            importlib.import_module(name)
        sources = laboratory.sources()
        modules = [name for name in options.modules.split(",") if name]
        mutants, total = drawn(sources, modules=modules, count=options.sample, seed=options.seed)
        if options.again:
            mutants = _again(options.again, sources)
        if not mutants:
            print("there is nothing to try", file=sys.stderr)
            return 1
        began = time.monotonic()
        status, failed = laboratory.baseline()
        if status != "survived":
            print(f"the tests fail without any mutant: {failed}", file=sys.stderr)
            return 1
        print(f"all tests pass in {time.monotonic() - began:.1f} s", file=sys.stderr)
        progress = _Progress(len(mutants))
        verdicts: list[Verdict] = []
        survived = 0
        for mutant in mutants:
            if options.minutes and time.monotonic() - began > options.minutes * 60:
                break
            verdicts.append(laboratory.judge(mutant, sources[mutant.path]))
            if verdicts[-1].status == "survived":
                survived += 1
                print(difference(mutant, sources[mutant.path]), end="\n\n", flush=True)
            progress.say(len(verdicts), survived)
        report = _report(verdicts, total)
        report |= {"seed": options.seed, "sample": options.sample}
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
