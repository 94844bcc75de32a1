"""GET /metrics: the process's counters in Prometheus' text form; outside the API's versions, never cached."""

from litestar import Response, get

from api.dependencies import ApiRequest
from api.metrics import CONTENT_TYPE


@get("/metrics", sync_to_thread=False)
def get_metrics(request: ApiRequest) -> Response[bytes]:
    """Answers with every counter."""
    text: bytes = request.app.state.observer.metrics.text()
    return Response(text, headers={"content-type": CONTENT_TYPE})
