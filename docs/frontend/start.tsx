// How an application starts: the address of the API and whether mocks answer come from Vite's environment.
import { QueryClientProvider } from "@tanstack/react-query";
import { StrictMode, type ReactNode } from "react";
import { createRoot } from "react-dom/client";
import { Client, type TokenSource } from "./client";
import { newQueryClient } from "./queries";
import { follow } from "./stream";

/**
 * VITE_API_BASE_URL: where the API is, e.g. https://production.example (without /api/v1).
 * VITE_USE_MSW=true: mocks answer in `vite dev`. VITE_PREVIEW_MSW=true: also in a build, for a preview without an API.
 */
export async function start(root: HTMLElement, token: TokenSource, application: (client: Client) => ReactNode): Promise<() => void> {
  const baseUrl = import.meta.env.VITE_API_BASE_URL ?? "";
  const isMocked = import.meta.env.DEV ? import.meta.env.VITE_USE_MSW === "true" : import.meta.env.VITE_PREVIEW_MSW === "true";
  if (isMocked) {
    // Loaded only where it is wanted: neither mocks nor examples reach a production bundle's first load.
    const [{ setupWorker }, { handlers }, openapi] = await Promise.all([
      import("msw/browser"),
      import("./mocks"),
      import("./openapi.json"),
    ]);
    await setupWorker(...handlers(openapi.default as Parameters<typeof handlers>[0], baseUrl || window.location.origin)).start({ quiet: true });
  }
  const client = new Client(baseUrl || window.location.origin, token);
  const queries = newQueryClient();
  const end = new AbortController();
  if (!isMocked) void follow(client, queries, end.signal);
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={queries}>{application(client)}</QueryClientProvider>
    </StrictMode>,
  );
  return () => end.abort();
}
