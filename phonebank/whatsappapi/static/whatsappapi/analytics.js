// Draws the charts of the analytics page. Every figure also stands in the page's tables.
(() => {
  "use strict";
  // Whoever picks a date wants their own dates.
  const range = document.getElementById("range");
  for (const name of ["from", "to"]) {
    document.getElementById(name).addEventListener("change", () => { range.value = "own"; });
  }
  const source = document.getElementById("analytics-data");
  if (!source || !window.echarts) return;
  const data = JSON.parse(source.textContent);
  const number = new Intl.NumberFormat(document.documentElement.lang, { useGrouping: "always" });
  const isRtl = document.documentElement.dir === "rtl";
  const colour = (name) => getComputedStyle(document.querySelector(`[data-colour=${name}]`)).fill;

  const frame = (names, colours, series) => {
    const body = getComputedStyle(document.body);
    const line = getComputedStyle(document.querySelector(".card")).borderTopColor;
    const words = { color: body.color, fontFamily: body.fontFamily, fontSize: 12 };
    return {
      animation: !matchMedia("(prefers-reduced-motion: reduce)").matches,
      animationDuration: 300,
      textStyle: words,
      grid: { left: 8, right: 8, top: 12, bottom: 8, containLabel: true },
      tooltip: { trigger: "axis", axisPointer: { type: "shadow" }, renderMode: "richText", confine: true,
        valueFormatter: (n) => number.format(n), backgroundColor: getComputedStyle(document.querySelector(".card")).backgroundColor,
        borderColor: line, textStyle: words },
      xAxis: { type: "category", data: names, inverse: isRtl, axisLabel: { color: words.color, hideOverlap: true },
        axisLine: { lineStyle: { color: line } }, axisTick: { show: false } },
      yAxis: { type: "value", minInterval: 1, position: isRtl ? "right" : "left", axisLabel: { color: words.color, formatter: (n) => number.format(n) },
        splitLine: { lineStyle: { color: line } } },
      series: series.map(([name, values, stack], i) => ({
        name, data: values, type: "bar", stack, barMaxWidth: 28, itemStyle: { color: colours[i] } })),
    };
  };
  const draw = {
    days: () => frame(data.when, ["read", "delivered", "sent", "failed"].map(colour), [
      [data.words.read, data.read, "all"], [data.words.delivered, data.delivered, "all"],
      [data.words.sent, data.sent, "all"], [data.words.failed, data.failed, "all"]]),
    hours: () => frame(data.hours, [colour("sent"), colour("read")], [[data.words.all, data.hoursSent], [data.words.read, data.hoursRead]]),
    times: () => frame(data.times, [colour("delivered")], [[data.words.arrived, data.deliveries]]),
  };
  const charts = [...document.querySelectorAll("[data-chart]")].map((place) => {
    const chart = echarts.init(place, null, { renderer: "svg" });
    const show = () => {
      const label = { description: `${place.dataset.label}. ${data.words.table}` };
      chart.setOption({ ...draw[place.dataset.chart](), aria: { enabled: true, label } }, true);
    };
    show();
    new ResizeObserver(() => chart.resize()).observe(place);
    return show;
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.forEach((show) => show()));
})();
