"use strict";
/* Shows what minigrad computed. No number is worked out here: every one comes from the data in the page. */

const D = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const state = { on: new Set(), step: 0, cell: 0 };

/* -- small things ------------------------------------------------------------------------------------------ */

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((c) => c !== null));
  return element;
}

/* A formula, with what follows ^ raised and what follows _ lowered: D^(β+1), x_ni. */
function math(text) {
  const parts = text.split(/([\^_](?:\([^)]*\)|[\p{L}\d]+))/u).filter((part) => part);
  return make("span", { class: "math" }, ...parts.map((part) => {
    if (!/^[\^_]./.test(part)) return part;
    return make(part[0] === "^" ? "sup" : "sub", {}, part.slice(1).replace(/^\(|\)$/g, ""));
  }));
}

/* Four digits after the point, or in powers of ten. */
function number(value) {
  if (typeof value === "string") return value;
  const size = Math.abs(value);
  if (size && !(size >= 1e-3 && size < 1e4)) return value.toExponential(1).replace("e+", "e").replaceAll("-", "−");
  return value.toFixed(4).replace("-", "−");
}

const variant = () => D.variants[D.switches.map((s) => s[0]).filter((key) => state.on.has(key)).join("+")];
const program = () => D.programs[variant().program];
const byName = (name) => program().steps.find((s) => s.name === name);
const slope = (user, name) => byName(user).parents.find((p) => p[0] === name)[1];
const gradient = (symbol) => "∂L/∂" + symbol;

/* The steps of the walk: inputs, values forward, the gradient that arrives, values backward. */
function steps() {
  const all = program().steps;
  const forward = all.filter((s) => s.parents.length);
  const backward = [...all].reverse().filter((s) => s.name !== D.output);
  return [
    { kind: "inputs" },
    ...forward.map((s) => ({ kind: "forward", at: s })),
    { kind: "seed", at: byName(D.output) },
    ...backward.map((s) => ({ kind: "backward", at: s })),
  ];
}

/* -- tensors as cells -------------------------------------------------------------------------------------- */

/* If the first statistic divides the input into groups: the group of each element. */
function groups() {
  const sharing = Object.values(program().sharing)[0];
  if (!sharing) return null;
  const size = D.pool[variant().values[D.input]].v.length;
  const group = new Array(size).fill(-1);
  let disjoint = true;
  sharing.forEach((members, i) => members.forEach((m) => { disjoint = disjoint && group[m] < 0; group[m] = i; }));
  return disjoint && sharing.length > 1 && !group.includes(-1) ? { of: group, count: sharing.length } : null;
}

/* A tensor as a table, or as several. `what` is read out; `options.statistic` is the name of a shared statistic. */
function tensor(index, symbol, axes, options = {}) {
  const { shape, v } = D.pool[index];
  const box = make("div", { class: "tensor", role: "group", "aria-label": `${symbol}, shape ${shape.join(" by ") || "one number"}` });
  if (options.id) box.dataset.tensor = options.id;
  box.append(make("div", {}, make("span", { class: "math name" }, symbol), make("span", { class: "shape" }, shape.length ? shape.join(" × ") : "a number")));
  const sheets = make("div", { class: "sheets" });
  // What should be 0 gets a colour by what it should be measured with.
  const largest = Math.max(options.exponents ? 0.1 : 0, ...v.filter((x) => typeof x === "number").map(Math.abs));
  const names = axes.slice(0, shape.length);
  while (names.length < shape.length) names.push("");
  const rows = shape.length > 1 ? shape[shape.length - 2] : 1;
  const columns = shape.length ? shape[shape.length - 1] : 1;
  const count = v.length / (rows * columns);
  const sorted = groups();
  const inputSize = D.pool[variant().values[D.input]].v.length;
  for (let sheet = 0; sheet < count; sheet++) {
    const table = make("table", { class: "cells" });
    if (count > 1) {
      let rest = sheet;
      const at = [];
      for (let a = shape.length - 3; a >= 0; a--) { at.unshift(`${names[a]} ${(rest % shape[a]) + 1}`); rest = Math.floor(rest / shape[a]); }
      table.append(make("caption", {}, at.join(", ")));
    }
    if (columns > 1) {
      const head = make("tr", {}, rows > 1 ? make("td", { style: "background:none;min-width:0", "aria-hidden": "true" }) : null);
      for (let c = 0; c < columns; c++) head.append(make("th", { scope: "col" }, `${names[shape.length - 1]} ${c + 1}`));
      table.append(head);
    }
    for (let r = 0; r < rows; r++) {
      const line = make("tr");
      if (rows > 1) line.append(make("th", { scope: "row" }, `${names[shape.length - 2]} ${r + 1}`));
      for (let c = 0; c < columns; c++) {
        const i = (sheet * rows + r) * columns + c;
        const value = v[i];
        const bad = typeof value !== "number";
        const cell = make("td", { class: bad ? "bad" : "" }, number(value));
        cell.dataset.value = value;
        const share = bad || !largest ? 0 : Math.abs(value) / largest;
        cell.style.setProperty("--hue", !bad && value < 0 ? "var(--negative)" : "var(--positive)");
        cell.style.setProperty("--much", (share * 0.42).toFixed(3));
        if (sorted && (options.statistic || v.length === inputSize)) {
          const g = options.statistic ? (v.length === sorted.count ? i : -1) : sorted.of[i];
          if (g >= 0) {
            cell.classList.add("shared");
            cell.style.setProperty("--group", `var(--g${g % 6})`);
            cell.title = `group ${g + 1}`;
          }
        }
        if (options.statistic) { cell.dataset.statistic = options.statistic; cell.dataset.i = i; }
        if (v.length === inputSize) cell.dataset.element = i;
        line.append(cell);
      }
      table.append(line);
    }
    sheets.append(table);
  }
  box.append(sheets);
  return box;
}

