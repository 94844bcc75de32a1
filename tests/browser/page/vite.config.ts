import { readFileSync } from "node:fs";
import { defineConfig } from "vite";

export default defineConfig({
  define: { __ASKED__: readFileSync("asked.json", "utf-8") },
  build: { outDir: "dist", sourcemap: false, chunkSizeWarningLimit: 4000 },
});
