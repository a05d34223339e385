// Builds the publisher alone, as a package that applications embed: `dist/module`.
import { defineConfig } from "vite";

export default defineConfig({
  // package.json and README of the package.
  publicDir: "module",
  build: {
    outDir: "dist/module",
    target: ["chrome111", "firefox115", "safari16.4"],
    minify: false,
    lib: { entry: "src/whip.ts", formats: ["es"], fileName: () => "inlet-publisher.js" },
  },
});
