// MSW handlers from the OpenAPI document: every path answers with the example that was recorded from the sandbox.
import { http, HttpResponse, type RequestHandler } from "msw";

interface Media { example?: unknown }
interface Operation { responses: Record<string, { content?: Record<string, Media> }> }
interface OpenApi {
  paths: Record<string, { get?: Operation }>;
  components: { responses: Record<string, { content?: Record<string, Media> }> };
}

/** `baseUrl` is where the application believes the API to be; `openapi` is /api/v1/openapi.json, with its examples. */
export function handlers(openapi: OpenApi, baseUrl: string): RequestHandler[] {
  const found: RequestHandler[] = [];
  for (const [path, { get }] of Object.entries(openapi.paths)) {
    const example = get?.responses["200"]?.content?.["application/json"]?.example;
    if (example === undefined) continue;
    found.push(http.get(baseUrl.replace(/\/$/, "") + path.replace(/{(\w+)}/g, ":$1"), () => HttpResponse.json(example as object)));
  }
  return found;
}

/** A handler that answers one path with the recorded problem, to see how a page shows it. */
export function failing(openapi: OpenApi, baseUrl: string, path: string): RequestHandler {
  const problem = openapi.components.responses["Problem400"]?.content?.["application/problem+json"]?.example as { status: number };
  return http.get(baseUrl.replace(/\/$/, "") + path, () =>
    HttpResponse.json(problem, { status: problem.status, headers: { "content-type": "application/problem+json" } }),
  );
}