/* Pointing at a statistic lights up what shares it; pointing at an element, what shares with it. */
function light(event) {
  for (const cell of document.querySelectorAll("td.lit")) cell.classList.remove("lit");
  const cell = event.target.closest && event.target.closest("td");
  if (!cell || event.type === "pointerleave") return;
  const sharing = program().sharing;
  let members = null;
  if (cell.dataset.statistic) members = sharing[cell.dataset.statistic][cell.dataset.i];
  else if (cell.dataset.element && groups()) {
    const own = groups().of[cell.dataset.element];
    members = Object.values(sharing)[0][own];
  }
  if (!members) return;
  for (const i of members)
    for (const other of $("panel").querySelectorAll(`td[data-element="${i}"]`)) other.classList.add("lit");
}

/* -- the graph --------------------------------------------------------------------------------------------- */

let drawn = -1;

function drawGraph() {
  const which = program().graph;
  if (which !== drawn) {
    $("graph").innerHTML = D.graphs[which];
    const svg = $("graph").querySelector("svg");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", "Graph of " + program().steps.map((s) => s.formula || s.symbol).join("; "));
    svg.style.width = (1.3 * svg.dataset.width) + "px";
    for (const node of svg.querySelectorAll(".node")) {
      node.addEventListener("click", () => goTo(node.id.replace("node-", "")));
      // Graphviz placed the text for a font of its own: put it into the middle again.
      const box = node.querySelector("path").getBBox();
      const texts = node.querySelectorAll("text");
      texts.forEach((text, i) => {
        text.setAttribute("text-anchor", "middle");
        text.setAttribute("x", box.x + box.width / 2);
        if (texts.length > 1) text.setAttribute("y", box.y + (i ? box.height - 7 : 18));
        else text.setAttribute("y", box.y + box.height / 2 + 5);
      });
    }
    drawn = which;
  }
  const list = steps();
  const now = list[state.step];
  const back = now.kind === "seed" || now.kind === "backward";
  const passed = list.slice(0, state.step + 1);
  const done = new Set(passed.filter((s) => s.kind === "forward").map((s) => s.at.name));
  const got = new Set(passed.filter((s) => s.kind === "seed" || s.kind === "backward").map((s) => s.at.name));
  const leaf = (s) => !s.parents.length;
  const svg = $("graph").querySelector("svg");
  svg.classList.toggle("backward", back);
  const current = now.at ? now.at.name : D.input;
  for (const s of program().steps) {
    const node = $("node-" + s.name);
    node.classList.toggle("done", done.has(s.name) || leaf(s));
    node.classList.toggle("got", got.has(s.name));
    node.classList.toggle("pending", !back && !leaf(s) && !done.has(s.name));
    node.classList.toggle("now", s.name === current);
    for (const [parent] of s.parents) {
      const edge = $(`edge-${parent}-${s.name}`);
      edge.classList.toggle("done", done.has(s.name));
      edge.classList.toggle("got", got.has(parent) && !s.cut);
      edge.classList.toggle("cut", back && s.cut);
      edge.classList.toggle("now", back ? parent === current && !s.cut : s.name === current);
    }
  }
  // Bring the current node into view, inside its frame only.
  const frame = $("graph").getBoundingClientRect();
  const box = $("node-" + current).getBoundingClientRect();
  if (box.top < frame.top + 10 || box.bottom > frame.bottom - 10)
    $("graph").scrollTop += box.top + box.height / 2 - (frame.top + frame.height / 2);
}

