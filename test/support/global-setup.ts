import { findDaprd } from "../../tools/daprd/find.ts";

/** Once before all tests: the real daprd that many of them use. Workers inherit the environment. */
export default async function setUp(): Promise<void> {
  process.env.DAPRD = await findDaprd();
}
