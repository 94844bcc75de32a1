"""GET /api/v1/problems and /api/v1/problems/{code}: the page that a problem's `type` points to."""

from html import escape

from litestar import MediaType, get
from litestar.params import FromPath

from api.problems import KINDS, PAGES, Kind, Problem

_FRAME = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
    "<style>body{{font-family:sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem;line-height:1.5}}</style></head>"
    "<body>{body}</body></html>"
)


def _page(kind: Kind) -> str:
    return (
        f"<h1>{escape(kind.title)}</h1><p>Code <code>{escape(kind.code)}</code>, status {kind.status}.</p>"
        f'<p>{escape(kind.page)}</p><p><a href="{PAGES.rstrip("/")}">All problems</a></p>'
    )


@get("/api/v1/problems", media_type=MediaType.HTML, sync_to_thread=False)
def list_problem_pages() -> str:
    """Lists every kind of problem."""
    items = "".join(
        f'<li><a href="{PAGES}{kind.code}"><code>{kind.code}</code></a> ({kind.status}): {escape(kind.title)}</li>'
        for kind in KINDS.values()
    )
    return _FRAME.format(title="Problems", body=f"<h1>Problems</h1><ul>{items}</ul>")


@get("/api/v1/problems/{code:str}", media_type=MediaType.HTML, sync_to_thread=False)
def get_problem_page(code: FromPath[str]) -> str:
    """Explains one kind of problem."""
    kind = KINDS.get(code)
    if kind is None:
        raise Problem("notFound", f"There is no problem with this code; {PAGES.rstrip('/')} lists them.")
    return _FRAME.format(title=escape(kind.title), body=_page(kind))
