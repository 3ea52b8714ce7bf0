"use strict";
// Zooms into the maps of chunks, and names the chunks of a cell. The pictures of the page stay as
// they are where this fails. `bars` and `draw` do the same as the module chunk_map.py.
const KINDS = ["broken", "missing", "absent"];
const ROWS = 48, COLUMNS = 64, SIDE = 10, LEAST = 2;

async function bitsOf(text, size) {
  if (text === "all" || text === "none") {
    return new Uint8Array(Math.ceil(size / 8)).fill(text === "all" ? 255 : 0);
  }
  const packed = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const inflated = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(inflated).arrayBuffer());
}

// Chunks of a range that are in a set.
function countOf(bits, start, stop) {
  let count = 0;
  for (let place = start; place < stop; place++) {
    if (place % 8 === 0 && bits[place >> 3] === 0) place += 7;
    else count += (bits[place >> 3] >> (place & 7)) & 1;
  }
  return count;
}

// The parts of a cell, from its bottom: [kind, top, height].
function bars(total, counts) {
  if (!total) return [];
  const present = total - counts.reduce((sum, count) => sum + count, 0);
  const heights = counts.map((count) =>
    count ? Math.max(LEAST, Math.floor((SIDE * count) / total)) : 0);
  const sum = () => heights.reduce((all, height) => all + height, 0);
  const room = SIDE - (present ? LEAST : 0);
  const largest = () => heights.indexOf(Math.max(...heights));
  while (sum() > room) heights[largest()] -= 1;
  if (!present) heights[largest()] += room - sum();
  const found = [];
  let top = SIDE;
  KINDS.forEach((kind, place) => {
    if (!heights[place]) return;
    top -= heights[place];
    found.push([kind, top, heights[place]]);
  });
  if (top) found.push(["present", 0, top]);
  return found;
}

