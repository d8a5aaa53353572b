/** Asking the engine: JSON there and back, and events as they come. */

/** What the engine answered in place of what was asked for: a sentence to be shown. */
export class Refusal extends Error {
  constructor(
    message: string,
    readonly kind: string,
    readonly status: number,
  ) {
    super(message);
  }
}

const GONE = "camscope app does not answer. Is it still running? Start it again and reload this page.";

async function answered(path: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(`/api/${path}`, init);
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new Refusal(GONE, "Gone", 0);
  }
  if (response.ok) return response;
  const said: unknown = await response.json().catch(() => null);
  const { error, kind } = (said ?? {}) as { error?: unknown; kind?: unknown };
  throw new Refusal(
    typeof error === "string" ? error : `camscope app answered ${response.status} ${response.statusText}.`,
    typeof kind === "string" ? kind : "",
    response.status,
  );
}

const json = (body: unknown, signal?: AbortSignal): RequestInit => ({
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify(body),
  ...(signal ? { signal } : {}),
});

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await (await answered(path, signal ? { signal } : {})).json()) as T;
}

export async function post<T>(path: string, body: unknown, signal?: AbortSignal): Promise<T> {
  return (await (await answered(path, json(body, signal))).json()) as T;
}

export async function postForFile(path: string, body: unknown): Promise<Blob> {
  return (await answered(path, json(body))).blob();
}

export async function send<T>(path: string, form: FormData): Promise<T> {
  return (await (await answered(path, { method: "POST", body: form })).json()) as T;
}

export interface Said {
  event: string;
  data: unknown;
}

/** The events of a stream, one by one. */
export async function* stream(path: string, body: unknown, signal: AbortSignal): AsyncGenerator<Said> {
  const response = await answered(path, json(body, signal));
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text = (text + value).replaceAll("\r\n", "\n");
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const said = eventOf(text.slice(0, end));
      text = text.slice(end + 2);
      if (said) yield said;
    }
  }
}

/** One event, as `text/event-stream` writes it; null for a comment. */
function eventOf(block: string): Said | null {
  const field = (name: string) =>
    block
      .split("\n")
      .filter((line) => line.startsWith(`${name}:`))
      .map((line) => line.slice(name.length + 1).replace(/^ /, ""))
      .join("\n");
  const data = field("data");
  return data ? { event: field("event") || "message", data: JSON.parse(data) as unknown } : null;
}

/** Whether an error only says that nobody waits for the answer any more. */
export const isOver = (error: unknown): boolean =>
  (error instanceof DOMException && error.name === "AbortError") ||
  (error instanceof Refusal && error.status === 409);

/** The sentence of an error. */
export const sentenceOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
