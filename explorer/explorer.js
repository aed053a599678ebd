"use strict";
// First the models, forward passes in plain JavaScript, then the page with its three sections.
// A tensor is {shape, values}; a network is {name: tensor}, with PyTorch's names and layouts.

const clamp = (x, low, high) => Math.min(Math.max(x, low), high);
const sigmoid = (x) => 1 / (1 + Math.exp(-x));
const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const silu = (values) => values.map((x) => x * sigmoid(x));
const plus = (a, b) => a.map((x, i) => x + b[i]);
const range = (n, get = (i) => i) => Array.from({ length: n }, (_, i) => get(i));

const HALVES = Float64Array.from({ length: 2 ** 16 }, (_, bits) => { // float16 by its bits
  const sign = bits >> 15 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = (bits & 1023) / 1024;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? (1 + fraction) * 2 ** (exponent - 15) : fraction * 2 ** -14);
});

/** Return a tensor of what build.py packed: [shape, base64 of little-endian float16]. */
function unpack([shape, text]) {
  const bytes = atob(text), values = new Float64Array(bytes.length / 2);
  for (let i = 0; i < values.length; i++) {
    values[i] = HALVES[bytes.charCodeAt(2 * i) | (bytes.charCodeAt(2 * i + 1) << 8)];
  }
  return { shape, values };
}

const network = (packed) => Object.fromEntries(
  Object.entries(packed).map(([name, tensor]) => [name, unpack(tensor)]));

/** Return the linear layer `name` of a network. */
function layerOf(net, name) {
  const { shape, values } = net[`${name}.weight`];
  return { w: values, b: net[`${name}.bias`].values, rows: shape[0], columns: shape[1] };
}

/** Return W x + b, in `out` if given; four rows at a time, so that each x is read once for four. */
function linear({ w, b, rows, columns }, x, out = new Float64Array(rows)) {
  let row = 0;
  for (; row + 4 <= rows; row += 4) {
    let s0 = b[row], s1 = b[row + 1], s2 = b[row + 2], s3 = b[row + 3], at = row * columns;
    for (let i = 0; i < columns; i++, at++) {
      const v = x[i];
      s0 += w[at] * v; s1 += w[at + columns] * v;
      s2 += w[at + 2 * columns] * v; s3 += w[at + 3 * columns] * v;
    }
    out[row] = s0; out[row + 1] = s1; out[row + 2] = s2; out[row + 3] = s3;
  }
  for (; row < rows; row++) {
    out[row] = b[row];
    for (let i = 0; i < columns; i++) out[row] += w[row * columns + i] * x[i];
  }
  return out;
}

/** Apply the linear layers `prefix`.0, .2, .4, ... with SiLU between them. */
function chain(net, prefix, x) {
  let h = linear(layerOf(net, `${prefix}.0`), Float64Array.from(x));
  const more = (k) => net[`${prefix}.${k}.weight`];
  for (let k = 2; more(k); k += 2) h = linear(layerOf(net, `${prefix}.${k}`), silu(h));
  return h;
}

