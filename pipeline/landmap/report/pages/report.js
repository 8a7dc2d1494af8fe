
"use strict";
// The map beside the scene: a divider to drag, zoom, a choice of layers, classes to pick out. Needs no network.
const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("data").textContent);
const [stage, divider, over, cover, confidence] = ["stage", "divider", "over", "cover", "confidence"].map(byId);
const MAX_ZOOM = 24;
const view = { s: 1, x: 0, y: 0, split: 50 };
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

function draw() {
  const { width, height } = stage.getBoundingClientRect();
  view.x = clamp(view.x, width * (1 - view.s), 0);
  view.y = clamp(view.y, height * (1 - view.s), 0);
  const style = { "--x": `${view.x}px`, "--y": `${view.y}px`, "--s": view.s, "--split": `${view.split}%` };
  for (const [name, value] of Object.entries(style)) stage.style.setProperty(name, value);
  stage.classList.toggle("zoomed", view.s > 1);
  divider.setAttribute("aria-valuenow", Math.round(view.split));
  byId("composite").hidden = view.split < 15;
  byId("shown").hidden = view.split > 75;
  drawScale(width);
}

function drawScale(width) {
  if (!data.metres) return;
  const metres = (data.metres * data.width) / (width * view.s);  // of a pixel of the screen
  const most = metres * Math.min(180, width / 3);
  const power = 10 ** Math.floor(Math.log10(most));
  const length = Math.max(...[1, 2, 5].map((n) => n * power).filter((n) => n <= most));
  byId("scale").style.width = `${length / metres + 15}px`;  // with the padding around the bar
  byId("scale").firstElementChild.textContent = length >= 1000 ? `${length / 1000} km` : `${length} m`;
}

// Zoom by a factor, keeping the place under (x, y) of the stage where it is.
function zoom(factor, x = stage.clientWidth / 2, y = stage.clientHeight / 2) {
  const s = clamp(view.s * factor, 1, MAX_ZOOM);
  view.x = x - ((x - view.x) * s) / view.s;
  view.y = y - ((y - view.y) * s) / view.s;
  view.s = s;
  draw();
}

function move(right, down) {
  view.x += right;
  view.y += down;
  draw();
}

function split(percent) {
  view.split = clamp(percent, 0, 100);
  draw();
}

function place(event) {
  const box = stage.getBoundingClientRect();
  return { x: event.clientX - box.left, y: event.clientY - box.top, width: box.width };
}

// One pointer moves the map, two zoom it; the divider catches its own.
const fingers = new Map();
stage.addEventListener("pointerdown", (event) => {
  if (event.target.closest("button, #divider")) return;
  fingers.set(event.pointerId, place(event));
  stage.setPointerCapture(event.pointerId);
});
stage.addEventListener("pointermove", (event) => {
  const now = place(event);
  tell(now);
  const before = fingers.get(event.pointerId);
  if (!before) return;
  const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
  if (other) {
    const distance = (from) => Math.max(1, Math.hypot(from.x - other.x, from.y - other.y));
    zoom(distance(now) / distance(before), (now.x + other.x) / 2, (now.y + other.y) / 2);
    move((now.x - before.x) / 2, (now.y - before.y) / 2);
  } else {
    move(now.x - before.x, now.y - before.y);
  }
  fingers.set(event.pointerId, now);
});
for (const name of ["pointerup", "pointercancel"]) {
  stage.addEventListener(name, (event) => fingers.delete(event.pointerId));
}
stage.addEventListener("wheel", (event) => {
  if (view.s === 1 && event.deltaY > 0) return;  // nothing left to zoom out of: the page scrolls on
  event.preventDefault();
  const { x, y } = place(event);
  zoom(2 ** clamp(-event.deltaY / 240, -1, 1), x, y);
}, { passive: false });
stage.addEventListener("keydown", (event) => {
  if (event.target !== stage) return;
  const keys = {
    "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), "0": () => zoom(0),
    ArrowLeft: () => move(60, 0), ArrowRight: () => move(-60, 0),
    ArrowUp: () => move(0, 60), ArrowDown: () => move(0, -60),
  };
  const isArrow = event.key.startsWith("Arrow");
  if (!keys[event.key] || event.ctrlKey || event.metaKey || (isArrow && view.s === 1)) return;
  event.preventDefault();
  keys[event.key]();
});
byId("in").addEventListener("click", () => zoom(1.5));
byId("out").addEventListener("click", () => zoom(1 / 1.5));
byId("all").addEventListener("click", () => zoom(0));

