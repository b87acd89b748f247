/** What a browser does without scripts: it keeps cookies by host, follows redirects, and sends forms. */
export class Browser {
  readonly #cookies = new Map<string, Map<string, string>>();

  /** Follows redirects as long as `isOver` does not name the next address as where it ends. */
  async open(url: string, isOver: (url: string) => boolean = () => false): Promise<Page> {
    return this.#send(url, {}, isOver);
  }

  /** Sends the page's form, with these fields filled in. */
  async submit(
    page: Page,
    fields: Record<string, string>,
    isOver: (url: string) => boolean = () => false,
  ): Promise<Page> {
    const form = /<form([^>]*)>([\s\S]*?)<\/form>/.exec(page.html);
    if (form === null) throw new Error(`no form on ${page.url}: ${page.html.slice(0, 500)}`);
    const [, attributes = "", inside = ""] = form;
    const action = attributeOf(attributes, "action");
    const values = new URLSearchParams();
    for (const [, input = ""] of inside.matchAll(/<(?:input|button)([^>]*)>/g)) {
      const name = attributeOf(input, "name");
      if (name !== undefined) values.set(name, attributeOf(input, "value") ?? "");
    }
    for (const [name, value] of Object.entries(fields)) values.set(name, value);
    const target = new URL(action ?? page.url, page.url).href;
    const headers = { origin: new URL(page.url).origin, "content-type": "application/x-www-form-urlencoded" };
    return this.#send(target, { method: "POST", body: values.toString(), headers }, isOver);
  }

  async #send(first: string, init: RequestInit, isOver: (url: string) => boolean): Promise<Page> {
    let url = first;
    let request = init;
    for (let i = 0; i < 20; i++) {
      const jar = this.#jar(url);
      const headers = new Headers(request.headers);
      if (jar.size > 0) headers.set("cookie", [...jar].map(([name, value]) => `${name}=${value}`).join("; "));
      const reply = await fetch(url, { ...request, headers, redirect: "manual" });
      for (const cookie of reply.headers.getSetCookie()) keep(jar, cookie);
      const location = reply.headers.get("location");
      if (location === null) return { url, status: reply.status, headers: reply.headers, html: await reply.text() };
      url = new URL(location, url).href;
      if (isOver(url)) return { url, status: reply.status, headers: reply.headers, html: "" };
      request = {};
    }
    throw new Error(`too many redirects from ${first}`);
  }

  #jar(url: string): Map<string, string> {
    const { host } = new URL(url);
    const jar = this.#cookies.get(host) ?? new Map<string, string>();
    this.#cookies.set(host, jar);
    return jar;
  }
}

export interface Page {
  url: string;
  status: number;
  headers: Headers;
  html: string;
}

function keep(jar: Map<string, string>, cookie: string): void {
  const [pair = ""] = cookie.split(";");
  const equals = pair.indexOf("=");
  const name = pair.slice(0, equals).trim();
  if (/max-age=0|expires=Thu, 01 Jan 1970/i.test(cookie)) jar.delete(name);
  else jar.set(name, pair.slice(equals + 1));
}

function attributeOf(attributes: string, name: string): string | undefined {
  const value = new RegExp(`\\b${name}="([^"]*)"`).exec(attributes)?.[1];
  return value?.replaceAll("&amp;", "&").replaceAll("&quot;", '"').replaceAll("&#39;", "'").replaceAll("&lt;", "<");
}
