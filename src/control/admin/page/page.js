"use strict";
// Draws what /events says once a second. Text is set as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";
const KEPT = 120;
const FAILOVERS = [
  ["overtaken", "overtaken"], ["sent_again", "sent again"], ["redirects_followed", "redirected"],
  ["relays", "relayed"], ["refreshed", "dialogs moved"],
];
const FAILURES = [
  ["timeouts", "without answer"], ["transport_failures", "connection lost"],
  ["flows_failed", "no flow left"], ["rejected", "refused here"],
];
const STATES = { up: "answers", down: "does not answer", unknown: "not heard of yet", self: "this node" };
const by = (id) => document.getElementById(id);
const history = { calls: [], half: [], most: [] };
let last = null;

function svg(name, attributes, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function html(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function count(value) {
  if (value >= 1e6) return (value / 1e6).toFixed(1) + " M";
  if (value >= 1e4) return (value / 1e3).toFixed(1) + " k";
  return String(Math.round(value));
}

const rate = (value) => (value < 10 ? value.toFixed(1) : count(value));

function time(micros) {
  if (micros === null) return "> 60 s";
  if (micros < 1e3) return micros + " µs";
  return micros < 1e6 ? micros / 1e3 + " ms" : micros / 1e6 + " s";
}

function span(seconds) {
  for (const [unit, word] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
    if (seconds >= unit) return Math.floor(seconds / unit) + " " + word;
  }
  return Math.floor(seconds) + " s";
}

// The bound that this part of what was counted keeps, null beyond the last; undefined: nothing was.
function quantile(counts, bounds, part) {
  const all = counts.reduce((sum, one) => sum + one, 0);
  if (all === 0) return undefined;
  let seen = 0;
  const index = counts.findIndex((one) => (seen += one) >= part * all);
  return index < bounds.length ? bounds[index] : null;
}

function chart(id, ...lines) {
  const most = Math.max(1e-9, ...lines.flat().filter((value) => value !== null));
  const paths = lines.map((values, index) => {
    let path = "";
    let isDown = false;
    values.forEach((value, at) => {
      if (value === null) { isDown = false; return; }
      const x = (at + KEPT - values.length) * (100 / (KEPT - 1));
      path += (isDown ? "L" : "M") + x.toFixed(1) + " " + (29 - 28 * (value / most)).toFixed(1);
      isDown = true;
    });
    return svg("path", { d: path || "M0 29", class: index === 0 ? "first" : "second" });
  });
  const at = by(id);
  at.setAttribute("viewBox", "0 0 100 30");
  at.setAttribute("preserveAspectRatio", "none");
  at.replaceChildren(...paths);
}

function nodeBox(node, { x, y }, width) {
  let state = STATES[node.state];
  if (node.state === "down" && node.silent_ms !== null) state = "silent for " + span(node.silent_ms / 1000);
  if (node.retires) state += ", retires";
  const address = node.addresses[0] ?? "";
  const under = node.name === address ? node.kind : node.kind + " " + address;
  const name = svg("text", { class: "name", x, y: y - 12 }, node.name);
  const about = { class: "node " + node.state, "data-name": node.name, "data-kind": node.kind, "data-state": node.state };
  return svg("g", about,
    svg("title", {}, `${node.name}: ${state}; ${node.addresses.join(", ")}`),
    svg("rect", { class: "box", x: x - width / 2, y: y - 32, width, height: 64, rx: 9 }),
    node.page ? svg("a", { href: node.page }, name) : name,
    svg("text", { class: "faint", x, y: y + 6 }, under),
    svg("text", { class: "faint state", x, y: y + 22 }, state));
}

function link(from, to, node) {
  const [y1, y2] = to.y > from.y ? [from.y + 34, to.y - 36] : [from.y - 34, to.y + 36];
  const middle = (y1 + y2) / 2;
  const d = `M${from.x} ${y1} C${from.x} ${middle} ${to.x} ${middle} ${to.x} ${y2}`;
  const path = svg("path", { class: "link " + node.state, d });
  if (node.asks) path.setAttribute("marker-end", "url(#arrow)");
  if (node.is_asked) path.setAttribute("marker-start", "url(#arrow)");
  return path;
}

// Homes above, this node, the other edges below.
function picture(view) {
  const at = by("picture");
  const width = Math.max(300, Math.round(at.clientWidth || 600));
  const me = { name: view.node, kind: view.role, state: "self", addresses: view.addresses };
  const groups = [view.neighbours.filter((one) => one.kind === "home"), [me],
    view.neighbours.filter((one) => one.kind === "edge")];
  const most = Math.max(...groups.map((group) => group.length));
  const perRow = Math.max(1, Math.min(most, Math.floor(width / 128)));
  const box = Math.min(190, Math.floor(width / perRow) - 14);
  const rows = [];
  for (const group of groups) {
    for (let first = 0; first < group.length; first += perRow) rows.push(group.slice(first, first + perRow));
  }
  const places = new Map();
  rows.forEach((row, line) => row.forEach((node, column) => {
    places.set(node, { x: Math.round(width * (column + 0.5) / row.length), y: 41 + line * 112 });
  }));
  const arrow = svg("marker", {
    id: "arrow", viewBox: "0 0 8 8", refX: 6, refY: 4, markerWidth: 6, markerHeight: 6, orient: "auto-start-reverse",
  }, svg("path", { d: "M0 0 8 4 0 8z" }));
  const others = [...places].filter(([node]) => node !== me);
  const links = others.map(([node, place]) => link(places.get(me), place, node));
  const boxes = [...places].map(([node, place]) => nodeBox(node, place, box));
  at.setAttribute("viewBox", `0 0 ${width} ${rows.length * 112 - 30}`);
  at.replaceChildren(svg("defs", {}, arrow), ...links, ...boxes);
}

function clock(unix) {
  const when = new Date(unix * 1000);
  return html("time", { datetime: when.toISOString(), title: when.toISOString() }, when.toTimeString().slice(0, 8));
}

// A list is drawn anew only when it says something else, or it could not be copied from.
function list(id, all, none, draw) {
  const at = by(id);
  const key = JSON.stringify(all);
  if (at.dataset.key === key) return;
  at.dataset.key = key;
  const newest = [...all].sort((a, b) => b.unix - a.unix);
  at.replaceChildren(...(all.length > 0 ? newest.map(draw) : [html("li", { class: "unknown" }, none)]));
}

function logs(view) {
  list("told", view.told, "nothing since the start",
    (one) => html("li", { class: one.is_bad ? "down" : "up" }, clock(one.unix), one.text));
  list("failures", view.failed, "nothing", (one) => html("li", { class: "failure" }, clock(one.unix),
    html("a", { href: "ladder?call_id=" + encodeURIComponent(one.call_id) }, `${one.status} ${one.phrase}`),
    `: ${one.method} from ${one.from} to ${one.to}`));
  list("rejected", view.rejected, "nothing", (one) => html("li", {}, clock(one.unix),
    `${one.status} ${one.reason}: ${one.method} of ${one.user || "nobody"}`,
    one.target ? ` to ${one.target}` : "", ` from ${one.source}`,
    html("code", {}, `steadfast why sip:${one.target || one.user} --node ${view.file}`)));
}

// Those there are of some, in words.
function parts(all) {
  const some = all.filter(([of]) => of > 0).map(([of, word]) => `${count(of)} ${word}`);
  return some.length > 0 ? some.join(", ") : "none";
}

function total(counted, kinds, id, kindsId) {
  by(id).textContent = count(kinds.reduce((sum, [name]) => sum + counted[name], 0));
  by(kindsId).textContent = parts(kinds.map(([name, word]) => [counted[name], word]));
}

function numbers(view) {
  const { counted, held, bounds_us: bounds } = view;
  if (last !== null && view.unix > last.unix && view.up_seconds >= last.up_seconds) {
    const grown = (name) => (counted[name] - last.counted[name]) / (view.unix - last.unix);
    by("calls").textContent = rate(grown("calls"));
    by("requests").textContent = rate(grown("requests"));
    const counts = view.set_up.map((value, index) => value - last.set_up[index]);
    history.calls.push(grown("calls"));
    history.half.push(quantile(counts, bounds, 0.5) ?? null);
    history.most.push(quantile(counts, bounds, 0.99) ?? null);
    for (const values of Object.values(history)) if (values.length > KEPT) values.shift();
  }
  chart("calls-chart", history.calls);
  chart("set-up-chart", history.half, history.most);
  const half = quantile(view.set_up, bounds, 0.5);
  by("set-up").textContent = half === undefined ? "no call yet" : `${time(half)} / ${time(quantile(view.set_up, bounds, 0.99))}`;
  by("held-title").textContent = view.role === "home" ? "Addresses of record" : "Phones";
  by("registered").textContent = count(held.registered);
  by("phones").textContent = view.role === "home" ? "" : parts(held.phones.map(([over, phones]) => [phones, "over " + over]));
  by("answers").textContent = "answers: " + parts(counted.answers.map((of, index) => [of, `× ${index + 1}xx`]));
  total(counted, FAILOVERS, "failovers", "failover-kinds");
  total(counted, FAILURES, "failed", "failed-kinds");
  const turn = quantile(view.loop_delay, bounds, 0.99);
  by("turns").textContent = turn === undefined ? "–" : `${time(turn)} / ${time(quantile(view.queue_time, bounds, 0.99))}`;
  const sheds = held.shed_percent > 0;
  by("shed").textContent = sheds ? `refuses ${held.shed_percent} % of what is new` : `${count(counted.shed)} refused for want of time`;
  by("shed").className = sheds ? "small down" : "small";
  by("memory").textContent = (held.resident_bytes / 1048576).toFixed(0) + " MiB";
  by("files").textContent = `${count(held.open_fds)} descriptors, ${count(held.streams)} connections, ${count(held.contexts)} requests under way`;
}

function show(view) {
  document.title = view.node + " · steadfast";
  by("node").textContent = view.node;
  by("role").textContent = `${view.role} of ${view.cluster}`;
  const isReady = view.not_ready.length === 0;
  by("ready").textContent = isReady ? "ready" : view.not_ready.join("; ");
  by("ready").className = "badge " + (isReady ? "up" : "down");
  const build = view.commit ? `${view.version} (${view.commit})` : view.version;
  by("about").textContent = `${build}, up for ${span(view.up_seconds)}, ${view.shards} ${view.shards === 1 ? "shard" : "shards"}`;
  numbers(view);
  picture(view);
  logs(view);
  last = view;
}

const events = new EventSource("events");
events.onmessage = (event) => {
  by("lost").hidden = true;
  show(JSON.parse(event.data));
};
events.onerror = () => { by("lost").hidden = false; };
addEventListener("resize", () => { if (last !== null) picture(last); });
