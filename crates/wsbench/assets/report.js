"use strict";
// What the page does beyond being read: sorting, filtering, other metrics, row toggles, and charts that zoom.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  root.classList.add("scripted");
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();

  // ---- numbers, as the rest of the page writes them

  const digits = (value) => {
    const whole = Math.floor(Math.log10(Math.max(1, Math.abs(value)))) + 1;
    return value.toFixed(Math.max(0, 3 - whole));
  };
  const scaled = (value, steps) => {
    const [least, suffix] = steps.find(([least]) => Math.abs(value) >= least) ?? steps[steps.length - 1];
    return digits(value / (least || 1)) + suffix;
  };
  const STEPS = {
    ns: [[1e9, " s"], [1e6, " ms"], [1e3, " µs"], [0, " ns"]],
    "1/s": [[1e6, " M/s"], [1e3, " k/s"], [0, " /s"]],
    "B/s": [[1e9, " GB/s"], [1e6, " MB/s"], [1e3, " kB/s"]],
    "%": [[0, " %"]],
    count: [[0, ""]],
  };
  const signed = (ratio) => ((ratio - 1) * 100 < 0 ? "−" : "+") + Math.abs((ratio - 1) * 100).toFixed(1);
  const show = (value, unit) => {
    if (value == null) return "–";
    if (unit === "B") {
      const size = Math.abs(value);
      return size >= 1048576 ? digits(value / 1048576) + " MiB" : size >= 1024 ? digits(value / 1024) + " KiB" : digits(value) + " B";
    }
    if (unit === "percentile") return "p" + (100 * (1 - 1 / value)).toFixed(Math.max(0, Math.ceil(Math.log10(value) - 1e-9) - 2));
    if (unit === "ratio") return signed(value) + " %";
    if (unit === "number") return value >= 1e6 ? digits(value / 1e6) + " M" : value >= 1e4 ? digits(value / 1e3) + " k" : String(Math.round(value * 100) / 100);
    return scaled(value, STEPS[unit]);
  };
  const short = (value, unit) => show(value, unit).replace(/(\.\d*?)0+(?=\D|$)/, "$1").replace(/\.(?=\D|$)/, "");
  const median = (values) => {
    const sorted = [...values].sort((a, b) => a - b);
    const middle = sorted.length >> 1;
    return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  };

  // ---- rows that are switched off, everywhere

  const off = new Set();
  const plots = [];
  const parts = data.rows.map(([, colour]) => all(`.static svg [fill="${colour}"], .static svg [stroke="${colour}"]`));
  for (const button of all("#toggles .key")) {
    button.addEventListener("click", () => {
      const row = Number(button.dataset.row);
      off.has(row) ? off.delete(row) : off.add(row);
      const on = !off.has(row);
      button.setAttribute("aria-pressed", String(on));
      for (const part of parts[row]) part.classList.toggle("off", !on);
      for (const { plot, rows } of plots) {
        rows.forEach((own, place) => own === row && plot.setSeries(place + 1, { show: on }));
      }
      filter();
    });
  }

  // ---- the table

  const grid = document.getElementById("grid");
  const body = grid.tBodies[0];
  const note = document.getElementById("grid-note");
  const detail = document.getElementById("cell-detail");
  const first = all("tr", body).map((line) => all("td", line).map((cell) => ({ html: [...cell.childNodes], title: cell.title, value: cell.dataset.value, kind: cell.className })));
  const lines = all("tr", body).map((element, place) => ({ element, place, row: Number(element.dataset.row), cells: all("td", element) }));
  const wanted = { rows: document.getElementById("filter-rows"), columns: document.getElementById("filter-columns") };
  const metric = document.getElementById("metric");
  const relative = document.getElementById("relative");

  const words = (input) => input.value.toLowerCase().split(/[\s,]+/).filter(Boolean);
  const fits = (name, words) => words.length === 0 || words.some((word) => name.toLowerCase().includes(word));
  const filter = () => {
    const [rows, columns] = [words(wanted.rows), words(wanted.columns)];
    for (const { element, row } of lines) element.hidden = off.has(row) || !fits(element.dataset.name, rows);
    all("thead th[data-scenario]", grid).forEach((head, place) => {
      head.hidden = !fits(head.dataset.scenario, columns);
      for (const { cells } of lines) cells[place].hidden = head.hidden;
    });
  };
  for (const input of Object.values(wanted)) input.addEventListener("input", filter);

  const known = Object.entries(data.grid.metrics).filter(([name]) => data.grid.columns.some((column) => name in column.values));
  for (const [name, [label]] of known) metric.add(new Option(label, name));

  const ratios = (own, base) => own.flatMap((value, block) => (value > 0 && base[block] > 0 ? [value / base[block]] : []));
  const fill = () => {
    const chosen = metric.value;
    const base = relative.value;
    note.textContent = base === "" ? "" :
      `Medians of the ratios to ${data.rows[base][0]} inside blocks, of all rounds. Verdicts rest on the baseline of the run alone.`;
    data.grid.columns.forEach((column, place) => {
      const name = chosen || column.ranking;
      const [label, unit] = data.grid.metrics[name];
      all("thead th .metric", grid)[place].textContent = label;
      const values = column.values[name] ?? {};
      lines.forEach(({ row, cells }, line) => {
        const cell = cells[place];
        const kept = first[line][place];
        if (base === "" && name === column.ranking) {
          cell.replaceChildren(...kept.html);
          cell.title = kept.title;
          cell.dataset.value = kept.value ?? "";
          cell.className = kept.kind;
          return;
        }
        const own = values[row];
        const counted = base === "" ? (own ?? []).filter((value) => value != null) : ratios(own ?? [], values[base] ?? []);
        const logs = counted.map(Math.log);
        const value = counted.length === 0 ? null : base === "" ? median(counted) : Math.exp(median(logs));
        cell.className = value == null ? "none" : "";
        cell.dataset.value = value ?? "";
        const text = (value) => (base === "" ? show(value, unit) : show(value, "ratio"));
        cell.textContent = text(value);
        cell.title = value == null ? "" :
          `${data.rows[row][0]}: ${label} ${text(value)} (${text(Math.min(...counted))} to ${text(Math.max(...counted))}, ` +
          `${counted.length} ${counted.length === 1 ? "round" : "rounds"}) · no verdict rests on this view`;
      });
    });
  };
  for (const select of [metric, relative]) select.addEventListener("change", fill);

  all("thead th", grid).forEach((head, place) => {
    const button = document.createElement("button");
    button.type = "button";
    const label = head.querySelector(".head");
    button.append(...label.childNodes);
    label.replaceChildren(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of all("thead th", grid)) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = ({ element, cells }) => {
        if (place === 0) return element.dataset.name;
        const value = cells[place - 1].dataset.value;
        return value === undefined || value === "" ? null : Number(value);
      };
      const ordered = [...lines].sort((one, other) => {
        const [a, b] = [key(one), key(other)];
        if (a === null || b === null) return (a === null) - (b === null);
        return (a < b ? -1 : a > b ? 1 : one.place - other.place) * (up ? 1 : -1);
      });
      body.append(...ordered.map(({ element }) => element));
    });
  });

  // One cell takes part in the order of Tab; arrows go on from there.
  const cells = () => lines.filter(({ element }) => !element.hidden).sort((a, b) => a.element.rowIndex - b.element.rowIndex)
    .map(({ cells }) => cells.filter((cell) => !cell.hidden));
  const enter = (cell) => {
    for (const other of all("td[tabindex]", grid)) other.tabIndex = -1;
    cell.tabIndex = 0;
    cell.focus();
  };
  if (lines[0]?.cells[0]) lines[0].cells[0].tabIndex = 0;
  const say = (event) => {
    const cell = event.target.closest("td");
    if (cell?.title) detail.textContent = cell.title;
  };
  for (const kind of ["mouseover", "focusin", "click"]) body.addEventListener(kind, say);
  body.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    const cell = event.target.closest("td");
    if (!step || !cell) return;
    const table = cells();
    const down = table.findIndex((line) => line.includes(cell));
    const next = table[down + step[0]]?.[table[down].indexOf(cell) + step[1]];
    if (next) {
      event.preventDefault();
      enter(next);
    }
  });

  // ---- hover on drawings

  const tip = document.getElementById("tip");
  const tell = (text, x, y) => {
    tip.hidden = !text;
    tip.textContent = text;
    tip.style.left = Math.max(4, Math.min(x + 12, innerWidth - tip.offsetWidth - 8)) + "px";
    tip.style.top = y + 14 + "px";
  };
  const watch = (figure, spots) => {
    const svg = figure.querySelector("svg");
    const near = (event) => {
      const box = svg.getBoundingClientRect();
      const scale = svg.viewBox.baseVal.width / box.width;
      const [x, y] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
      const on = spots.filter(([, , row]) => !off.has(row));
      const far = ([spotX, spotY]) => Math.hypot(spotX - x, (spotY - y) * 2);
      const best = on.reduce((best, spot) => (!best || far(spot) < far(best) ? spot : best), null);
      return best && far(best) < 44 ? best : null;
    };
    svg.addEventListener("pointermove", (event) => tell(near(event)?.[3] ?? "", event.clientX, event.clientY));
    svg.addEventListener("pointerleave", () => tell("", 0, 0));
  };

  // ---- charts that zoom

  const nearest = (plot) => {
    const { idx, top } = plot.cursor;
    if (idx == null) return null;
    let best = null;
    plot.series.forEach((series, place) => {
      const value = place > 0 && series.show ? plot.data[place][idx] : null;
      if (value == null) return;
      const far = Math.abs(plot.valToPos(value, "y") - top);
      if (!best || far < best.far) best = { far, place, value };
    });
    return best;
  };
  const tens = (plot, splits) => splits.map((value) => (/^1(\.0+)?e/.test(value.toExponential()) ? value : null));
  // Sizes are round in KiB and MiB: their axes have powers of two, at most eight of them.
  const twos = (plot, splits) => {
    const every = Math.ceil(splits.length / 8);
    return splits.map((value) => (Math.round(Math.log2(value)) % every ? null : value));
  };
  const doublings = Array.from({ length: 50 }, (_, exponent) => 2 ** exponent);
  const live = (figure, chart) => {
    const room = figure.querySelector(".live");
    figure.classList.add("drawn");
    const rows = chart.series.map((series) => series.row);
    const axis = (log, label, unit, size) => {
      const binary = unit === "B";
      const named = (value) => value != null && (!log || binary || /^[125]/.test(value.toExponential()));
      return {
        stroke: () => css("--text"), ticks: { show: false },
        // Of a logarithmic axis, powers alone have lines.
        grid: { stroke: () => css("--line"), width: 1, ...(log && { filter: binary ? twos : tens }) },
        label, labelSize: 18, labelFont: "11px system-ui, sans-serif", font: "11px system-ui, sans-serif", size,
        values: (plot, values) => values.map((value) => (named(value) ? short(value, unit) : null)),
        ...(log && { filter: (plot, splits) => (binary ? twos(plot, splits) : splits.length < 20 ? splits : tens(plot, splits)) }),
        ...(!log && binary && { incrs: doublings }),
      };
    };
    const scale = (log, unit) => ({ distr: log ? 3 : 1, log: unit === "B" ? 2 : 10 });
    const options = {
      width: room.clientWidth || 480,
      height: 320,
      cursor: { drag: { x: true, y: true, uni: 20 }, focus: { prox: 24 } },
      focus: { alpha: 0.3 },
      scales: { x: { time: false, ...scale(chart.xLog, chart.xShow) }, y: { ...scale(chart.yLog, chart.yShow), range: chart.yLog ? undefined : (plot, low, high) => [0, high * 1.06 || 1] } },
      axes: [axis(chart.xLog, chart.xLabel, chart.xShow, 44), axis(chart.yLog, chart.yLabel, chart.yShow, 62)],
      series: [
        { label: chart.xLabel, value: (plot, value) => show(value, chart.xShow) },
        ...chart.series.map(({ row }) => ({
          label: data.rows[row][0], stroke: data.rows[row][1], width: 2, spanGaps: true, show: !off.has(row),
          dash: data.rows[row][2].split(" ").filter(Boolean).map(Number),
          points: { show: chart.points, size: 7, fill: data.rows[row][1] },
          value: (plot, value) => show(value, chart.yShow),
        })),
      ],
      hooks: {
        setCursor: [(plot) => {
          const best = nearest(plot);
          if (!best || plot.cursor.left < 0) return tell("", 0, 0);
          const box = plot.over.getBoundingClientRect();
          const [name] = data.rows[rows[best.place - 1]];
          const at = show(plot.data[0][plot.cursor.idx], chart.xShow);
          tell(`${name}, ${at}: ${show(best.value, chart.yShow)}`, box.left + plot.cursor.left, box.top + plot.cursor.top);
        }],
      },
    };
    const plot = new uPlot(options, [chart.x, ...chart.series.map((series) => series.y)], room);
    plots.push({ plot, rows });
    return plot;
  };

  // Charts that nobody has scrolled to are not drawn yet.
  const charts = new Map(data.charts.map((chart) => [chart.id, chart]));
  const sizes = new ResizeObserver((entries) => {
    for (const { target, contentRect } of entries) {
      const own = plots.find(({ plot }) => plot.root.parentElement === target);
      if (own && contentRect.width > 0 && Math.abs(own.plot.width - contentRect.width) > 1) {
        own.plot.setSize({ width: contentRect.width, height: 320 });
      }
    }
  });
  const sight = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      sight.unobserve(target);
      live(target, charts.get(target.id));
      sizes.observe(target.querySelector(".live"));
    }
  }, { rootMargin: "400px" });
  for (const figure of all("figure")) {
    const chart = charts.get(figure.id);
    if (chart?.spots) watch(figure, chart.spots);
    else if (chart) sight.observe(figure);
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const { plot } of plots) plot.redraw(false, true);
  });
})();
