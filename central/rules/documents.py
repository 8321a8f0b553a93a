"""Rules as people keep them: whole bundles or parts of them, in one file or a folder of files.

Reading joins the parts to one bundle and compiles nothing; what one part says wrong is named by its
file and its place in it. Publishing takes one whole document (`publishing.read_document`).
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from central.errors import BadRequestError
from loyalty.bundle import Bundle, Product, Programme
from loyalty.canonical import canonical_bytes
from loyalty.compilation import Rules, compile_bundle
from loyalty.documents import decode, encode
from loyalty.errors import AmountError, DocumentError, RuleSetError
from loyalty.offers import Offer

T = TypeVar("T")

DEFAULT_PROGRAMME: Final = Programme(programme_id="default", currency="XXX")
"""Stands in where no file has a programme: a point is worth 0.01 and may pay half of a receipt."""

_BUNDLE_FIELDS = tuple(each.name for each in fields(Bundle))
_SHOWN_MAX = 20


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and where: `rules/summer.json: $.offers[3].gives`."""

    place: str
    says: str


class UnreadableRulesError(BadRequestError):
    """Files of rules say something that cannot be read; holds every problem found."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        """Name the first problems, one a line."""
        self.problems = tuple(problems)
        first, *others = self.problems
        lines = [first.says, *(f"{other.place}: {other.says}" for other in others)]
        if len(lines) > _SHOWN_MAX:
            lines[_SHOWN_MAX:] = [f"... and {len(lines) - _SHOWN_MAX} problems more"]
        super().__init__(first.place, "\n".join(lines))


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSource:
    """Rules read from files.

    Attributes:
        bundle: all parts together.
        files: the files read, in the order their parts stand in the bundle.
        offer_places: where each offer of the bundle stands, `rules/summer.json: $.offers[3]`.
        lacks: fields a published bundle must have and no file gives (`version`, `programme`);
            version 1 and `DEFAULT_PROGRAMME` stand in for them.
    """

    bundle: Bundle
    files: tuple[Path, ...]
    offer_places: tuple[str, ...]
    lacks: tuple[str, ...] = ()

    def compiled(self) -> Rules:
        """Compile the rules under the hash they would be published by.

        Raises:
            BadRequestError: the offers contradict each other.
        """
        content = canonical_bytes(encode(self.bundle))
        try:
            return compile_bundle(self.bundle, hashlib.sha256(content).hexdigest())
        except RuleSetError as error:
            raise BadRequestError("offers", str(error)) from error


def read_rules(*paths: Path) -> RuleSource:
    """Read files, and every `*.json` of folders, as one set of rules.

    A file holds a bundle or some fields of one (`{"offers": [...]}`, `{"catalogue": {...}}`), or a
    programme, an offer or a list of offers alone.

    Raises:
        UnreadableRulesError: files are no JSON, a field is wrong, or two files say the same thing;
            all that is found, by file and place.
        OSError: a file cannot be read.
    """
    reading = _Reading()
    for path in paths:
        for file in _files_of(path, reading.problems):
            reading.add(file)
    return reading.joined()


def _files_of(path: Path, problems: list[Problem]) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.glob("*.json") if not file.name.startswith("."))
    if not found:
        problems.append(Problem(str(path), "the folder holds no file *.json"))
    return found


@dataclass(slots=True)
class _Reading:
    """The parts found so far, each with the place it was found at."""

    files: list[Path] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)
    programmes: list[tuple[Programme, str]] = field(default_factory=list)
    offers: dict[str, tuple[Offer, str]] = field(default_factory=dict)
    products: dict[str, tuple[Product, str]] = field(default_factory=dict)
    groups: dict[str, tuple[tuple[str, ...], str]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def add(self, file: Path) -> None:
        if file in self.files:
            return
        self.files.append(file)
        try:
            document = msgspec.json.decode(file.read_bytes())
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self.problems.append(Problem(str(file), f"not JSON: {error}"))
            return
        self._add_document(document, str(file))

    def joined(self) -> RuleSource:
        version = max(self.versions, default=1)
        programme = self.programmes[0][0] if self.programmes else DEFAULT_PROGRAMME
        bundle = None
        try:
            bundle = Bundle(
                version=version,
                programme=programme,
                offers=tuple(offer for offer, _ in self.offers.values()),
                catalogue={sku: product for sku, (product, _) in self.products.items()},
                groups={name: skus for name, (skus, _) in self.groups.items()},
            )
        except AmountError as error:
            self.problems.append(Problem("bundle", str(error)))
        if self.problems or bundle is None:
            raise UnreadableRulesError(self.problems)
        given = {"version": self.versions, "programme": self.programmes}
        return RuleSource(
            bundle=bundle,
            files=tuple(self.files),
            offer_places=tuple(place for _, place in self.offers.values()),
            lacks=tuple(name for name, found in given.items() if not found),
        )

    def _add_document(self, document: object, file: str) -> None:
        if isinstance(document, list):
            self._add_offers(document, file, "$")
        elif not isinstance(document, dict):
            self._complain(file, "$", "must be an object, or a list of offers")
        elif "offer_id" in document or "gives" in document:
            self._add_offer(document, file, "$")
        elif "programme_id" in document:
            self._add_programme(document, file, "$")
        else:
            for name, value in document.items():
                self._add_field(name, value, file, f"$.{name}")

    def _add_field(self, name: str, value: object, file: str, path: str) -> None:
        add: dict[str, Callable[[object, str, str], None]] = {
            "kind": self._check_kind,
            "version": self._add_version,
            "programme": self._add_programme,
            "offers": self._add_offers,
            "catalogue": self._add_products,
            "groups": self._add_groups,
        }
        if name in add:
            add[name](value, file, path)
        else:
            known = ", ".join(sorted(_BUNDLE_FIELDS))
            self._complain(file, path, f"is not a field here; known: {known}")

    def _check_kind(self, value: object, file: str, path: str) -> None:
        if value != Bundle.kind:
            self._complain(file, path, f"must be {Bundle.kind}")

    def _add_version(self, value: object, file: str, path: str) -> None:
        self.versions += self._read(int, value, file, path)

    def _add_programme(self, value: object, file: str, path: str) -> None:
        for programme in self._read(Programme, value, file, path):
            for _, other in self.programmes:
                self._complain(file, path, f"{other} is a programme too; keep one of them")
            self.programmes.append((programme, f"{file}: {path}"))

    def _add_offers(self, value: object, file: str, path: str) -> None:
        if not isinstance(value, list):
            self._complain(file, path, "must be a list of offers")
            return
        for index, offer in enumerate(value):
            self._add_offer(offer, file, f"{path}[{index}]")

    def _add_offer(self, value: object, file: str, path: str) -> None:
        for offer in self._read(Offer, value, file, path):
            place = f"{file}: {path}"
            _, other = self.offers.setdefault(offer.offer_id, (offer, place))
            if other != place:
                says = f"offer {offer.offer_id!r} stands at {other} too; give each an id of its own"
                self._complain(file, path, says)

    def _add_products(self, value: object, file: str, path: str) -> None:
        for products in self._read(dict[str, Product], value, file, path):
            self._join(self.products, products, file, path)

    def _add_groups(self, value: object, file: str, path: str) -> None:
        for groups in self._read(dict[str, tuple[str, ...]], value, file, path):
            self._join(self.groups, groups, file, path)

    def _join(
        self, known: dict[str, tuple[T, str]], found: dict[str, T], file: str, path: str
    ) -> None:
        for name, value in found.items():
            _, other = known.setdefault(name, (value, file))
            if other != file:
                self._complain(file, f"{path}.{name}", f"stands in {other} too; keep one of them")

    def _read(self, kind: type[T], value: object, file: str, path: str) -> list[T]:
        """Return the value read; nothing when it is wrong."""
        try:
            return [decode(kind, value, path)]
        except DocumentError as error:
            self._complain(file, error.path, error.problem)
            return []

    def _complain(self, file: str, path: str, says: str) -> None:
        self.problems.append(Problem(f"{file}: {path}", says))
