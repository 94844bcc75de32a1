"""GET /api/v1/me: the caller's roles, permissions and visible assets. An answer of the moment, never cached."""

from datetime import UTC, datetime

from litestar import get

from api import parameters
from api.callers import Scope, caller_of
from api.contracts.me import Me, VisibleAsset
from api.dependencies import ApiRequest, Desk, desk_of
from api.operations import Operation, documented
from warehouse.errors import NoRelease

PATH = "/api/v1/me"


def _assets(desk: Desk, scope: Scope) -> list[VisibleAsset] | None:
    """Assets of the release in force within the scope, by id; None where no release was ever published."""
    try:
        with desk.reader.lease() as release:
            rows = release.query("asset_list")
    except NoRelease:
        return None
    return [VisibleAsset(id=row["asset_id"], name=row["name"]) for row in rows if scope.holds(row["asset_id"])]


@get(
    PATH,
    opt=documented(
        Operation(
            operation_id="getMe",
            summary="The caller's roles, permissions and visible assets",
            description="What this API makes of the caller's token. Where callers are not authenticated: anyone, who reads all.",
            tag="access",
            answer=Me,
            problems=(400, 405, 406, 500),
            is_of_release=False,
        )
    ),
)
async def get_me(request: ApiRequest) -> Me:
    """Answers with the caller."""
    parameters.read(request.scope["query_string"], ())
    desk, caller = desk_of(request), caller_of(request.scope)
    return Me(
        auth_mode=request.app.state.gate.mode,
        is_authenticated=caller.is_authenticated,
        subject=caller.subject,
        name=caller.name,
        roles=sorted(caller.roles),
        permissions=sorted(caller.permissions),
        sees_all_assets=caller.scope.assets is None,
        assets=await desk.run(lambda: _assets(desk, caller.scope)),
        expires_at=None if caller.expires_at is None else datetime.fromtimestamp(caller.expires_at, UTC),
    )
