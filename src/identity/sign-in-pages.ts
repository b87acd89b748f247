/** A page of the sign-in: no script, nothing from elsewhere. */
interface Page {
  title: string;
  /** HTML. */
  body: string;
  status?: number;
  /** Where a form on it may lead, besides the server itself. */
  formTarget?: string;
  headers?: Record<string, string>;
}

const style = `
:root { color-scheme: light dark; --line: #c9ced6; --text: #1c2733; --soft: #5a6675; --page: #f3f5f8; --card: #fff; --blue: #0b57d0; --red: #b3261e }
@media (prefers-color-scheme: dark) { :root { --line: #46505c; --text: #e8ecf1; --soft: #a4afbc; --page: #12171d; --card: #1b222a; --blue: #8ab4f8; --red: #f2b8b5 } }
* { box-sizing: border-box }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; background: var(--page); color: var(--text); font: 16px/1.5 system-ui, sans-serif }
main { width: min(26rem, calc(100vw - 2rem)); padding: 2rem; background: var(--card); border: 1px solid var(--line); border-radius: 12px }
h1 { margin: 0 0 .25rem; font-size: 1.4rem } p { margin: 0 0 1.25rem; color: var(--soft) }
label { display: block; margin-bottom: 1rem; font-size: .9rem }
input { display: block; width: 100%; margin-top: .25rem; padding: .6rem .7rem; font: inherit; color: inherit; background: transparent; border: 1px solid var(--line); border-radius: 8px }
button, .button { display: block; width: 100%; padding: .65rem; font: inherit; font-weight: 600; text-align: center; text-decoration: none; color: var(--card); background: var(--blue); border: 1px solid var(--blue); border-radius: 8px; cursor: pointer }
.button { margin-top: .75rem; color: var(--blue); background: transparent }
:focus-visible { outline: 3px solid var(--blue); outline-offset: 2px }
.error { color: var(--red) } code { display: block; padding: .75rem; overflow-wrap: anywhere; border: 1px solid var(--line); border-radius: 8px }
`;

const styleHash = `sha256-${Bun.CryptoHasher.hash("sha256", style, "base64")}`;

/** [OWASP, "HTTP Security Response Headers"] */
export function pageReply({ title, body, status = 200, formTarget = "", headers = {} }: Page): Response {
  const html = `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escapeHtml(title)}</title><style>${style}</style></head><body><main>${body}</main></body></html>`;
  return new Response(html, {
    status,
    headers: {
      "content-type": "text/html; charset=utf-8",
      "content-security-policy": `default-src 'none'; style-src '${styleHash}'; form-action 'self' ${formTarget}; frame-ancestors 'none'; base-uri 'none'`,
      "x-frame-options": "DENY",
      "x-content-type-options": "nosniff",
      "referrer-policy": "no-referrer",
      "cache-control": "no-store",
      ...headers,
    },
  });
}

export interface SignInPage {
  /** Who asks, and for which server. */
  clientName: string;
  host: string;
  email: string;
  error: string | undefined;
  /** Goes back with the form. */
  hidden: Record<string, string>;
  /** Ways through others, by name. */
  providers: readonly { name: string; link: string }[];
  formTarget: string;
  cookie: string;
}

export function signInPage(page: SignInPage): Response {
  const { clientName, host, email, error, hidden, providers, formTarget, cookie } = page;
  const fields = Object.entries(hidden).map(
    ([name, value]) => `<input type="hidden" name="${escapeHtml(name)}" value="${escapeHtml(value)}">`,
  );
  const ways = providers.map(
    ({ name, link }) => `<a class="button" href="${escapeHtml(link)}">Sign in with ${escapeHtml(name)}</a>`,
  );
  const body = `<h1>Sign in to Berth</h1><p>${escapeHtml(clientName)} asks for access to ${escapeHtml(host)} in your name.</p>
${error === undefined ? "" : `<p class="error" role="alert">${escapeHtml(error)}</p>`}
<form method="post">${fields.join("")}
<label>E-mail address<input name="email" type="email" autocomplete="username" required autofocus value="${escapeHtml(email)}"></label>
<label>Password<input name="password" type="password" autocomplete="current-password" required></label>
<button>Sign in and allow</button></form>${ways.join("")}`;
  const status = error === undefined ? 200 : 401;
  return pageReply({ title: "Sign in to Berth", body, status, formTarget, headers: { "set-cookie": cookie } });
}

export function codeShownPage(code: string): Response {
  const body = `<h1>You are signed in</h1><p>Copy this code to the program that asked for it. It is good for five minutes, and once.</p><code>${escapeHtml(code)}</code>`;
  return pageReply({ title: "Your code", body });
}

export function failurePage(message: string): Response {
  const body = `<h1>That did not work</h1><p class="error" role="alert">${escapeHtml(message)}</p>`;
  return pageReply({ title: "Sign-in failed", body, status: 400 });
}

export function escapeHtml(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
    .replaceAll("'", "&#39;");
}
