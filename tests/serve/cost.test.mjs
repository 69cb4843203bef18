// What the benchmark makes of its counters.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { between, charged, costPerMillion, PRICES } from '../../scripts/bench/cost.mjs';

const NOTHING = Object.fromEntries(Object.keys(PRICES).map((unit) => [unit, 0]));
const cents = (dollars) => Math.round(dollars * 100) / 100;

test('one unit per event costs its price per million, however many events there were', () => {
  for (const [unit, price] of Object.entries(PRICES)) {
    for (const events of [1, 7, 2000]) {
      const { byUnit, total } = costPerMillion(events, { ...NOTHING, [unit]: events });
      assert.ok(Math.abs(byUnit[unit] - price) < 1e-9);
      assert.equal(total, byUnit[unit]);
    }
  }
});

test('the total is the sum of its parts', () => {
  // One request for each event, its chunk written and deleted, the cursor every sixth time, 50 ms of the object.
  const { total } = costPerMillion(600, {
    workerRequests: 600, workerCpuMs: 1800, objectRequests: 1200, objectSeconds: 30, rowsWritten: 1300, rowsRead: 6000,
  });
  assert.equal(cents(total), cents(0.30 + 0.06 + 0.30 + 0.08 + 2.1667 + 0.01));
});

test('what looking adds is taken off', () => {
  const looks = [{ requests: 10, rows_read: 100 }, { requests: 11, rows_read: 105 }, { requests: 52, rows_read: 150 }];
  assert.deepEqual(between(looks), { requests: 40, rows_read: 40 });
});

test('counters that began anew are no measure', () => {
  assert.throws(() => between([{ requests: 10 }, { requests: 11 }, { requests: 3 }]), /requests began anew/);
});

test('alarms are requests of their object, setting one is a row, and so is the deletion of each chunk', () => {
  const stream = { requests: 40, alarms: 2, alarms_set: 3, subrequests: 2000, rows_read: 50, rows_written: 400 };
  const tenant = { requests: 40, alarms: 1, rows_read: 80, rows_written: 5 };
  assert.deepEqual(charged({ stream, tenant, publishes: 40, cpuMs: 3000, activeMs: 4500 }), {
    workerRequests: 40, workerCpuMs: 3000, objectRequests: 83, objectSeconds: 4.5, rowsWritten: 448, rowsRead: 130,
  });
});
