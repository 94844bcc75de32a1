// A single-page application as a customer would write it: every endpoint by Axios and React Query, kept up to date by the stream.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { ProblemError, type Client, type JsonPath } from "./kit/client";
import { ask } from "./kit/queries";
import { start } from "./kit/start";

declare const __ASKED__: { path: JsonPath; names: Record<string, string>; query: Record<string, string> }[];

function Answer({ client, path, names, query }: { client: Client; path: JsonPath; names: Record<string, string>; query: Record<string, string> }) {
  const { data, error, status, dataUpdatedAt } = useQuery(ask(client, path, { path: names, query } as never));
  const body = (Array.isArray(data) ? data[0] : data) as { dataVersion?: string } | undefined;
  return (
    <li data-path={path} data-status={status} data-version={body?.dataVersion ?? ""} data-updated={dataUpdatedAt}>
      {error === null ? JSON.stringify(data)?.slice(0, 60) : String(error)}
    </li>
  );
}

function Summary({ client }: { client: Client }) {
  const { data } = useQuery(ask(client, "/api/v1/summary", {}));
  return <p id="oil" data-version={data?.dataVersion}>{data?.networks.oil.maxCapacity ?? "–"}</p>;
}

function Mistake({ client }: { client: Client }) {
  const { error } = useQuery(ask(client, "/api/v1/gap-drivers", { query: { facilityIds: "fs-nowhere" } as never }));
  if (!(error instanceof ProblemError)) return <p id="problem" />;
  return <p id="problem" data-code={error.problem.code} data-trace={error.problem.traceId}>{error.problem.detail}</p>;
}

function Application({ client }: { client: Client }) {
  const queries = useQueryClient();
  const [asked, setAsked] = useState(0);
  return (
    <main>
      <button onClick={() => void queries.refetchQueries({ predicate: (q) => q.state.status === "success" }).then(() => setAsked(asked + 1))}>ask again</button>
      <p id="asked">{asked}</p>
      <Summary client={client} />
      <Mistake client={client} />
      <ul>{__ASKED__.map((one) => <Answer key={one.path} client={client} {...one} />)}</ul>
    </main>
  );
}

void start(document.getElementById("root")!, () => Promise.resolve(null), (client) => <Application client={client} />);
