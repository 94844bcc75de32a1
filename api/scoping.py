"""What a caller limited to some assets is told beside the rows that it may see: facts of a release, words, masked parts.

Rows themselves are limited in the warehouse's reader (reader_scope): nothing here has to remember to filter.
"""

from collections import OrderedDict
from collections.abc import Iterable
from threading import Lock

import msgspec

from api.callers import EVERYTHING, Scope
from api.contracts.data_freshness import DataFreshness
from api.contracts.data_releases import DataReleaseList, DataReleaseManifest
from api.facts import ReleaseFacts, limited_facts, read_facts
from warehouse.reader_release import OpenRelease
from warehouse.reader_scope_rules import RESTRICTED as RESTRICTED

RESTRICTED_TITLE = "Caused outside your scope"
OUTSIDE = "Part of what this number is made from lies outside your scope and is not shown."
FACTS = "api.facts"
LIMITED = "api.facts.limited"
# Scopes of one release whose facts are kept, and scopes whose first answers are made before a release is switched to.
FACTS_KEPT = 32
WARM_SCOPES = 8
_guard = Lock()


def facts_of(release: OpenRelease, scope: Scope = EVERYTHING) -> ReleaseFacts:
    """The release's facts as the scope may know them, read once while the release is open."""
    whole: ReleaseFacts | None = release.extras.get(FACTS)
    if whole is None:
        whole = release.extras[FACTS] = read_facts(release)
    if scope.assets is None:
        return whole
    with _guard:
        kept: OrderedDict[frozenset[str], ReleaseFacts] = release.extras.setdefault(LIMITED, OrderedDict())
        facts = kept.get(scope.assets)
    if facts is None:
        facts = limited_facts(release, whole, scope.assets)
    with _guard:
        kept[scope.assets] = facts
        kept.move_to_end(scope.assets)
        while len(kept) > FACTS_KEPT:
            kept.popitem(last=False)
    return facts


def warm_scopes(assets: Iterable[frozenset[str] | None]) -> list[Scope]:
    """The distinct limited scopes of a role policy whose answers are made beforehand: the first few by their key."""
    limited = {Scope(given) for given in assets if given}
    return sorted(limited, key=lambda scope: scope.key)[:WARM_SCOPES]


def shown_listing(listing: DataReleaseList, scope: Scope) -> DataReleaseList:
    """Releases as the scope may know them: who holds one and why is free text of those who see everything."""
    if scope.assets is None or listing.in_force is None:
        return listing
    in_force = msgspec.structs.replace(listing.in_force, held_by=None, held_reason=None)
    return msgspec.structs.replace(listing, in_force=in_force)


def shown_manifest(manifest: DataReleaseManifest, scope: Scope) -> DataReleaseManifest:
    """A manifest as the scope may know it: counts are of every asset, and gates and waivers name what they found."""
    if scope.assets is None:
        return manifest
    return msgspec.structs.replace(manifest, row_counts=[], inputs=[], checks=[], waivers=[])


def shown_freshness(freshness: DataFreshness, scope: Scope) -> DataFreshness:
    """Sources as the scope may know them: that a read failed, but not the words of the fault, which may name anything."""
    if scope.assets is None:
        return freshness
    sources = [
        source if source.last_error is None else msgspec.structs.replace(source, last_error="The last read failed.")
        for source in freshness.sources
    ]
    return msgspec.structs.replace(freshness, sources=sources)