divider.addEventListener("pointerdown", (event) => divider.setPointerCapture(event.pointerId));
divider.addEventListener("pointermove", (event) => {
  if (!divider.hasPointerCapture(event.pointerId)) return;
  const { x, width } = place(event);
  split((100 * x) / width);
});
divider.addEventListener("keydown", (event) => {
  const to = {
    ArrowLeft: view.split - 2, ArrowDown: view.split - 2, ArrowRight: view.split + 2, ArrowUp: view.split + 2,
    PageDown: view.split - 10, PageUp: view.split + 10, Home: 0, End: 100,
  }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  split(to);
});

for (const input of document.querySelectorAll("input[name=layer]")) {
  input.addEventListener("change", () => {
    const isCover = input.value === "cover";
    for (const id of ["cover", "veil", "legend"]) byId(id).hidden = !isCover;
    for (const id of ["confidence", "ramp"]) byId(id).hidden = isCover;
    byId("shown").textContent = isCover ? "land cover" : "confidence";
  });
}

const NOTHING = -1;

// Ids and percent are read back from the colours of the pictures, once somebody asks.
function reader(image, colors) {
  let found;
  return () => {
    if (!found) {
      const canvas = Object.assign(document.createElement("canvas"), { width: data.width, height: data.height });
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(image, 0, 0);
      const rgba = context.getImageData(0, 0, data.width, data.height).data;
      const known = new Map(colors.map(([id, color]) => [parseInt(color.slice(1), 16), id]));
      found = new Int16Array(data.width * data.height).map((_, i) => {
        const [red, green, blue, opacity] = rgba.subarray(4 * i, 4 * i + 4);
        return opacity ? known.get((red << 16) | (green << 8) | blue) ?? NOTHING : NOTHING;
      });
    }
    return found;
  };
}
const classes = reader(cover, data.classes.map(({ id, color }) => [id, color]));
const percents = confidence && reader(confidence, data.ramp.map((color, percent) => [percent, color]));
const names = new Map(data.classes.map(({ id, name }) => [id, name]));

function tell({ x, y, width }) {
  const size = (width * view.s) / data.width;  // of a pixel of the pictures, on the screen
  const col = Math.floor((x - view.x) / size);
  const row = Math.floor((y - view.y) / size);
  if (col < 0 || row < 0 || col >= data.width || row >= data.height) return;
  const name = names.get(classes()[row * data.width + col]);
  const percent = name && percents ? percents()[row * data.width + col] : NOTHING;
  byId("readout").textContent = (name ?? "no data") + (percent === NOTHING ? "" : `, ${percent} %`);
}

// Everything but the classes picked out is faded.
const picked = new Set();
function fade() {
  const context = byId("veil").getContext("2d");
  context.clearRect(0, 0, data.width, data.height);
  if (!picked.size) return;
  const veil = context.createImageData(data.width, data.height);
  classes().forEach((id, i) => {
    if (id !== NOTHING && !picked.has(id)) veil.data.set([250, 250, 250, 215], 4 * i);
  });
  context.putImageData(veil, 0, 0);
}
for (const button of document.querySelectorAll("#legend button[data-id]")) {
  button.addEventListener("click", () => {
    const id = Number(button.dataset.id);
    if (!picked.delete(id)) picked.add(id);
    button.setAttribute("aria-pressed", picked.has(id));
    fade();
  });
}

new ResizeObserver(draw).observe(stage);
draw();
