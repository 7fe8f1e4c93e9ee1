// Says hello on port 3000 of its machine. `npm run watch` starts it anew when its source changes, on either side.
import { createServer } from "node:http";
import { greet } from "./greeting.js";

const port = 3000;

createServer((request, response) => {
  response.setHeader("content-type", "text/plain; charset=utf-8");
  response.end(`${greet(new URL(request.url, "http://localhost").searchParams.get("name"))}\n`);
}).listen(port, () => console.log(`listening on port ${port}`));
