"""What is made of a release before it is switched to: first answers of each subject, and what callers asked of the last release."""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import msgspec

from api import parameters
from api.caching import Entry, Key, ReleaseCache, Stamp, Tagger
from api.callers import EVERYTHING, Scope
from api.facts import ReleaseFacts
from api.parameters import Parameter
from api.problems import Problem
from api.scoping import facts_of
from api.telemetry import logger
from api.units import Units
from api.view import Kept, View, defaults, open_view
from warehouse.reader_release import OpenRelease


@dataclass(frozen=True)
class Document:
    """An answer to make before a release is switched to: the address it answers, and how to make it."""

    route: str
    path: str
    query: bytes
    allowed: Sequence[Parameter]
    build: Callable[[View], Any]
    arguments: Mapping[str, Any]


# From a release's facts, the documents of a subject that callers ask for first.
Prepare = Callable[[ReleaseFacts], Iterable[Document]]


class Preparation:
    """Makes answers on the calling thread: those of `subjects` for everyone, then for each of `scopes`."""

    def __init__(self, subjects: Sequence[Prepare], scopes: Sequence[Scope], default_units: Units) -> None:
        self.scopes = (EVERYTHING, *scopes)
        self.default_units = default_units
        self.tagger = Tagger(default_units)
        self._subjects = subjects

    def fill(self, cache: ReleaseCache, release: OpenRelease, asked: Sequence[Key]) -> None:
        """Fills a release's cache with what it lacks; `asked` are answers to make again, the last used one last."""
        for scope in self.scopes:
            if scope.key not in cache.incomplete:
                cache.warm(self.first(release, scope, cache))
        for key, entry in self.again(release, [key for key in asked if key not in cache]):
            cache.put(key, entry)

    def first(self, release: OpenRelease, scope: Scope, known: Container[Key] = ()) -> Iterator[tuple[Key, Entry]]:
        """What callers of the scope ask for first, but what is known."""
        facts, kept = facts_of(release, scope), Kept()
        for document in self._documents(facts):
            if (scope.key, document.path, document.query) not in known:
                yield from self._made(release, facts, document, scope, kept)

    def again(self, release: OpenRelease, asked: Sequence[Key]) -> Iterator[tuple[Key, Entry]]:
        """Answers that were asked for on another release, at addresses of subjects, in the scopes that are prepared for."""
        scopes = {scope.key: scope for scope in self.scopes}
        for scope_key, keys in groupby(sorted(asked, key=lambda key: key[0]), key=lambda key: key[0]):
            scope = scopes.get(scope_key)
            if scope is None:
                continue
            facts, kept = facts_of(release, scope), Kept()
            known = {document.path: document for document in self._documents(facts)}
            for _, path, query in keys:
                document = known.get(path)
                if document is None:
                    continue
                try:
                    arguments = parameters.read(query, document.allowed)
                except Problem:
                    continue  # never held, so never asked for with success
                again = Document(document.route, path, query, document.allowed, document.build, arguments)
                for key, entry in self._made(release, facts, again, scope, kept):
                    entry.is_carried = True
                    yield key, entry

    def _documents(self, facts: ReleaseFacts) -> Iterator[Document]:
        for subject in self._subjects:
            yield from subject(facts)

    def _made(
        self, release: OpenRelease, facts: ReleaseFacts, document: Document, scope: Scope, kept: Kept
    ) -> Iterator[tuple[Key, Entry]]:
        """The answer; nothing where it is an error or cannot be made."""
        try:
            arguments = defaults(document.allowed, **document.arguments)
            view = open_view(release, facts, arguments, document.allowed, self.default_units, scope, kept)
            entry = Entry(
                identity=msgspec.json.encode(document.build(view)),
                tag_base=self.tagger.base(facts.release_id, document.path, document.query, scope.key),
                stamp=Stamp.of(facts, view.production_date),
                route=document.route,
            )
        except Problem:
            return  # an address without an answer on the day
        except Exception as fault:  # noqa: BLE001 - one document that cannot be made must not keep a release out
            logger.error("answer not prepared", exc_info=fault, extra={"fields": {"path": document.path}})
            return
        yield (scope.key, document.path, document.query), entry
