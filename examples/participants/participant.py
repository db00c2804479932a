#!/usr/bin/env python3
"""A participant of sagas in Python: the standard library and SQLite.

    python3 participant.py shop.db 8080

It has one step, `count.add.v1`, undone by `count.take.v1`: put your own into STEPS. The rest is the whole contract: one table (keylane_barrier), one
transaction for each command, and CloudEvents' `ce-` headers. With another database only `transaction`, the table's statement and the marks in the
statements change; it must be able to begin a transaction that excludes others on the same (saga, step).
"""

import json
import sqlite3
import sys
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote, unquote

SOURCE = "/examples/python"
BODY_BYTES_MAX = 1 << 20
TABLES = """
CREATE TABLE IF NOT EXISTS keylane_barrier (
  saga    TEXT NOT NULL,
  step    TEXT NOT NULL,
  op      TEXT NOT NULL CHECK (op IN ('action', 'undo')),
  verdict TEXT NOT NULL CHECK (verdict IN ('open', 'done', 'failed', 'fenced', 'noop')),
  reply   TEXT NOT NULL,
  at      TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  PRIMARY KEY (saga, step, op)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS effects (saga TEXT NOT NULL, what TEXT NOT NULL);
"""


class Rejected(Exception):
    """Business says no."""


# --- your steps: what they do, within the transaction of `db` -------------------------------------------------------------------------------


def add(db, saga, payload):
    db.execute("INSERT INTO effects VALUES (?, 'did')", (saga,))
    if payload.get("end") == "no":
        raise Rejected("no")
    if payload.get("end") == "error":
        raise RuntimeError("it failed")
    return {"counted": saga}


def take(db, saga, _payload, reply):
    """`reply` is what the action answered."""
    db.execute("INSERT INTO effects VALUES (?, 'undid')", (saga,))
    return {"took": reply}


ACTIONS = {"count.add.v1": add}
UNDOS = {"count.take.v1": take}

# --- the contract ---------------------------------------------------------------------------------------------------------------------------


def read(db, saga, step, op):
    row = db.execute("SELECT verdict, reply FROM keylane_barrier WHERE saga = ? AND step = ? AND op = ?", (saga, step, op)).fetchone()
    return (row[0], json.loads(row[1])) if row else (None, None)


def write(db, saga, step, op, verdict, reply):
    db.execute(
        "INSERT INTO keylane_barrier (saga, step, op, verdict, reply) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (saga, step, op) DO UPDATE SET verdict = excluded.verdict, reply = excluded.reply",
        (saga, step, op, verdict, json.dumps(reply)),
    )


def carry_out(db, command):
    """What a command comes to: an outcome and its body. Nothing is committed here but with a verdict."""
    saga, step, op = command["correlationid"], command["sagastep"], command["sagaop"]
    verdict, reply = read(db, saga, step, "action")
    if op == "action":
        if verdict is None:
            return act(db, command)
        return {"done": "ok", "failed": "failed", "fenced": "fenced"}[verdict], reply
    if op == "fence":
        if verdict == "done":
            return "done", reply
        if verdict is None:
            write(db, saga, step, "action", "fenced", None)
        return "fenced", None
    undone, answered = read(db, saga, step, "undo")
    if undone is not None:
        return {"done": "ok", "noop": "noop"}[undone], answered
    if verdict == "done":
        undo = UNDOS[command["type"]]
        answer = undo(db, saga, command["body"].get("input"), reply)
        write(db, saga, step, "undo", "done", answer)
        return "ok", answer
    if verdict is None:
        write(db, saga, step, "action", "fenced", None)
    write(db, saga, step, "undo", "noop", None)
    return "noop", None


def act(db, command):
    saga, step = command["correlationid"], command["sagastep"]
    db.execute("SAVEPOINT step")
    try:
        answer = ACTIONS[command["type"]](db, saga, command["body"])
    except Rejected as no:
        if command["sagakind"] == "retriable":
            raise
        db.execute("ROLLBACK TO step")
        write(db, saga, step, "action", "failed", str(no))
        return "failed", str(no)
    write(db, saga, step, "action", "done", answer)
    return "ok", answer


def transaction(path, command):
    db = sqlite3.connect(path, timeout=20, isolation_level=None)
    try:
        db.execute("PRAGMA synchronous = FULL")
        db.execute("BEGIN IMMEDIATE")
        try:
            outcome = carry_out(db, command)
            db.execute("COMMIT")
            return outcome
        except Rejected as no:  # what must succeed in the end keeps no refusal
            return "failed", str(no)
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")
    finally:
        db.close()


class Participant(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(min(int(self.headers.get("content-length") or 0), BODY_BYTES_MAX))
        command = {name[3:].lower(): unquote(text) for name, text in self.headers.items() if name.lower().startswith("ce-")}
        try:
            command["body"] = json.loads(body or b"null") or {}
            expires = datetime.fromisoformat(command["expirytime"].replace("Z", "+00:00"))
            names = [command[name] for name in ("correlationid", "sagastep", "sagakind", "type")]
            if command["sagaop"] not in ("action", "compensate", "fence") or not all(names):
                raise ValueError("an attribute means nothing")
        except (KeyError, ValueError) as why:
            return self.answer(400, {}, f"this is no command: {why}")
        if datetime.now(timezone.utc) > expires:
            return self.answer(503, {}, "the command has expired")
        try:
            outcome, reply = transaction(self.server.path, command)
        except Exception as error:  # nobody knows whether it could be done: nothing is kept, it is asked again
            return self.answer(503, self.attributes(command, "retry"), str(error))
        refused = outcome == "failed" or (outcome == "fenced" and command["sagaop"] == "action")
        return self.answer(409 if refused else 200, self.attributes(command, outcome), reply)

    @staticmethod
    def attributes(command, outcome):
        op_id = f"{command['correlationid']}/{command['sagastep']}/{command['sagaop']}"
        of_answer = {
            "specversion": "1.0", "id": op_id + "/r", "type": command["type"] + ".reply", "source": SOURCE, "causationid": op_id,
            "correlationid": command["correlationid"], "partitionkey": command["correlationid"],
            "sagastep": command["sagastep"], "sagaop": command["sagaop"], "sagaoutcome": outcome,
        }
        return {f"ce-{name}": quote(text, safe="/:. -_~") for name, text in of_answer.items()}

    def answer(self, status, headers, reply):
        body = json.dumps(reply).encode()
        self.send_response(status)
        for name, text in {**headers, "content-type": "application/json", "content-length": str(len(body))}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    path, port = sys.argv[1], int(sys.argv[2])
    setup = sqlite3.connect(path, timeout=20)
    setup.execute("PRAGMA journal_mode = WAL")
    setup.executescript(TABLES)
    setup.close()
    server = ThreadingHTTPServer(("127.0.0.1", port), Participant)
    server.path = path
    print(f"listening on http://127.0.0.1:{server.server_port}/", flush=True)
    server.serve_forever()
