"use strict";
/* Draws facts.charts into the figures of the page: lines with intervals, points, bars
   with whiskers. A figure is drawn when it is first wide enough to be seen, and again
   when its width or the colours change. */
(function (Inflib) {
  const { make, digits } = Inflib;
  const HEIGHT = 260;
  const drawn = new Map(); // figure -> {chart, box}

  Inflib.colour = (name) =>
    getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const seriesColour = (i) => Inflib.colour(`--series-${(i % 6) + 1}`);
  const faint = (i) => Inflib.colour(`--series-${(i % 6) + 1}-faint`);

  /* x as numbers in ascending order, and the place of every point in that order. */
  function abscissa(chart) {
    if (chart.kind === "bars")
      return { x: chart.x.values.map((_, i) => i), order: null };
    const order = chart.x.values.map((_, i) => i);
    order.sort((a, b) => chart.x.values[a] - chart.x.values[b]);
    return { x: order.map((i) => chart.x.values[i]), order };
  }

  /* uPlot's data and series: for each of ours a line, and its ends where it has some. */
  function contents(chart) {
    const { x, order } = abscissa(chart);
    const put = (values) => (order ? order.map((i) => values[i]) : values);
    const data = [x];
    const series = [{}];
    const bands = [];
    chart.series.forEach((each, i) => {
      const stroke = () => seriesColour(i);
      const label = Inflib.short(each.label, 60);
      data.push(put(each.values));
      series.push({ label, stroke, width: 2, spanGaps: true, ...shape(chart, i) });
      if (!each.low) return;
      const end = {
        stroke: "transparent",
        width: 0,
        points: { show: false },
        label: "",
      };
      const first = data.length;
      data.push(put(each.high), put(each.low));
      series.push({ ...end }, { ...end });
      if (chart.kind === "lines")
        bands.push({ series: [first, first + 1], fill: () => faint(i) });
    });
    return { data, series, bands };
  }

  function shape(chart, i) {
    if (chart.kind === "points") {
      const points = {
        show: true,
        size: 5,
        width: 0,
        fill: () => faint(i),
        stroke: () => seriesColour(i),
      };
      return { paths: () => null, points: { ...points, width: 1 } };
    }
    if (chart.kind === "bars") {
      return {
        paths: () => null,
        points: { show: true, size: 9, fill: () => seriesColour(i) },
      };
    }
    return { points: { show: chart.x.values.length <= 20, size: 6 } };
  }

  /* Whiskers of bars, whose categories are shifted a little by series. */
  function whiskers(chart, plot) {
    const { ctx } = plot;
    ctx.save();
    ctx.lineWidth = 2 * devicePixelRatio;
    chart.series.forEach((each, i) => {
      if (!each.low) return;
      ctx.strokeStyle = seriesColour(i);
      each.low.forEach((low, j) => {
        if (low === null || each.high[j] === null) return;
        const x = plot.valToPos(j, "x", true);
        ctx.beginPath();
        ctx.moveTo(x, plot.valToPos(low, "y", true));
        ctx.lineTo(x, plot.valToPos(each.high[j], "y", true));
        ctx.stroke();
      });
    });
    ctx.restore();
  }

  function line(plot, from, to) {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    ctx.setLineDash([5, 5].map((x) => x * devicePixelRatio));
    ctx.strokeStyle = Inflib.colour("--quiet");
    ctx.lineWidth = devicePixelRatio;
    ctx.beginPath();
    ctx.moveTo(plot.valToPos(from[0], "x", true), plot.valToPos(from[1], "y", true));
    ctx.lineTo(plot.valToPos(to[0], "x", true), plot.valToPos(to[1], "y", true));
    ctx.stroke();
    ctx.restore();
  }

  function guides(chart, plot) {
    const { x, y } = plot.scales;
    if (chart.diagonal) {
      const low = Math.max(x.min, y.min);
      const high = Math.min(x.max, y.max);
      if (high > low) line(plot, [low, low], [high, high]);
    }
    if (chart.kind !== "lines" && y.min < 0 && y.max > 0)
      line(plot, [x.min, 0], [x.max, 0]);
    if (chart.kind === "bars") whiskers(chart, plot);
  }

  function tickText(tick) {
    return tick === null
      ? ""
      : digits(Number(tick.toPrecision(3)))
          .replace(/(\.\d*?)0+$/, "$1")
          .replace(/\.$/, "");
  }
  Inflib.tickText = tickText;

  function axis(label, extra) {
    const rule = { stroke: () => Inflib.colour("--line"), width: 1 };
    return {
      label: Inflib.short(label, 80),
      stroke: () => Inflib.colour("--quiet"),
      grid: rule,
      ticks: rule,
      font: "12px system-ui, sans-serif",
      labelFont: "12px system-ui, sans-serif",
      labelSize: 20,
      values: (_, ticks) => ticks.map(tickText),
      ...extra,
    };
  }

  function options(chart, width) {
    const { data, series, bands } = contents(chart);
    const names = chart.x.values;
    const categories = {
      splits: () => names.map((_, i) => i),
      values: () =>
        names.map((name) => Inflib.short(String(name), Math.max(6, 90 / names.length))),
      grid: { show: false },
    };
    const bars = chart.kind === "bars";
    const x = bars
      ? { range: [-0.5, names.length - 0.5] }
      : chart.x.log
        ? { distr: 3 }
        : {};
    return {
      data,
      settings: {
        width,
        height: HEIGHT,
        series,
        bands,
        legend: { show: false },
        cursor: { drag: { x: false, y: false }, points: { show: !bars } },
        scales: { x: { time: false, ...x } },
        axes: [
          axis(chart.x.label, bars ? categories : { size: 32 }),
          axis(chart.y.label, { size: 64 }),
        ],
        hooks: { draw: [(plot) => guides(chart, plot)] },
      },
    };
  }

  function legend(chart) {
    if (chart.series.length < 2) return null;
    const items = chart.series.map((each, i) =>
      make("li", { class: `series-${(i % 6) + 1}` }, Inflib.short(each.label, 60)),
    );
    return make("ul", { class: "legend", "aria-hidden": "true" }, ...items);
  }

  function draw(figure) {
    const chart = Inflib.facts.charts[figure.dataset.chart];
    let { box, plot } = drawn.get(figure);
    const width = box.clientWidth;
    if (!chart || !width) return;
    if (plot) return plot.setSize({ width, height: HEIGHT });
    const { data, settings } = options(chart, width);
    plot = new uPlot(settings, data, box);
    drawn.get(figure).plot = plot;
  }

  /* Every figure of the page, in whichever tab. */
  Inflib.startCharts = function () {
    for (const figure of document.querySelectorAll("figure[data-chart]")) {
      const chart = Inflib.facts.charts[figure.dataset.chart];
      if (!chart) continue;
      const box = make("div", {
        class: "plot",
        role: "img",
        "aria-label": chart.summary || chart.title,
      });
      const caption = figure.querySelector("figcaption");
      if (caption) caption.after(box);
      else figure.prepend(box);
      const list = legend(chart);
      if (list) box.before(list);
      drawn.set(figure, { box, plot: null });
      new ResizeObserver(() => draw(figure)).observe(box);
    }
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      for (const { plot } of drawn.values()) if (plot) plot.redraw();
      if (Inflib.labels) Inflib.drawHistograms();
    });
  };
})(window.Inflib);
