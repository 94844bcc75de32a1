// Server-sent events by fetch (EventSource cannot send a bearer token): old queries are asked again when a release changes them.
import type { QueryClient } from "@tanstack/react-query";
import type { Client } from "./client";

export interface ServerEvent {
  id: string | null;
  event: string;
  data: string;
}

/** Splits a stream's text into events; comments (heartbeats) yield nothing. */
export async function* events(body: ReadableStream<Uint8Array>): AsyncGenerator<ServerEvent & { retry: number | null }> {
  const reader = body.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>).getReader();
  let held = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      held += value.replace(/\r\n?/g, "\n");
      let end: number;
      while ((end = held.indexOf("\n\n")) >= 0) {
        const block = held.slice(0, end);
        held = held.slice(end + 2);
        const found = { id: null as string | null, event: "message", data: [] as string[], retry: null as number | null };
        for (const line of block.split("\n")) {
          if (line.startsWith(":")) continue;
          const colon = line.indexOf(":");
          const name = colon < 0 ? line : line.slice(0, colon);
          const text = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
          if (name === "data") found.data.push(text);
          else if (name === "event") found.event = text;
          else if (name === "id") found.id = text;
          else if (name === "retry" && /^\d+$/.test(text)) found.retry = Number(text);
        }
        if (found.data.length > 0 || found.retry !== null) yield { ...found, data: found.data.join("\n") };
      }
    }
  } finally {
    reader.releaseLock();
  }
}

/**
 * Follows the stream until `signal` ends it and asks again for whatever a new release changed. A broken connection resumes
 * with the last event's id, so that nothing is missed; what cannot be told any more is told as `reset`.
 */
export async function follow(client: Client, queries: QueryClient, signal: AbortSignal, heard?: (event: ServerEvent) => void): Promise<void> {
  let last: string | null = null;
  let pause = 1000;
  while (!signal.aborted) {
    try {
      const headers: Record<string, string> = { ...(await client.headers()), Accept: "text/event-stream" };
      if (last !== null) headers["Last-Event-ID"] = last;
      const response = await fetch(`${client.baseUrl}/api/v1/stream`, { headers, signal, cache: "no-store" });
      if (response.status === 403 || response.status === 404) return;
      if (response.ok && response.body !== null) {
        for await (const event of events(response.body)) {
          if (event.retry !== null) pause = event.retry;
          if (event.id !== null) last = event.id;
          if (event.data === "") continue;
          invalidate(queries, event);
          heard?.(event);
        }
      }
    } catch {
      // The network is gone or the page is left: the loop decides.
    }
    if (signal.aborted) return;
    await new Promise<void>((resume) => {
      // Not all at once after a server's restart.
      const timer = setTimeout(resume, pause * (0.5 + Math.random()));
      signal.addEventListener("abort", () => (clearTimeout(timer), resume()), { once: true });
    });
  }
}

function invalidate(queries: QueryClient, event: ServerEvent): void {
  if (event.event === "reset") {
    void queries.invalidateQueries();
  } else if (event.event === "release.published") {
    const changed = (JSON.parse(event.data) as { changedResources: string[] }).changedResources;
    // A resource stands for itself with any query, and for all below it.
    void queries.invalidateQueries({
      predicate: ({ queryKey: [path] }) =>
        typeof path === "string" && changed.some((resource) => path === resource || path.startsWith(`${resource}/`)),
    });
  } else if (event.event === "freshness.changed") {
    void queries.invalidateQueries({ queryKey: ["/api/v1/data-freshness"] });
  }
}
