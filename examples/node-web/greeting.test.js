import assert from "node:assert/strict";
import test from "node:test";
import { greet } from "./greeting.js";

test("a name is greeted", () => assert.equal(greet("Ada"), "hello, Ada"));
test("nobody is the world", () => assert.equal(greet(), "hello, world"));
