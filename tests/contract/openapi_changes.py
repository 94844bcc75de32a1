"""What breaks a client between two OpenAPI documents: generated types that no longer compile, calls that are refused.

Within a version only additions are allowed. References are followed, so that a change is named where a client meets it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]
METHODS = ("get", "post", "put", "patch", "delete", "head")
LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems")
UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")


def breaking_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Every change that breaks a client of the old document, one sentence each; empty where there is none."""
    return list(dict.fromkeys(_Comparison(old, new).changes()))


class _Comparison:
    def __init__(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        self.old = old
        self.new = new
        self._met: set[tuple[str, str, bool]] = set()

    def changes(self) -> Iterator[str]:
        for path, item in self.old["paths"].items():
            for method in METHODS:
                if method not in item:
                    continue
                where = f"{method.upper()} {path}"
                found = self.new["paths"].get(path, {}).get(method)
                if found is None:
                    yield f"{where} is gone"
                else:
                    yield from self._operation(where, item[method], found)
        for name in self.old.get("components", {}).get("schemas", {}):
            if name not in self.new.get("components", {}).get("schemas", {}):
                yield f"schema {name} is gone: generated types of that name do not compile"

    def _operation(self, where: str, old: Schema, new: Schema) -> Iterator[str]:
        if old["operationId"] != new["operationId"]:
            yield f"{where}: operationId was {old['operationId']}, is {new['operationId']}"
        yield from self._parameters(where, old, new)
        yield from self._body(where, old.get("requestBody"), new.get("requestBody"))
        for status, response in old["responses"].items():
            found = new["responses"].get(status)
            if found is None:
                # A problem that no longer happens breaks nobody; an answer does.
                if status.startswith("2"):
                    yield f"{where}: answer {status} is gone"
                continue
            before, after = self._at(self.old, response), self._at(self.new, found)
            for header in before.get("headers", {}):
                if header not in after.get("headers", {}):
                    yield f"{where} {status}: header {header} is gone"
            for media_type, content in before.get("content", {}).items():
                answer = after.get("content", {}).get(media_type)
                if answer is None:
                    yield f"{where} {status}: {media_type} is gone"
                elif "schema" in content:
                    yield from self._schema(
                        f"{where} {status}", content["schema"], answer.get("schema", {}), sent=False
                    )

    def _parameters(self, where: str, old: Schema, new: Schema) -> Iterator[str]:
        before = {(p["in"], p["name"]): p for p in old.get("parameters", ())}
        after = {(p["in"], p["name"]): p for p in new.get("parameters", ())}
        for key, parameter in before.items():
            name = f"{where}: {key[0]} parameter {key[1]}"
            if key not in after:
                yield f"{name} is gone, and unknown ones are refused"
                continue
            if after[key].get("required") and not parameter.get("required"):
                yield f"{name} became required"
            if parameter["schema"].get("default") != after[key]["schema"].get("default"):
                yield f"{name}: the default changed"
            yield from self._schema(name, parameter["schema"], after[key]["schema"], sent=True)
        for key, parameter in after.items():
            if key not in before and parameter.get("required"):
                yield f"{where}: {key[0]} parameter {key[1]} is new and required"

    def _body(self, where: str, old: Schema | None, new: Schema | None) -> Iterator[str]:
        if old is None:
            if new is not None and new.get("required"):
                yield f"{where}: a body is required now"
            return
        if new is None:
            yield f"{where}: no body is read any more"
            return
        if new.get("required") and not old.get("required"):
            yield f"{where}: the body became required"
        for media_type, content in old["content"].items():
            if media_type not in new["content"]:
                yield f"{where}: a body of {media_type} is refused now"
            else:
                yield from self._schema(
                    f"{where} body", content["schema"], new["content"][media_type]["schema"], sent=True
                )

    def _at(self, document: Mapping[str, Any], node: Any) -> Any:
        while isinstance(node, Mapping) and "$ref" in node:
            target: Any = document
            for part in node["$ref"].removeprefix("#/").split("/"):
                # A reference that leads nowhere is told by the schema that is gone.
                target = target.get(part, {})
            node = target
        return node

    def _schema(self, where: str, old: Schema, new: Schema, *, sent: bool) -> Iterator[str]:
        """`sent`: what clients send must stay allowed; otherwise what they receive must stay within what they know."""
        pair = (str(old.get("$ref")), str(new.get("$ref")), sent)
        if "$ref" in old and "$ref" in new:
            if old["$ref"] != new["$ref"]:
                yield f"{where}: was {_name(old)}, is {_name(new)}"
                return
            if pair in self._met:
                return
            self._met.add(pair)
            where = _name(old)
        before, after = self._at(self.old, old), self._at(self.new, new)
        wide, narrow = (_kinds(after), _kinds(before)) if sent else (_kinds(before), _kinds(after))
        if "any" not in wide and (strange := narrow - wide):
            yield f"{where}: {'no longer takes' if sent else 'may now be'} {', '.join(sorted(strange))}"
        yield from self._values(where, before, after, sent=sent)
        yield from self._properties(where, before, after, sent=sent)
        if "items" in before:
            yield from self._schema(f"{where}[]", before["items"], after.get("items", {}), sent=sent)
        values = before.get("additionalProperties")
        if isinstance(values, Mapping) and isinstance(after.get("additionalProperties"), Mapping):
            yield from self._schema(f"{where}.*", values, after["additionalProperties"], sent=sent)
        for key in ("anyOf", "oneOf"):
            references = {choice["$ref"]: choice for choice in after.get(key, ()) if "$ref" in choice}
            for choice in before.get(key, ()):
                if "$ref" in choice and choice["$ref"] in references:
                    yield from self._schema(where, choice, references[choice["$ref"]], sent=sent)

    def _values(self, where: str, old: Schema, new: Schema, *, sent: bool) -> Iterator[str]:
        allowed_before, allowed_now = _enumeration(old), _enumeration(new)
        if sent:
            if allowed_now is not None and (allowed_before is None or allowed_before - allowed_now):
                gone = sorted(str(v) for v in (allowed_before or set()) - allowed_now) or ["anything else"]
                yield f"{where}: no longer takes {', '.join(gone)}"
            for key, is_tighter in ((LOWER, lambda a, b: b > a), (UPPER, lambda a, b: b < a)):
                for bound in key:
                    if bound in new and (bound not in old or is_tighter(old[bound], new[bound])):
                        yield f"{where}: {bound} became {new[bound]}"
            if new.get("pattern") not in (None, old.get("pattern")):
                yield f"{where}: the pattern changed"
        elif allowed_before is not None and (allowed_now is None or allowed_now - allowed_before):
            yield f"{where}: a closed enumeration has new values"
        if not sent and (old.get("x-unit"), old.get("format")) != (new.get("x-unit"), new.get("format")):
            yield f"{where}: unit or format changed"

    def _properties(self, where: str, old: Schema, new: Schema, *, sent: bool) -> Iterator[str]:
        before, after = old.get("properties", {}), new.get("properties", {})
        for name, schema in before.items():
            if name not in after:
                yield f"{where}.{name} is gone"
                continue
            if not sent and name in old.get("required", ()) and name not in new.get("required", ()):
                yield f"{where}.{name} may be left out now"
            yield from self._schema(f"{where}.{name}", schema, after[name], sent=sent)
        if sent:
            for name in new.get("required", ()):
                if name not in old.get("required", ()):
                    yield f"{where}.{name} is required now"


def _name(schema: Schema) -> str:
    return str(schema["$ref"]).rsplit("/", 1)[-1]


def _kinds(schema: Schema) -> set[str]:
    """Types that a schema allows; a number allows whole ones."""
    kinds: set[str] = set()
    choices = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    for choice in choices:
        kinds |= {_name(choice)} if "$ref" in choice else _kinds(choice)
    if not choices:
        given = schema.get("type", "any")
        kinds |= set(given) if isinstance(given, list) else {given}
    if "number" in kinds:
        kinds.add("integer")
    return kinds


def _enumeration(schema: Schema) -> set[Any] | None:
    """The only values allowed; None where an open enumeration or no enumeration stands."""
    if "enum" in schema:
        return set(schema["enum"])
    choices = schema.get("anyOf", ())
    values: set[Any] = set()
    for choice in choices:
        if "enum" in choice:
            values |= set(choice["enum"])
        elif choice.get("type") == "string":
            return None
    return values or None
