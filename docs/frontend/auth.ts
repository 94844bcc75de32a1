// Sign-in with MSAL for AUTH_MODE=entra: a token source for the client.
import { InteractionRequiredAuthError, PublicClientApplication } from "@azure/msal-browser";
import type { TokenSource } from "./client";

export interface SignIn {
  /** Directory (tenant) of the operator. */
  tenantId: string;
  /** Application id of the single-page application, not of the API. */
  clientId: string;
  /** Scope that the API's application exposes, e.g. api://<application id of the API>/access_as_user. */
  scope: string;
}

/** Signs the user in where nobody is, and gives a token source that renews silently. */
export async function signedIn({ tenantId, clientId, scope }: SignIn): Promise<TokenSource> {
  const application = new PublicClientApplication({
    auth: { clientId, authority: `https://login.microsoftonline.com/${tenantId}`, redirectUri: window.location.origin },
    // Gone with the tab: a token on disk outlives the person at the desk.
    cache: { cacheLocation: "sessionStorage" },
  });
  await application.initialize();
  const answer = await application.handleRedirectPromise();
  const account = answer?.account ?? application.getAllAccounts()[0] ?? null;
  const scopes = [scope];
  if (account === null) {
    await application.loginRedirect({ scopes });
    return () => Promise.resolve(null); // the browser leaves this page
  }
  return async () => {
    try {
      return (await application.acquireTokenSilent({ scopes, account })).accessToken;
    } catch (failure) {
      if (!(failure instanceof InteractionRequiredAuthError)) throw failure;
      await application.acquireTokenRedirect({ scopes, account });
      return null;
    }
  };
}
