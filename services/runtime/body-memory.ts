// Bounds the memory that bodies take: those of requests until their response is closed, those of responses until the
// client has read them, and those of the sidecar's responses while they arrive. A limit for each request would not be
// enough, because a process serves many at a time.

/**
 * Bytes of all bodies together. In a container of 256 MiB, state-api takes 70 MiB when it is idle. Under the attacks of
 * test/services/memory.test.ts it takes up to 210 MiB, because V8 collects garbage only when there is much of it.
 */
const BUDGET = 20 * 1_048_576;

/**
 * A body of at most this size does not count, so small requests are served while large ones fill the budget. The
 * maximum number of connections bounds these bodies.
 */
export const SMALL = 16_384;

let total = 0;

/** True if a body of this size fits. One body always fits, whatever its size, because MAX_BODY_BYTES limits it. */
export function fits(bytes: number, own = 0): boolean {
  return bytes <= SMALL || total === own || total - own + bytes <= BUDGET;
}

/** The share of one body. A class, because every request has one. */
export class BodyMemory {
  private own = 0;
  private until: Closable | undefined;

  /** @param until releases the memory when it is closed; without it, call `release` */
  constructor(until?: Closable) {
    this.until = until;
  }

  /** Changes the size. Returns false, and changes nothing, when the budget is exceeded. */
  resize(bytes: number): boolean {
    if (bytes <= SMALL && this.own === 0) return true;
    if (!fits(bytes, this.own)) return false;
    const counted = bytes > SMALL ? bytes : 0;
    total += counted - this.own;
    this.own = counted;
    this.until?.once("close", () => this.release());
    this.until = undefined;
    return true;
  }

  release(): void {
    total -= this.own;
    this.own = 0;
  }
}

interface Closable {
  once(event: "close", listener: () => void): unknown;
}

/** As large as the largest chunk that Node reads from a socket. */
const BLOCK = 65_536;

/**
 * Collects the chunks of a body. Copies all but the first into blocks, so that the body takes little more memory than
 * its size: a chunk that is kept takes a hundred bytes more and holds the whole buffer that Node read, a multiple for
 * small chunks. Most bodies are one chunk, which needs no copy.
 */
export class BodyBuffer {
  length = 0;
  private readonly memory: BodyMemory;
  private first: Buffer | undefined;
  /** The blocks after the first chunk, and what `read` allocates. */
  private own: Buffer<ArrayBuffer>[] | undefined;
  /** The free end of the last block. */
  private space: Buffer | undefined;
  private capacity = 0;

  constructor(memory: BodyMemory) {
    this.memory = memory;
  }

  /** Returns false when the body no longer fits into the budget. */
  add(chunk: Buffer): boolean {
    if (!this.first) {
      this.first = chunk;
      this.length = chunk.length;
      this.capacity = chunk.length;
      return this.memory.resize(chunk.length);
    }
    for (let rest = chunk; rest.length > 0; ) {
      if (!this.space || this.space.length === 0) {
        this.capacity += BLOCK;
        if (!this.memory.resize(this.capacity)) return false;
        this.space = this.allocate(BLOCK);
      }
      const copied = rest.copy(this.space);
      this.length += copied;
      this.space = this.space.subarray(copied);
      rest = rest.subarray(copied);
    }
    return true;
  }

  /** Returns what `decode` returns for the whole body, which exists only during this call. */
  read<T>(decode: (body: Buffer) => T): T {
    if (!this.first || !this.own) return decode(this.first ?? Buffer.alloc(0));
    const parts = [this.first, ...this.own];
    const body = this.allocate(this.length);
    let at = 0;
    for (const part of parts) at += part.copy(body, at);
    try {
      return decode(body);
    } finally {
      this.free();
    }
  }

  /** Frees the buffers at once. V8 would let 64 MiB of them gather before it collects them. */
  free(): void {
    for (const { buffer } of this.own ?? []) buffer.transfer(0);
    this.first = undefined;
    this.own = undefined;
    this.space = undefined;
  }

  private allocate(size: number): Buffer<ArrayBuffer> {
    const buffer = Buffer.allocUnsafeSlow(size);
    this.own ??= [];
    this.own.push(buffer);
    return buffer;
  }
}
