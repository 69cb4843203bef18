// `npm run bench`: how fast the release build on plain workerd is, and what its deliveries cost. Prints its figures and exits.
// Times are of this machine: compare them only with others from it. Rows and requests are exact, whatever the machine.
//
//   npm run bench                     accepted and delivered events a second, latency, cost per million events
//   npm run bench -- floor [ROUNDS]   the event rate beside that of a bare JavaScript Worker on the same workerd (5 rounds)
//   npm run bench -- lanes            many subjects, a receiver that fails now and then
//   npm run bench -- memory [STREAMS] [EVENTS]   an instance whose streams (100) all have so many events waiting (100000)
//   npm run bench -- receive [ROUNDS] SETs taken in a second, by push beside bare JavaScript Workers (5 rounds), and by poll
//   npm run bench -- subjects [N]     what a stream with N subjects (a million) costs, in rows

import { Failure, main } from './lib/run.mjs';
import { benchCosts } from './bench/costs.mjs';
import { benchFloor } from './bench/floor.mjs';
import { benchLanes } from './bench/lanes.mjs';
import { benchMemory } from './bench/memory.mjs';
import { benchReceive } from './bench/receive.mjs';
import { benchSpeed } from './bench/speed.mjs';
import { benchSubjects } from './bench/subjects.mjs';
import { withServer } from './bench/instance.mjs';

const BENCHES = {
  all: async () => {
    await benchSpeed();
    await benchCosts();
  },
  costs: benchCosts,
  floor: (rounds = '5') => benchFloor(Number(rounds)),
  lanes: benchLanes,
  memory: (streams = '100', events = '100000') => benchMemory(Number(streams), Number(events)),
  receive: (rounds = '5') => benchReceive(Number(rounds)),
  subjects: (many = '1000000') => withServer({}, ({ api, url }) => benchSubjects(api, url, Number(many))),
};

await main(async () => {
  const [name = 'all', ...values] = process.argv.slice(2);
  const bench = Object.hasOwn(BENCHES, name) && BENCHES[name];
  if (!bench) throw new Failure(`Unknown benchmark ${name}: ${Object.keys(BENCHES).join(', ')}.`);
  await bench(...values);
});
