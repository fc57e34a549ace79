'use strict';

// -- tables: a heading's button sorts by its column -------------------------------------------------

function compare(one, other, sign) {
  if (one === other) return 0;
  if (one === '') return 1; // what is not known is last in either direction
  if (other === '') return -1;
  const numbers = [Number(one), Number(other)];
  return sign * (numbers.some(Number.isNaN) ? one.localeCompare(other) : numbers[0] - numbers[1]);
}

function sort(button) {
  const heading = button.closest('th');
  const table = heading.closest('table');
  const column = heading.cellIndex;
  const down = heading.ariaSort ? heading.ariaSort !== 'descending' : 'number' in button.dataset;
  const sign = down ? -1 : 1;
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => [row.cells[column].dataset.key, row]);
  rows.sort(([one], [other]) => compare(one, other, sign));
  body.append(...rows.map(([, row]) => row));
  for (const each of heading.parentNode.cells) each.removeAttribute('aria-sort');
  heading.ariaSort = down ? 'descending' : 'ascending';
}

for (const button of document.querySelectorAll('th button')) {
  button.addEventListener('click', () => sort(button));
}

// -- charts: drawn from the specification beside them ---------------------------------------------

const bundle = document.getElementById('bundle');
const theme = JSON.parse(bundle.dataset.theme);

async function unpacked(base64) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Response(stream).text();
}

async function draw(figure) {
  if (figure.dataset.state || !figure.checkVisibility()) return;
  figure.dataset.state = 'drawing';
  const specification = JSON.parse(figure.querySelector('script').textContent);
  for (const [name, {columns, rows}] of Object.entries(specification.datasets)) {
    specification.datasets[name] = rows.map((row) =>
      Object.fromEntries(columns.map((column, at) => [column, row[at]])));
  }
  await drawChart({...specification, config: theme}, figure.querySelector('.chart'));
  figure.dataset.state = 'drawn';
}

async function drawAll() {
  const figures = document.querySelectorAll('figure.plot');
  if (figures.length === 0) return;
  const script = document.createElement('script');
  script.textContent = await unpacked(bundle.textContent); // the policy names its hash
  document.head.append(script);
  for (const figure of figures) {
    await draw(figure);
    await new Promise((resolve) => { setTimeout(resolve); }); // shows it before the next
  }
}

const drawn = drawAll();
drawn.finally(() => { document.documentElement.dataset.charts = 'drawn'; });

// What is shown later is drawn then.
document.addEventListener('toggle', (event) => {
  drawn.then(() => event.target.querySelectorAll('figure.plot').forEach(draw));
}, true);

// -- a choice of which one of several sections is shown -------------------------------------------

for (const select of document.querySelectorAll('select[data-shows]')) {
  const sections = [...document.getElementById(select.dataset.shows).children];
  const show = () => {
    sections.forEach((section, at) => { section.hidden = at !== select.selectedIndex; });
    drawn.then(() => sections[select.selectedIndex].querySelectorAll('figure.plot').forEach(draw));
  };
  select.addEventListener('change', show);
  show(); // a reload keeps the choice
}
