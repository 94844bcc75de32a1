"""The OpenAPI 3.1 document, made from the routes' operations and the contracts' structs.

For generated TypeScript: named schemas, every property required, absence is null, open enumerations as
`anyOf: [{enum}, {type: string}]`. Quantities carry `x-unit`, derived ones `x-formula`.
"""

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec
from litestar import Litestar

from api.operations import KEY, Operation
from api.problems import KINDS, MEDIA_TYPE, ProblemBody
from api.routes.health import Health, Readiness

EXAMPLES = Path(__file__).parent / "examples"
REFERENCE = "#/components/schemas/{name}"
RELEASE_HEADERS = {
    "ETag": "Strong tag of release, query and encoding; send it back in If-None-Match.",
    "Last-Modified": "When the release was built.",
    "Data-Version": "Release id, as dataVersion in the body.",
    "Production-Date": "Production day of the answer.",
    "Data-Freshness": "fresh, delayed or stale at this instant.",
    "Cache-Control": "private, no-cache: keep, and revalidate.",
    "Vary": "Accept-Encoding, Origin.",
    "Server-Timing": "Time spent in the server.",
    "traceparent": "W3C trace context of the request.",
}

# Headers of problems beside the trace: the status that always has each.
PROBLEM_HEADERS = {
    "WWW-Authenticate": (401, "What is wrong with the token, as of RFC 6750."),
    "Allow": (405, "Methods of the path."),
    "Retry-After": (429, "Seconds until the next request is answered."),
}


def package_version() -> str:
    """Version of the installed product; 0 where it runs from a bare tree."""
    try:
        return version("production-gap")
    except PackageNotFoundError:
        return "0"


def document(application: Litestar) -> dict[str, Any]:
    """The whole document."""
    operations = dict(_operations(application))
    # What is no JSON is described as bytes by its media types alone.
    types = [bytes if operation.answer is None else operation.answer for operation in operations.values()]
    bodies = [operation.body for operation in operations.values() if operation.body is not None]
    answers, components = msgspec.json.schema_components(
        [*types, *bodies, ProblemBody, Health, Readiness], ref_template=REFERENCE
    )
    paths: dict[str, Any] = {}
    for (path, operation), answer in zip(operations.items(), answers, strict=False):
        paths[path] = {operation.method: _operation(operation, answer)}
    paths["/healthz"] = {"get": _health("getHealth", "The process runs", "Health", ())}
    paths["/readyz"] = {"get": _health("getReadiness", "A release is loaded and answers", "Readiness", (503, 504))}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Production Gap & Cargo Forecast",
            "version": package_version(),
            "description": "Production, deferment and crude terminals, from one immutable release at a time. Rates are "
            "per 24 h. A missing value is null, never zero and never left out. Enumerations may grow within v1.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "This server."}],
        "tags": [
            {"name": name}
            for name in (
                "production",
                "deferment",
                "topology",
                "terminals",
                "releases",
                "lineage",
                "exports",
                "access",
                "health",
            )
        ],
        # Either: whether callers are authenticated is the installation's setting (AUTH_MODE).
        "security": [{"bearer": []}, {}],
        "paths": paths,
        "components": {
            "schemas": {name: _refined(schema) for name, schema in sorted(components.items())},
            "headers": {
                **{name: _header(text) for name, text in RELEASE_HEADERS.items()},
                **{name: _header(text) for name, (_, text) in PROBLEM_HEADERS.items()},
            },
            "responses": {
                f"Problem{status}": _problem(status) for status in sorted({kind.status for kind in KINDS.values()})
            },
            "securitySchemes": {"bearer": _BEARER},
        },
    }


def _operations(application: Litestar) -> Iterator[tuple[str, Operation]]:
    for handler in (route_handler for route in application.routes for route_handler in _handlers(route)):
        operation = handler.opt.get(KEY)
        if isinstance(operation, Operation):
            path = sorted(handler.paths)[0]
            for name, _ in operation.path_parameters:
                path = path.replace("{" + _snake(name) + ":str}", "{" + name + "}")
            yield path, operation


