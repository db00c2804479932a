// A participant of sagas in TypeScript: Node's standard library and the `pg` driver.
//
//     npm install pg typescript @types/node @types/pg
//     npx tsc --target es2022 --module nodenext --strict participant.ts
//     node participant.js postgres://shop@127.0.0.1:5432/shop 8080
//
// It has one step, `count.add.v1`, undone by `count.take.v1`: put your own into `actions` and `undos`. The rest is the whole contract: one table
// (keylane_barrier), one transaction for each command, and CloudEvents' `ce-` headers.

import { createServer, IncomingMessage, ServerResponse } from "node:http";
import pg from "pg";

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
type Body = { [name: string]: Json };
type Step = (db: pg.PoolClient, saga: string, input: Body, reply: Json) => Promise<Json>;
type Command = { [attribute: string]: string };
type Answer = { outcome: string; reply: Json };

const SOURCE = "/examples/typescript";
const BODY_BYTES_MAX = 1 << 20;
const TABLES = `
CREATE TABLE IF NOT EXISTS keylane_barrier (
  saga    text NOT NULL,
  step    text NOT NULL,
  op      text NOT NULL CHECK (op IN ('action', 'undo')),
  verdict text NOT NULL CHECK (verdict IN ('open', 'done', 'failed', 'fenced', 'noop')),
  reply   text NOT NULL,
  at      timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (saga, step, op)
);
CREATE TABLE IF NOT EXISTS effects (saga text NOT NULL, what text NOT NULL);`;

/** Business says no. */
class Rejected extends Error {}

// --- your steps: what they do, within the transaction of `db` ------------------------------------------------------------------------------

const actions: { [type: string]: Step } = {
  "count.add.v1": async (db, saga, input) => {
    await db.query("INSERT INTO effects VALUES ($1, 'did')", [saga]);
    if (input.end === "no") throw new Rejected("no");
    if (input.end === "error") throw new Error("it failed");
    return { counted: saga };
  },
};

const undos: { [type: string]: Step } = {
  "count.take.v1": async (db, saga, _input, reply) => {
    await db.query("INSERT INTO effects VALUES ($1, 'undid')", [saga]);
    return { took: reply };
  },
};

// --- the contract ----------------------------------------------------------------------------------------------------------------------------

async function write(db: pg.PoolClient, command: Command, op: string, verdict: string, reply: Json): Promise<void> {
  await db.query(
    `INSERT INTO keylane_barrier (saga, step, op, verdict, reply) VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT (saga, step, op) DO UPDATE SET verdict = EXCLUDED.verdict, reply = EXCLUDED.reply, at = now()`,
    [command.correlationid, command.sagastep, op, verdict, JSON.stringify(reply)],
  );
}

/** What a command comes to. Of two that come at once one waits at the insert, and then sees what the other stored. */
async function carryOut(db: pg.PoolClient, command: Command, body: Body): Promise<Answer> {
  const names = [command.correlationid, command.sagastep];
  const taken = await db.query(
    "INSERT INTO keylane_barrier (saga, step, op, verdict, reply) VALUES ($1, $2, 'action', 'open', 'null') ON CONFLICT DO NOTHING",
    names,
  );
  const rows = new Map<string, { verdict: string; reply: Json }>();
  if (taken.rowCount === 0) {
    // Read in a statement of its own: one that waits for a lock sees the table as it was before, without a row that the other has added.
    await db.query("SELECT 1 FROM keylane_barrier WHERE saga = $1 AND step = $2 AND op = 'action' FOR UPDATE", names);
    const read = "SELECT op, verdict, reply FROM keylane_barrier WHERE saga = $1 AND step = $2";
    for (const row of (await db.query(read, names)).rows) rows.set(row.op, { verdict: row.verdict, reply: JSON.parse(row.reply) });
    if (rows.get("action") === undefined || rows.get("action")?.verdict === "open") throw new Error("nobody knows what came of it");
  }
  const action = rows.get("action");
  const undone = rows.get("undo");
  switch (command.sagaop) {
    case "action": {
      if (action === undefined) return act(db, command, body);
      return { outcome: { done: "ok", failed: "failed" }[action.verdict] ?? "fenced", reply: action.reply };
    }
    case "fence": {
      if (action?.verdict === "done") return { outcome: "done", reply: action.reply };
      if (action === undefined) await write(db, command, "action", "fenced", null);
      return { outcome: "fenced", reply: null };
    }
    default: {
      if (undone !== undefined) return { outcome: undone.verdict === "done" ? "ok" : "noop", reply: undone.reply };
      if (action?.verdict === "done") {
        const reply = await undos[command.type](db, command.correlationid, (body.input ?? {}) as Body, action.reply);
        await write(db, command, "undo", "done", reply);
        return { outcome: "ok", reply };
      }
      if (action === undefined) await write(db, command, "action", "fenced", null);
      await write(db, command, "undo", "noop", null);
      return { outcome: "noop", reply: null };
    }
  }
}

