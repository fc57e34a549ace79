// Bundle charts.js, and list the licences of all that is in the bundle.
import {readFileSync, readdirSync, writeFileSync} from 'node:fs';
import {build} from 'esbuild';

const [folder] = process.argv.slice(2);
const {metafile} = await build({
  alias: {vega: './vega.js'},
  bundle: true,
  charset: 'ascii',
  entryPoints: ['charts.js'],
  legalComments: 'none',
  metafile: true,
  minify: true,
  outfile: `${folder}/charts.min.js`,
  target: 'es2022',
});
const {inputs} = Object.values(metafile.outputs)[0];
const used = Object.keys(inputs).filter((path) => inputs[path].bytesInOutput > 0);
const packages = new Set(used.map((path) => path.match(/.*node_modules\/[^/]+/)?.[0]));
packages.delete(undefined);
const listed = [...packages].sort().map((path) => {
  const {name, version, license} = JSON.parse(readFileSync(`${path}/package.json`));
  const file = readdirSync(path).find((each) => /^licen[cs]e/i.test(each));
  return {title: `${name} ${version} (${license})`, text: readFileSync(`${path}/${file}`, 'utf8').trim()};
});
// Most of Vega's packages have the same text.
const titles = new Map();
for (const {title, text} of listed) titles.set(text, [...(titles.get(text) ?? []), title]);
const parts = [...titles].map(([text, of]) => `${of.join('\n')}\n\n${text}\n`);
writeFileSync(`${folder}/charts.licenses.txt`, parts.join(`\n${'-'.repeat(80)}\n\n`));