def _handlers(route: Any) -> list[Any]:
    return [handler for handler in getattr(route, "route_handlers", ()) if KEY in handler.opt]


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def _operation(operation: Operation, answer: dict[str, Any]) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "description": text, "schema": {"type": "string"}}
        for name, text in operation.path_parameters
    ]
    parameters += [
        {
            "name": parameter.name,
            "in": "query",
            "required": parameter.is_required,
            "description": parameter.description,
            **({"style": "form", "explode": False} if parameter.is_list else {}),
            "schema": dict(parameter.schema),
        }
        for parameter in operation.parameters
    ]
    if operation.is_of_release:
        parameters.append(_IF_NONE_MATCH)
    headers = (
        {name: {"$ref": f"#/components/headers/{name}"} for name in RELEASE_HEADERS} if operation.is_of_release else {}
    )
    confirmed = {"304": {"description": "What the client holds is still right.", "headers": headers}}
    return {
        "operationId": operation.operation_id,
        "summary": operation.summary,
        "description": operation.description,
        "tags": [operation.tag],
        "parameters": parameters,
        **({"requestBody": _body(operation.body)} if operation.body is not None else {}),
        "responses": {
            "200": {
                "description": operation.summary,
                "headers": headers,
                "content": {
                    media_type: {}
                    if operation.answer is None
                    else {"schema": _refined(answer), **_example(operation.operation_id)}
                    for media_type in operation.media_types
                },
            },
            **(confirmed if operation.is_of_release else {}),
            **{
                str(status): {"$ref": f"#/components/responses/Problem{status}"}
                for status in sorted({*operation.problems, *EDGE_PROBLEMS})
            },
        },
    }


# What stands in front of every operation answers: the gate, the limits, the router; and what may go wrong behind it.
EDGE_PROBLEMS = (400, 401, 403, 405, 406, 413, 414, 429, 500, 504)
# The same outside the API, where nobody is asked who they are and no rate holds.
HEALTH_PROBLEMS = (405, 413, 414, 500)
_BEARER: dict[str, Any] = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "With AUTH_MODE=entra: a v2 access token of the operator's Entra ID tenant for this API. 401 says in "
    "WWW-Authenticate what is wrong with it; 403 names the role that is lacking. With AUTH_MODE=none it is not read.",
}
_IF_NONE_MATCH: dict[str, Any] = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "ETag of an answer that the client holds.",
    "schema": {"type": "string"},
}


def _body(struct: Any) -> dict[str, Any]:
    schema = {"$ref": REFERENCE.format(name=struct.__name__)}
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _health(operation_id: str, summary: str, name: str, problems: tuple[int, ...]) -> dict[str, Any]:
    return {
        "operationId": operation_id,
        "summary": summary,
        "tags": ["health"],
        "security": [],
        "responses": {
            "200": {
                "description": summary,
                "content": {"application/json": {"schema": {"$ref": REFERENCE.format(name=name)}}},
            },
            **{
                str(status): {"$ref": f"#/components/responses/Problem{status}"}
                for status in sorted({*HEALTH_PROBLEMS, *problems})
            },
        },
    }


def _problem(status: int) -> dict[str, Any]:
    kinds = [kind for kind in KINDS.values() if kind.status == status]
    headers = ["traceparent", *(name for name, (always, _) in PROBLEM_HEADERS.items() if always == status)]
    return {
        "description": "; ".join(f"{kind.code}: {kind.title}" for kind in kinds),
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in headers},
        "content": {
            MEDIA_TYPE: {
                "schema": {"$ref": REFERENCE.format(name="ProblemBody")},
                **(_example("problem") if status == 400 else {}),
            }
        },
    }


def _header(text: str) -> dict[str, Any]:
    """A header that every answer with it documented has."""
    return {"description": text, "required": True, "schema": {"type": "string"}}


def _example(name: str) -> dict[str, Any]:
    """An answer recorded from the sandbox by `make examples`, where there is one."""
    file = EXAMPLES / f"{name}.json"
    return {"example": msgspec.json.decode(file.read_bytes())} if file.exists() else {}


def _refined(schema: Any) -> Any:
    """msgspec's schema with open enumerations spelled out and nested choices made flat."""
    if isinstance(schema, list):
        return [_refined(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    refined = {key: _refined(value) for key, value in schema.items() if key != "x-open-enum"}
    if "x-open-enum" in schema:
        refined.pop("type", None)
        is_nullable = {"type": "null"} in schema.get("anyOf", ())
        refined["anyOf"] = [{"type": "string", "enum": schema["x-open-enum"]}, {"type": "string"}]
        refined["anyOf"] += [{"type": "null"}] if is_nullable else []
    choices = refined.get("anyOf")
    if choices:
        flat: list[Any] = []
        for choice in choices:
            # Only a choice that says nothing of its own may be dissolved into its parent.
            if set(choice) <= {"anyOf", "description"} and "anyOf" in choice:
                flat.extend(choice["anyOf"])
                if "description" in choice:
                    refined.setdefault("description", choice["description"])
            else:
                flat.append(choice)
        refined["anyOf"] = flat
    return refined
