// Checks whether a port of this machine is free, and finds the process that holds it.
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { connect, createServer } from "node:net";

export interface PortOwner {
  pid: number;
  command: string;
}

/** True when a program can listen on this port of 127.0.0.1. */
export async function isFree(port: number): Promise<boolean> {
  // Connect first: macOS lets a program listen on 127.0.0.1 while another listens on all addresses.
  return !(await canConnect(port)) && (await canListen(port));
}

function canConnect(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port, timeout: 2_000 });
    const settle = (connected: boolean) => () => {
      socket.destroy();
      resolve(connected);
    };
    socket.once("connect", settle(true)).once("timeout", settle(true)).once("error", settle(false));
  });
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

/** Finds the process that listens on a TCP port; undefined when the system does not report it. */
export function findPortOwner(port: number): PortOwner | undefined {
  try {
    if (process.platform === "linux") return findInProc(port);
    if (process.platform === "darwin") return findWithLsof(port);
  } catch {
    // /proc of other users' processes may be unreadable; lsof exits with 1 when it finds nothing.
  }
  return undefined;
}

function findInProc(port: number): PortOwner | undefined {
  const sockets = new Set(["tcp", "tcp6"].flatMap((table) => findListeners(table, port)));
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const files = readdirSync(`/proc/${pid}/fd`);
      if (!files.some((fd) => sockets.has(readLink(`/proc/${pid}/fd/${fd}`)))) continue;
      const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").join(" ").trim();
      return { pid: Number(pid), command };
    } catch {
      // It has ended, or belongs to another user.
    }
  }
  return undefined;
}

/** Lists the listening sockets of a table as /proc/PID/fd names them. Columns: sl, local, remote, state, …, inode. */
function findListeners(table: string, port: number): string[] {
  const hexPort = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const listening = "0A";
  let lines: string[];
  try {
    lines = readFileSync(`/proc/net/${table}`, "utf8").split("\n");
  } catch {
    return []; // a kernel without IPv6 has no tcp6
  }
  return lines
    .map((line) => line.trim().split(/\s+/))
    .filter((columns) => columns[1]?.endsWith(hexPort) && columns[3] === listening)
    .map((columns) => `socket:[${columns[9]}]`);
}

function readLink(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}

function findWithLsof(port: number): PortOwner | undefined {
  const fields = execFileSync("lsof", ["-nP", `-iTCP:${port}`, "-sTCP:LISTEN", "-Fp"], { encoding: "utf8" });
  const pid = /^p(\d+)/m.exec(fields)?.[1];
  if (!pid) return undefined;
  const command = execFileSync("ps", ["-o", "command=", "-p", pid], { encoding: "utf8" }).trim();
  return { pid: Number(pid), command };
}
