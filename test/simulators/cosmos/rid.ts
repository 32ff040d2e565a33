// Resource ids. A `_rid` starts with its parent's: 4 bytes for a database, 8 for a container, 16 for a document.

/** @param index The resource's number among its siblings. */
export function createRid(parent: Buffer, index: number, bytes: 4 | 8): string {
  const own = Buffer.alloc(bytes);
  own.writeUInt32LE(index);
  return Buffer.concat([parent, own]).toString("base64").replaceAll("/", "-");
}

export function decodeRid(rid: string): Buffer {
  return Buffer.from(rid.replaceAll("-", "/"), "base64");
}
