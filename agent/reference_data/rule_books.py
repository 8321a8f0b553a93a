"""The till's compiled rule bundles: the active one, and older ones that open receipts still use.

What is new is verified, tried and kept before it counts; it becomes active at its moment, in the
store's local time as the register knows it. What fails stays out and is told to the centre.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec
import structlog

from agent.journal.rule_trust import Trust
from agent.reference_data.activation import is_due
from agent.reference_data.cache import Cache
from agent.reference_data.rule_age import RuleAge
from agent.reference_data.rule_keys import RuleKeys
from agent.reference_data.self_test import self_test
from loyalty.basket import Place
from loyalty.bundle import EMPTY_BUNDLE, Bundle
from loyalty.compilation import Rules, compile_bundle
from loyalty.documents import decode
from loyalty.errors import LoyaltyError
from sync.base_rules import base_bytes, base_of
from sync.errors import SyncError
from sync.messages import Manifest
from sync.records import CalculationInputs
from sync.rule_messages import SLOW_MS, RulesReport

log = structlog.get_logger()

EMPTY_RULES = compile_bundle(EMPTY_BUNDLE, "")
"""Used while no bundle has arrived: every line at the register's price, nothing earned.

Its hash is empty.
"""

_COMPILED_MAX = 4
_WHY_CHARACTERS_MAX = 200


class BundleRefusedError(LoyaltyError):
    """The bundle is not what its manifest says or does not work here; the last good one stays."""


class Keeper(Protocol):
    """Keeps what is trusted, durably."""

    def read(self) -> Trust:
        """Return what is trusted."""
        ...

    def write(self, trust: Trust) -> None:
        """Trust this from now on."""
        ...


class Clocks(Protocol):
    """The two clocks the rules ask."""

    def now_ms(self) -> int:
        """Return trusted time, Unix milliseconds."""
        ...

    def awake_ms(self) -> int:
        """Return a clock that stands still while the machine sleeps."""
        ...


@dataclass(slots=True)
class _Counts:
    """What became of totals under one bundle."""

    calculated: int = 0
    slow: int = 0
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Rules that are here and wait for their moment."""

    rules: Rules
    activate_at: str


