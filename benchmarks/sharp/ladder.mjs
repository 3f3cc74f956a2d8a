// The ladder by sharp, as fast as it goes. Called as `node ladder.mjs CONFIG`, a JSON file with
//
//   files, widths, out      paths; widths in px, ascending; the folder of what is made: STEM-WIDTH.FORMAT
//   webp, avif              sharp's options of each
//   concurrency, jobs       threads of libvips for each operation; pictures at a time
//   chained                 each width from the next larger one, and not from the file again
//
// Prints {"seconds": …} from the first picture's start to the last one's end, after a warm-up.
import { readFile, writeFile } from "node:fs/promises";
import { basename } from "node:path";
import sharp from "sharp";

const config = JSON.parse(await readFile(process.argv[2], "utf8"));
sharp.cache(false); // nothing is used twice
sharp.concurrency(config.concurrency);

// Halves to the even neighbour, as Python has it.
function rounded(value) {
  const whole = Math.floor(value);
  return value - whole === 0.5 ? whole + (whole % 2) : Math.round(value);
}

async function rendered(path, out) {
  const data = await readFile(path);
  const { width, height } = await sharp(data).metadata();
  const widths = [...new Set(config.widths.map((step) => Math.min(step, width)))].sort((a, b) => b - a);
  const work = [];
  let above = null;
  for (const step of widths) {
    const size = { width: step, height: Math.max(1, rounded((step * height) / width)), fit: "fill" };
    const source = config.chained && above ? sharp(above.data, { raw: above.info }) : sharp(data);
    const made = await source.rotate().resize(size).removeAlpha().raw().toBuffer({ resolveWithObject: true });
    above = { data: made.data, info: { width: made.info.width, height: made.info.height, channels: made.info.channels } };
    for (const format of ["webp", "avif"]) {
      const encoded = sharp(above.data, { raw: above.info })[format](config[format]).toBuffer();
      const name = `${out}/${basename(path, ".jpg")}-${step}.${format}`;
      work.push(encoded.then((bytes) => out && writeFile(name, bytes)));
      if (!config.parallel) await work.at(-1); // memory: one encoder at a time for each picture
    }
  }
  await Promise.all(work);
}

async function all(files, out) {
  const left = [...files];
  const one = async () => {
    while (left.length) await rendered(left.shift(), out);
  };
  await Promise.all(Array.from({ length: config.jobs }, one));
}

await all(config.files.slice(0, 1), "");
const start = performance.now();
await all(config.files, config.out);
console.log(JSON.stringify({ seconds: (performance.now() - start) / 1000 }));
