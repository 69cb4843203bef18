// What delivered events cost on Cloudflare: arithmetic on what was counted, nothing else. Prices are the list prices of the paid
// plan, without what it includes each month.

/** Dollars per million of each unit. */
export const PRICES = {
  workerRequests: 0.30,
  workerCpuMs: 0.02,
  objectRequests: 0.15,
  /** 12.50 per million GB-s, at 0.128 GB. */
  objectSeconds: 1.60,
  rowsWritten: 1.00,
  rowsRead: 0.001,
};

/**
 * Dollars per million delivered events, by unit and in all. `counted` holds how many of each unit the delivery of `events`
 * took: as the prices are per million, units per event times the price is dollars per million events.
 */
export function costPerMillion(events, counted) {
  const byUnit = Object.fromEntries(Object.entries(PRICES).map(([unit, price]) => [unit, (counted[unit] / events) * price]));
  const total = Object.values(byUnit).reduce((sum, dollars) => sum + dollars, 0);
  return { byUnit, total };
}

/**
 * What happened between the second and the third of three looks at some counters. Looking counts itself: nothing else
 * happened between the first and the second, so their difference is what one look adds. Counters only grow, unless their
 * object was put away and woke anew.
 */
export function between([first, second, third]) {
  return Object.fromEntries(Object.keys(third).map((name) => {
    if (third[name] < second[name] || second[name] < first[name]) throw new Error(`${name} began anew between two looks.`);
    return [name, third[name] - second[name] - (second[name] - first[name])];
  }));
}

/**
 * The units that are charged, from what a run counted:
 *
 * - `stream`, `tenant`: what the counters of the two objects have gained
 * - `publishes`: requests to the Worker; each stored one chunk, whose later deletion is one row more
 * - `cpuMs`: of the Worker
 * - `activeMs`: in which one of the objects had something under way, summed over the objects
 */
export function charged({ stream, tenant, publishes, cpuMs, activeMs }) {
  return {
    workerRequests: publishes,
    workerCpuMs: cpuMs,
    objectRequests: stream.requests + stream.alarms + tenant.requests + tenant.alarms,
    objectSeconds: activeMs / 1000,
    rowsWritten: stream.rows_written + stream.alarms_set + tenant.rows_written + publishes,
    rowsRead: stream.rows_read + tenant.rows_read,
  };
}
