// Draws the finest level of candles that the pixels have room for, and again whenever the view changes.
"use strict";
(async () => {
  const plot = document.getElementById("plot"), words = CHART.words, look = CHART.style;
  const PIXELS = 3;  // that a candle has at least
  const COLUMNS = ["time", "end", "open", "high", "low", "close", "volume", "value", "filled"];

  async function numbers(column) {
    const bytes = Uint8Array.from(atob(column.data), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    const raw = await new Response(stream).arrayBuffer();
    if (column.kind === "f8") return new Float64Array(raw);
    if (column.kind === "f4") return Float64Array.from(new Float32Array(raw));
    if (column.kind === "u1") return Float64Array.from(new Uint8Array(raw));
    const steps = new Int32Array(raw), result = new Float64Array(steps.length);
    let units = column.first;
    for (let i = 0; i < steps.length; i++) { units += steps[i]; result[i] = units / column.scale; }
    return result;
  }

  async function unpack(packed) {
    const level = { name: packed.name };
    for (const name of COLUMNS) level[name] = await numbers(packed.columns[name]);
    level.time = level.time.map(wall);
    level.end = level.end.map(wall);
    return level;
  }

  // Plotly knows no zones, so it gets wall times.
  function wall(moment) {
    let offset = 0;
    for (const [from, ms] of CHART.offsets) { if (moment < from) break; offset = ms; }
    return moment + offset;
  }

  function first(values, limit) {  // index of the first value that is at least the limit
    let low = 0, high = values.length;
    while (low < high) { const middle = (low + high) >> 1; if (values[middle] < limit) low = middle + 1; else high = middle; }
    return low;
  }

  // Made once: toLocaleString makes one for every number, which costs more than all the drawing.
  const [prices, counts, sums] = [{ maximumFractionDigits: 8 }, { maximumFractionDigits: 2 }, { maximumSignificantDigits: 7 }]
    .map((options) => new Intl.NumberFormat("en-US", options));
  const price = (value) => prices.format(value);
  function amount(value) {
    if (CHART.lang === "ko") {
      for (const [unit, word] of [[1e12, "조"], [1e8, "억"], [1e4, "만"]]) {
        if (Math.abs(value) >= unit) return counts.format(value / unit) + word;
      }
    }
    return sums.format(value);
  }
  function hover(level, i) {
    const change = level.close[i] / level.open[i] - 1, sign = change > 0 ? "+" : "";
    const time = new Date(level.time[i]).toISOString().slice(0, 19).replace("T", " ");
    const rows = ["open", "high", "low", "close"].map((name) => `${words[name]} ${price(level[name][i])}`);
    rows[3] += ` (${sign}${(change * 100).toFixed(2)}%)`;
    if (level.filled[i]) rows.push(words.filled);
    else rows.push(`${words.volume} ${amount(level.volume[i])}`, `${words.value} ${amount(level.value[i])}`);
    return [`<b>${time}</b>`, ...rows].join("<br>");
  }

  const levels = [];
  for (const packed of CHART.levels) levels.push(await unpack(packed));
  const finest = levels[0], size = () => finest.time.length;

  function choose(from, to) {
    const room = Math.max(100, plot.clientWidth - 110) / PIXELS;
    return levels.find((level) => first(level.time, to) - first(level.end, from) <= room) || levels[levels.length - 1];
  }

  function shapes(level, from, to, thin) {
    const made = {};
    for (const name of ["up", "down", "flat", "filled"]) made[name] = { x: [], y: [], bodies: [], volume: [] };
    const close = { x: [], y: [], text: [] };
    const begin = first(level.end, from), end = first(level.time, to);
    for (let i = begin; i < end; i++) {
      const wide = level.end[i] - level.time[i], middle = level.time[i] + wide / 2;
      const open = level.open[i], last = level.close[i], high = level.high[i], low = level.low[i];
      close.x.push(middle); close.y.push(last); close.text.push(hover(level, i));
      if (level.filled[i]) {
        made.filled.x.push(level.time[i], level.end[i], null); made.filled.y.push(last, last, null);
        continue;
      }
      const part = last > open ? made.up : last < open ? made.down : made.flat;
      const flat = last === open ? thin / 2 : 0;  // a body of one price has a height too
      part.x.push(middle, middle, null);
      part.y.push(low, high, null);
      part.bodies.push(open - flat, last + flat, null);
      part.volume.push(0, level.volume[i], null);
    }
    return [made, close];
  }

  // One path a trace: hundreds of candles cost no more than a few lines.
  function traces(level, from, to, body, thin) {
    const [made, close] = shapes(level, from, to, thin), data = [];
    const lines = (x, y, colour, yaxis, width) => ({
      type: "scatter", mode: "lines", x, y, yaxis, hoverinfo: "skip", showlegend: false, line: { color: colour, width, simplify: false },
    });
    for (const name of ["up", "down", "flat"]) {
      data.push(lines(made[name].x, made[name].y, look[name], "y", 1));
      data.push(lines(made[name].x, made[name].bodies, look[name], "y", body));
      data.push(lines(made[name].x, made[name].volume, look[name], "y2", body));
    }
    data.push({ type: "scatter", mode: "lines", x: made.filled.x, y: made.filled.y, hoverinfo: "skip", name: words.filled,
      line: { color: look.filled, width: 2, simplify: false }, showlegend: made.filled.x.length > 0 });
    data.push({ type: "scatter", mode: "lines", x: close.x, y: close.y, text: close.text, opacity: 0, showlegend: false, line: { width: 0 },
      hovertemplate: "%{text}<extra></extra>", hoverlabel: { align: "left", bgcolor: look.ink, bordercolor: look.ink, font: { color: look.paper } } });
    return data;
  }

  function limits(level, from, to) {
    let low = Infinity, high = -Infinity, most = 0;
    for (let i = first(level.end, from), end = first(level.time, to); i < end; i++) {
      low = Math.min(low, level.low[i]); high = Math.max(high, level.high[i]); most = Math.max(most, level.volume[i]);
    }
    if (low > high) return [null, null];
    const pad = 0.05 * (high - low) || 0.01 * high;
    return [[low - pad, high + pad], [0, 1.08 * most || 1]];
  }

  const buttons = [[1, "day"], [7, "day"], [1, "month"], [3, "month"]].map(([count, step], i) =>
    ({ count, step, stepmode: "backward", label: CHART.spans[i] }));
  const layout = {
    title: { text: CHART.title, x: 0.01, font: { size: 15 } }, showlegend: true, dragmode: "pan", hovermode: "x",
    margin: { l: 12, r: 92, t: 64, b: 48 }, paper_bgcolor: look.paper, plot_bgcolor: look.paper,
    font: { color: look.ink, family: "Pretendard, 'Noto Sans KR', NanumGothic, 'Malgun Gothic', sans-serif" },
    legend: { x: 0.01, y: 0.99, bgcolor: "rgba(0,0,0,0)" }, hoverdistance: 40, spikedistance: -1,
    xaxis: { type: "date", anchor: "y2", gridcolor: look.grid, showspikes: true, spikemode: "across", spikesnap: "cursor", spikethickness: 1, spikecolor: look.ink,
      spikedash: "dot", hoverformat: "%Y-%m-%d %H:%M", rangeselector: { buttons: [...buttons, { step: "all", label: words.all }] },
      tickformatstops: CHART.ticks },
    yaxis: { side: "right", domain: [0.24, 1], fixedrange: true, gridcolor: look.grid, tickformat: ",~f", showspikes: true,
      spikemode: "across", spikesnap: "cursor", spikethickness: 1, spikecolor: look.ink, spikedash: "dot", title: { text: CHART.price } },
    yaxis2: { side: "right", domain: [0, 0.2], fixedrange: true, gridcolor: look.grid, nticks: 4, tickformat: "~s",
      title: { text: CHART.volume } },
    annotations: [{ xref: "paper", yref: "paper", x: 1, y: 1.02, xanchor: "right", yanchor: "bottom", showarrow: false, text: "" }],
  };
  const config = { scrollZoom: true, responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };

  const milliseconds = (moment) => typeof moment === "number" ? moment : Date.parse(moment.replace(" ", "T") + (moment.length > 10 ? "Z" : ""));
  function whole() {
    const wide = finest.end[size() - 1] - finest.time[0];
    return [finest.time[0] - 0.01 * wide, finest.end[size() - 1] + 0.01 * wide];
  }
  let drawn = null;
  function draw(from, to) {
    if (!size()) {
      layout.annotations[0] = { xref: "paper", yref: "paper", x: 0.5, y: 0.5, showarrow: false, text: words.empty };
      return Plotly.react(plot, [], layout, config);
    }
    const level = choose(from, to), margin = 0.5 * (to - from);
    const [range, volumes] = limits(level, from, to);
    layout.xaxis.range = [from, to].map((moment) => new Date(moment).toISOString().slice(0, 23));
    layout.xaxis.autorange = false;
    if (range) { layout.yaxis.range = range; layout.yaxis2.range = volumes; }
    layout.annotations[0].text = level === finest ? level.name : words.drawn.replace("{drawn}", level.name);
    drawn = { name: level.name, from, to, candles: first(level.time, to) - first(level.end, from) };
    const pixels = Math.max(100, plot.clientWidth - 104), near = first(level.end, from);
    const wide = near < level.time.length ? level.end[near] - level.time[near] : 1;
    const body = Math.max(1, 0.72 * wide / (to - from) * pixels);
    const thin = range ? 1.5 * (range[1] - range[0]) / (0.76 * Math.max(100, plot.clientHeight - 100)) : 0;
    return Plotly.react(plot, traces(level, from - margin, to + margin, body, thin), layout, config);
  }

  let waiting = false, own = false;
  async function refresh() {
    if (waiting) return;
    waiting = true;
    await new Promise(requestAnimationFrame);
    waiting = false;
    const axis = plot._fullLayout.xaxis;
    let [from, to] = axis.range.map(milliseconds);
    own = true;
    await draw(from, to);
    own = false;
  }
  await draw(...whole());
  plot.on("plotly_relayout", (changed) => {
    if (own || !size()) return;
    if (changed["xaxis.autorange"]) { draw(...whole()); return; }
    if (Object.keys(changed).some((key) => key.startsWith("xaxis.range") || key === "autosize")) refresh();
  });

  // New rows replace those of the same times and of all later ones.
  async function append(tails) {
    if (!tails.length || !plot._fullLayout.xaxis && !size()) return;
    const before = size() ? finest.end[size() - 1] : null;
    for (let k = 0; k < tails.length; k++) {
      const tail = await unpack(tails[k]);
      const level = levels[k], keep = tail.time.length ? first(level.time, tail.time[0]) : level.time.length;
      for (const name of COLUMNS) {
        const joined = new Float64Array(keep + tail[name].length);
        joined.set(level[name].subarray(0, keep)); joined.set(tail[name], keep);
        level[name] = joined;
      }
    }
    if (before === null) return draw(...whole());
    const [from, to] = plot._fullLayout.xaxis.range.map(milliseconds);
    const shift = to >= before ? Math.max(0, finest.end[size() - 1] - before) : 0;
    return draw(from + shift, to + shift);
  }
  let queue = Promise.resolve();
  window.addEventListener("message", (event) => {
    if (event.source === window.parent && event.data && event.data.upbitFramesTail) {
      queue = queue.then(() => append(event.data.upbitFramesTail));
    }
  });
  window.upbitFramesChart = { levels, append, draw, drawn: () => drawn, ready: true };
  if (window.parent !== window) window.parent.postMessage({ upbitFramesReady: true }, "*");
})();
