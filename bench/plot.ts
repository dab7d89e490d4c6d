/** Bars as an SVG: one panel a comparison, one bar an implementation, readable on light and on dark pages. */

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
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117; stroke: #3d444d; }
    text { fill: #f0f6fc; }
    .quiet { fill: #9198a1; }
    .ours { fill: #58a6ff; }
    .peer { fill: #57606a; }
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
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${escapeXml(heading)}">
<style>${STYLE}</style>
<rect class="page" x="0.5" y="0.5" width="${WIDTH - 1}" height="${height - 1}" rx="6"/>
<text class="heading" x="${MARGIN}" y="30">${escapeXml(heading)}</text>
<text class="quiet" x="${MARGIN}" y="49">${escapeXml(subheading)}</text>
${parts.join('\n')}
</svg>
`;
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
