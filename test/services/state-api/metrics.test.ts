import { Registry } from "prom-client";
import { expect, test } from "vitest";
import { storeMetrics } from "../../../services/state-api/metrics.ts";

test("calls to the sidecar are timed by operation and outcome, and the sizes of batches counted by operation", async () => {
  const register = new Registry();
  const { call, batch } = storeMetrics(register);
  call("save", "ok", 0.25);
  call("save", "ok", 0.5);
  call("get", "unavailable", 2);
  batch("save", 3);
  batch("save", 64);
  const lines = (await register.metrics()).split("\n").filter((line) => !/^statestore_call.*_bucket/.test(line));
  expect(lines.join("\n")).toBe(`\
# HELP statestore_call_duration_seconds Calls to the sidecar by operation and outcome; a batch counts once
# TYPE statestore_call_duration_seconds histogram
statestore_call_duration_seconds_sum{operation="save",outcome="ok"} 0.75
statestore_call_duration_seconds_count{operation="save",outcome="ok"} 2
statestore_call_duration_seconds_sum{operation="get",outcome="unavailable"} 2
statestore_call_duration_seconds_count{operation="get",outcome="unavailable"} 1

# HELP statestore_batch_size Reads or writes in one call to the sidecar
# TYPE statestore_batch_size histogram
statestore_batch_size_bucket{le="1",operation="save"} 0
statestore_batch_size_bucket{le="2",operation="save"} 0
statestore_batch_size_bucket{le="4",operation="save"} 1
statestore_batch_size_bucket{le="8",operation="save"} 1
statestore_batch_size_bucket{le="16",operation="save"} 1
statestore_batch_size_bucket{le="32",operation="save"} 1
statestore_batch_size_bucket{le="64",operation="save"} 2
statestore_batch_size_bucket{le="+Inf",operation="save"} 2
statestore_batch_size_sum{operation="save"} 67
statestore_batch_size_count{operation="save"} 2
`);
});
