/** Figures as an SVG, readable on light and on dark pages. */

/** One panel a comparison, one bar an implementation. */
export interface Panel {
  readonly title: string;
  readonly unit: string;
  /** The first is ours. Shorter is better. */
  readonly bars: readonly Bar[];
}

export interface Bar {
  readonly name: string;
  readonly value: number;
  /** How many times ours it is. Absent for ours. */
  readonly times?: number;
}

const WIDTH = 820;
const MARGIN = 24;
const NAME_WIDTH = 190;
/** For "12,345 ns per span  (123x)" behind the longest bar. */
const VALUE_WIDTH = 170;
const BAR_LEFT = MARGIN + NAME_WIDTH;
const BAR_WIDTH = WIDTH - BAR_LEFT - VALUE_WIDTH - MARGIN;
const BAR_HEIGHT = 16;
const BAR_STEP = 22;
const HEADING_HEIGHT = 64;
const TITLE_HEIGHT = 26;
const PANEL_GAP = 18;

const STYLE = `
  .page { fill: #ffffff; stroke: #d0d7de; }
  text { font: 12px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328; }
  .heading { font-size: 17px; font-weight: 600; }
  .title { font-size: 13px; font-weight: 600; }
  .quiet { fill: #59636e; font-weight: 400; }
  .ours { fill: #2f6fde; }
  .peer { fill: #aab4c0; }
  .axis { stroke: #aab4c0; }
  .grid { stroke: #e4e8ec; }
  polyline { fill: none; }
  .ours-line { stroke: #2f6fde; stroke-width: 2; }
  .peer-line { stroke: #8a95a2; stroke-width: 1.5; }
  .dotted { stroke-dasharray: 2 3; }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117; stroke: #3d444d; }
    text { fill: #f0f6fc; }
    .quiet { fill: #9198a1; }
    .ours { fill: #58a6ff; }
    .peer { fill: #57606a; }
    .grid { stroke: #2a3038; }
    .ours-line { stroke: #58a6ff; }
    .axis { stroke: #57606a; }
  }
`;

export function bars(heading: string, subheading: string, panels: readonly Panel[]): string {
  const parts: string[] = [];
  let y = HEADING_HEIGHT;
  for (const panel of panels) {
    parts.push(drawPanel(panel, y));
    y += TITLE_HEIGHT + panel.bars.length * BAR_STEP + PANEL_GAP;
  }
  const height = y + 4;
  return page(heading, subheading, height, parts);
}

function page(heading: string, subheading: string, height: number, parts: readonly string[]): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${escapeXml(heading)}">
<style>${STYLE}</style>
<rect class="page" x="0.5" y="0.5" width="${WIDTH - 1}" height="${height - 1}" rx="6"/>
<text class="heading" x="${MARGIN}" y="30">${escapeXml(heading)}</text>
<text class="quiet" x="${MARGIN}" y="49">${escapeXml(subheading)}</text>
${parts.join('\n')}
</svg>
`;
}

export interface LineSeries {
  readonly name: string;
  /** One for each step of the x axis. */
  readonly values: readonly number[];
}

const LINES_HEIGHT = 300;
const LINE_CLASSES = ['ours-line', 'peer-line', 'peer-line dotted'];
const TICKS = 6;

/** Lines over a common x axis, the first ours. At most three. `xUnit` stands behind the axis' numbers. */
export function lines(heading: string, subheading: string, xUnit: string, series: readonly LineSeries[]): string {
  const [left, right, top, bottom] = [
    MARGIN + 36,
    WIDTH - MARGIN - 16,
    HEADING_HEIGHT + 24,
    HEADING_HEIGHT + LINES_HEIGHT,
  ];
  const steps = Math.max(...series.map(({ values }) => values.length));
  const most = Math.max(...series.flatMap(({ values }) => values));
  const grid = most > 4 ? Math.ceil(most / TICKS) : 0.5;
  const highest = Math.ceil(most / grid) * grid;
  const x = (step: number) => left + ((right - left) * step) / steps;
  const y = (value: number) => bottom - ((bottom - top) * value) / highest;
  const parts: string[] = [];
  for (let value = 0; value <= highest; value += grid) {
    parts.push(
      `<line class="grid" x1="${left}" y1="${y(value).toFixed(1)}" x2="${right}" y2="${y(value).toFixed(1)}"/>`,
      `<text class="quiet" x="${left - 6}" y="${(y(value) + 4).toFixed(1)}" text-anchor="end">${value.toFixed(1)}</text>`,
    );
  }
  for (let tick = 0; tick <= TICKS; tick++) {
    const step = (steps * tick) / TICKS;
    parts.push(
      `<text class="quiet" x="${x(step).toFixed(1)}" y="${bottom + 18}" text-anchor="middle">${Math.round(step)} ${xUnit}</text>`,
    );
  }
  series.forEach(({ name, values }, i) => {
    const points = values.map((value, step) => `${x(step).toFixed(1)},${y(value).toFixed(1)}`).join(' ');
    const keyLeft = left + i * 230;
    parts.push(
      `<polyline class="${LINE_CLASSES[i]}" points="${points}"/>`,
      `<line class="${LINE_CLASSES[i]}" x1="${keyLeft}" y1="${HEADING_HEIGHT + 4}" x2="${keyLeft + 24}" y2="${HEADING_HEIGHT + 4}"/>`,
      `<text x="${keyLeft + 30}" y="${HEADING_HEIGHT + 8}">${escapeXml(name)}</text>`,
    );
  });
  return page(heading, subheading, bottom + 32, parts);
}

function drawPanel({ title, unit, bars }: Panel, top: number): string {
  const longest = Math.max(...bars.map(({ value }) => value));
  const first = top + TITLE_HEIGHT;
  const lines = bars.map(({ name, value, times }, i) => {
    const y = first + i * BAR_STEP;
    const width = Math.max(1, (BAR_WIDTH * value) / longest);
    const baseline = y + BAR_HEIGHT - 4;
    const ratio = times === undefined ? '' : `<tspan class="quiet" dx="7">${number(times)}x</tspan>`;
    return `<text x="${BAR_LEFT - 10}" y="${baseline}" text-anchor="end">${escapeXml(name)}</text>
<rect class="${i === 0 ? 'ours' : 'peer'}" x="${BAR_LEFT}" y="${y}" width="${width.toFixed(1)}" height="${BAR_HEIGHT}"/>
<text x="${(BAR_LEFT + width + 8).toFixed(1)}" y="${baseline}">${number(value)}${ratio}</text>`;
  });
  const bottom = first + bars.length * BAR_STEP - (BAR_STEP - BAR_HEIGHT);
  return `<text class="title" x="${MARGIN}" y="${top + 15}">${escapeXml(title)}<tspan class="quiet" dx="7">${escapeXml(unit)}</tspan></text>
${lines.join('\n')}
<line class="axis" x1="${BAR_LEFT}" y1="${first - 3}" x2="${BAR_LEFT}" y2="${bottom + 3}"/>`;
}

const number = (value: number) =>
  value >= 100 ? Math.round(value).toLocaleString('en') : value.toPrecision(value < 10 ? 2 : 3);

const escapeXml = (text: string) => text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