/* -- the panel --------------------------------------------------------------------------------------------- */

const value = (s, id) => tensor(variant().values[s.name], s.symbol, s.axes, { statistic: s.statistic && s.name, id: id || "value-" + s.name });
const grad = (s, id) => tensor(variant().grads[s.name], gradient(s.symbol), s.axes, { id: id || "grad-" + s.name });
const sign = (text) => make("span", { class: "sign", "aria-hidden": "true" }, text);

function drawPanel() {
  const list = steps();
  const step = list[state.step];
  const back = step.kind === "seed" || step.kind === "backward";
  const count = list.filter((s) => s.kind === "forward").length;
  const panel = $("panel");
  panel.replaceChildren();
  panel.parentElement.classList.toggle("backward", back);
  document.querySelector(".stepper").classList.toggle("backward", back);
  const put = (...elements) => panel.append(...elements);
  const kicker = (text) => put(make("p", { class: "kicker" }, text));
  const title = (text) => put(make("h3", {}, math(text)));

  if (step.kind === "inputs") {
    kicker("The inputs");
    const leaves = program().steps.filter((s) => !s.parents.length);
    title(leaves.map((s) => s.symbol).join(", "));
    put(make("p", {}, leaves.map((s) => `${s.symbol}: ${s.why}`).join(" ")));
    put(make("div", { class: "flow" }, ...leaves.map((s) => value(s))));
    const given = Object.entries(D.given).map(([name, v]) => `${name.replace("_", " ")} = ${JSON.stringify(v)}`);
    if (given.length) put(make("p", { class: "note" }, "Given as constants: " + given.join(", ") + ("target" in D.given ? " (counted from 0)" : "")));
    if (groups()) put(make("p", { class: "note" }, "The coloured line under a cell tells its group: equal colours share a statistic. Point at a cell to light up its group."));
    put(make("p", {}, "Press → to run forward, one node at a time, and then backward."));
  } else if (step.kind === "forward") {
    const s = step.at;
    kicker(`Forward, ${state.step} of ${count}`);
    title(s.formula);
    put(make("p", {}, s.why));
    const parts = s.parents.flatMap(([p], i) => (i ? [sign(","), value(byName(p))] : [value(byName(p))]));
    put(make("div", { class: "flow" }, ...parts, sign("⟶"), value(s)));
    if (s.statistic) put(make("p", { class: "note" }, `Point at a cell of ${s.symbol}: the elements that share it light up.`));
    if (s.cut) put(make("p", { class: "fork" }, `${s.symbol} counts as a constant from here on: its gradient will go no further.`));
    const local = make("p", { class: "note" }, "For the way back: ");
    s.parents.forEach(([p, text], i) => local.append(i ? ";  " : "", math(`∂${s.symbol}/∂${byName(p).symbol} = ${text}`)));
    put(local);
  } else {
    const s = step.at;
    const total = list.length - count - 1;
    kicker(`Backward, ${state.step - count} of ${total}`);
    title(gradient(s.symbol));
    if (step.kind === "seed") {
      const scalar = !D.pool[variant().values[s.name]].shape.length;
      put(make("p", {}, scalar
        ? "The walk back begins at the loss, whose derivative with respect to itself is 1."
        : "The walk back begins with the gradient that the layers above send. Here it is made of random numbers, so that no fault can hide behind a symmetry."));
      put(make("div", { class: "flow" }, grad(s)));
    } else {
      const users = s.users.map(byName);
      const live = users.filter((u) => variant().sent[`${u.name}>${s.name}`] !== undefined);
      if (live.length > 1)
        put(make("p", { class: "fork" }, `A fork: ${s.symbol} is used ${live.length} times, so ${live.length} gradients arrive, and add up.`));
      else put(make("p", {}, `${s.symbol} is used once${users.length > live.length ? " (counting what is not cut)" : ""}: one gradient arrives.`));
      for (const u of users) {
        const sent = variant().sent[`${u.name}>${s.name}`];
        if (sent === undefined) {
          const why = u.cut ? `${u.symbol} counts as a constant: nothing comes back from it.` : `No gradient reaches ${u.symbol}.`;
          put(make("div", { class: "sent cut" }, make("h4", { class: "math" }, `from ${u.formula}`), make("p", {}, why)));
          continue;
        }
        const local = make("p", { class: "slope" }, math(`∂${u.symbol}/∂${s.symbol} = ${slope(u.name, s.name)}`));
        put(make("div", { class: "sent" },
          make("div", { class: "row" }, make("h4", {}, "from ", math(u.formula)), local),
          make("div", { class: "flow" }, grad(u, `above-${u.name}`), sign("⟶"),
            tensor(sent, `${gradient(u.symbol)} · ∂${u.symbol}/∂${s.symbol}`, s.axes, { id: `sent-${u.name}-${s.name}` }))));
      }
      if (variant().grads[s.name] === null) put(make("p", {}, "No gradient arrives here."));
      else if (live.length > 1) {
        const sum = live.map((u) => `from ${u.symbol}`).join(" + ");
        put(make("div", { class: "flow" }, math(sum), sign("="), grad(s)));
      } else put(make("div", { class: "flow" }, sign("="), grad(s)));
      if (s.cut) put(make("p", { class: "fork" }, `${s.symbol} counts as a constant: the gradient that arrived goes no further.`));
      if (s.name === D.input)
        put(make("p", { class: "fork" }, `This is what the layer sends down. Below, the same ${gradient(s.symbol)} in closed form.`));
    }
  }
  const names = { inputs: "the inputs", seed: gradient(step.at ? step.at.symbol : "") };
  $("where").textContent = names[step.kind] || (back ? `back: ${gradient(step.at.symbol)}` : step.at.formula);
}

