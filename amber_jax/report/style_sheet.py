"""The look of report.html, light and dark, on a phone and on a desk."""

STYLE_SHEET = """\
:root {
  --ground: #ffffff; --raised: #f6f7f9; --ink: #1c2430; --faint: #5c6675;
  --line: #dde1e7; --accent: #0b63a5; --average: #eef4fa; --warn: #8a4b00;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #14181e; --raised: #1d232b; --ink: #e4e8ee; --faint: #9aa5b4;
    --line: #303843; --accent: #6db8f2; --average: #1c2a38; --warn: #f0b35e;
  }
  figure .scroll { filter: brightness(.88); }
}
* { box-sizing: border-box; }
html { scroll-behavior: smooth; -webkit-text-size-adjust: 100%; }
body {
  margin: 0 auto; max-width: 76rem; padding: 1.2rem 1rem 4rem;
  background: var(--ground); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}
h1 { font-size: 1.7rem; line-height: 1.25; margin: .6rem 0 1rem; }
h2 {
  font-size: 1.25rem; margin: 2.6rem 0 .8rem; padding-bottom: .3rem;
  border-bottom: 1px solid var(--line); scroll-margin-top: 1rem;
}
h1, h2, th, li, p { overflow-wrap: anywhere; }
a { color: var(--accent); }
nav ol { columns: 16rem; margin: 0; padding: .8rem 1rem .8rem 2.4rem; }
nav { background: var(--raised); border-radius: .5rem; }
.scroll { overflow-x: auto; }
.scroll:focus-visible { outline: 2px solid var(--accent); }
table {
  border-collapse: separate; border-spacing: 0; font-variant-numeric: tabular-nums;
}
caption { text-align: left; font-weight: 600; padding: .2rem 0 .5rem; }
th, td {
  padding: .34rem .7rem; text-align: right; vertical-align: top;
  border-bottom: 1px solid var(--line); white-space: nowrap;
}
thead th {
  color: var(--faint); font-weight: 600; border-bottom: 2px solid var(--line);
}
th:first-child {
  position: sticky; left: 0; z-index: 1; background: var(--ground);
  text-align: left; font-weight: 500; white-space: normal;
  min-width: 12.8rem; max-width: 18rem; border-right: 1px solid var(--line);
}
tbody tr:hover > * { background: var(--raised); }
td.average { background: var(--average); }
td b { font-weight: 700; }
td small { display: block; color: var(--faint); font-size: .75em; line-height: 1.2; }
tbody.baseline, tbody.published { color: var(--faint); }
tr.group th { font-weight: 700; font-size: .85em; }
tbody + tbody tr:first-child > * { border-top: 2px solid var(--line); }
.facts { margin-bottom: 1.4rem; }
.facts th, .facts td { text-align: left; }
ul.notes, ul.warnings { margin: .7rem 0; padding-left: 1.2rem; font-size: .92rem; }
ul.warnings { color: var(--warn); }
ul.notes { color: var(--faint); }
details { color: var(--faint); font-size: .92rem; margin: .6rem 0 1.4rem; }
summary { cursor: pointer; }
figure { margin: 1.4rem 0; }
figure .scroll {
  background: #ffffff; border: 1px solid var(--line); border-radius: .5rem;
}
figure img {
  display: block; width: min(100%, var(--width)); height: auto; margin: auto;
}
figcaption { color: var(--faint); font-size: .92rem; margin-top: .5rem; }
@media (max-width: 40rem) {
  body { font-size: 15px; padding: .6rem .8rem 3rem; }
  th, td { padding: .3rem .5rem; }
  th:first-child { min-width: 7rem; max-width: 8.5rem; }
  figure img { width: max(100%, calc(.5 * var(--width))); }
}
@media print {
  body { max-width: none; }
  .scroll { overflow: visible; }
  details > * { display: block; }
}
"""
