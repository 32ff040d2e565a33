import { EventEmitter } from "node:events";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

type Module = typeof import("../../../services/runtime/body-memory.ts");
type Memory = InstanceType<Module["BodyMemory"]>;

const BUDGET = 20 * 1_048_576;
const SMALL = 16_384;
let BodyBuffer: Module["BodyBuffer"];
let BodyMemory: Module["BodyMemory"];
let fits: Module["fits"];
let taken: Memory[];
// Loaded anew for each test, so that bytes that one of them fails to release do not count in the next.
beforeEach(async () => {
  vi.resetModules();
  ({ BodyBuffer, BodyMemory, fits } = await import("../../../services/runtime/body-memory.ts"));
  taken = [];
});
afterEach(() => {
  for (const memory of taken.splice(0)) memory.release();
  expect(fits(Number.POSITIVE_INFINITY), "the budget is free after each test").toBe(true);
});
function take(bytes: number): Memory {
  const memory = new BodyMemory();
  taken.push(memory);
  expect(memory.resize(bytes)).toBe(true);
  return memory;
}

describe("the budget of all bodies", () => {
  test("holds one body of any size, and refuses others while it is exceeded, except small ones", () => {
    const large = take(2 * BUDGET);
    expect(fits(SMALL + 1)).toBe(false);
    expect(fits(SMALL)).toBe(true);
    expect(new BodyMemory().resize(SMALL + 1)).toBe(false);
    expect(large.resize(3 * BUDGET)).toBe(true);
  });

  test("holds bodies up to exactly 20 MiB together", () => {
    take(BUDGET / 2);
    expect(fits(BUDGET / 2 + 1)).toBe(false);
    expect(fits(BUDGET / 2)).toBe(true);
    take(BUDGET / 2);
    expect(fits(SMALL + 1)).toBe(false);
  });

  test("counts a body of 16,385 bytes and none of 16,384", () => {
    take(SMALL);
    expect(fits(2 * BUDGET)).toBe(true);
    take(SMALL + 1);
    expect(fits(BUDGET - SMALL - 1)).toBe(true);
    expect(fits(BUDGET - SMALL)).toBe(false);
  });

  test("counts a body that grows or shrinks once, with its last size", () => {
    const memory = take(BUDGET / 4);
    expect(memory.resize(BUDGET / 2)).toBe(true);
    expect(fits(BUDGET / 2)).toBe(true);
    expect(fits(BUDGET / 2 + 1)).toBe(false);
    expect(memory.resize(SMALL)).toBe(true);
    expect(fits(2 * BUDGET)).toBe(true);
  });

  test("compares the new size of a body with what the others take", () => {
    const memory = take(BUDGET / 4);
    take(BUDGET / 2);
    expect(memory.resize(BUDGET / 2 + 1)).toBe(false);
    expect(fits(BUDGET / 4 + 1), "a refused size changes nothing").toBe(false);
    expect(fits(BUDGET / 4)).toBe(true);
    expect(memory.resize(BUDGET / 2)).toBe(true);
  });

  test("is free again after the release, and when the response that the body belongs to is closed", () => {
    const memory = take(BUDGET);
    memory.release();
    memory.release(); // has no further effect
    expect(fits(2 * BUDGET)).toBe(true);
    const response = new EventEmitter();
    const bound = new BodyMemory(response);
    bound.resize(BUDGET / 2);
    bound.resize(BUDGET);
    expect(response.listenerCount("close")).toBe(1);
    expect(fits(SMALL + 1)).toBe(false);
    response.emit("close");
    expect(fits(2 * BUDGET)).toBe(true);
  });

  test("takes no listener for a small body", () => {
    const response = new EventEmitter();
    new BodyMemory(response).resize(SMALL);
    expect(response.listenerCount("close")).toBe(0);
  });
});

describe("BodyBuffer", () => {
  const bytesOf = (body: InstanceType<Module["BodyBuffer"]>) => body.read((bytes) => Buffer.from(bytes));
  const buffer = () => {
    const memory = new BodyMemory();
    taken.push(memory);
    return new BodyBuffer(memory);
  };

  test("returns no bytes without a chunk, and the chunk itself when there is one", () => {
    expect(buffer().read((bytes) => bytes.length)).toBe(0);
    const body = buffer();
    const chunk = Buffer.from("one");
    expect(body.add(chunk)).toBe(true);
    expect(body.length).toBe(3);
    expect(body.read((bytes) => bytes)).toBe(chunk);
  });

  test.each([
    ["small chunks", [3, 5, 7]],
    ["chunks that fill a block exactly", [1, 65_536, 1]],
    ["a chunk of several blocks", [1, 200_000, 10]],
    ["empty chunks", [0, 10, 0, 10]],
  ])("joins %s in order", (_name, lengths) => {
    const body = buffer();
    const chunks = lengths.map((length, index) => Buffer.alloc(length, `${index}`));
    for (const chunk of chunks) expect(body.add(chunk)).toBe(true);
    expect(body.length).toBe(lengths.reduce((sum, length) => sum + length));
    expect(bytesOf(body).equals(Buffer.concat(chunks))).toBe(true);
  });

  test("counts whole blocks of 64 KiB after the first chunk, one at a time", () => {
    const body = buffer();
    const left = (free: number) => [fits(free), fits(free + 1)];
    take(SMALL + 1); // so that the rest of the budget is limited
    const budget = BUDGET - SMALL - 1;
    body.add(Buffer.alloc(20_000));
    expect(left(budget - 20_000)).toEqual([true, false]);
    body.add(Buffer.alloc(1));
    expect(left(budget - 20_000 - 65_536)).toEqual([true, false]);
    body.add(Buffer.alloc(65_535));
    expect(left(budget - 20_000 - 65_536)).toEqual([true, false]);
    body.add(Buffer.alloc(1));
    expect(left(budget - 20_000 - 2 * 65_536)).toEqual([true, false]);
  });

  test("refuses the chunk, first or later, for which the budget has no room", () => {
    take(BUDGET - 30_000);
    expect(buffer().add(Buffer.alloc(30_001))).toBe(false);
    const body = buffer();
    expect(body.add(Buffer.alloc(10))).toBe(true);
    expect(body.add(Buffer.alloc(10))).toBe(false);
  });

  test("detaches its blocks and the joined body from their memory when they were read or freed", () => {
    const body = buffer();
    body.add(Buffer.from("one"));
    body.add(Buffer.from("two"));
    let joined: Buffer | undefined;
    expect(
      body.read((bytes) => {
        joined = bytes;
        return String(bytes);
      }),
    ).toBe("onetwo");
    expect(joined?.buffer.byteLength).toBe(0);
    expect(body.read((bytes) => bytes.length)).toBe(0);

    const freed = buffer();
    freed.add(Buffer.from("one"));
    freed.add(Buffer.from("two"));
    freed.free();
    expect(freed.read((bytes) => bytes.length)).toBe(0);
  });

  test("frees its buffers when the decoder throws", () => {
    const body = buffer();
    body.add(Buffer.from("one"));
    body.add(Buffer.from("two"));
    const fails = () => {
      throw new Error("not text");
    };
    expect(() => body.read(fails)).toThrow("not text");
    expect(body.read((bytes) => bytes.length)).toBe(0);
  });
});
