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
const SMALL = 16_384;

let total = 0;

/** The share of one body. */
export interface BodyMemory {
  /** Changes the size. Returns false, and changes nothing, when the budget is exceeded. */
  resize(bytes: number): boolean;
  release(): void;
}

/** True if a body of this size fits. One body always fits, whatever its size, because MAX_BODY_BYTES limits it. */
export function fits(bytes: number, own = 0): boolean {
  return bytes <= SMALL || total === own || total - own + bytes <= BUDGET;
}

export function bodyMemory(): BodyMemory {
  let own = 0;
  return {
    resize(bytes) {
      if (!fits(bytes, own)) return false;
      const counted = bytes > SMALL ? bytes : 0;
      total += counted - own;
      own = counted;
      return true;
    },
    release() {
      total -= own;
      own = 0;
    },
  };
}

/** As large as the largest chunk that Node reads from a socket. */
const BLOCK = 65_536;

/**
 * Collects the chunks of a body. Copies them into blocks, so that the body takes little more memory than its size: a
 * chunk that is kept takes a hundred bytes more and holds the whole buffer that Node read, a multiple for small chunks.
 */
export class BodyBuffer {
  private readonly memory: BodyMemory;
  private readonly blocks: Buffer[] = [];
  /** The buffers that this object allocated: all but the first block, which is a chunk. */
  private readonly own: Buffer<ArrayBuffer>[] = [];
  private capacity = 0;
  length = 0;

  constructor(memory: BodyMemory) {
    this.memory = memory;
  }

  /** Returns false when the body no longer fits into the budget. */
  add(chunk: Buffer): boolean {
    if (this.length === 0) {
      // Most bodies are one chunk, which needs no copy.
      if (!this.memory.resize(chunk.length)) return false;
      this.blocks.push(chunk);
      this.capacity = chunk.length;
      this.length = chunk.length;
      return true;
    }
    for (let rest = chunk; rest.length > 0; ) {
      if (this.length === this.capacity) {
        if (!this.memory.resize(this.capacity + BLOCK)) return false;
        this.blocks.push(this.allocate(BLOCK));
        this.capacity += BLOCK;
      }
      const block = this.blocks[this.blocks.length - 1] as Buffer;
      const copied = rest.copy(block, block.length - (this.capacity - this.length));
      this.length += copied;
      rest = rest.subarray(copied);
    }
    return true;
  }

  /** Returns what `decode` returns for the whole body, which exists only during this call. */
  read<T>(decode: (body: Buffer) => T): T {
    const [first] = this.blocks;
    if (first && this.blocks.length === 1) return decode(first);
    const body = this.allocate(this.length);
    let at = 0;
    for (const block of this.blocks) at += block.copy(body, at);
    try {
      return decode(body);
    } finally {
      this.free();
    }
  }

  /** Frees the buffers at once. V8 would let 64 MiB of them gather before it collects them. */
  free(): void {
    this.blocks.length = 0;
    for (const { buffer } of this.own.splice(0)) buffer.transfer(0);
  }

  private allocate(size: number): Buffer<ArrayBuffer> {
    const buffer = Buffer.allocUnsafeSlow(size);
    this.own.push(buffer);
    return buffer;
  }
}
