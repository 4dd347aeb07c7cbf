import assert from "node:assert/strict";
import { test } from "node:test";
import { backlog, imbalance } from "../src/account.ts";
import { checkedLayout, defaultLayout, spanOn } from "../src/layout.ts";
import { freeColor } from "../src/colors.ts";
import { bytes, duration, eventText, several, short, tickText } from "../src/numbers.ts";
import type { TreeNode } from "../src/protocol.ts";

const node = (path: string, plot: TreeNode["plot"], shape: number[] = [], attributes = {}): TreeNode => ({ path, kind: "dataset", plot: plot!, shape, attributes });

test("a tree becomes tiles, then images beside curves, then tables and text", () => {
  const tree = [
    node("/note", "text"), node("/small", "image", [8, 8]), node("/i0", "number"), node("/image", "image", [100, 100]),
    node("/intensity", "curve", [10], { x: "q" }), node("/q", "curve", [10]), node("/hidden", "none"), node("/peaks", "table", [3]),
  ];
  const shown = defaultLayout(tree, 0).panels.map((panel) => [panel.kind, panel.paths[0]]);
  assert.deepEqual(shown, [["number", "/i0"], ["image", "/image"], ["curve", "/intensity"], ["image", "/small"], ["table", "/peaks"], ["text", "/note"]]);
});

test("axes of a group, masks and spots get no plots of their own", () => {
  const group: TreeNode = { path: "/powder", kind: "group", attributes: { axes: ["event_number", "q"] } };
  const tree = [group, node("/powder/q", "curve"), node("/powder/event_number", "curve"), node("/powder/intensity", "image", [9, 9], { mask: "/bad", spots: "spots" }), node("/bad", "image"), node("/powder/spots", "image")];
  assert.deepEqual(defaultLayout(tree, 0).panels.map((panel) => panel.paths[0]), ["/powder/intensity"]);
});

test("regions that are drawn have their curves in view", () => {
  const layout = defaultLayout([node("/image", "image", [9, 9])], 2);
  assert.deepEqual(layout.panels.map((panel) => panel.paths[0]), ["/image", "region:*"]);
});

test("a layout from anywhere is made usable or refused", () => {
  for (const bad of [null, 3, {}, { panels: "x" }, []]) assert.equal(checkedLayout(bad), null);
  const layout = checkedLayout({ panels: [{ kind: "curve", paths: ["/a"], w: 99, h: -3, settings: null }, { kind: "evil", paths: [] }, null] })!;
  assert.equal(layout.panels.length, 1);
  assert.deepEqual([layout.panels[0]!.w, layout.panels[0]!.h, layout.panels[0]!.settings], [12, 1, {}]);
});

test("plots take the width of narrow pages", () => {
  assert.deepEqual([12, 6, 4].map((columns) => spanOn(columns, 6)), [6, 6, 4]);
  assert.deepEqual([12, 6, 4].map((columns) => spanOn(columns, 2)), [2, 2, 2]);
});

test("the account is checked, and the time to drain told", () => {
  assert.equal(imbalance({ received: 10, reduced: 5, failed: 1, dropped: { stopped: 3 }, pending: 1 }), 0);
  assert.equal(imbalance({ received: 10, reduced: 5 }), 5);
  const health = { scan: { event_rate: 50 }, streams: { a: { ledger: { pending: 100 } }, b: { ledger: { pending: 7 } } } };
  assert.deepEqual(backlog(health), { events: 100, drain_s: 2 });
  assert.equal(backlog({ ...health, scan: { event_rate: 0 } }).drain_s, null);
});

test("numbers are short and readable", () => {
  assert.deepEqual([0, 1234567, 0.1234567, 12345.678, 1.5e-7, NaN, null].map((value) => short(value)), ["0", "1\u2009234\u2009567", "0.1235", "12346", "1.50e-7", "–", "–"]);
  assert.deepEqual([0.75, 1500, 2e6, 0.00012].map(tickText), ["0.75", "1\u2009500", "2e6", "1.2e-4"]);
  assert.deepEqual([0.08, 3.21, 250, 7500].map(duration), ["80 ms", "3.2 s", "4 min 10 s", "2 h 5 min"]);
  assert.equal(bytes(1_500_000), "1.5 MB");
});

test("a new region gets the first color that the fewest regions have", () => {
  const regions: { color: string }[] = [];
  for (let n = 0; n < 8; n++) regions.push({ color: freeColor(regions).toUpperCase() });
  assert.equal(new Set(regions.map((region) => region.color)).size, 8);
  assert.equal(freeColor(regions), regions[0]!.color.toLowerCase());
  assert.equal(freeColor(regions.slice(1)), regions[0]!.color.toLowerCase());
});

test("one is not several, and an event of a run has its scan", () => {
  assert.deepEqual([several(1, "event"), several(0, "event"), several(1200, "region")], ["1 event", "0 events", "1\u2009200 regions"]);
  assert.equal(eventText({ event_number: 7, scan_number: 2 }), "event 7 of scan 2");
  assert.equal(eventText({ event_number: 0, scan_number: null }), "event 0");
});
