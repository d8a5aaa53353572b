import preact from "@preact/preset-vite";
import { defineConfig } from "vite";

// One script and one style sheet with fixed names: Python writes them into a report, or serves them.
export default defineConfig({
  plugins: [preact()],
  base: "./",
  build: {
    outDir: "../src/camscope/app/page",
    emptyOutDir: true,
    target: "es2022",
    cssCodeSplit: false,
    modulePreload: false,
    rollupOptions: {
      input: "src/main.tsx",
      output: {
        entryFileNames: "page.js",
        assetFileNames: "page[extname]",
        inlineDynamicImports: true,
      },
    },
  },
});
