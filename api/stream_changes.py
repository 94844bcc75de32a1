"""Which resources differ between two releases: digests of the answers prepared for each, without what every release changes.

A release's own metadata (dataVersion, asOf, freshness) always differs and would say that everything changed.
"""

import hashlib
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api.caching import ReleaseCache
from api.callers import EVERYTHING, Scope
from api.operations import KEY, Operation

ALL = "/api/v1"
# Answers of the moment that change with every release, though none is made from it.
ALWAYS = ("/api/v1/data-releases",)
_PLACEHOLDER = re.compile(r"\{(\w+)(?::\w+)?\}")


@dataclass(frozen=True)
class Contents:
    """What a release's prepared answers hold: digests by scope and path. `owners` names the asset of a path about one node."""

    digests: Mapping[str, Mapping[str, bytes]]
    owners: Mapping[str, str | None]
    templates: frozenset[str]
    is_complete: bool = True


@dataclass(frozen=True)
class Changes:
    """Paths that changed for those who see everything, and for each limited scope that answers were prepared for."""

    by_scope: Mapping[str, tuple[str, ...]]
    owners: Mapping[str, str | None]

    def paths(self, scope: Scope) -> list[str]:
        """What a caller of the scope may learn: never a path about a node of an asset that it may not see."""
        found = self.by_scope.get(scope.key)
        if found is not None:
            return list(found)
        return [path for path in self.by_scope[WHOLE] if path not in self.owners or scope.holds(self.owners[path])]


WHOLE = EVERYTHING.key
UNKNOWN = Changes({WHOLE: (ALL,)}, {})


def contents(cache: ReleaseCache) -> Contents:
    """Digests of the answers that are held for a release before the switch; all queries of a path are one resource."""
    sums: dict[str, dict[str, Any]] = {WHOLE: {}}
    owners: dict[str, str | None] = {}
    templates = set()
    for (scope, path, query), entry in cache.prepared():
        path = sys.intern(path)  # kept for many releases: one copy of each
        digest = sums.setdefault(scope, {}).setdefault(path, hashlib.blake2b(digest_size=16))
        digest.update(query + b"\0" + entry.content)
        templates.add(template(entry.route))
        for named, segment in zip(entry.route.split("/"), path.split("/"), strict=True):
            if named.startswith("{"):
                owners[path] = cache.facts.assets.get(segment)
    digests = {scope: {path: d.digest() for path, d in found.items()} for scope, found in sums.items()}
    for scope in cache.incomplete - {WHOLE}:
        digests.pop(scope, None)
    return Contents(digests, owners, frozenset(templates), WHOLE not in cache.incomplete)


def changes(before: Contents | None, after: Contents | None, general: Sequence[str]) -> Changes:
    """What differs; everything where one of the releases is unknown. `general` are the templates of all resources: those that
    nothing is prepared for count as changed."""
    if before is None or after is None or not (before.is_complete and after.is_complete):
        return UNKNOWN
    prepared = before.templates & after.templates
    always = {*ALWAYS, *(_stem(name) for name in general if name not in prepared)}
    by_scope = {}
    for scope in before.digests.keys() & after.digests.keys():
        old, new = before.digests[scope], after.digests[scope]
        found: set[str] = {path for path in old.keys() | new.keys() if old.get(path) != new.get(path)}
        by_scope[scope] = tuple(sorted(found | always))
    return Changes(by_scope, {**before.owners, **after.owners})


def template(route: str) -> str:
    """A route's path with bare placeholders."""
    return _PLACEHOLDER.sub(r"{\1}", route)


def templates_of(handlers: Iterable[Any]) -> tuple[str, ...]:
    """Templates of the resources that are made from a release."""
    found: set[str] = set()
    for handler in handlers:
        operation = handler.opt.get(KEY)
        if isinstance(operation, Operation) and operation.is_of_release and operation.method == "get":
            found.update(template(path) for path in handler.paths)
    return tuple(sorted(found))


def _stem(name: str) -> str:
    return name.partition("/{")[0]
