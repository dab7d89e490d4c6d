/**
 * Fields that stand around items and go with them, byte for byte as they came: those of a request beside its resources, of a
 * resource beside its scopes, of a scope beside its items. Neighbouring fields of one message are one run.
 */
import { REQUEST_RESOURCE_FROM, REQUEST_RESOURCE_TO, REQUEST_RUN_FROM, REQUEST_RUN_TO, REQUESTS, RUNS } from './arena';
import { RESOURCE_X } from './frames';
import { positionOf, readTag, skipValue, valueOf } from './wire';

/** Rows of RUNS. */
export let runs: u32 = 0;
/** Rows of REQUESTS. */
export let requests: u32 = 0;

/** Forgets all but the first `runsLeft` runs and `requestsLeft` requests. */
export function setBackKeptFields(runsLeft: u32, requestsLeft: u32): void {
  runs = runsLeft;
  requests = requestsLeft;
}

/** Keeps the field in [at, end). `firstRun` is the first run of its message: the last run is prolonged if it borders on the field. */
export function keepField(at: usize, end: usize, firstRun: u32): void {
  if (runs > firstRun) {
    const last = RUNS + ((<usize>(runs - 1)) << 3);
    const bytes = load<u32>(last, 4);
    if (<usize>load<u32>(last) + <usize>bytes == at) {
      store<u32>(last, bytes + <u32>(end - at), 4);
      return;
    }
  }
  const run = RUNS + ((<usize>runs) << 3);
  store<u32>(run, <u32>at);
  store<u32>(run, <u32>(end - at), 4);
  runs++;
}

/**
 * Keeps the fields beside the resources of the request in [p, end), whose resources are [firstResource, lastResource). A walk
 * of their own, as no version of OTLP has such fields: the runs of the resources are written by now.
 */
export function keepRequestFields(p: usize, end: usize, firstResource: u32, lastResource: u32): void {
  const row = REQUESTS + ((<usize>requests) << 4);
  const firstRun = runs;
  while (p < end) {
    const field = p;
    const tag = readTag(p, end);
    p = skipValue(positionOf(tag), end, valueOf(tag));
    if (valueOf(tag) != RESOURCE_X) keepField(field, p, firstRun);
  }
  store<u32>(row, firstResource, REQUEST_RESOURCE_FROM);
  store<u32>(row, lastResource, REQUEST_RESOURCE_TO);
  store<u32>(row, firstRun, REQUEST_RUN_FROM);
  store<u32>(row, runs, REQUEST_RUN_TO);
  requests++;
}