async function act(db: pg.PoolClient, command: Command, body: Body): Promise<Answer> {
  await db.query("SAVEPOINT step");
  try {
    const reply = await actions[command.type](db, command.correlationid, body, null);
    await write(db, command, "action", "done", reply);
    return { outcome: "ok", reply };
  } catch (no) {
    // What must succeed in the end keeps no refusal.
    if (!(no instanceof Rejected) || command.sagakind === "retriable") throw no;
    await db.query("ROLLBACK TO step");
    await write(db, command, "action", "failed", no.message);
    return { outcome: "failed", reply: no.message };
  }
}

async function transaction(pool: pg.Pool, command: Command, body: Body): Promise<Answer> {
  const db = await pool.connect();
  let broken: Error | undefined;
  try {
    await db.query("BEGIN ISOLATION LEVEL READ COMMITTED");
    const answer = await carryOut(db, command, body);
    await db.query("COMMIT");
    return answer;
  } catch (error) {
    await db.query("ROLLBACK").catch((lost: Error) => (broken = lost));
    if (error instanceof Rejected) return { outcome: "failed", reply: error.message };
    throw error;
  } finally {
    db.release(broken);
  }
}

function attributes(command: Command, outcome: string): { [header: string]: string } {
  const id = `${command.correlationid}/${command.sagastep}/${command.sagaop}`;
  const own: Command = {
    specversion: "1.0", id: `${id}/r`, type: `${command.type}.reply`, source: SOURCE, causationid: id,
    correlationid: command.correlationid, partitionkey: command.correlationid,
    sagastep: command.sagastep, sagaop: command.sagaop, sagaoutcome: outcome,
  };
  return Object.fromEntries(Object.entries(own).map(([name, text]) => [`ce-${name}`, encodeURI(text)]));
}

async function handle(pool: pg.Pool, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const answer = (status: number, headers: { [header: string]: string }, reply: Json) => {
    response.writeHead(status, { ...headers, "content-type": "application/json" });
    response.end(JSON.stringify(reply));
  };
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) return answer(413, {}, "the body is too large");
    chunks.push(chunk);
  }
  const command: Command = {};
  let body: Body;
  try {
    for (const [name, text] of Object.entries(request.headers)) if (name.startsWith("ce-")) command[name.slice(3)] = decodeURIComponent(String(text));
    for (const name of ["correlationid", "sagastep", "sagakind", "type", "expirytime"]) if (!command[name]) throw new Error(`${name} is missing`);
    if (!["action", "compensate", "fence"].includes(command.sagaop)) throw new Error("sagaop means nothing");
    body = (JSON.parse(Buffer.concat(chunks).toString() || "null") ?? {}) as Body;
  } catch (why) {
    return answer(400, {}, `this is no command: ${why}`);
  }
  if (!(Date.now() <= Date.parse(command.expirytime))) return answer(503, {}, "the command has expired");
  try {
    const { outcome, reply } = await transaction(pool, command, body);
    const refused = outcome === "failed" || (outcome === "fenced" && command.sagaop === "action");
    answer(refused ? 409 : 200, attributes(command, outcome), reply);
  } catch (error) {
    // Nobody knows whether it could be done: nothing is kept, it is asked again.
    answer(503, attributes(command, "retry"), String(error));
  }
}

const [url, port] = process.argv.slice(2);
const pool = new pg.Pool({ connectionString: url, max: 16 });
await pool.query(TABLES);
const server = createServer((request, response) => void handle(pool, request, response));
server.listen(Number(port), "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${port}/`));
