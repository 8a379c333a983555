// The HTTP service as the console uses it. The key is kept for this tab alone, and sent nowhere else.

const ROOT = new URL("../", import.meta.url);
const KEY = "memoryscope-key";
const TENANT = "memoryscope-tenant";

/** An answer that is no success; `kind` is the last part of the problem's type. */
export class Problem extends Error {
  constructor(kind, status, detail) {
    super(detail || kind);
    this.kind = kind;
    this.status = status;
  }
}

export const session = {
  get key() {
    return sessionStorage.getItem(KEY) || "";
  },
  get tenant() {
    return sessionStorage.getItem(TENANT) || "";
  },
  signIn(key, tenant) {
    sessionStorage.setItem(KEY, key);
    this.choose(tenant);
  },
  choose(tenant) {
    if (tenant) sessionStorage.setItem(TENANT, tenant);
    else sessionStorage.removeItem(TENANT);
  },
  signOut() {
    sessionStorage.removeItem(KEY);
    sessionStorage.removeItem(TENANT);
  },
};

function headers(more, tenant = session.tenant) {
  const sent = { ...more };
  if (session.key) sent.Authorization = `Bearer ${session.key}`;
  if (tenant) sent["X-Tenant-ID"] = tenant;
  return sent;
}

async function ask(path, options, signal) {
  let answer;
  try {
    answer = await fetch(new URL(path, ROOT), { ...options, signal, cache: "no-store", credentials: "omit" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("no-answer", 0, "");
  }
  if (answer.ok) return answer;
  let told = {};
  try {
    told = await answer.json();
  } catch {
    // not one of ours, such as a proxy's page
  }
  throw new Problem(String(told.type || "").split(":").pop() || "error", answer.status, told.detail || "");
}

/** `GET path`, as JSON unless `text`. */
export async function read(path, { signal, text = false } = {}) {
  const answer = await ask(path, { headers: headers({}) }, signal);
  return text ? answer.text() : answer.json();
}

/** `POST /v1/name`, for `tenant` if it is another; `null` where there is nothing to say. */
export async function call(name, body, { signal, tenant } = {}) {
  const answer = await post(name, body, signal, tenant);
  return answer.status === 204 ? null : answer.json();
}

/** The events of `POST /v1/name`, each `[name, data]`. Leaving the loop ends the request. */
export async function* events(name, body, { signal } = {}) {
  const answer = await post(name, body, signal);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      waiting += value;
      const parts = waiting.split("\n\n");
      waiting = parts.pop();
      for (const part of parts) {
        const lines = part.split("\n");
        const event = lines.find((line) => line.startsWith("event: "))?.slice(7);
        const data = lines.find((line) => line.startsWith("data: "))?.slice(6);
        if (event && data) yield [event, JSON.parse(data)];
      }
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

function post(name, body, signal, tenant) {
  const sent = headers({ "Content-Type": "application/json" }, tenant);
  return ask(`v1/${name}`, { method: "POST", headers: sent, body: JSON.stringify(body) }, signal);
}

/** The person as requests name them. */
export function scoped(person, more = {}) {
  return { user_id: person.user, agent_id: person.agent, ...more };
}
