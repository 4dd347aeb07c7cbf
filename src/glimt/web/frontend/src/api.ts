/** REST calls of the page. */

export class ApiError extends Error {
  constructor(readonly status: number, message: string) {
    super(message);
  }
}

const ROOT = "api/v1/page";

export class Api {
  token: string;
  who = localStorage.getItem("glimt-who") ?? "";

  constructor() {
    const hash = new URLSearchParams(location.hash.slice(1));
    const given = hash.get("api_key") ?? new URLSearchParams(location.search).get("api_key");
    if (given) history.replaceState(null, "", location.pathname);
    this.token = given ?? sessionStorage.getItem("glimt-token") ?? "";
  }

  /** Remember the token for this tab and its reloads, not in the address: that is in the history, and on the screen. */
  setToken(token: string): void {
    this.token = token;
    if (token) sessionStorage.setItem("glimt-token", token);
    else sessionStorage.removeItem("glimt-token");
  }

  setWho(who: string): void {
    this.who = who.slice(0, 60);
    localStorage.setItem("glimt-who", this.who);
  }

  socketUrl(): string {
    const url = new URL(ROOT, document.baseURI);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    if (this.token) url.searchParams.set("api_key", this.token);
    return url.href;
  }

  /** A file and its name; the token goes in a header, so that no list of downloads has it. */
  async file(route: string): Promise<[Blob, string]> {
    const answer = await this.send("GET", route);
    return [await answer.blob(), /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition") ?? "")?.[1] ?? "glimt"];
  }

  async call<T>(method: string, route: string, body?: object | string | Blob): Promise<T> {
    const text = await (await this.send(method, route, body)).text();
    return (text ? JSON.parse(text) : null) as T;
  }

  private async send(method: string, route: string, body?: object | string | Blob): Promise<Response> {
    const headers: Record<string, string> = {};
    if (this.token) headers["Authorization"] = `Bearer ${this.token}`;
    if (this.who) headers["X-Glimt-Who"] = encodeURIComponent(this.who);
    let data: BodyInit | null = null;
    if (typeof body === "string" || body instanceof Blob) data = body;
    else if (body !== undefined) {
      data = JSON.stringify(body);
      headers["Content-Type"] = "application/json";
    }
    let answer: Response;
    try {
      answer = await fetch(new URL(`${ROOT}/${route}`, document.baseURI), { method, headers, body: data });
    } catch {
      throw new ApiError(0, "the server does not answer");
    }
    if (!answer.ok) throw new ApiError(answer.status, reasonOf(await answer.text()) || `${answer.status} ${answer.statusText}`);
    return answer;
  }
}

function reasonOf(text: string): string {
  try {
    const detail = (JSON.parse(text) as { detail?: unknown }).detail;
    return typeof detail === "string" ? detail : JSON.stringify(detail ?? "");
  } catch {
    return "";
  }
}