function make(name, attributes, ...children) {
  const svg = ["path", "rect"].includes(name);
  const element = svg
    ? document.createElementNS("http://www.w3.org/2000/svg", name)
    : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

class ChunkMap {
  constructor(figure, data, bits) {
    Object.assign(this, { figure, bits, ...data });
    this.columns = Math.ceil(data.columns / this.step);
    this.chunkColumns = data.columns;
    this.rows = Math.ceil(this.count / data.columns);
    // The last row may be shorter.
    const end = this.count - (this.rows - 1) * data.columns;
    this.size = (this.rows - 1) * this.columns + Math.ceil(end / this.step);
    this.picture = figure.querySelector(":scope > svg");
    this.pixels = this.picture.getAttribute("width") / this.picture.viewBox.baseVal.width;
    this.cellText = figure.querySelector(".cell");
    this.whole = { row: 0, column: 0, rows: this.rows, columns: this.columns };
    this.view = this.whole;
    this.cell = { row: 0, column: 0 };
    this.build();
    this.draw();
  }

  build() {
    const button = (text, action) => {
      const made = make("button", { type: "button" }, text);
      made.addEventListener("click", action);
      return made;
    };
    this.closer = button("Zoom in", () => this.zoomIn());
    this.wider = button("Zoom out", () => this.zoomOut());
    this.all = button("Whole map", () => this.show(this.whole));
    this.place = make("span", {});
    this.tools = make("div", { class: "tools" }, this.closer, this.wider, this.all, this.place);
    this.pane = make("div", {
      class: "pane", tabindex: "0", role: "application",
      "aria-label": `${this.picture.getAttribute("aria-label")}. Arrow keys select a cell, ` +
        "Enter zooms in, Escape zooms out.",
    });
    this.tip = make("div", { class: "tip", role: "status" });
    this.figure.prepend(this.tools, this.pane, this.tip);
    this.pane.append(this.picture);
    this.pane.addEventListener("keydown", (event) => this.pressed(event));
    this.pane.addEventListener("focus", () => this.select(this.cell));
    this.pane.addEventListener("blur", () => this.unselect());
    this.pane.addEventListener("pointermove", (event) => this.select(this.cellAt(event)));
    this.pane.addEventListener("pointerleave", () => this.unselect());
    this.pane.addEventListener("click", (event) => {
      this.select(this.cellAt(event));
      this.zoomIn();
    });
  }

  get steps() {
    const { rows, columns } = this.view;
    return [Math.ceil(rows / ROWS), Math.ceil(columns / COLUMNS)];
  }

  get shape() {
    const [rows, columns] = this.steps;
    return [Math.ceil(this.view.rows / rows), Math.ceil(this.view.columns / columns)];
  }

  // Rows and columns of units of a cell, bounded by the view.
  spanOf({ row, column }) {
    const [rowStep, columnStep] = this.steps, { view } = this;
    const top = view.row + row * rowStep, left = view.column + column * columnStep;
    return {
      top, bottom: Math.min(top + rowStep, view.row + view.rows),
      left, right: Math.min(left + columnStep, view.column + view.columns),
    };
  }

  // The number of units of a cell, and of those of each kind.
  countsOf(cell) {
    const { top, bottom, left, right } = this.spanOf(cell);
    const counts = KINDS.map(() => 0);
    let total = 0;
    for (let row = top; row < bottom; row++) {
      const start = Math.min(row * this.columns + left, this.size);
      const stop = Math.min(row * this.columns + right, this.size);
      total += stop - start;
      KINDS.forEach((kind, place) => { counts[place] += countOf(this.bits[kind], start, stop); });
    }
    return [total, counts];
  }

  draw() {
    const [rows, columns] = this.shape;
    const paths = { present: "", broken: "", missing: "", absent: "" };
    for (let row = 0; row < rows; row++) {
      let run = null;
      for (let column = 0; column <= columns; column++) {
        const cell = column < columns ? bars(...this.countsOf({ row, column })) : null;
        if (run && String(cell) === String(run.cell)) continue;
        if (run) {
          const width = SIDE * (column - run.column);
          for (const [kind, top, height] of run.cell) {
            paths[kind] +=
              `M${SIDE * run.column} ${SIDE * row + top}h${width}v${height}h-${width}z`;
          }
        }
        run = { cell, column };
      }
    }
    const width = columns * SIDE, height = rows * SIDE;
    this.picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.mark = make("rect", { class: "marked", width: 0, height: 0 });
    this.picture.replaceChildren(
      ...Object.entries(paths).filter(([, data]) => data)
        .map(([kind, data]) => make("path", { class: kind, d: data })),
      make("rect", { class: "lines", width, height }), this.mark,
    );
    this.describe();
  }

  describe() {
    const { view } = this, number = (value) => value.toLocaleString("en");
    const range = (start, length, step = 1, end = Infinity) =>
      `${number(start * step)} to ${number(Math.min((start + length) * step, end) - 1)}`;
    this.place.textContent = view === this.whole ? "" :
      `rows ${range(view.row, view.rows)}, ` +
      `columns ${range(view.column, view.columns, this.step, this.chunkColumns)}`;
    const [rowStep, columnStep] = this.steps, chunks = columnStep * this.step;
    this.cellText.textContent = rowStep === 1 && chunks === 1 ? "A cell is a chunk." :
      `A cell is ${number(rowStep)} by ${number(chunks)} chunks; ` +
      "its parts are the shares of each kind.";
    this.wider.disabled = this.all.disabled = view === this.whole;
    this.closer.disabled = view.rows <= 4 && view.columns <= 4;
    this.tools.hidden = view === this.whole && this.closer.disabled;
    // The picture keeps its width, so that a smaller part has larger cells.
    const [rows, columns] = this.shape;
    if (this.width === undefined) this.width = columns * SIDE * this.pixels;
    const pixels = Math.max(this.pixels, Math.min(4, this.width / (columns * SIDE)));
    this.picture.setAttribute("width", columns * SIDE * pixels);
    this.picture.setAttribute("height", rows * SIDE * pixels);
  }

  show(view) {
    this.view = view;
    const [rows, columns] = this.shape;
    this.cell = {
      row: Math.min(this.cell.row, rows - 1), column: Math.min(this.cell.column, columns - 1),
    };
    this.draw();
    if (document.activeElement === this.pane) this.select(this.cell);
    else this.unselect();
  }

  // A view of about this size around a row and column.
  around(row, column, rows, columns) {
    const height = Math.min(this.rows, Math.max(rows, 4));
    const width = Math.min(this.columns, Math.max(columns, 4));
    if (height === this.rows && width === this.columns) return this.whole;
    const fit = (place, length, all) =>
      Math.max(0, Math.min(place - Math.floor(length / 2), all - length));
    return {
      row: fit(row, height, this.rows), column: fit(column, width, this.columns),
      rows: height, columns: width,
    };
  }

  zoomIn() {
    const { view } = this;
    if (this.closer.disabled) return;
    const { top, bottom, left, right } = this.spanOf(this.cell);
    const row = (top + bottom - 1) >> 1, column = (left + right - 1) >> 1;
    const next = this.around(row, column, Math.ceil(view.rows / 4), Math.ceil(view.columns / 4));
    const [rowStep, columnStep] = [Math.ceil(next.rows / ROWS), Math.ceil(next.columns / COLUMNS)];
    this.cell = {
      row: Math.floor((row - next.row) / rowStep),
      column: Math.floor((column - next.column) / columnStep),
    };
    this.show(next);
  }

  zoomOut() {
    const { view } = this;
    if (view === this.whole) return;
    this.show(this.around(view.row + (view.rows >> 1), view.column + (view.columns >> 1),
      view.rows * 4, view.columns * 4));
  }

  pressed(event) {
    const [rows, columns] = this.shape;
    let { row, column } = this.cell;
    const moves = {
      ArrowUp: () => { row -= 1; }, ArrowDown: () => { row += 1; },
      ArrowLeft: () => { column -= 1; }, ArrowRight: () => { column += 1; },
    };
    const actions = {
      Enter: () => this.zoomIn(), "+": () => this.zoomIn(),
      Escape: () => this.zoomOut(), "-": () => this.zoomOut(),
      Home: () => this.show(this.whole),
    };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in moves) {
      moves[event.key]();
      this.select({
        row: Math.max(0, Math.min(row, rows - 1)),
        column: Math.max(0, Math.min(column, columns - 1)),
      });
    } else if (event.key in actions) actions[event.key]();
    else return;
    event.preventDefault();
  }

  cellAt(event) {
    const box = this.picture.getBoundingClientRect(), [rows, columns] = this.shape;
    const along = (offset, length, count) =>
      Math.max(0, Math.min(Math.floor((offset / length) * count), count - 1));
    return {
      row: along(event.clientY - box.top, box.height, rows),
      column: along(event.clientX - box.left, box.width, columns),
    };
  }

  select(cell) {
    this.cell = cell;
    const { row, column } = cell;
    for (const [name, value] of Object.entries({
      x: column * SIDE, y: row * SIDE, width: SIDE, height: SIDE,
    })) this.mark.setAttribute(name, value);
    this.tip.textContent = this.textOf(cell);
    const box = this.picture.getBoundingClientRect();
    const frame = this.figure.getBoundingClientRect(), [rows, columns] = this.shape;
    const left = box.left - frame.left + ((column + 1) * box.width) / columns;
    const top = box.top - frame.top + ((row + 1) * box.height) / rows;
    const right = frame.width - this.tip.offsetWidth;
    this.tip.style.left = `${Math.max(0, Math.min(left, right))}px`;
    this.tip.style.top = `${top + 4}px`;
  }

  unselect() {
    this.tip.textContent = "";
    this.mark.setAttribute("width", 0);
  }

  // The chunks of a cell: index and key of one, else the range with the number of each kind.
  textOf(cell) {
    const [total, counts] = this.countsOf(cell);
    if (!total) return "";
    const { top, bottom, left, right } = this.spanOf(cell);
    const first = top * this.chunkColumns + left * this.step;
    const end = Math.min((bottom - 1) * this.chunkColumns +
      Math.min(right * this.step, this.chunkColumns), this.count);
    const kinds = [total - counts.reduce((sum, count) => sum + count, 0), ...counts];
    const named = this.labels.map((label, place) => [label, kinds[place]]);
    if (end - first === 1) {
      const [label] = named.find(([, count]) => count);
      return `chunk (${this.indexOf(first).join(", ")}): ${label}\n${this.keyOf(first)}`;
    }
    const unit = this.step > 1 ? ` of ${this.step} chunks` : "";
    const texts = named.filter(([, count]) => count)
      .map(([label, count]) => `${count.toLocaleString("en")}${unit} ${label}`);
    return `chunks (${this.indexOf(first).join(", ")}) to (${this.indexOf(end - 1).join(", ")}): ` +
      `${texts.join("; ")}\n${this.keyOf(first)} …`;
  }

  indexOf(number) {
    return this.counts.reduceRight((index, count) => {
      index.unshift(number % count);
      number = Math.floor(number / count);
      return index;
    }, []);
  }

  keyOf(number) {
    return this.before + this.indexOf(number).join(this.separator);
  }
}

for (const figure of document.querySelectorAll("figure.map")) {
  const start = async () => {
    const data = JSON.parse(figure.querySelector("script").textContent);
    const rows = Math.ceil(data.count / data.columns);
    const size = rows * Math.ceil(data.columns / data.step);
    const entries = KINDS.map(async (kind) => [kind, await bitsOf(data[kind], size)]);
    new ChunkMap(figure, data, Object.fromEntries(await Promise.all(entries)));
    figure.dataset.ready = "";
  };
  const details = figure.closest("details");
  if (details.open) start();
  else details.addEventListener("toggle", start, { once: true });
}
