"""GET /api/v1/me."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from api.callers import PERMISSIONS
from api.contracts.common import Contract, doc


class VisibleAsset(Contract, frozen=True, kw_only=True):
    """An asset that the caller sees."""

    id: Annotated[str, doc("Asset.")]
    name: Annotated[str, doc("Name.")]


class Me(Contract, frozen=True, kw_only=True):
    """The caller, as this API takes it."""

    auth_mode: Annotated[str, doc("How callers are authenticated.", values=["none", "entra"])]
    is_authenticated: Annotated[bool, doc("A token was verified.")]
    subject: Annotated[str, doc("The caller's pseudonym in the API's logs; always the same for the same caller.")]
    name: Annotated[str | None, doc("Name from the token; it signs decisions on releases. Null without a token.")]
    roles: Annotated[list[str], doc("Roles of the token that this site knows.")]
    permissions: Annotated[
        list[Annotated[str, doc("Permission.", values=list(PERMISSIONS))]],
        Meta(description="What the roles allow, as far as the token's scopes let it through."),
    ]
    sees_all_assets: Annotated[bool, doc("No limit to assets, later ones included.")]
    assets: Annotated[
        list[VisibleAsset] | None,
        Meta(description="Assets of the release in force that the caller sees; null before the first."),
    ]
    expires_at: Annotated[datetime | None, doc("When the token ends (UTC); null without a token.")]
