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
    this.token = hash.get("api_key") ?? new URLSearchParams(location.search).get("api_key") ?? "";
  }

  /** Remember the token in the address, so that a reload or a bookmark has it; a fragment is never sent. */
  setToken(token: string): void {
    this.token = token;
    history.replaceState(null, "", `${location.pathname}#api_key=${encodeURIComponent(token)}`);
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

  /** Address of a download. */
  link(route: string): string {
    const url = new URL(`${ROOT}/${route}`, document.baseURI);
    if (this.token) url.searchParams.set("api_key", this.token);
    return url.href;
  }

  async call<T>(method: string, route: string, body?: object | string | Blob): Promise<T> {
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
    const text = await answer.text();
    if (!answer.ok) throw new ApiError(answer.status, reasonOf(text) || `${answer.status} ${answer.statusText}`);
    return (text ? JSON.parse(text) : null) as T;
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
