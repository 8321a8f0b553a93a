"""The till's compiled rule bundles: the active one, and older ones that open receipts still use."""

import hashlib
from collections import OrderedDict

import msgspec
import structlog

from agent.reference_data.cache import Cache
from loyalty.account import AccountSnapshot
from loyalty.basket import Basket, BasketLine, Moment, Place
from loyalty.bundle import EMPTY_BUNDLE, Bundle
from loyalty.calculate import calculate
from loyalty.compilation import Rules, compile_bundle
from loyalty.documents import decode
from loyalty.errors import LoyaltyError
from sync.errors import SignatureError
from sync.messages import Manifest
from sync.signing import check_message

log = structlog.get_logger()

EMPTY_RULES = compile_bundle(EMPTY_BUNDLE, "")
"""Used while no bundle has arrived: every line at the register's price, nothing earned.

Its hash is empty.
"""

_COMPILED_MAX = 3


class BundleRefusedError(LoyaltyError):
    """The bundle is not what its manifest says or does not work here; the last good one stays."""


class RuleBooks:
    """Finds rules by bundle hash and takes new bundles in."""

    def __init__(self, cache: Cache, rule_keys: tuple[bytes, ...]) -> None:
        self._cache = cache
        self._rule_keys = rule_keys
        self._compiled: OrderedDict[str, Rules] = OrderedDict()
        self.active, self.active_version = self._newest()

    def _newest(self) -> tuple[Rules, int]:
        """Return the newest rules the cache holds; without any the centre announces them again."""
        try:
            manifest = self._cache.newest_manifest()
            if manifest is not None:
                return self.find(manifest.bundle), manifest.version
        except (LookupError, LoyaltyError, msgspec.DecodeError) as error:
            log.warning("cached_rules_unusable", why=str(error), now="none until they are fetched")
        return EMPTY_RULES, 0

    def find(self, bundle_hash: str) -> Rules:
        """Return compiled rules.

        Raises:
            LookupError: the bundle is not here.
        """
        if not bundle_hash:
            return EMPTY_RULES
        rules = self._compiled.get(bundle_hash)
        if rules is None:
            content = self._cache.bundle(bundle_hash)
            if content is None or hashlib.sha256(content).hexdigest() != bundle_hash:
                raise LookupError(f"bundle {bundle_hash[:8]} is not here")
            rules = self._compiled[bundle_hash] = compile_bundle(read_bundle(content), bundle_hash)
            while len(self._compiled) > _COMPILED_MAX:
                self._compiled.popitem(last=False)
        return rules

    def wants(self, manifest: Manifest) -> bool:
        """Say whether an announced bundle is newer than the active one and not yet refused here.

        Raises:
            SignatureError: no rule key signed the manifest.
        """
        self._check_signature(manifest)
        return manifest.version > self.active_version and not self._cache.is_refused(
            manifest.bundle
        )

    def take(self, manifest: Manifest, content: bytes, place: Place) -> None:
        """Verify a bundle fully, try it, and only then keep and activate it (design: sync 4.4).

        Raises:
            SignatureError: no rule key signed the manifest.
            BundleRefusedError: the bytes are not the ones announced, the rules do not compile or
                fail the self-test, or the version does not rise; the last good bundle stays active.
        """
        self._check_signature(manifest)
        if hashlib.sha256(content).hexdigest() != manifest.bundle:
            # Damaged on its way: nothing is held against the bundle, the next pull brings it again.
            raise BundleRefusedError(
                f"bundle {manifest.bundle[:8]}: the bytes are not the ones announced"
            )
        try:
            rules = self._tried(manifest, content, place)
        except BundleRefusedError:
            self._cache.put_bundle(manifest, b"", good=False)
            raise
        self._cache.put_bundle(manifest, content, good=True)
        self._compiled[manifest.bundle] = rules
        self.active, self.active_version = rules, manifest.version

    def _check_signature(self, manifest: Manifest) -> None:
        for key in self._rule_keys:
            try:
                return check_message(manifest, key)
            except SignatureError:
                continue
        raise SignatureError(f"bundle {manifest.bundle[:8]} is signed by no rule key of this till")

    def _tried(self, manifest: Manifest, content: bytes, place: Place) -> Rules:
        if manifest.version <= self.active_version:
            raise BundleRefusedError(
                f"bundle {manifest.bundle[:8]}: version {manifest.version} is not newer"
            )
        try:
            rules = compile_bundle(read_bundle(content), manifest.bundle)
            _self_test(rules, place)
        except LoyaltyError as error:
            raise BundleRefusedError(f"bundle {manifest.bundle[:8]}: {error}") from error
        return rules


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


def _self_test(rules: Rules, place: Place) -> None:
    """Calculate a receipt over some products of the catalogue; it must come out sound."""
    skus = list(rules.bundle.catalogue)[:20] or ["0"]
    lines = tuple(
        BasketLine(line_id=str(i), sku=sku, quantity=1000, gross_minor=100)
        for i, sku in enumerate(skus)
    )
    account = AccountSnapshot(identified=True)
    calculate(
        Basket(lines=lines),
        rules,
        moment=Moment(local="2000-01-01T12:00:00"),
        place=place,
        account=account,
    )
