// An application's page that embeds the player, from an origin of its own.

import { createServer } from "node:http";

/** Serves one page whose frame has the `src` and `attributes` of the query. */
export async function serveEmbedder() {
  const server = createServer((request, response) => {
    const { searchParams } = new URL(request.url, "http://localhost");
    response.setHeader("content-type", "text/html");
    response.end(`<!doctype html><title>An application</title>
      <iframe src="${searchParams.get("src")}" ${searchParams.get("attributes")}
              style="width: 640px; height: 360px; border: 0"></iframe>
      <script>
        addEventListener("message", ({ data, origin }) => { window.answer = { data, origin }; });
        window.ask = () => frames[0].postMessage("inlet:state", "*");
      </script>`);
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address();
  return {
    url: (src, attributes) =>
      `http://application.localhost:${port}/?${new URLSearchParams({ src, attributes })}`,
    close: () => new Promise((done) => server.close(done)),
  };
}
