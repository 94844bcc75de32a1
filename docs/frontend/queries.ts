// React Query over the client: one key per path and parameters, so that the stream can say which of them are old.
import { QueryClient, queryOptions } from "@tanstack/react-query";
import { Client, ProblemError, type Asked, type JsonPath } from "./client";

/** A release changes nothing until the next one: data is fresh until the stream says otherwise, or for five minutes without it. */
export const STALE_AFTER = 5 * 60_000;

export function newQueryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: {
        staleTime: STALE_AFTER,
        // What the caller got wrong stays wrong; only what the server or the network could not do is tried again.
        retry: (failures, error) => failures < 3 && !(error instanceof ProblemError && error.problem.status < 500 && error.problem.status !== 429),
        retryDelay: (failures, error) =>
          error instanceof ProblemError && error.retryAfterSeconds !== null ? error.retryAfterSeconds * 1000 : Math.min(1000 * 2 ** failures, 30_000),
      },
    },
  });
}

/** Options for useQuery: useQuery(ask(client, "/api/v1/summary", {})). */
export function ask<P extends JsonPath>(client: Client, path: P, asked: Omit<Asked<P>, "signal">) {
  const names: Record<string, unknown> = { ...(asked.path ?? {}) };
  const address = path.replace(/{(\w+)}/g, (_, name: string) => encodeURIComponent(String(names[name])));
  return queryOptions({
    queryKey: [address, asked.query ?? {}] as const,
    queryFn: ({ signal }) => client.get(path, { ...asked, signal } as Asked<P>),
  });
}