function drawStepper() {
  const list = steps();
  const count = list.filter((s) => s.kind === "forward").length;
  $("slider").max = list.length - 1;
  $("slider").value = state.step;
  $("slider").setAttribute("aria-valuetext", `${state.step + 1} of ${list.length}: ${$("where").textContent}`);
  $("previous").disabled = state.step === 0;
  $("next").disabled = state.step === list.length - 1;
  $("forward-label").style.flex = count + 0.5;
  $("backward-label").style.flex = list.length - count - 1.5;
}

function walk() {
  drawGraph();
  drawPanel();
  drawStepper();
  reach();
}

/* What is wider than its frame can be reached by Tab, and scrolled by the arrow keys. */
const wide = (element) => element.scrollWidth > element.clientWidth;

function reach() {
  for (const box of document.querySelectorAll(".tensor")) if (wide(box)) box.tabIndex = 0;
}

function go(step) {
  state.step = Math.max(0, Math.min(steps().length - 1, step));
  walk();
}

/* To a node: in the direction in which we are going. */
function goTo(name) {
  const list = steps();
  const back = ["seed", "backward"].includes(list[state.step].kind);
  const found = list.findIndex((s) => s.at && s.at.name === name && (s.kind === "forward") !== back);
  go(found >= 0 ? found : 0);
}

/* -- who shares -------------------------------------------------------------------------------------------- */

