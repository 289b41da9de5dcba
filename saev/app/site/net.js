// Asking the laboratory: JSON and arrays in, arrays out; the latest question wins.

const client = Math.random().toString(36).slice(2);

export class Refused extends Error {
  constructor(status, words) {
    super(words);
    this.status = status;
  }
}

async function answered(response) {
  if (response.ok) return response;
  let words = `the laboratory answered ${response.status}`;
  try {
    words = (await response.json()).error;
  } catch {
    // no JSON: the status says all there is
  }
  throw new Refused(response.status, words);
}

export async function get(path, asked = {}, signal) {
  const query = new URLSearchParams(asked);
  return answered(await fetch(`api/${path}?${query}`, { signal, headers: { "x-client": client } }));
}

export async function post(path, body, signal) {
  const raw = body instanceof Blob;
  return answered(
    await fetch(`api/${path}`, {
      method: "POST",
      body: raw ? body : JSON.stringify(body),
      headers: { "x-client": client, "content-type": raw ? "application/octet-stream" : "application/json" },
      signal,
    }),
  );
}

export const json = async (response) => (await response).json();
export const arrays = async (response) => unpack(await (await response).arrayBuffer());

export const picture = (cell, image) => `api/picture?${new URLSearchParams({ cell, image })}`;

// saev/app/answers.py, read back.
export function unpack(buffer) {
  const end = 4 + new DataView(buffer).getUint32(0, true);
  const facts = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, end - 4)));
  const found = {};
  for (const [name, { dtype, shape, offset }] of Object.entries(facts.arrays)) {
    const n = shape.reduce((a, b) => a * b, 1);
    const [row] = shape.slice(-1);
    const values = typed(buffer, dtype, end + offset, n);
    found[name] = shape.length < 2 ? values : rows(values, shape[0], row);
  }
  return { ...facts, arrays: found };
}

function typed(buffer, dtype, at, n) {
  if (dtype === "uint8") return new Uint8Array(buffer, at, n);
  const bits = new Uint16Array(buffer, at, n);
  return dtype === "uint16" ? bits : Float32Array.from(bits, half);
}

const rows = (values, n, width) => Array.from({ length: n }, (_, i) => values.subarray(i * width, (i + 1) * width));

function half(bits) {
  const sign = bits >> 15 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
}

// Of questions of one kind only the last is answered: the one before is given up.
export class Latest {
  async run(ask) {
    this.controller?.abort();
    const controller = (this.controller = new AbortController());
    try {
      const found = await ask(controller.signal);
      return controller.signal.aborted ? null : found;
    } catch (error) {
      if (controller.signal.aborted || error.status === 409) return null;
      throw error;
    }
  }
}

// While one is on its way, the latest waits, and those between are never sent: dragging keeps pace with the
// model, whatever its speed.
export class Pump {
  constructor(send, show, fail) {
    Object.assign(this, { send, show, fail, busy: false, next: null });
  }

  ask(question) {
    this.next = question;
    if (!this.busy) this.#go();
  }

  stop() {
    this.next = null;
    this.controller?.abort();
  }

  async #go() {
    this.busy = true;
    while (this.next !== null) {
      const question = this.next;
      this.next = null;
      const controller = (this.controller = new AbortController());
      try {
        const found = await this.send(question, controller.signal);
        if (!controller.signal.aborted) this.show(found, question);
      } catch (error) {
        if (!controller.signal.aborted && error.status !== 409) this.fail(error);
      }
    }
    this.busy = false;
  }
}