class RuleBooks:
    """Finds rules by bundle hash, takes new bundles in, and says which are active.

    Attributes:
        active: rules of the newest manifest whose moment has come; see `at` for what counts.
        generation, active_version: of the manifest taken last, also after the cache was lost: so
            the centre knows above what it has to announce.
    """

    def __init__(
        self,
        cache: Cache,
        rule_keys: tuple[bytes, ...],
        *,
        keeper: Keeper,
        clocks: Clocks,
        root: bytes = b"",
        samples: Callable[[], Sequence[CalculationInputs]] = tuple,
    ) -> None:
        """Begin with what the cache holds.

        Args:
            root: document told at enrolment.
            samples: own receipts to try new rules on.
        """
        self._cache = cache
        self._keeper = keeper
        self._clocks = clocks
        self._samples = samples
        self._trust = keeper.read()
        self._keys = RuleKeys(rule_keys, self._trust.root or root)
        self._age = RuleAge(cache)
        self._compiled: OrderedDict[str, Rules] = OrderedDict()
        self._base: tuple[str, Rules] | None = None
        self._counts = _Counts()
        self._refused = ("", "")
        self._told = ("", "", 0, 0)
        self._waiting: _Waiting | None = None
        self.active = EMPTY_RULES
        self.generation, self.active_version = self._trust.generation, self._trust.version
        self._begin()

    def _begin(self) -> None:
        """Take the newest rules of the cache; without any the centre announces them again."""
        try:
            held = self._cache.held_manifests()
            if held:
                generation, newest = held[0]
                self._enter(generation, newest, self.find(newest.bundle), held[1:])
        except (LookupError, LoyaltyError, msgspec.DecodeError) as error:
            log.warning("cached_rules_unusable", why=str(error), now="none until they are fetched")
            self.active, self._waiting = EMPTY_RULES, None
            self.generation, self.active_version = self._trust.generation, self._trust.version

    def _enter(
        self,
        generation: int,
        manifest: Manifest,
        rules: Rules,
        older: Iterable[tuple[int, Manifest]] = (),
    ) -> None:
        self.generation, self.active_version = generation, manifest.version
        if self._waiting and is_due(
            self._waiting.activate_at, local="", now_ms=self._clocks.now_ms()
        ):
            # No receipt was begun since its moment; what comes now waits above it.
            self._activate(self._waiting.rules)
        if not manifest.activate_at or is_due(
            manifest.activate_at, local="", now_ms=self._clocks.now_ms()
        ):
            self._activate(rules)
            return
        self._waiting = _Waiting(rules, manifest.activate_at)
        for _, before in older:
            # After a restart: what was active goes on until the moment of what waits.
            if not before.activate_at or is_due(
                before.activate_at, local="", now_ms=self._clocks.now_ms()
            ):
                self._activate(self.find(before.bundle), waiting=self._waiting)
                return

    def _activate(self, rules: Rules, *, waiting: _Waiting | None = None) -> None:
        if rules.bundle_hash != self.active.bundle_hash:
            self._counts = _Counts()
        self.active, self._waiting = rules, waiting

    # What counts

    def at(self, local: str) -> Rules:
        """Return the rules a receipt is begun under.

        Args:
            local: moment of the receipt, as its register says.
        """
        now_ms = self._clocks.now_ms()
        waiting = self._waiting
        if waiting and is_due(waiting.activate_at, local=local, now_ms=now_ms):
            self._activate(waiting.rules)
            log.info("bundle_active", bundle=self.active.bundle_hash[:8], at=local)
        if self.active.bundle_hash and self._age.state(now_ms) == "expired":
            return self._base_rules()
        return self.active

    def _base_rules(self) -> Rules:
        if self._base is None or self._base[0] != self.active.bundle_hash:
            bundle = self.active.bundle
            try:
                name = hashlib.sha256(base_bytes(bundle)).hexdigest()
                rules = compile_bundle(base_of(bundle), name)
            except LoyaltyError as error:
                log.warning("no_base_rules", why=str(error))
                rules = EMPTY_RULES
            self._base = (self.active.bundle_hash, rules)
        return self._base[1]

    def age_state(self) -> str:
        """Return `fresh`, `old` or `expired`, by when the centre last said what this till's are."""
        return self._age.state(self._clocks.now_ms())

    def newest_bundle(self) -> str:
        """Return the hash of the newest bundle that was taken, active or not yet."""
        return self._waiting.rules.bundle_hash if self._waiting else self.active.bundle_hash

    def find(self, bundle_hash: str) -> Rules:
        """Return compiled rules.

        Raises:
            LookupError: the bundle is not here.
        """
        if not bundle_hash:
            return EMPTY_RULES
        rules = self._compiled.get(bundle_hash)
        if rules is None:
            content = self.content(bundle_hash)
            rules = self._remember(compile_bundle(read_bundle(content), bundle_hash))
        return rules

    def content(self, bundle_hash: str) -> bytes:
        """Return a good bundle's bytes.

        Raises:
            LookupError: it is not here, or damaged.
        """
        content = self._cache.bundle(bundle_hash)
        if content is None or hashlib.sha256(content).hexdigest() != bundle_hash:
            raise LookupError(f"bundle {bundle_hash[:8]} is not here")
        return content

    def _remember(self, rules: Rules) -> Rules:
        self._compiled[rules.bundle_hash] = rules
        self._compiled.move_to_end(rules.bundle_hash)
        while len(self._compiled) > _COMPILED_MAX:
            self._compiled.popitem(last=False)
        return rules

    # Taking in

    def take_roots(self, roots: Iterable[bytes]) -> None:
        """Trust the next root documents, durably.

        Raises:
            SyncError: one is not what it should be; those before it are trusted.
        """
        try:
            self._keys.follow(roots)
        finally:
            if self._keys.root != self._trust.root and self._keys.root_version:
                self._keep(root=self._keys.root)

    def wants(self, manifest: Manifest) -> bool:
        """Say whether an announced bundle is newer than what was taken and not yet refused here.

        Raises:
            SignatureError: no rule key signed the manifest.
        """
        generation = self._keys.generation_of(manifest)
        if not self._is_newer(generation, manifest):
            return False
        if self._cache.is_refused(manifest.bundle):
            if self._refused[0] != manifest.bundle:  # before this start; the centre has to hear it
                self._refused = (manifest.bundle, "refused before")
            return False
        return True

    def confirm(self, manifest: Manifest | None) -> None:
        """The centre has said what this till's rules are.

        Args:
            manifest: what it announced; None where the till has what it should have.
        """
        if manifest is None or self._cache.is_refused(manifest.bundle):
            self._age.confirm(self._clocks.now_ms())

    def _is_newer(self, generation: int, manifest: Manifest) -> bool:
        number, here = (generation, manifest.version), (self.generation, self.active_version)
        last = self._trust.generation, self._trust.version
        if number > max(here, last):
            return True
        # The cache was lost, or is an old one: what was taken last may come again, nothing older.
        is_lost = not self.newest_bundle() or here < last
        return is_lost and (*number, manifest.bundle) == (*last, self._trust.bundle)

    def take(self, manifest: Manifest, content: bytes, place: Place) -> None:
        """Verify a bundle fully, try it, and only then keep and activate it (design: sync 4.4).

        Raises:
            SignatureError: no rule key signed the manifest.
            BundleRefusedError: the bytes are not the ones announced, the rules do not compile or
                fail the self-test, or the version does not rise; the last good bundle stays active.
        """
        generation = self._keys.generation_of(manifest)
        if hashlib.sha256(content).hexdigest() != manifest.bundle:
            # Damaged on its way: nothing is held against the bundle, the next pull brings it again.
            raise BundleRefusedError(
                f"bundle {manifest.bundle[:8]}: the bytes are not the ones announced"
            )
        if not self._is_newer(generation, manifest):
            raise BundleRefusedError(
                f"bundle {manifest.bundle[:8]}: version {manifest.version} is not newer"
            )
        try:
            rules = self._tried(manifest, content, place)
        except BundleRefusedError as error:
            self._refused = (manifest.bundle, str(error)[:_WHY_CHARACTERS_MAX])
            self._cache.put_bundle(manifest, b"", good=False, generation=generation)
            raise
        self._cache.put_bundle(manifest, content, good=True, generation=generation)
        self._keep(generation=generation, version=manifest.version, bundle=manifest.bundle)
        self._refused = ("", "")
        self._enter(generation, manifest, self._remember(rules))
        self._age.confirm(self._clocks.now_ms())

    def take_held(self, manifest: Manifest, place: Place) -> bool:
        """Take a bundle that is here already, e.g. to go back to it; False where it is not.

        Raises:
            SignatureError: no rule key signed the manifest.
            BundleRefusedError: it does not work here any more, or the version does not rise.
        """
        try:
            content = self.content(manifest.bundle)
        except LookupError:
            return False
        self.take(manifest, content, place)
        return True

    def _keep(
        self,
        *,
        root: bytes | None = None,
        generation: int | None = None,
        version: int | None = None,
        bundle: str | None = None,
    ) -> None:
        before = self._trust
        self._trust = Trust(
            before.root if root is None else root,
            before.generation if generation is None else generation,
            before.version if version is None else version,
            before.bundle if bundle is None else bundle,
        )
        self._keeper.write(self._trust)

    def _tried(self, manifest: Manifest, content: bytes, place: Place) -> Rules:
        try:
            rules = self._compiled.get(manifest.bundle)
            rules = rules or compile_bundle(read_bundle(content), manifest.bundle)
            self_test(rules, place, self._samples(), self._clocks.awake_ms)
        except (LoyaltyError, SyncError) as error:
            raise BundleRefusedError(f"bundle {manifest.bundle[:8]}: {error}") from error
        return rules

    # Telling

    def note_total(self, bundle_hash: str, took_ms: int) -> None:
        """Count a total that was worked out."""
        if bundle_hash == self.active.bundle_hash:
            self._counts.calculated += 1
            self._counts.slow += took_ms > SLOW_MS

    def note_dropped(self, bundle_hash: str) -> None:
        """Count a receipt that was shown a total and given up by the cashier."""
        if bundle_hash == self.active.bundle_hash:
            self._counts.dropped += 1

    def has_news(self) -> bool:
        """Say whether a guard would learn something now."""
        return self._news() != self._told

    def _news(self) -> tuple[str, str, int, int]:
        counts = self._counts
        return self._refused[0], self.newest_bundle(), counts.slow, counts.dropped

    def report(self) -> RulesReport:
        """Return what HELLO says; without an answer it is said anew."""
        said = self.now()
        self.report_kept(self.active.bundle_hash, said)
        return said

    def report_kept(self, bundle_hash: str, said: RulesReport) -> None:
        """Note what the centre has heard."""
        self._told = (said.refused, said.waiting or bundle_hash, said.slow, said.dropped)

    def now(self) -> RulesReport:
        """Return how the rules stand."""
        refused, why = self._refused
        return RulesReport(
            root=self._keys.root_version,
            generation=self.generation,
            version=self.active_version,
            waiting=self._waiting.rules.bundle_hash if self._waiting else "",
            refused=refused,
            why=why,
            calculated=self._counts.calculated,
            slow=self._counts.slow,
            dropped=self._counts.dropped,
        )


def read_bundle(content: bytes) -> Bundle:
    """Read a bundle's bytes.

    Raises:
        DocumentError: a field is wrong; the path says which.
        BundleRefusedError: the bytes are not JSON.
    """
    try:
        plain = msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BundleRefusedError(f"not JSON: {error}") from error
    return decode(Bundle, plain)