function drawBlocks() {
  if (!D.blocks.length) { $("sharing").hidden = true; document.querySelector('nav a[href="#sharing"]').hidden = true; return; }
  const [samples, channels, places] = D.block;
  const own = { batch_renorm: "batch_norm" }[D.name] || D.name;
  for (const block of D.blocks) {
    const W = 20, H = 20, skew = 9, card = places * W + 46;
    const parts = [];
    for (let n = 0; n < samples; n++) {
      const x0 = 34 + n * card, y0 = 34;
      parts.push(`<text x="${x0 + (places * W) / 2}" y="${y0 - 8 - skew}" text-anchor="middle">sample ${n + 1}</text>`);
      for (let c = 0; c < channels; c++)
        for (let s = 0; s < places; s++) {
          const i = (n * channels + c) * places + s;
          const x = x0 + s * W, y = y0 + c * H, up = (k) => (-k * skew) / places;
          parts.push(`<polygon data-i="${i}" points="${x},${y + up(s)} ${x + W},${y + up(s + 1)} ${x + W},${y + H + up(s + 1)} ${x},${y + H + up(s)}"></polygon>`);
        }
    }
    for (let c = 0; c < channels; c++) parts.push(`<text x="28" y="${34 + c * H + 15}" text-anchor="end">c${c + 1}</text>`);
    const mine = block.name === own || block.name === D.name;
    const figure = make("div", { class: "block" + (mine ? " mine" : "") }, make("h3", {}, block.title), mine ? make("span", { class: "badge" }, "this page") : null);
    const holder = make("div");
    holder.innerHTML = `<svg viewBox="0 0 ${34 + samples * card - 30} ${34 + channels * H + 8}" role="img">${parts.join("")}</svg>`;
    figure.append(holder, make("p", { class: "note" }));
    figure.dataset.block = block.name;
    figure.addEventListener("click", (event) => {
      if (event.target.dataset.i !== undefined) { state.cell = Number(event.target.dataset.i); lightBlocks(); }
    });
    $("blocks").append(figure);
  }
  $("pick").addEventListener("click", () => { state.cell = (state.cell + 7) % (samples * channels * places); lightBlocks(); });
  lightBlocks();
}

function lightBlocks() {
  const [, channels, places] = D.block;
  const s = state.cell % places, c = Math.floor(state.cell / places) % channels, n = Math.floor(state.cell / places / channels);
  const name = `sample ${n + 1}, channel ${c + 1}, place ${s + 1}`;
  $("picked").textContent = name;
  for (const block of D.blocks) {
    const figure = document.querySelector(`[data-block="${block.name}"]`);
    const shared = new Set(block.shared[state.cell]);
    for (const polygon of figure.querySelectorAll("polygon")) {
      polygon.classList.toggle("in", shared.has(Number(polygon.dataset.i)));
      polygon.classList.toggle("at", Number(polygon.dataset.i) === state.cell);
    }
    const text = `${shared.size} cells share the statistic of ${name}.`;
    figure.querySelector("p").textContent = text;
    figure.querySelector("svg").setAttribute("aria-label", `${block.title}: ${text}`);
  }
}

/* -- closed form, other ways, break it ---------------------------------------------------------------------- */

function distance(text) {
  const far = !(text === "0.0000" || /e−(8|9|1\d|2\d|3\d)$/.test(text));
  return make("p", { class: "gap" + (far ? " far" : "") }, "largest difference ", make("b", {}, text));
}

function drawCollapse() {
  const p = program(), v = variant(), input = byName(D.input);
  $("derivation").replaceChildren(...p.derivation.map(([line, why]) => make("li", {}, math(line), make("small", {}, why))));
  $("closed").replaceChildren(math(p.formula));
  const rows = p.terms.map(([symbol, path, cut], i) => {
    const [byFormula, byPath, far] = v.terms[i];
    const gone = cut && p.cuts.includes(cut);
    return make("div", { class: "term" + (gone ? " gone" : "") }, make("h3", {}, math(symbol)),
      make("p", { class: "note" }, path + (gone ? ": cut, so this term is missing" : "")),
      make("div", { class: "flow" }, tensor(byFormula, "by its formula", input.axes, { id: `term-${i}` }), sign("↔"),
        tensor(byPath, "along its way", input.axes, { id: `path-${i}` })), distance(far));
  });
  const [, staged] = v.ways[D.input].find((w) => w[0] === "staged");
  const [, closed, far] = v.ways[D.input].find((w) => w[0] === "closed");
  rows.push(make("div", { class: "term sum" }, make("h3", {}, "Together: ", math(gradient(input.symbol))),
    make("div", { class: "flow" }, tensor(closed, "closed form", input.axes, { id: "closed" }), sign("↔"),
      tensor(staged, "staged", input.axes, { id: "staged" })), distance(far)));
  $("terms").replaceChildren(...rows);
  const others = Object.entries(p.others).map(([name, formula]) => `${gradient(byName(name).symbol)} = ${formula}`);
  const laws = v.laws.map(([formula, why, index]) => make("div", { class: "term" },
    make("h3", {}, math(formula), " should be 0"), make("p", { class: "note" }, why),
    make("div", { class: "flow" }, tensor(index, "it is", [], { exponents: true }))));
  $("laws").replaceChildren(...(others.length ? [make("p", {}, "And the others: ", math(others.join(",  ")))] : []),
    ...(laws.length ? [make("h3", {}, "What this gradient cannot contain"), make("div", { class: "grid" }, ...laws)] : []));
}