/** Return random numbers from a seed: uniform (mulberry32) and normal (Box and Muller). */
function random(seed) {
  const uniform = () => {
    seed = (seed + 0x6d2b79f5) >>> 0;
    let t = Math.imul(seed ^ (seed >>> 15), seed | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const radius = () => Math.sqrt(-2 * Math.log(1 - uniform()));
  return { uniform, normal: () => radius() * Math.cos(2 * Math.PI * uniform()) };
}

/** Draw from row `label` of a mixture of Gaussians (priors.ClassMixturePrior.sample). */
function sampleMixture(net, prefix, label, rng, temperature = 1) {
  const [, components, latent] = net[`${prefix}.means`].shape;
  const logits = net[`${prefix}.logits`].values.slice(label * components, (label + 1) * components);
  const most = Math.max(...logits), weights = logits.map((x) => Math.exp(x - most));
  let left = rng.uniform() * weights.reduce((a, b) => a + b), k = 0;
  while (k < components - 1 && (left -= weights[k]) > 0) k++;
  const means = net[`${prefix}.means`].values, logvars = net[`${prefix}.logvars`].values;
  return Float64Array.from({ length: latent }, (_, i) => {
    const at = (label * components + k) * latent + i;
    return means[at] + temperature * Math.exp(0.5 * clamp(logvars[at], -8, 4)) * rng.normal();
  });
}

/** Convolve (49, inputs) pixels of a 7 x 7 grid, 3 x 3 with padding: (49, outputs). */
function convolve(net, name, x) {
  const { w, b, rows, columns: inputs } = layerOf(net, name);
  const out = new Float64Array(49 * rows), patch = new Float64Array(9 * inputs);
  for (let place = 0; place < 49; place++) {
    for (let k = 0; k < 9; k++) {
      const row = Math.floor(place / 7) + Math.floor(k / 3) - 1, column = (place % 7) + (k % 3) - 1;
      const inside = row >= 0 && row < 7 && column >= 0 && column < 7;
      const from = (7 * row + column) * inputs;
      for (let i = 0; i < inputs; i++) patch[9 * i + k] = inside ? x[from + i] : 0;
    }
    linear({ w, b, rows, columns: 9 * inputs }, patch, out.subarray(place * rows));
  }
  return out;
}

/** Return E[x|z,label] (networks.PatchDecoder), 784 brightnesses from 0 to 1. */
function decodeDigit(net, z, label) {
  const first = layerOf(net, "decoder.first"), input = new Float64Array(first.columns);
  input.set(z);
  input[z.length + label] = 1;
  let h = silu(linear(first, input));
  const mean = h.reduce((a, b) => a + b) / h.length;
  const deviation = Math.sqrt(h.reduce((a, b) => a + (b - mean) ** 2, 0) / h.length + 1e-5);
  const { w: gain, b: shift } = layerOf(net, "decoder.hidden.norm");
  const normed = h.map((x, i) => (gain[i] * (x - mean)) / deviation + shift[i]);
  h = plus(h, silu(linear(layerOf(net, "decoder.hidden.linear"), normed)));
  h = silu(linear(layerOf(net, "decoder.dense"), h)); // (49, channels)
  h = convolve(net, "decoder.last", plus(h, silu(convolve(net, "decoder.second", h)))); // (49, 16)
  return net["decoder.bias"].values.map((bias, pixel) => {
    const row = Math.floor(pixel / 28), column = pixel % 28;
    const patch = 7 * (row >> 2) + (column >> 2);
    return sigmoid(bias + h[16 * patch + 4 * (row % 4) + (column % 4)]);
  });
}

/** Return z of the base's u at source size p (priors.CouplingPrior.from_base), |s| < most. */
function fromBase(net, u, p, most) {
  const kept = u.length >> 1, moving = u.length - kept;
  const logP = [Math.log(clamp(p, ...net["prior.limits"].values))];
  const affine = chain(net, "prior.affine", logP), c = chain(net, "prior.embedding", logP);
  const layers = Object.keys(net).filter((name) => name.startsWith("prior.order")).length;
  for (let layer = layers - 1; layer >= 0; layer--) {
    const found = chain(net, `prior.networks.${layer}`, [...u.subarray(0, kept), ...c]);
    const moved = u.map((x, i) => (i < kept ? x
      : x * Math.exp(most * Math.tanh(found[i - kept])) + found[i - kept + moving]));
    u = new Float64Array(u.length);
    net[`prior.order${layer}`].values.forEach((to, from) => { u[to] = moved[from]; });
  }
  return u.map((x, i) => x * Math.exp(affine[u.length + i]) + affine[i]);
}

/** Return log10 of the relative magnification that the base's u means at source size p. */
function decodeCurve(net, u, p, { most, below, bend }) {
  const first = layerOf(net, "decoder.first"), input = new Float64Array(first.columns).fill(p);
  input.set(fromBase(net, u, p, most));
  const codes = linear(layerOf(net, "decoder.last"), silu(linear(first, input)));
  if (!net["decoder.edge"]) return codes.map((x) => clamp(x, ...net["decoder.limits"].values));
  const [edge] = net["decoder.edge"].values, rest = (1 - below) * bend;
  return codes.map((x) => edge + below * (x - edge) + rest * softplus((x - edge) / bend));
}

// A field is (x, y, slope or null) -> f(x, y); it puts the gradient of f into slope.

/** Return the field f = log p + log Z of an energy network, as ebm.LogDensity writes it out. */
function energyField(net, { base, scale }) {
  const layers = [];
  for (let k = 0; net[`hidden.${k}.weight`]; k++) layers.push(layerOf(net, `hidden.${k}`));
  const back = layers.map(({ w, rows, columns }) => ({ // W transposed
    w: w.map((_, i) => w[(i % rows) * columns + Math.floor(i / rows)]),
    b: new Float64Array(columns), rows: columns, columns: rows,
  }));
  const [hs, slopes, gs] = range(3, () => layers.map(({ rows }) => new Float64Array(rows)));
  const last = layerOf(net, "last"), input = new Float64Array(2), end = new Float64Array(2);
  return (x, y, slope) => {
    input[0] = x / scale; input[1] = y / scale;
    for (let k = 0; k < layers.length; k++) {
      const h = linear(layers[k], k ? hs[k - 1] : input, hs[k]), slopeOf = slopes[k];
      for (let i = 0; i < h.length; i++) { // SiLU: h = a s, dh/da = s + h (1 - s)
        const s = 1 / (1 + Math.exp(-h[i]));
        h[i] *= s;
        slopeOf[i] = s + h[i] * (1 - s);
      }
    }
    if (slope) {
      gs[layers.length - 1].set(last.w);
      for (let k = layers.length - 1; k >= 0; k--) {
        const g = gs[k], slopeOf = slopes[k];
        for (let i = 0; i < g.length; i++) g[i] *= slopeOf[i];
        linear(back[k], g, k ? gs[k - 1] : end);
      }
      slope[0] = end[0] / scale - x / base ** 2;
      slope[1] = end[1] / scale - y / base ** 2;
    }
    return linear(last, hs[layers.length - 1])[0] - (x * x + y * y) / (2 * base ** 2);
  };
}

/** Return the field of the true roll: log p, a sum over the nodes t and weights of a quadrature. */
function trueField({ noise, nodes, weights }) {
  const n = nodes.length, unit = 1 / (2 * noise ** 2), squares = new Float64Array(n);
  const cx = nodes.map((t) => t * Math.cos(t)), cy = nodes.map((t) => t * Math.sin(t));
  return (x, y, slope) => {
    let least = Infinity, total = 0, sx = 0, sy = 0;
    for (let i = 0; i < n; i++) {
      squares[i] = ((x - cx[i]) ** 2 + (y - cy[i]) ** 2) * unit;
      if (squares[i] < least) least = squares[i];
    }
    for (let i = 0; i < n; i++) {
      if (squares[i] > least + 40) continue; // counts for nothing
      const share = weights[i] * Math.exp(least - squares[i]);
      total += share; sx += share * cx[i]; sy += share * cy[i];
    }
    if (slope) {
      slope[0] = (sx / total - x) * 2 * unit;
      slope[1] = (sy / total - y) * 2 * unit;
    }
    return Math.log(total) - least - Math.log(2 * Math.PI * noise ** 2);
  };
}

/** Draw n points of the true roll: x and y in turn. */
function trueSet({ noise, first, last }, n, rng) {
  const near = (v) => v + noise * rng.normal(), t = () => first + (last - first) * rng.uniform();
  const point = (angle) => [near(angle * Math.cos(angle)), near(angle * Math.sin(angle))];
  return Float64Array.from(range(n, () => point(t())).flat());
}

/** Move points (x and y in turn) by eps grad f + sqrt(2 eps) z, with the noise z given. */
function langevinStep(points, field, eps, z) {
  const slope = [0, 0], spread = Math.sqrt(2 * eps);
  for (let i = 0; i < points.length; i += 2) {
    field(points[i], points[i + 1], slope);
    points[i] += eps * slope[0] + spread * z[i];
    points[i + 1] += eps * slope[1] + spread * z[i + 1];
  }
}

/** Return the points (x and y in turn) along each of `slices` directions, sorted. */
function projections(points, slices, turn = 0.5) {
  return range(slices, (k) => {
    const angle = (Math.PI * (k + turn)) / slices, c = Math.cos(angle), s = Math.sin(angle);
    const found = new Float64Array(points.length / 2);
    for (let i = 0; i < found.length; i++) found[i] = c * points[2 * i] + s * points[2 * i + 1];
    return found.sort();
  });
}

/** Return the sliced W2 distance of two `projections`, over 1,000 quantiles of each. */
function slicedWasserstein(one, other) {
  const quantile = (sorted, q) => {
    const at = q * (sorted.length - 1), low = Math.floor(at);
    return sorted[low] + (at - low) * (sorted[Math.min(low + 1, sorted.length - 1)] - sorted[low]);
  };
  let sum = 0;
  for (let k = 0; k < one.length; k++) {
    for (let i = 0.5; i < 1000; i++) {
      sum += (quantile(one[k], i / 1000) - quantile(other[k], i / 1000)) ** 2;
    }
  }
  return Math.sqrt(sum / (1000 * one.length));
}

// ---- The page.  A section's function sets up its controls and returns its redraw. ----

const $ = (id) => document.getElementById(id);
const says = (id, text) => { $(id).textContent = text; };
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const rgb = (name) => [1, 3, 5].map((at) => parseInt(colour(name).slice(at, at + 2), 16));
const sized = (p) => p.toFixed(p < 0.1 ? 3 : 2);

/** Fit a canvas to its place on the page, clear it, and return {g: its context, w, h}. */
function surface(canvas) {
  const ratio = window.devicePixelRatio || 1, w = canvas.clientWidth, h = canvas.clientHeight;
  Object.assign(canvas, { width: Math.round(w * ratio), height: Math.round(h * ratio) });
  const g = canvas.getContext("2d");
  g.scale(ratio, ratio);
  Object.assign(g, { font: "12px system-ui, sans-serif", fillStyle: colour("--quiet") });
  return { g, w, h };
}

/** Draw the line through points [[x, y], ...]. */
function line(g, points, name, width = 1.5) {
  g.beginPath();
  points.forEach(([x, y]) => g.lineTo(x, y));
  Object.assign(g, { strokeStyle: colour(name), lineWidth: width });
  g.stroke();
}

/** Draw a horizontal line of a grid at y, from `left` to `right`, and its number before it. */
function grid(g, y, number, left, right) {
  line(g, [[left, y], [right, y]], "--line", 1);
  g.fillText(number, left - 8 - g.measureText(number).width, y + 4);
}

/** Call `moved` when the slider `id` moves; return its value's getter; `text` is its output. */
function slider(id, text, moved) {
  const input = $(id), get = () => Number(input.value);
  const show = () => { input.ariaValueText = $(`${id}-output`).textContent = text(get()); };
  input.addEventListener("input", () => { show(); moved(); });
  show();
  return get;
}

function digitsSection({ weights }) {
  const net = network(weights);
  let seed = 1;
  const show = (canvas, pictures) => { // ten a row, in ink as opaque as the pixel is bright
    const n = pictures.length;
    Object.assign(canvas, { width: 28 * Math.min(10, n), height: 28 * Math.ceil(n / 10) });
    const g = canvas.getContext("2d"), ink = rgb("--ink");
    pictures.forEach((picture, k) => {
      const image = g.createImageData(28, 28);
      picture.forEach((v, i) => image.data.set([...ink, 255 * v], 4 * i));
      g.putImageData(image, 28 * (k % 10), 28 * Math.floor(k / 10));
    });
  };
  const draw = () => {
    const text = $("number").value.trim(), good = /^[0-9]{1,30}$/.test(text), rng = random(seed);
    $("number").setAttribute("aria-invalid", String(!good));
    says("number-message", good ? "" : "Please type 1 to 30 digits from 0 to 9.");
    if (!good) return;
    const labels = [...text].map(Number);
    const zs = labels.map((y) => sampleMixture(net, "prior", y, rng, temperature()));
    show($("number-canvas"), zs.map((z, k) => decodeDigit(net, z, labels[k])));
    show($("labels-canvas"), range(10, (y) => decodeDigit(net, zs[0], y)));
    $("number-canvas").style.setProperty("--columns", Math.min(10, zs.length));
    $("number-canvas").setAttribute("aria-label", `The number ${text}, drawn by the model.`);
    says("labels-text", `This z is that of the first digit above, drawn for a ${labels[0]}.`);
  };
  const temperature = slider("temperature", (t) => t.toFixed(2), draw);
  const again = (event) => { event.preventDefault(); seed += 1; draw(); };
  $("number").addEventListener("input", draw);
  $("number-form").addEventListener("submit", again);
  $("number-canvas").addEventListener("click", again);
  return draw;
}

function curvesSection(data) {
  const net = network(data.weights), truth = unpack(data.truth), shown = 4;
  const [, each, samples] = truth.shape, [low, high] = data.trained;
  const ends = [$("size").min, $("size").max].map(Number);
  const share = (p) => clamp((Math.log10(p) - ends[0]) / (ends[1] - ends[0]), 0, 1);
  ["--from", "--to"].forEach((name, k) =>
    $("trained").style.setProperty(name, `${100 * share(data.trained[k])}%`));
  says("length", data.length);
  says("trained-text", `Shaded: the sizes it was trained on, ${low} to ${high.toFixed(1)}.`);
  let seed = 1;
  const lanes = (canvas, curves, name) => { // one above the other, each from 0.2 to 10
    const { g, w, h } = surface(canvas), left = 34, tall = h / shown;
    const px = (i) => left + ((w - left - 4) * i) / (samples - 1);
    curves.forEach((curve, k) => {
      const py = (log) => (k + 0.5) * tall - ((log - 0.15) * tall) / 1.7;
      for (const mark of [0.3, 1, 5]) grid(g, py(Math.log10(mark)), mark, left, w);
      line(g, Array.from(curve, (v, i) => [px(i), py(v)]), name);
    });
  };
  const draw = () => {
    const p = 10 ** size(), rng = random(seed);
    const us = range(shown, () => sampleMixture(net, "prior.base", 0, rng));
    lanes($("curves-canvas"), us.map((u) => decodeCurve(net, u, p, data)), "--accent");
    const far = data.sizes.map((q) => Math.abs(Math.log(q / p)));
    const near = far.indexOf(Math.min(...far));
    const at = (k) => samples * (near * each + ((shown * seed + k) % each));
    const known = range(shown, (k) => truth.values.subarray(at(k), at(k) + samples));
    lanes($("truth-canvas"), known, "--ink");
    says("curves-caption", `Model, p = ${sized(p)}`);
    says("truth-caption", `Simulation, p = ${data.sizes[near]}`);
    const how = (p < low * 0.99 && "small") || (p > high * 1.01 && "large") || "";
    says("size-warning", how && `The model never saw a source this ${how}: distrust its curves.`);
  };
  const size = slider("size", (v) => `${sized(10 ** v)} Einstein radii`, draw);
  $("curves-new").addEventListener("click", () => { seed += 1; draw(); });
  return draw;
}

const REACH = 18, CELLS = 144; // the pictures of the plane show |x|, |y| < REACH

/** Compute log10 of a density over the window, row by row, without holding up the page. */
async function heatMap(field, logZ) {
  const values = new Float64Array(CELLS ** 2), place = (i) => REACH * ((2 * i + 1) / CELLS - 1);
  for (let i = 0; i < values.length; i++) {
    const f = field(place(i % CELLS), -place(Math.floor(i / CELLS)), null);
    values[i] = (f - logZ) / Math.LN10;
    if (i % (4 * CELLS) === 0) await new Promise((resolve) => { setTimeout(resolve, 0); });
  }
  return values;
}

/** Paint log10 densities from -6 to -1 on a canvas of their size. */
function paintHeat(canvas, values) {
  canvas.width = canvas.height = CELLS;
  const g = canvas.getContext("2d"), image = g.createImageData(CELLS, CELLS);
  const stops = ["--heat-low", "--heat-middle", "--heat-high"].map(rgb);
  values.forEach((v, i) => {
    const at = clamp((2 * (v + 6)) / 5, 0, 1.9999), k = Math.floor(at);
    const mixed = stops[k].map((one, c) => one + (at - k) * (stops[k + 1][c] - one));
    image.data.set([...mixed, 255], 4 * i);
  });
  g.putImageData(image, 0, 0);
}

function rollSection(data) {
  const count = 1000, slices = 50, element = (name) => document.createElement(name);
  const models = data.models.map((model) =>
    ({ ...model, field: energyField(network(model.weights), data), canvas: element("canvas") }));
  const perfect = { field: trueField(data), log_z: 0, canvas: element("canvas") };
  const [truth, ...others] = range(9, (k) => projections(trueSet(data, count, random(k)), slices));
  const floor = others.reduce((sum, one) => sum + slicedWasserstein(one, truth) / 8, 0);
  let chosen = models[0], seed = 1, running = false, due = 0, before = 0;
  let rng, points, z, step, next, trace; // points: those of the perfect model, those of the chosen
  const distance = (set) => { // of the chains that are not lost
    const kept = set.filter((v, i) => Math.abs(v) < 100 && Math.abs(set[i ^ 1]) < 100);
    return kept.length > 2 ? slicedWasserstein(projections(kept, slices), truth) : NaN;
  };
  const measure = () => {
    trace.push([step, ...points.map(distance)]);
    next = Math.ceil(1.05 * step + 0.1);
  };
  const panel = (canvas, heat, set) => {
    const { g, w } = surface(canvas), at = (v) => (w / 2) * (1 + v / REACH) - 1;
    g.drawImage(heat, 0, 0, w, w);
    g.fillStyle = colour("--chain");
    for (let i = 0; i < set.length; i += 2) g.fillRect(at(set[i]), at(-set[i + 1]), 2, 2);
  };
  const plot = () => {
    const { g, w, h } = surface($("distance-canvas")), left = 30, end = Math.max(1000, step);
    const most = 1.05 * Math.max(4, ...trace.flatMap((t) => t.slice(1)).filter(Number.isFinite));
    const px = (s) => left + ((w - left - 20) * Math.log1p(s)) / Math.log1p(end);
    const py = (d) => (h - 36) * (1 - d / most) + 4;
    for (let d = 0; d < most; d += most > 8 ? 4 : 1) grid(g, py(d), d, left, w);
    for (let s = 0; s <= end; s = 10 * s || 1) g.fillText(s, px(s) - 4 * String(s).length, h - 18);
    g.fillText("Langevin steps", left, h - 3);
    ["--ink", "--accent"].forEach((name, k) =>
      line(g, trace.map((t) => [px(t[0]), py(t[k + 1])]), name, 2));
    g.setLineDash([6, 4]);
    line(g, [[left, py(floor)], [w, py(floor)]], "--chain", 2);
  };
  const draw = () => {
    panel($("perfect-canvas"), perfect.canvas, points[0]);
    panel($("model-canvas"), chosen.canvas, points[1]);
    plot();
    const shown = [...trace[trace.length - 1].slice(1), floor];
    ["perfect", "model", "floor"].forEach((name, k) =>
      says(`${name}-distance`, Number.isFinite(shown[k]) ? shown[k].toFixed(2) : "lost"));
    says("roll-step", step.toLocaleString("en"));
    ["model-name", "model-caption"].forEach((id) => says(id, chosen.name));
  };
  const restart = () => {
    rng = random(seed++);
    const start = Float64Array.from({ length: 2 * count }, () => 3 * rng.normal());
    [points, z, step, trace] = [[start, start.slice()], new Float64Array(2 * count), 0, []];
    measure();
    draw();
  };
  const frame = (now) => { // as many steps as are due and as fit into 20 ms, at least one
    if (!running) return;
    due += 10 ** speed() * Math.min(0.1, (now - before) / 1000);
    before = now;
    for (const end = now + 20; due >= 1; due = performance.now() < end ? due - 1 : 0) {
      z.forEach((_, i) => { z[i] = rng.normal(); }); // the same noise for both
      [perfect, chosen].forEach(({ field }, k) => langevinStep(points[k], field, 10 ** eps(), z));
      step += 1;
      if (step >= next) measure();
    }
    draw();
    requestAnimationFrame(frame);
  };
  const eps = slider("eps", (v) => String(Number((10 ** v).toPrecision(2))), () => {});
  const speed = slider("speed", (v) => `${Math.round(10 ** v)} steps a second`, () => {});
  $("roll-start").addEventListener("click", () => {
    [running, before] = [!running, performance.now()];
    says("roll-start", running ? "Pause the chains" : "Start the chains");
    $("roll-numbers").setAttribute("aria-live", running ? "off" : "polite");
    if (running) requestAnimationFrame(frame);
  });
  $("roll-restart").addEventListener("click", restart);
  for (const model of models) {
    const label = element("label"), radio = element("input"), checked = model === chosen;
    Object.assign(model.canvas, { role: "img", ariaLabel: `Its density: ${model.name}.` });
    Object.assign(radio, { type: "radio", name: "method", value: model.method, checked });
    radio.addEventListener("change", () => { chosen = model; restart(); });
    label.append(radio, model.canvas, model.name);
    $("methods").append(label);
  }
  const paint = () => {
    for (const one of [perfect, ...models]) if (one.heat) paintHeat(one.canvas, one.heat);
    draw();
  };
  restart();
  (async () => {
    for (const one of [perfect, ...models]) {
      one.heat = await heatMap(one.field, one.log_z);
      paint();
    }
  })();
  return paint;
}

function start() {
  const { digits, curves, roll } = JSON.parse($("data").textContent);
  const draws = [digitsSection(digits), curvesSection(curves), rollSection(roll)];
  const redraw = () => draws.forEach((draw) => draw());
  window.addEventListener("resize", redraw);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  redraw();
}

if (typeof module === "undefined") start();
else module.exports = { start, network, decodeDigit, decodeCurve, energyField, trueField,
  projections, slicedWasserstein };
