// One Axios instance for the API: typed paths, bearer tokens, problems as errors.
import axios, { AxiosError, type AxiosInstance } from "axios";
import type { components, paths } from "./api";

export type Problem = components["schemas"]["ProblemBody"];
/** Paths that answer a GET with JSON. */
export type JsonPath = {
  [P in keyof paths]: paths[P] extends { get: { responses: { 200: { content: { "application/json": unknown } } } } } ? P : never;
}[keyof paths];
type Get<P extends JsonPath> = paths[P] extends { get: infer G } ? G : never;
export type Body<P extends JsonPath> =
  Get<P> extends { responses: { 200: { content: { "application/json": infer B } } } } ? B : never;
export type Query<P extends JsonPath> = Get<P> extends { parameters: { query?: infer Q } } ? NonNullable<Q> : Record<string, never>;
export type PathNames<P extends JsonPath> =
  Get<P> extends { parameters: { path: infer N } } ? { path: N } : { path?: undefined };
export type Asked<P extends JsonPath> = PathNames<P> & { query?: Query<P>; signal?: AbortSignal };

/** Gives the token of the signed-in user, or null where callers are not authenticated. */
export type TokenSource = () => Promise<string | null>;

/** What the API answered instead of data: RFC 9457 problem details. Show `detail`; report `traceId`. */
export class ProblemError extends Error {
  readonly problem: Problem;
  readonly retryAfterSeconds: number | null;

  constructor(problem: Problem, retryAfterSeconds: number | null) {
    super(problem.detail);
    this.name = "ProblemError";
    this.problem = problem;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

export class Client {
  readonly http: AxiosInstance;
  readonly baseUrl: string;
  private readonly token: TokenSource;

  constructor(baseUrl: string, token: TokenSource = () => Promise.resolve(null)) {
    this.baseUrl = baseUrl.replace(/\/$/, "");
    this.token = token;
    // No cache-busting and no Cache-Control here: the browser's own cache holds each answer with its ETag and asks again
    // with If-None-Match; a 304 costs the server no query, and Axios sees the body that the browser held.
    this.http = axios.create({ baseURL: this.baseUrl, timeout: 30_000, paramsSerializer: { indexes: null } });
    this.http.interceptors.request.use(async (request) => {
      const token = await this.token();
      if (token !== null) request.headers.set("Authorization", `Bearer ${token}`);
      return request;
    });
    this.http.interceptors.response.use(undefined, (failure: AxiosError<Problem>) => {
      const { response } = failure;
      if (response?.headers["content-type"]?.toString().startsWith("application/problem+json")) {
        const after = Number(response.headers["retry-after"]);
        throw new ProblemError(response.data, Number.isFinite(after) && after > 0 ? after : null);
      }
      throw failure;
    });
  }

  /** GET of a path of the OpenAPI document, e.g. get("/api/v1/hubs/{hubId}/performance", { path: { hubId: "hub-a" } }). */
  async get<P extends JsonPath>(path: P, asked: Asked<P>): Promise<Body<P>> {
    const names: Record<string, unknown> = { ...(asked.path ?? {}) };
    const address = path.replace(/{(\w+)}/g, (_, name: string) => encodeURIComponent(String(names[name])));
    // Lists are one parameter, separated by commas.
    const query = Object.fromEntries(
      Object.entries(asked.query ?? {}).flatMap(([name, value]) => (value === undefined || value === null ? [] : [[name, String(value)]])),
    );
    const response = await this.http.get<Body<P>>(address, { params: query, signal: asked.signal });
    return response.data;
  }

  /** Headers for requests that do not go through Axios: the stream. */
  async headers(): Promise<Record<string, string>> {
    const token = await this.token();
    return token === null ? {} : { Authorization: `Bearer ${token}` };
  }
}
