"use strict";
/* Three linked histograms above the grid, all labels in grey and those that match in
   colour; dragging over one filters by it. Bars are as high as the root of the count,
   so that few labels stay visible among many. */
(function (Inflib) {
  const { make, byId } = Inflib;
  const BINS = 60;
  const plots = []; // {column, edges, chart, low, high, all}

  function wanted() {
    const { store, labels } = Inflib;
    return [
      store.score("influence", labels.query),
      store.find("margin"),
      store.find("length_difference"),
    ].filter(Boolean);
  }

  /* Edges of equal bins between the 0.5% and the 99.5% quantile; what lies outside
     belongs to the first and the last bin. */
  function binEdges({ array, dtype }) {
    const known = Float64Array.from(array)
      .filter((x) => x === x)
      .sort();
    const at = (share) => known[Math.round(share * (known.length - 1))];
    let [low, high] = known.length ? [at(0.005), at(0.995)] : [0, 1];
    if (dtype === "f4" && !(high > low)) [low, high] = [low - 0.5, low + 0.5];
    if (dtype === "f4") return { low, high, step: (high - low) / BINS, bins: BINS };
    // Whole numbers: every bin holds as many of them.
    const step = Math.max(1, Math.ceil((high - low + 1) / BINS));
    const bins = Math.ceil((high - low + 1) / step);
    return { low: low - 0.5, high: low - 0.5 + bins * step, step, bins };
  }

  function counts({ low, step, bins }, array, rows) {
    const result = new Float64Array(bins);
    for (let i = 0; i < rows.length; i++) {
      const x = array[rows[i]];
      if (x !== x) continue;
      const bin = Math.floor((x - low) / step);
      result[bin < 0 ? 0 : bin >= bins ? bins - 1 : bin] += 1;
    }
    return result.map(Math.sqrt);
  }

  function drawOne(column) {
    const edges = binEdges(column);
    const middles = Float64Array.from(
      { length: edges.bins },
      (_, i) => edges.low + (i + 0.5) * edges.step,
    );
    const plot = { column, edges };
    const field = (name) => {
      const label = `${name} ${Inflib.short(column.label, 60)}`;
      return make("input", { type: "text", inputmode: "decimal", "aria-label": label });
    };
    plot.low = field("least");
    plot.high = field("most");
    const typed = Inflib.patient(() => typedRange(plot), 200);
    plot.low.addEventListener("input", typed);
    plot.high.addEventListener("input", typed);
    const verdict = column.query ? Inflib.verdict(column.query) : "";
    const box = make("div", { class: "plot", "aria-hidden": "true" });
    const caption = make(
      "figcaption",
      {},
      make("span", {}, verdict, " " + Inflib.short(column.label, 60)),
      make("span", { class: "range" }, plot.low, " to ", plot.high),
    );
    byId("histograms").append(make("figure", { class: "histogram" }, caption, box));
    plot.all = counts(edges, column.array, Inflib.labels.order);
    const data = [middles, plot.all, plot.all];
    plot.chart = new uPlot(options(plot, box), data, box);
    new ResizeObserver(() => {
      if (box.clientWidth) plot.chart.setSize({ width: box.clientWidth, height: 86 });
    }).observe(box);
    plots.push(plot);
  }

  function options(plot, box) {
    const bars = uPlot.paths.bars({ size: [1, Infinity], gap: 1 });
    const colour = Inflib.colour;
    const series = (fill) => ({ paths: bars, fill, width: 0, points: { show: false } });
    const { low, high } = plot.edges;
    return {
      width: box.clientWidth || 300,
      height: 86,
      padding: [4, 8, 0, 8],
      legend: { show: false },
      cursor: { y: false, points: { show: false }, drag: { x: true, setScale: false } },
      scales: {
        x: { time: false, range: [low, high] },
        y: { range: (_, a, b) => [0, b] },
      },
      axes: [
        {
          stroke: () => colour("--quiet"),
          grid: { show: false },
          ticks: { stroke: () => colour("--line"), size: 4 },
          size: 24,
          font: "11px system-ui, sans-serif",
          values: (_, ticks) => ticks.map(Inflib.tickText),
        },
        { show: false },
      ],
      series: [{}, series(() => colour("--bars")), series(() => colour("--accent"))],
      hooks: { setSelect: [(chart) => brushed(plot, chart)] },
    };
  }

  function brushed(plot, chart) {
    const { left, width } = chart.select;
    if (plot.silent) return;
    if (width < 2) return setRange(plot, null);
    const ends = [left, left + width].map((x) => chart.posToVal(x, "x"));
    const { low, high, step } = plot.edges;
    const first = ends[0] <= low + step ? -Infinity : Number(ends[0].toPrecision(4));
    const last = ends[1] >= high - step ? Infinity : Number(ends[1].toPrecision(4));
    setRange(plot, [first, last]);
  }

  function typedRange(plot) {
    const end = (input, otherwise) => {
      const number = input.value.trim() === "" ? otherwise : Number(input.value);
      input.setAttribute("aria-invalid", String(Number.isNaN(number)));
      return Number.isNaN(number) ? otherwise : number;
    };
    const range = [end(plot.low, -Infinity), end(plot.high, Infinity)];
    const none = range[0] === -Infinity && range[1] === Infinity;
    Inflib.labels.filters.brush(plot.column.name, none ? null : range);
    mark(plot, none ? null : range);
    Inflib.labels.refresh();
  }

  function setRange(plot, range) {
    const text = (x) => (range && Number.isFinite(x) ? String(x) : "");
    [plot.low.value, plot.high.value] = range ? range.map(text) : ["", ""];
    Inflib.labels.filters.brush(plot.column.name, range);
    Inflib.labels.refresh();
  }

  /* The selected band, without telling anyone. */
  function mark(plot, range) {
    const { chart, edges } = plot;
    const [a, b] = range || [0, 0];
    const place = (x) =>
      chart.valToPos(Math.min(Math.max(x, edges.low), edges.high), "x");
    const left = range ? place(a) : 0;
    const width = range ? Math.max(place(b) - left, 0) : 0;
    plot.silent = true;
    chart.setSelect({ left, width, top: 0, height: chart.over.clientHeight }, false);
    plot.silent = false;
  }

  Inflib.clearBrushes = function () {
    for (const plot of plots) {
      plot.low.value = plot.high.value = "";
      mark(plot, null);
    }
  };

  /* Draws all of them anew, for another query set or other colours. */
  Inflib.drawHistograms = function () {
    const { filters } = Inflib.labels;
    const shown = wanted();
    const gone = plots.filter((plot) => !shown.includes(plot.column));
    const dropped = gone.filter((plot) => filters.ranges.delete(plot.column.name));
    for (const plot of plots.splice(0)) plot.chart.destroy();
    byId("histograms").replaceChildren();
    shown.forEach(drawOne);
    for (const plot of plots) {
      const range = filters.ranges.get(plot.column.name);
      if (!range) continue;
      const text = (x) => (Number.isFinite(x) ? String(x) : "");
      [plot.low.value, plot.high.value] = range.map(text);
      mark(plot, range);
    }
    if (dropped.length) Inflib.labels.refresh();
    else update();
  };

  function update() {
    const { rows } = Inflib.labels;
    for (const { chart, edges, column, all } of plots) {
      chart.setData([chart.data[0], all, counts(edges, column.array, rows)], true);
    }
  }

  Inflib.startHistograms = function () {
    Inflib.drawHistograms();
    Inflib.labels.listeners.push(update);
  };
})(window.Inflib);
