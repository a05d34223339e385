// Builds the pages into `dist/`, which inlet-origin embeds.
//
// Everything but the pages goes to `/assets/` under hashed names, so that it can be
// cached for ever. Nothing is inlined: the pages forbid inline code and data URLs.
import { defineConfig, type Plugin } from "vite";

/** Where `vite dev` finds an origin for playlists. */
const ORIGIN = process.env["INLET_ORIGIN"] ?? "http://127.0.0.1:8080";

/** Serves the pages at their production paths while developing, without their CSP. */
function devPages(): Plugin {
  return {
    name: "inlet-dev-pages",
    apply: "serve",
    configureServer(server) {
      server.middlewares.use((request, _response, next) => {
        const path = request.url?.split("?")[0] ?? "";
        if (path === "/go-live") request.url = "/go-live.html";
        if (path.startsWith("/streams/")) {
          request.url = path.endsWith("/compare") ? "/compare.html" : "/player.html";
        }
        next();
      });
    },
    // The development server injects inline code, which the policy would refuse.
    transformIndexHtml: (html) =>
      html.replace(/<meta http-equiv="Content-Security-Policy"[^>]*>/, ""),
  };
}

export default defineConfig({
  base: "/",
  plugins: [devPages()],
  server: { proxy: { "/cmaf": ORIGIN, "/mpegts": ORIGIN } },
  build: {
    outDir: "dist",
    assetsDir: "assets",
    assetsInlineLimit: 0,
    target: ["chrome111", "firefox115", "safari16.4"],
    // The notices that the licences of hls.js and dash.js ask for.
    license: { fileName: "assets/licenses.md" },
    modulePreload: { polyfill: false },
    // dash.js alone is 800 kB; it is loaded only when a viewer asks for DASH.
    chunkSizeWarningLimit: 1000,
    rolldownOptions: { input: ["player.html", "compare.html", "go-live.html"] },
  },
  test: { include: ["test/**/*.test.ts"] },
} as import("vite").UserConfig & { test: object });