const WAYS = { staged: "staged", closed: "closed form", engine: "engine", fused: "fused op", numeric: "finite differences" };

function drawWays() {
  const v = variant();
  $("ways").replaceChildren(...Object.entries(v.ways).map(([name, ways]) => {
    const s = byName(name);
    return make("div", { class: "term" }, make("h3", { class: "math" }, gradient(s.symbol)),
      make("div", { class: "flow top" }, ...ways.map(([label, index, far, wrong]) => {
        const box = tensor(index, WAYS[label], s.axes, { id: `way-${name}-${label}` });
        if (label !== "staged") {
          box.append(make("p", { class: "gap" + (wrong ? " far" : "") }, "off by ", make("b", {}, far)));
        }
        return box;
      })));
  }));
}

function drawSwitches() {
  for (const [key, label, about, changes] of D.switches) {
    const button = make("button", { type: "button", class: "switch", role: "switch", "aria-checked": "false", "data-switch": key },
      make("span", { class: "knob", "aria-hidden": "true" }),
      make("span", {}, make("b", {}, label), make("small", {}, about + (changes === "gradient" ? " The output stays as it is." : ""))));
    button.addEventListener("click", () => {
      if (state.on.has(key)) state.on.delete(key); else state.on.add(key);
      render();
    });
    $("switches").append(button);
  }
  if (D.missing.length) $("missing").textContent = `Without effect for this input: ${D.missing.join(", ")}.`;
}

function drawBreak() {
  const v = variant();
  for (const button of document.querySelectorAll("[data-switch]"))
    button.setAttribute("aria-checked", String(state.on.has(button.dataset.switch)));
  $("verdict").replaceChildren(...v.verdict.map((text) => make("p", {}, text)));
  $("verdict").classList.toggle("wrong", v.verdict.some((t) => /wrong|no gradient|no longer/.test(t)));
  $("broken").hidden = !state.on.size;
  $("broken").replaceChildren("Broken: ", make("b", {}, D.switches.filter((s) => state.on.has(s[0])).map((s) => s[1].toLowerCase()).join("; ")), ". ",
    make("a", { href: "#break" }, "To the switches"));
  $("changes").replaceChildren(...(state.on.size ? Object.entries(v.changes).map(([name, [right, now, moved, largest, share]]) => {
    const s = byName(name === "output" ? D.output : name);
    const symbol = name === "output" ? s.symbol : gradient(s.symbol);
    if (moved === null) return make("div", { class: "change" }, make("h3", {}, math(symbol), " does not change"));
    return make("div", { class: "change" }, make("h3", {}, math(symbol), ` moves by up to ${largest} (${share})`),
      make("div", { class: "flow" }, tensor(right, "right", s.axes, { id: `right-${name}` }), sign("→"),
        tensor(now, "now", s.axes, { id: `now-${name}` }), sign("·"), tensor(moved, "difference", s.axes, { id: `moved-${name}` })));
  }) : []));
}

/* -- everything -------------------------------------------------------------------------------------------- */

function render() {
  state.step = Math.min(state.step, steps().length - 1);
  walk();
  drawCollapse();
  drawWays();
  drawBreak();
  reach();
}

$("title").textContent = D.title + ", step by step";
$("formula").replaceChildren(math(D.formula));
$("about").textContent = D.about;
$("source").textContent = `${D.source}. Shape ${D.shape.join(" × ")}` + (D.eps === null ? "." : `, ε = ${D.eps}.`);
drawSwitches();
drawBlocks();
render();

$("previous").addEventListener("click", () => go(state.step - 1));
$("next").addEventListener("click", () => go(state.step + 1));
$("slider").addEventListener("input", () => go(Number($("slider").value)));
$("panel").addEventListener("pointerover", light);
$("panel").addEventListener("pointerleave", light);
document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const inSlider = event.target === $("slider"); // which knows the keys itself
  const keys = { ArrowLeft: state.step - 1, ArrowRight: state.step + 1, Home: 0, End: Infinity };
  const scrolls = event.target.matches("#graph, .tensor") && wide(event.target) && event.key.startsWith("Arrow");
  if (event.key in keys && !inSlider && !scrolls) {
    event.preventDefault();
    go(keys[event.key]);
  }
});
