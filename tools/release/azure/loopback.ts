// An endpoint on this computer, such as that of `npm run simulate`, may have ended.
import { once } from "node:events";
import { connect } from "node:net";
import { isLoopback } from "../../../services/runtime/loopback.ts";
import { AzureFault } from "./azure.ts";

/** @throws {AzureFault} if nothing listens at an address of this computer: the sign-in would fail, and say less */
export async function checkLoopback(origin: string): Promise<void> {
  const { hostname, port } = new URL(origin);
  if (!isLoopback(hostname)) return;
  const socket = connect({ host: hostname.replace(/^\[(.*)\]$/, "$1"), port: Number(port || 443) });
  try {
    await once(socket, "connect");
  } catch (error) {
    const ended = "If it was the address of npm run simulate, the simulator has ended";
    const remedy = "Start it again and paste its new line, or open a new terminal for Azure";
    const what = `Nothing listens at ${origin}, which AZURE_RESOURCE_MANAGER_ENDPOINT sets in this terminal`;
    throw new AzureFault("unreachable", `${what}. ${ended}. ${remedy}`, undefined, { cause: error });
  } finally {
    socket.destroy();
  }
}
