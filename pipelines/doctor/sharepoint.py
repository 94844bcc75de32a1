"""SharePoint: Graph and its tokens, the site's grant, every mapped list and workbook with its columns."""

from __future__ import annotations

from urllib.parse import quote

import msgspec

from pipelines.doctor.address import examine_address, examine_issuer
from pipelines.doctor.examination import Examination, Finding
from pipelines.doctor.web import examine_answer, examine_token, own_way, plain, policy_of
from pipelines.settings import Clock
from pipelines.sources.config import SharePointConfig
from pipelines.sources.errors import Asking, SourceError
from pipelines.sources.http import Http
from pipelines.sources.http_auth import ClientCredentials
from pipelines.sources.mapping import ListMapping, SharePointMapping, WorkbookMapping
from pipelines.sources.payloads_graph import Site
from pipelines.sources.sharepoint import SOURCE, GraphClient

NAME = "sharepoint"
_TOKEN = "SP_AUTHORITY, SP_TENANT_ID, SP_CLIENT_ID, SP_CLIENT_SECRET and SP_GRAPH_SCOPE"
_GRANT = (
    "grant the application SP_CLIENT_ID the role read on this site: Sites.Selected with admin consent, then "
    "POST /sites/{SP_SITE_ID}/permissions by an administrator (docs/sources.md)"
)
_site = msgspec.json.Decoder(Site)


def examine_sharepoint(
    exam: Examination, config: SharePointConfig, mapping: SharePointMapping, *, zone: str, now: Clock
) -> frozenset[str]:
    """Every check of SharePoint; gives the tag names of its PI tag register, none where it has none or was not read."""
    graph = examine_address(exam, NAME, "Graph", config.graph_base_url, "SP_GRAPH_BASE_URL")
    issuer = examine_issuer(exam, NAME, config.authority, "SP_AUTHORITY", config.graph_base_url, graph)
    examine_answer(exam, NAME, "Graph", config.graph_base_url, now=now, needs=[graph], setting="SP_GRAPH_BASE_URL")
    examine_token(exam, NAME, lambda http: _credentials(config, http), needs=[issuer], settings=_TOKEN)
    exam.check(
        NAME,
        "site",
        lambda: _site_of(exam, config),
        needs=["token", "Graph answer"],
        settings="SP_SITE_ID",
        advise=_site_advice,
    )
    if config.list_id:
        exam.check(NAME, "SP_LIST_ID", lambda: _list_id(mapping))
    tags: set[str] = set()
    mapped: dict[str, ListMapping | WorkbookMapping] = {**mapping.lists, **mapping.workbooks}
    for name, each in mapped.items():

        def read(each: ListMapping | WorkbookMapping = each) -> Finding:
            with GraphClient(config, zone=zone, policy=policy_of(exam, reads=True), transport=own_way()) as client:
                extract = client.read(each)
            if "tag_name" in extract.frame.columns:
                tags.update(str(tag) for tag in extract.frame["tag_name"].drop_nulls())
            where = f"list {each.name}" if isinstance(each, ListMapping) else f"sheet {each.sheet} of {each.path}"
            told = f"{where}: {extract.frame.height:,} rows with every mapped column"
            if extract.rejected.height:
                more = f"{told}; {extract.rejected.height} more do not parse"
                return Finding(more, "correct the cells, or the types in sharepoint.toml", is_warning=True)
            if extract.frame.is_empty():
                return Finding(told, "fill it, or take it out of sharepoint.toml of the site", is_warning=True)
            return Finding(told)

        exam.check(NAME, name, read, needs=["site"], advise=_dataset_advice, reads=True)
    return frozenset(tags)


def _credentials(config: SharePointConfig, http: Http) -> ClientCredentials:
    return ClientCredentials(
        http,
        token_url=f"{config.authority.rstrip('/')}/{quote(config.tenant_id, safe='')}/oauth2/v2.0/token",
        client_id=config.client_id,
        client_secret=config.client_secret,
        scope=config.graph_scope,
    )


def _site_of(exam: Examination, config: SharePointConfig) -> str:
    with (
        plain(exam, SOURCE) as tokens,
        Http(
            SOURCE,
            auth=_credentials(config, tokens),
            policy=policy_of(exam),
            transport=own_way(),
            redactor=tokens.redactor,
        ) as http,
    ):
        safe = ":/" if ":/" in config.site_id else ","
        url = f"{config.graph_base_url.rstrip('/')}/sites/{quote(config.site_id, safe=safe)}"
        return f"the application may see site {http.ask(Asking(SOURCE, 'site'), url, decode=_site.decode).value.id}"


def _list_id(mapping: SharePointMapping) -> Finding:
    if len(mapping.lists) == 1:
        (only,) = mapping.lists.values()
        return Finding(f"stands for the one mapped list, {only.dataset}")
    return Finding(
        f"not used: sharepoint.toml maps {len(mapping.lists)} lists, and one id cannot stand for them",
        "leave SP_LIST_ID empty: lists are found by the names in sharepoint.toml",
        is_warning=True,
    )


def _site_advice(error: SourceError) -> str:
    match error.status:
        case 401:
            return f"check {_TOKEN}: Graph does not take the token"
        case 403:
            return _GRANT
        case 400 | 404:
            return "correct SP_SITE_ID: host,site collection,web, or host:/sites/name"
        case _:
            return f"{error.next_step} (SP_GRAPH_BASE_URL, SP_SITE_ID)"


def _dataset_advice(error: SourceError) -> str:
    match error.status:
        case 403:
            return _GRANT
        case 404:
            return "correct the list's name or the workbook's path in sharepoint.toml of the site, or SP_DRIVE_ID"
        case _:
            return error.next_step
