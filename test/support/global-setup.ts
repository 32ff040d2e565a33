import { findDaprd } from "../../tools/daprd/find.ts";

/** Finds the real daprd once, before all tests. Workers inherit the environment variable. */
export default async function setUp(): Promise<void> {
  process.env.DAPRD = await findDaprd();
}
