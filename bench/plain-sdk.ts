// Rival of state-api: the state API as the SDK's own samples write it, with one SDK call per request.
import { CommunicationProtocolEnum, DaprClient } from "@dapr/dapr";
import express from "express";

const dapr = new DaprClient({
  daprHost: "127.0.0.1",
  daprPort: process.env.DAPR_HTTP_PORT ?? "3500",
  communicationProtocol: CommunicationProtocolEnum.HTTP,
});
const app = express();
app.use(express.json());
app.post("/state", async (req, res) => {
  const { error } = await dapr.state.save("statestore", [{ key: req.body.key, value: req.body.data }]);
  if (error) throw error; // save() resolves when it fails
  res.send("Successfully wrote to statestore");
});
app.get("/state/:key", async (req, res) => {
  res.json(await dapr.state.get("statestore", req.params.key));
});
await dapr.start();
app.listen(Number(process.env.PORT), "127.0.0.1");
