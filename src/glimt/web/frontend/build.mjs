// Builds the page into ../static; with "test", the modules of the tests into build/.
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const SOURCES = ["package-lock.json", "index.html", ...readdirSync("src").sort().map((name) => `src/${name}`)];

/** SHA-256 of the sources, each with its name: tests/unit/web/test_page_assets.py does the same. */
function hashOfSources() {
  const hash = createHash("sha256");
  for (const name of SOURCES) hash.update(`${name}\0`).update(readFileSync(name)).update("\0");
  return hash.digest("hex");
}

if (process.argv[2] === "test") {
  rmSync("build", { recursive: true, force: true });
  const tests = readdirSync("test").filter((name) => name.endsWith(".ts")).map((name) => `test/${name}`);
  await build({ entryPoints: tests, outdir: "build/test", bundle: true, platform: "node", format: "esm", packages: "external", sourcemap: "inline" });
} else {
  const hash = hashOfSources();
  mkdirSync("../static", { recursive: true });
  await build({
    entryPoints: { app: "src/main.ts" }, outdir: "../static", bundle: true, minify: true, format: "iife", target: "es2022",
    legalComments: "eof", banner: { js: `/* glimt page; sources ${hash} */`, css: `/* glimt page; sources ${hash} */` },
  });
  writeFileSync("../static/index.html", readFileSync("index.html"));
  copyFileSync("node_modules/uplot/LICENSE", "../static/uPlot-LICENSE.txt");
}
